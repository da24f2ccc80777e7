"""`pervade tune`: the space and its faults, pruning, what is kept, and that a killed search goes on as it was."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

import pervade
from pervade import recipes
from pervade.core import files
from pervade.core.errors import ConfigError
from pervade.core.run import RunDirectory
from pervade.engine.predictor import Predictor
from pervade.recipes import image
from pervade.run import search, search_space
from pervade.run.search_space import Choice, Range
from pervade.run.stopping import Stopped
from pervade.run.training import Options
from pervade.run.workflow import Request
from tests.small_run import recipe, same, slow_steps, stop_at, weights

__all__ = ["slow_steps", "stop_at"]

SPACE = ["optimizer.lr=1e-5..1e-1:log", "batch_size=[8, 16]"]


def tune(data: Path, runs: Path, name: str, **more) -> pervade.Run:
    more = {"recipe": recipe(), "search": SPACE, "trials": 3, **more}
    return pervade.tune(data, name=name, runs=runs, options=Options(), **more)


def trials(run: pervade.Run) -> list[dict]:
    return [
        {key: value for key, value in each.items() if key != "seconds"}
        for each in files.read_json(run.path / "search.json")["trials"]
    ]


# the space


def test_texts_to_ranges() -> None:
    found = search_space.parse(["a.b=1e-4..0.1:log", "c=1..8", "d=[1, 1e-3, adam, null, true]", " e = -1 .. 1.5 "])
    assert found == {
        "a.b": Range(1e-4, 0.1, log=True),
        "c": Range(1, 8),
        "d": Choice((1, 1e-3, "adam", None, True)),
        "e": Range(-1, 1.5),
    }
    assert found["c"].whole
    assert not found["e"].whole
    assert search_space.of_json({path: each.as_json() for path, each in found.items()}) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lr", "path=low..high"),
        ("lr=1", "path=low..high"),
        ("lr=2..1", "2 is not below 1"),
        ("lr=a..b", "'a' is not a number"),
        ("lr=0..1:log", "logarithm of 0"),
        ("lr=1..2:lin", "only 'log'"),
        ("lr=[1]", "two values or more"),
        ("lr=[1, 2", "not closed"),
        ("lr=[[1], [2]]", "numbers, texts"),
    ],
)
def test_faulty_texts(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("[", r"\[")) as fault:
        search_space.parse([text, text])
    assert len(fault.value.problems) == 2


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"lr": "find"}, "a search tries rates itself"),
        ({"seeds": 2}, "has no seeds"),
        ({"folds": 3}, "has no folds"),
        ({"best_of": "size"}, "has no best_of"),
    ],
)
def test_what_a_search_would_pass_over(shapes: Path, tmp_path: Path, asked: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        tune(shapes, tmp_path / "runs", "a", **asked)
    assert not (tmp_path / "runs").exists()


def test_all_faults_of_a_space_at_once(shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as fault:
        tune(shapes, tmp_path / "runs", "a", search=["optimizer.lx=1..2", "batch_size=0..8", "optimizer.lr=-1.0..1.0"])
    assert len(fault.value.problems) == 3
    assert "optimizer.lr" in fault.value.problems[0]
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("name", ["default", "finetune", "reference", "mlp"])
def test_every_recipe_has_a_space_that_fits(name: str) -> None:
    made = getattr(image, name)()
    space = recipes.search_space(made, "image-classification")
    assert "optimizer.lr" in space
    search_space.check(space, made)


def test_without_an_end_or_without_optuna(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="--time-limit 30m, --trials 20"):
        tune(shapes, tmp_path, "a", trials=None)
    with pytest.raises(ConfigError, match="at least 1"):
        tune(shapes, tmp_path, "a", trials=0)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install 'pervade\[tune\]'"):
        tune(shapes, tmp_path, "a")


# whole searches


def test_the_winner_becomes_the_run(shapes: Path, tmp_path: Path) -> None:
    run = tune(shapes, tmp_path, "a")
    found = files.read_json(run.path / "search.json")
    best = max((each for each in found["trials"] if each["state"] == "complete"), key=lambda each: each["value"])
    winner = f"trial-{best['number']:03d}"
    assert found["winner"] == winner
    # The first trial is the recipe as it was asked for, where the space holds it.
    assert found["trials"][0]["values"] == {"optimizer.lr": 0.02, "batch_size": 8}
    member = pervade.load(run.path / "members" / winner)
    assert same(weights(run.directory, "best"), weights(member.directory, "best"))
    assert run.recipe() == member.recipe()
    assert run.results()["split"] == "test"
    assert len(run.predict([shapes])) == 60
    page = run.report().read_text()
    assert "What was searched" in page
    assert winner in page
    assert "has not finished" not in page


def test_no_trial_sees_the_test_split(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[int]] = []
    real = Predictor.tables

    def watched(self, rows):
        seen.append({int(number) for number in rows.number})
        return real(self, rows)

    monkeypatch.setattr(Predictor, "tables", watched)
    run = tune(shapes, tmp_path, "a")
    split = files.read_json(run.directory.data)["columns"]["split"]
    test = {i for i, each in enumerate(split) if each == "test"}
    touched = [each for each in seen if each & test]
    assert touched == [test]  # the winner's evaluation, once
    assert seen[-1] == test
    assert not list(run.path.glob("members/*/predictions"))


def test_hopeless_trials_are_pruned_and_keep_no_weights(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "STARTUP", 1)
    figures = iter(1 - 0.01 * i for i in range(1000))  # every later pass is worse than those before
    monkeypatch.setattr(
        "pervade.run.training.Training._validate", lambda self, metrics, watch: ([next(figures)] * len(metrics), {})
    )
    run = tune(shapes, tmp_path, "a", trials=3)
    states = [each["state"] for each in trials(run)]
    assert states == ["complete", "pruned", "pruned"]
    member = run.path / "members" / "trial-001"
    assert not (member / "state").exists()
    assert not (member / "checkpoints").exists()
    assert any("pruned by the search" in each.get("text", "") for each in run.directory.member("trial-001").read_log())
    assert files.read_json(run.path / "search.json")["winner"] == "trial-000"


def test_a_loss_that_runs_away_fails_its_trial_alone(shapes: Path, tmp_path: Path) -> None:
    run = tune(shapes, tmp_path, "a", search=["optimizer.lr=[0.02, 1000]"], trials=4)
    found = trials(run)
    assert {each["state"] for each in found if each["values"]["optimizer.lr"] == 1000} <= {"failed"}
    assert found[0]["state"] == "complete"


def test_a_killed_search_goes_on_as_if_never_stopped(shapes: Path, tmp_path: Path, stop_at) -> None:
    whole = tune(shapes, tmp_path, "whole")
    stop_at(25)  # in the second trial
    with pytest.raises(Stopped):
        tune(shapes, tmp_path, "stopped")
    assert [each["state"] for each in trials(pervade.load(tmp_path / "stopped"))] == ["complete", "running"]
    resumed = pervade.resume(tmp_path / "stopped", options=Options())
    assert trials(resumed) == trials(whole)
    assert same(weights(resumed.directory, "best"), weights(whole.directory, "best"))
    assert resumed.results() == whole.results()
    # Resuming what is complete changes nothing.
    pervade.resume(tmp_path / "stopped", options=Options())
    assert trials(resumed) == trials(whole)


def test_what_a_killed_process_used_is_known_from_the_state_of_its_trial(tmp_path: Path) -> None:
    """The trial was begun after 10 s, stopped once after 4 s more, and killed when it had used 9 s in all."""
    run = RunDirectory(tmp_path / "run")
    search.begin(run, search.plan(100.0, None, SPACE), recipe(), None)
    trial = asdict(search.Trial(0, {}, seconds=4.0))
    files.write_json(run.path / "search.json", {"trials": [trial], "used": 14.0})
    state = run.member("trial-000").state / "state.json"
    files.write_json(state, {"state": {"extra": {"setup": 2.0, "elapsed": 7.0}}})
    known = search.Search(run, Request("data"), Options())
    assert (known.used_before, known.trials[0].seconds) == (19.0, 9.0)


@pytest.mark.usefixtures("slow_steps")
def test_the_time_limit_covers_everything(shapes: Path, tmp_path: Path) -> None:
    pervade.fit(shapes, recipe=recipe(epochs=1), name="warm", runs=tmp_path, options=Options()).evaluate()
    start = time.monotonic()
    run = tune(shapes, tmp_path, "a", time_limit=6.0, trials=None, recipe=recipe(epochs=100_000))
    assert time.monotonic() - start < 8.0
    assert len(trials(run)) >= 2
    assert run.results()["n"] > 0


def test_what_is_set_by_hand_is_not_searched(shapes: Path, tmp_path: Path) -> None:
    run = pervade.tune(shapes, recipe=recipe(), trials=1, name="set", runs=tmp_path, batch_size=8)
    assert "batch_size" not in files.read_json(run.path / "members.json")["space"]
    assert run.recipe().batch_size == 8
