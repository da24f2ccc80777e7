"""Rows of a rare class that are made for training: where they stand, who never sees them, and what is refused."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import pervade
from pervade.core import files
from pervade.core.errors import ConfigError
from pervade.core.run import RunDirectory
from pervade.core.types import Rows
from pervade.domains.image import Image
from pervade.engine import checkpoint, judging
from pervade.recipes import generation, text
from pervade.report import record
from pervade.run import imbalance, workflow
from pervade.run.stopping import Stopped
from pervade.run.training import Options
from pervade.tasks.classify import Classify
from pervade.train.imbalance.generate import Generate
from tests import painter
from tests.data.drawing import encoded, pixels
from tests.report.test_report import read
from tests.small_run import recipe, same, stop_at, weights

__all__ = ["painter", "stop_at"]

GENERATE = Generate(model="toy-painter", fewest=4)
SPLITS = {"train": (48, 4), "validation": (4, 2), "test": (4, 2)}


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Of each split so many of "cat" and of "dog"."""
    for split, numbers in SPLITS.items():
        for colour, (name, number) in enumerate(zip(("cat", "dog"), numbers, strict=True)):
            folder = tmp_path / "pets" / split / name
            folder.mkdir(parents=True)
            for seed in range(number):
                drawn = pixels(colour, 100 * list(SPLITS).index(split) + seed)
                (folder / f"{seed}.png").write_bytes(encoded(drawn))
    return tmp_path / "pets"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what makes and judges them a few passes."""
    monkeypatch.setattr(generation, "MOST", 2)
    monkeypatch.setattr(generation, "FEWEST", 1)
    monkeypatch.setattr(judging, "MOST", 2)
    monkeypatch.setattr(judging, "FEWEST", 1)


def fitted(data: Path, runs: Path, name: str, cure: Any = GENERATE, **more: Any) -> RunDirectory:
    asked = recipe(imbalance=cure, **more)
    return pervade.fit(data, recipe=asked, name=name, runs=runs, options=Options()).directory


def test_they_train_and_nothing_else_sees_them(pets: Path, tmp_path: Path) -> None:
    run = fitted(pets, tmp_path, "made")
    known, whole = run.read_data()["columns"], run.read_data(synthetic=True)
    plain = pervade.open_data(pets, recipe=recipe(), options=Options())
    assert known["id"] == plain.rows.column("id")  # rows of the data have the numbers they would have without
    columns, about = whole["columns"], files.read_json(run.data)["synthetic"]["dog"]
    marked = columns["synthetic"]
    assert marked == [False] * 64 + [True] * about["kept"] and about["kept"] > 0
    assert (about["real"], about["asked"]) == (4, 12)
    assert {(columns["split"][place], columns["target"][place]) for place in range(64, len(marked))} == {
        ("train", "dog")
    }
    made = columns["path"][64:]
    assert len(list(run.synthetic.glob("*.png"))) == about["kept"] + 1  # and some of them beside real ones
    assert all(Path(path).parent == run.synthetic for path in made)
    with Pillow.open(made[0]) as picture:
        assert picture.size == (16, 16)
    learnt = Counter(run.member("generator").read_data()["columns"]["split"])
    assert learnt == {"train": 52}
    generator = checkpoint.load_checkpoint(run.member("generator"), "last")
    assert generator.domain.counts == (48, 4)
    own, loaded = checkpoint.read_recipe(run.recipe), checkpoint.load_checkpoint(run, "best")
    assert own.task.synthetic == loaded.task.synthetic == (("cat", 0), ("dog", about["kept"]))
    assert own.task.answering == "balanced"
    assert loaded.domain == plain.fitted  # so the data's shares are the data's
    rows = workflow.load_rows(run, loaded.domain)
    assert len(rows) == 64 and "synthetic" not in rows
    result = pervade.load(run.path).evaluate()
    assert (result["n"], result["details"]["train_counts"]) == (6, [48, 4])
    _, text = read(run)
    assert f"{about['kept']} pictures of dog were made" in text
    assert record.read(run).split_counts == {"train": 52, "validation": 6, "test": 6}
    card = run.model_card.read_text()
    assert f"learnt from {about['kept']} synthetic ones of dog" in card


def test_a_stopped_run_goes_on_to_the_same_weights(pets: Path, tmp_path: Path, stop_at: Callable[[int], None]) -> None:
    """Stopped while it makes them, and while it trains on them; then moved."""
    whole = fitted(pets, tmp_path, "whole")
    steps = [run.plan()["passes"] for run in (whole.member("generator"), whole.member("judge"))]
    assert steps == [2, 2]
    stop_at(3)
    with pytest.raises(Stopped):
        fitted(pets, tmp_path, "stopped")
    assert not (tmp_path / "stopped" / "synthetic").exists()
    stop_at(9)
    with pytest.raises(Stopped):
        pervade.resume(tmp_path / "stopped", options=Options())
    assert (tmp_path / "stopped" / "state").exists()
    run = pervade.resume(tmp_path / "stopped", options=Options()).directory
    assert same(weights(run), weights(whole))
    made = [one.read_data(synthetic=True)["columns"]["hash"] for one in (run, whole)]
    assert made[0] == made[1]
    (tmp_path / "elsewhere").mkdir()
    moved = RunDirectory(shutil.move(whole.path, tmp_path / "elsewhere" / "run"))
    rows = workflow.load_rows(RunDirectory(Path(moved.path)), recipe().domain, synthetic=True)
    assert Counter(rows.column("synthetic"))[True] > 0


@pytest.mark.slow
def test_a_ladder_makes_them_once(pets: Path, tmp_path: Path) -> None:
    settings = ["imbalance.model=toy-painter", "imbalance.fewest=4", "domain.size=16", "epochs=1", "threads=1"]
    more: dict[str, Any] = {"ladder": ["plain", "trained"], "imbalance": "generate", "settings": settings}
    run = pervade.fit(pets, name="a", runs=tmp_path, options=Options(), **more).directory
    rungs = files.read_json(run.path / "ladder.json")["rungs"]
    assert [(rung["name"], rung["state"], rung["folds"]) for rung in rungs] == [
        ("plain", "complete", 0),
        ("trained", "complete", 0),
    ]
    whole = run.read_data(synthetic=True)["columns"]
    assert any(whole["synthetic"])
    for name in ("plain", "trained"):
        own = run.member(name)
        assert own.read_data(synthetic=True)["columns"]["path"] == whole["path"]
        assert not own.synthetic.exists() and not own.member("generator").path.exists()
        assert checkpoint.read_recipe(own.recipe).task.synthetic == (("cat", 0), ("dog", sum(whole["synthetic"])))
    assert pervade.resume(run.path, options=Options()).results()["n"] == 6  # nothing changed since it was begun


@pytest.mark.slow
def test_each_fold_makes_its_own_of_what_it_learns_from(pets: Path, tmp_path: Path) -> None:
    shutil.rmtree(pets / "test")
    shutil.rmtree(pets / "validation")
    asked = recipe(imbalance=replace(GENERATE, fewest=2), epochs=1, validation=0.0)
    run = pervade.fit(pets / "train", recipe=asked, folds=2, name="a", runs=tmp_path, options=Options()).directory
    learnt = []
    for name in ("fold-1", "fold-2"):
        own = run.member(name).read_data()["columns"]
        train = {path for path, split in zip(own["path"], own["split"], strict=True) if split == "train"}
        shown = run.member(name).member("generator").read_data()["columns"]["path"]
        assert set(shown) == train
        learnt.append(train)
    assert learnt[0] != learnt[1]


def test_what_training_showed_is_taken_out_of_the_probabilities() -> None:
    """90 rows and 10, to which 30 are made: training shows 9 : 4 where the data have 9 : 1, so that odds of 9 : 4, what
    a network says that knows nothing, are those of the data, 9 : 1."""
    domain: Any = SimpleNamespace(target="class", labels=("a", "b"), counts=(90, 10), rows=100)
    task = Classify(synthetic=(("a", 0), ("b", 30)), answering="balanced")
    said = torch.tensor([[9 / 13, 4 / 13], [0.5, 0.5]]).log()
    honest = task._honest(said, domain).softmax(1).numpy()
    assert np.allclose(honest, [[0.9, 0.1], [0.8, 0.2]])
    prior = task.prior({"temperature": 1.0}, domain)
    assert prior is not None and np.allclose(prior, [0.9, 0.1])  # as if nothing had been made
    weighed = Classify(synthetic=(("b", 30),), class_weights="balanced")
    # Balanced weights are 5/9 and 5, so that b is shown 4 x 9 times as often beside a as in the data.
    assert np.allclose(np.diff(weighed._shown(domain)), np.log(36))
    even = Classify(synthetic=(("b", 30),), evenly_drawn=True)  # drawn as often, however many there are
    assert np.allclose(np.diff(even._shown(domain)), np.log(9))


def test_how_many_are_made() -> None:
    assert Generate().wanted({"a": 900, "b": 60, "c": 240}) == {"b": 180}  # three times as many
    assert Generate(most=10).wanted({"a": 900, "b": 60, "c": 240}) == {"b": 340}  # up to the fair share, 400
    assert Generate(most=10, share=0.5).wanted({"a": 900, "b": 60, "c": 240}) == {"b": 140}
    assert Generate(share=0.1).wanted({"a": 900, "b": 60, "c": 240}) == {}
    rows = Rows({"id": list("abc"), "target": list("xxy"), "split": ["train"] * 3, "synthetic": [False, False, True]})
    assert imbalance.counts(rows.real(), "train") == {"x": 2}


def test_what_is_refused_says_what_remains(pets: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'dog' 4 rows train, .* takes 20 .*take --imbalance weights or oversample"):
        fitted(pets, tmp_path, "few", Generate(model="toy-painter"))
    assert not (tmp_path / "few").exists()
    with pytest.raises(ConfigError, match=r"no class is rare \(b 44.4% .*; leave it out"):
        GENERATE.settle(recipe(imbalance=GENERATE), {"a": 50, "b": 40}, {})
    with pytest.raises(ConfigError, match="vq-vae makes pictures by two models, one after the other; take"):
        fitted(pets, tmp_path, "two", replace(GENERATE, model="vq-vae"))
    tiles = recipe(imbalance=GENERATE, domain=Image(framing="tiles"))
    with pytest.raises(ConfigError, match=r"makes square pictures, and fit=tiles .*--imbalance weights or oversample"):
        GENERATE.check(tiles)
    with pytest.raises(ConfigError, match="and not for a search; take weights"):
        pervade.tune(pets, trials=1, recipe=recipe(imbalance=GENERATE), name="t", runs=tmp_path, options=Options())
    with pytest.raises(ConfigError, match="generate makes pictures, and this task reads texts with labels; take"):
        GENERATE.check(text.scratch())
