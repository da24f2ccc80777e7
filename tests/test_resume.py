"""However a training ends, it goes on as if it had never ended: n steps are k steps, their state, and n - k more.

Every source of batches and every task is trained, stopped in the middle and resumed, to the same state bit for bit:
weights, companions, optimisers, random numbers, what the source remembers. The kill is an exception that nothing
catches, so that no process starts; three kills are real, one a kind of source, and all of them with `make test-all`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy

from pervade.core import files, registry
from pervade.core.run import RunDirectory
from pervade.engine.checkpoint import read_recipe
from tests.trainings import TRAININGS, Killed, as_if, assert_same_state, killed_at, logged, steps, trained

ROOT = Path(__file__).parent.parent
MEMORY = 200  # moments, of two environments together
LONG = ("pictures_as_codes",)  # two networks, one after the other: 17 s
REAL = ("running_text", "rollouts")  # and pictures, by the command line: tests/test_training.py


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], RunDirectory]]:
    """What was asked for and the undisturbed training, by name, filled as they are asked for."""
    return {}


@pytest.fixture
def whole(request, wholes, tmp_path_factory) -> tuple[str, dict[str, Any], RunDirectory]:
    name = request.param
    if name not in wholes:
        folder = tmp_path_factory.mktemp(name)
        asked = TRAININGS[name].asked(folder / "data")
        wholes[name] = asked, trained(asked, folder / "run").directory
    return name, *wholes[name]


@pytest.mark.parametrize(
    "whole", [pytest.param(n, marks=pytest.mark.slow if n in LONG else ()) for n in TRAININGS], indirect=True
)
def test_killed_and_resumed_is_as_if_never_killed(whole, tmp_path: Path) -> None:
    name, asked, directory = whole
    recipe = read_recipe(directory.recipe)
    for kind in ("source", "task", "domain"):
        assert registry.name_of(type(getattr(recipe, kind))) == getattr(TRAININGS[name], kind)
    middle = steps(directory) // 2 + 1
    with pytest.raises(Killed), killed_at(middle, as_if, TRAININGS[name].task):
        trained(asked, tmp_path / "run", save_every=0.0)
    assert_resumed(name, asked, directory, RunDirectory(tmp_path / "run"), middle)


@pytest.mark.parametrize(
    "whole", [pytest.param(n, marks=() if n in REAL else pytest.mark.slow) for n in TRAININGS], indirect=True
)
def test_really_killed_and_resumed(whole, tmp_path: Path) -> None:
    """A process for each, which takes 3 to 5 seconds to load torch."""
    name, asked, directory = whole
    middle = steps(directory) // 2 + 1
    (tmp_path / "data").symlink_to(directory.path.parent / "data")
    command = [sys.executable, "-m", "tests.trainings", name, str(tmp_path / "run"), str(middle)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    assert_resumed(name, asked, directory, RunDirectory(tmp_path / "run"), middle)


def assert_resumed(name: str, asked: dict[str, Any], whole: RunDirectory, run: RunDirectory, middle: int) -> None:
    assert not run.checkpoint("last").exists()
    assert files.read_json(run.state / "state.json", "state")["state"]["learner"]["step"] == middle
    assert name != "replay" or len(list(run.state.glob("memory-*.safetensors"))) >= 2
    trained(asked, run.path)
    members = TRAININGS[name].members
    for one, other in ((whole, run), *((whole.member(member), run.member(member)) for member in members)):
        assert_same_state(one, other)
        assert logged(one) == logged(other)
    if name == "replay":
        assert remembered(whole) == remembered(run)


@pytest.mark.parametrize("whole", ["replay", "pictures"], indirect=True)
def test_another_seed_is_another_training(whole, tmp_path: Path) -> None:
    _, asked, directory = whole
    other = trained({**asked, "seed": 1}, tmp_path / "run").directory
    with pytest.raises(AssertionError):
        assert_same_state(directory, other)


def remembered(run: RunDirectory) -> dict[tuple[int, int], tuple]:
    """By environment and number: the moment. It is the same however it was cut into pieces."""
    state = files.read_json(run.state / "state.json", "state")["state"]["source"]["memory"]
    found: dict[tuple[int, int], tuple] = {}
    for name, spans in state["names"]:
        piece, start = safetensors.numpy.load_file(run.state / f"{name}.safetensors"), 0
        for place, (first, last) in enumerate(spans):
            for number in range(first, last):
                row = start + number - first
                rest = (piece[key][row].item() for key in ("action", "reward", "age"))
                found[place, number] = (*piece["seen"][row].tolist(), *rest)
            start += last - first
    latest = {place: max(number for p, number in found if p == place) for place, _ in found}
    kept = {key: moment for key, moment in found.items() if key[1] > latest[key[0]] - MEMORY // 2}
    assert len(kept) == MEMORY
    return kept


@pytest.mark.parametrize("kind", ["source", "task", "domain"])
def test_every_source_task_and_domain_is_among_them(kind: str) -> None:
    """What is registered by us and not trained here would be resumed by nobody."""
    own = {name for name in registry.names(kind) if registry.find(kind, name)[0].__module__.startswith("pervade.")}
    trained = {getattr(training, kind) for training in TRAININGS.values()}
    inside = {domain for training in TRAININGS.values() for domain in training.members.values()}
    assert own == trained | (inside if kind == "domain" else set())
