"""One `fit` and one predict loop carry every kind of learning that is coming.

Each toy learns what chance cannot reach, is killed in the middle, resumes to the same weights bit for bit, and is
evaluated to parquet.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from pervade.core import files
from pervade.core.run import RunDirectory
from pervade.engine.checkpoint import load_checkpoint
from pervade.engine.predictions import read_columns
from pervade.engine.probe import probe
from pervade.evaluate.evaluation import evaluate
from pervade.run import workflow
from tests.toys.harden import Sign
from tests.toys.run import recipe_of, run_toy

ROOT = Path(__file__).parent.parent
TOYS = (
    "classifier",
    "ctc",
    "question_answering",
    "language_model",
    "gan",
    "vector_quantisation",
    "contrast",
    "two_modalities",
    "dqn",
    "ppo",
    "distil",
    "harden",
    "private",
)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Path:
    return run_toy("classifier", tmp_path_factory.mktemp("teacher") / "run").path


@pytest.mark.parametrize("name", TOYS)
def test_a_toy_is_small(name: str) -> None:
    """What one kind of learning adds to the loop fits a screen."""
    assert len((ROOT / "tests" / "toys" / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 40


@pytest.mark.parametrize("name", TOYS)
def test_learns_and_resumes(name: str, tmp_path: Path, teacher: Path) -> None:
    arguments = [str(teacher)] if name == "distil" else []
    toy = importlib.import_module(f"tests.toys.{name}")
    whole = run_toy(name, tmp_path / "whole", *arguments)

    steps = files.read_json(whole.checkpoint("last") / "architecture.json")["step"]
    killed = subprocess.run(
        [sys.executable, "-m", "tests.toys.run", name, str(tmp_path / "killed"), str(steps // 2 + 1), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -9, killed.stderr
    assert not (tmp_path / "killed" / "checkpoints" / "last").exists()
    resumed = run_toy(name, tmp_path / "killed", *arguments)
    assert_same_weights(whole, resumed)

    assert toy.score(predictions(whole)) >= toy.THRESHOLD > toy.CHANCE
    if hasattr(toy, "score_then"):
        assert_same_weights(whole.member("then"), resumed.member("then"))
        assert toy.score_then(predictions(whole.member("then"))) >= toy.THRESHOLD_THEN


def predictions(run: RunDirectory) -> dict:
    """Evaluates the last checkpoint on the test split, and reads what was written."""
    recipe = recipe_of_run(run)
    loaded = load_checkpoint(run, "last")
    evaluate(run, loaded, workflow.load_rows(run, recipe.domain))
    return read_columns(run.predictions("last", "test"))


def recipe_of_run(run: RunDirectory):
    from pervade.engine.checkpoint import read_recipe

    return read_recipe(run.recipe)


def assert_same_weights(one: RunDirectory, other: RunDirectory) -> None:
    """Weights, companions, optimisers: everything in the final state, bit for bit."""
    for path in ("checkpoints/last/model.safetensors", "state/state.safetensors"):
        first, second = (safetensors.torch.load_file(run.path / path) for run in (one, other))
        assert first.keys() == second.keys()
        different = [name for name in first if not torch.equal(first[name], second[name])]
        assert not different, different


def test_hardening_withstands_the_attack(tmp_path: Path) -> None:
    """No model can do better than 0.81 here: of points within 0.1 of an axis the attack moves every one across."""
    run = run_toy("harden", tmp_path / "run")
    loaded = load_checkpoint(run, "last")
    rows = workflow.load_rows(run, loaded.domain).where("split", "test")
    batch = loaded.domain.collate([example for row in rows for example in loaded.domain.transform(row, None)])
    attacked = Sign()(probe(loaded.network, loaded.domain, recipe_of("classifier").task, batch))
    right = loaded.network(attacked)["logits"].argmax(1) == batch["target"]
    assert right.float().mean() >= 0.72


def test_ppo_ends_passes_early(tmp_path: Path) -> None:
    """The KL stop (`feedback`) did what it is for at least once."""
    run = run_toy("ppo", tmp_path / "run")
    steps = files.read_json(run.checkpoint("last") / "architecture.json")["step"]
    assert steps < 20 * 4 * 256 // 64


def torchrun(folder: Path, kill: int) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "tests.toys.run", "classifier", str(folder), str(kill)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def test_two_ranks(tmp_path: Path) -> None:
    """Two processes (gloo) learn, are killed, and resume to the same weights as two that were not."""
    finished = torchrun(tmp_path / "whole", 0)
    assert finished.returncode == 0, finished.stderr
    assert torchrun(tmp_path / "killed", 60).returncode != 0
    assert not (tmp_path / "killed" / "checkpoints" / "last").exists()
    resumed = torchrun(tmp_path / "killed", 0)
    assert resumed.returncode == 0, resumed.stderr
    whole = RunDirectory(tmp_path / "whole")
    assert_same_weights(whole, RunDirectory(tmp_path / "killed"))
    toy = importlib.import_module("tests.toys.classifier")
    assert toy.score(predictions(whole)) >= toy.THRESHOLD
