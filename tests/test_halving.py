"""`pervade tune` across rungs: who is drawn, who goes on after a share of the training and who does not, that pausing
changes no bit, and that a search that was stopped goes on as it was."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pervade
from pervade.core import files
from pervade.core.errors import ConfigError, DataError, ResourceError
from pervade.core.run import RunDirectory
from pervade.core.types import Rows
from pervade.engine import checkpoint
from pervade.init.pretrained import Pretrained
from pervade.recipes import text
from pervade.run import blending, halving, rungs, search, search_space
from pervade.run.candidates import Candidates
from pervade.run.search import Trial
from pervade.run.search_space import Choice, Range
from pervade.run.stopping import Stopped
from pervade.run.training import Options
from pervade.run.workflow import Request
from tests import texts
from tests.small_run import same, slow_steps, stop_at, weights

__all__ = ["slow_steps", "stop_at"]

TASK = "text-classification"


def begun(folder: Path, names: str = "plain,trained", searched: list[str] | None = None, **asked) -> halving.Halving:
    run, recipe = RunDirectory(folder / "run"), texts.recipe(threads=1)
    plan = search.plan(asked.get("time_limit"), asked.get("trials", 5), searched or [])
    planned = rungs.searched(recipe, TASK, names.split(","))
    halving.begin(run, plan, recipe, TASK, planned or {}, asked.get("settled", ()))
    return halving.Halving(run, Request("data"), Options())


# who is drawn


def test_settings_are_drawn_evenly() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([Range(1e-4, 1e-2, log=True).draw(rng) for _ in range(1000)])
    assert (drawn.min() >= 1e-4, drawn.max() <= 1e-2) == (True, True)
    assert np.median(drawn) == pytest.approx(1e-3, rel=0.2)  # the middle of the logarithm
    assert {Range(1, 4).draw(rng) for _ in range(100)} == {1, 2, 3, 4}
    assert {Range(2, 8, log=True).draw(rng) for _ in range(300)} == set(range(2, 9))
    assert {Choice(("a", None)).draw(rng) for _ in range(50)} == {"a", None}


def test_each_rung_as_it_is_and_then_others_of_those_that_have_settings(tmp_path: Path) -> None:
    own = begun(tmp_path)
    assert [name for name, _ in own.candidates] == ["plain", "trained", "trained", "trained", "trained"]
    assert own.candidates[0][1] == {}
    assert own.candidates[1][1] == {
        "optimizer.lr": 1e-3,
        "optimizer.weight_decay": 0.05,
    }  # 4 passes are not in its list
    assert len({str(values) for _, values in own.candidates}) == 5
    assert own.candidates == halving.Halving(own.run, Request("data"), Options()).candidates


def test_rungs_take_those_fields_that_they_have(tmp_path: Path) -> None:
    searched = ["optimizer.lr=1e-4..1e-2:log", "validation=[0.15, 0.2]"]
    spaces = begun(tmp_path, searched=searched).spaces
    assert {name: list(space) for name, space in spaces.items()} == {
        "plain": ["validation"],
        "trained": ["optimizer.lr", "validation"],
    }
    with pytest.raises(ConfigError, match=r"optimizer.lx"):
        begun(tmp_path / "other", searched=["optimizer.lx=1..2"])


def test_what_is_set_by_hand_is_not_drawn(tmp_path: Path) -> None:
    assert "optimizer.lr" not in begun(tmp_path, settled={"optimizer.lr"}).spaces["trained"]


def test_which_rungs_a_search_goes_through() -> None:
    recipe = texts.recipe()
    assert list(rungs.searched(recipe, TASK, rungs.RUNGS, by_default=True) or {}) == list(rungs.RUNGS)
    with pytest.raises(ConfigError, match="blend: there are no two other rungs to put together"):
        rungs.searched(recipe, TASK, ["blend"])
    assert rungs.searched(recipe, TASK, ["frozen", "trained", "blend"], by_default=True) is None  # no weights are here
    assert rungs.searched(texts.recipe(validation=0.0), TASK, rungs.RUNGS, by_default=True) is None
    assert search_space.own_values({"epochs": Choice((2, 4))}, recipe) == {"epochs": 4}


def test_where_no_row_can_judge_that_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    rows = Rows({"id": ["1", "2"], "text": ["a", "b"], "target": ["x", "y"], "split": ["train", "test"]})
    with pytest.raises(DataError, match=r"the validation split, which is empty; leave rows for it: -o validation=0.15"):
        begun(tmp_path).judge_by(rows)


def test_what_is_drawn_for_the_network_holds_where_it_begins_from_the_frozen_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = begun(tmp_path)
    own.trials = [Trial(0, {}, "complete", 0.7, rung="frozen", share=1.0)]
    monkeypatch.setattr(own, "_ordered", list)
    frozen = own.run.member("trial-000")
    frozen.path.mkdir(parents=True)
    checkpoint.write_recipe(frozen.recipe, texts.recipe())
    recipe = own._recipe(Trial(1, {"model.depth": 3}, rung="trained"))
    assert recipe.init == Pretrained(str(frozen.path.absolute()))
    assert recipe.model.depth == 3


# who goes on


def test_shares_of_a_training() -> None:
    assert halving.shares(1) == [1.0]
    assert halving.shares(3) == [0.5, 1.0]
    assert halving.shares(4) == halving.shares(7) == [0.25, 0.5, 1.0]
    assert halving.shares(1000)[0] == 1 / 16


def standing(own: halving.Halving, *learning: tuple[str, float, float]) -> None:
    """The plain rung is through; the others are in this state, have come to this share, and to this figure."""
    own.trials = [Trial(0, {}, "complete", 0.7, rung="plain", share=1.0)]
    for number, (state, share, value) in enumerate(learning, 1):
        own.trials.append(Trial(number, {}, state, value, rung="trained", share=share))


def test_the_better_half_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four: 4 quarters, then 2 more of one half, and then the last half of one: 2 whole trainings."""
    own = begun(tmp_path)
    monkeypatch.setattr(own, "_ordered", lambda trials: sorted(trials, key=lambda trial: -(trial.value or 0.0)))
    assert own._to_come() == 2.0
    standing(own, ("paused", 0.25, 0.5), ("paused", 0.25, 0.6), ("paused", 0.25, 0.9))
    own._halve()
    assert [trial.state for trial in own.trials[1:]] == ["paused"] * 3  # the fourth is not there yet
    assert own._decide() == (4, 0.25, None)
    standing(own, ("paused", 0.25, 0.5), ("paused", 0.25, 0.6), ("paused", 0.25, 0.9), ("failed", 0.0, 0.0))
    own._halve()
    assert [trial.state for trial in own.trials[1:]] == ["pruned", "paused", "paused", "failed"]
    assert own._decide() == (2, 0.5, None)
    assert own._to_come() == 1.0
    standing(own, ("pruned", 0.25, 0.5), ("paused", 0.5, 0.6), ("paused", 0.5, 0.9), ("failed", 0.0, 0.0))
    own._halve()
    assert [trial.state for trial in own.trials[1:]] == ["pruned", "pruned", "paused", "failed"]
    assert own._decide() == (3, 1.0, None)
    standing(own, ("pruned", 0.25, 0.5), ("pruned", 0.5, 0.6), ("complete", 1.0, 0.9), ("failed", 0.0, 0.0))
    own._halve()
    assert own._decide() is None
    assert own.best() is own.trials[3]


def test_time_is_given_by_how_much_of_a_training_is_to_come(tmp_path: Path) -> None:
    own = begun(tmp_path, time_limit=1000.0)
    standing(own)
    number, goal, seconds = own._decide() or (0, 0.0, 0.0)
    assert (number, goal) == (1, 0.25)
    assert seconds == pytest.approx(880 * 0.25 / 2.0, abs=2.0)  # 98% of the limit less a tenth for the ending
    own.used_before = 870.0
    assert own._decide() is None


@pytest.mark.parametrize(("came", "tried"), [(0.4, 2), (0.6, 5)])
def test_a_share_of_too_little_time_is_not_divided(came: float, tried: int, tmp_path: Path) -> None:
    own = begun(tmp_path, time_limit=1000.0)
    standing(own, ("paused", 0.25, 0.5))
    entry = {"event": "pass", "step": 3, "pass": came, "validation log_loss": 0.7, "elapsed": 1.0}
    files.write_text(own.run.member("trial-001").log, json.dumps(entry) + "\n")
    own._halve()
    assert len(own.candidates) == tried
    assert (own._decide() or ())[:2] == ((1, 1.0) if tried == 2 else (2, 0.25))


# whole searches


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return texts.write(tmp_path / "reviews.tsv", texts.reviews(120))


def tune(data: Path, runs: Path, name: str, **more) -> pervade.Run:
    asked = {"trials": 4, "ladder": ["plain", "trained"], "recipe": texts.recipe(epochs=2, threads=1), **more}
    asked |= {"search": ["optimizer.lr=1e-4..1e-2:log"]} if "time_limit" not in asked else {}
    return pervade.tune(data, task=TASK, name=name, runs=runs, options=Options(), **asked)


def trials(run: pervade.Run) -> list[dict]:
    return [{**trial, "seconds": 0} for trial in files.read_json(run.path / "search.json")["trials"]]


def test_one_that_was_stopped_goes_on_to_the_same(data: Path, tmp_path: Path, stop_at) -> None:
    """A step of the plain rung, then six of each training to its middle: it is stopped in the second of these."""
    whole = tune(data, tmp_path, "whole")
    states = [(trial["rung"], trial["state"], trial["share"]) for trial in trials(whole)]
    assert states[:2] == [("plain", "complete", 1.0), ("trained", states[1][1], states[1][2])]
    assert sorted(states[1:]) == [("trained", "complete", 1.0)] + [("trained", "pruned", 0.5)] * 2
    assert files.read_json(whole.path / "search.json")["winner"] == "trial-000"  # two passes know little
    measured = [path.relative_to(whole.path).as_posix() for path in whole.path.rglob("*@test.parquet")]
    assert measured == ["predictions/best@test.parquet"]
    page = whole.report().read_text(encoding="utf-8")
    assert "4 trials over optimizer.lr across plain and trained: 2 came to their end, 2 were left behind" in page
    stop_at(9)
    with pytest.raises(Stopped):
        tune(data, tmp_path, "stopped")
    resumed = pervade.resume(tmp_path / "stopped", options=Options())
    assert trials(resumed) == trials(whole)
    assert resumed.results()["metrics"] == whole.results()["metrics"]
    # Pausing changes nothing: the one that is through has the weights of a training without any pause.
    (through,) = (trial for trial in trials(whole) if trial["state"] == "complete" and trial["rung"] == "trained")
    name = f"trial-{through['number']:03d}"
    recipe = search_space.with_values(texts.recipe(epochs=2, threads=1), through["values"])
    straight = pervade.fit(data, recipe=recipe, task=TASK, name="straight", runs=tmp_path, options=Options())
    for run in (whole, resumed):
        assert same(weights(run.directory.member(name)), weights(straight.directory))


def test_the_best_of_each_rung_are_put_together(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one candidate more, where that is no worse; and if its process ends within it, the next one goes on."""
    monkeypatch.setattr(Candidates, "loses", lambda *asked: False)
    monkeypatch.setattr(blending, "weights", lambda task, tables, scales, domain: [scale / 2 for scale in scales])
    judge = Candidates.judge_blend
    monkeypatch.setattr(Candidates, "judge_blend", lambda *asked: (_ for _ in ()).throw(ResourceError("disk is full")))
    rungs_asked = ["plain", "trained", "blend"]
    with pytest.raises(ResourceError, match="disk is full"):
        tune(data, tmp_path, "run", ladder=rungs_asked, trials=2)
    monkeypatch.setattr(Candidates, "judge_blend", judge)
    run = pervade.resume(tmp_path / "run", options=Options())
    assert [(trial["rung"], trial["state"]) for trial in trials(run)] == [
        ("plain", "complete"),
        ("trained", "complete"),
        ("blend", "complete"),
    ]
    assert files.read_json(run.path / "search.json")["winner"] == "trial-002"
    assert list(run.recipe().model.models) == ["trial-000", "trial-001"]
    assert {path.parent for path in run.path.rglob("*@test.parquet")} == {run.path / "predictions"}
    assert run.predict(["the film was superb"])[0]["top"]


def test_what_is_no_better_together_is_not_put_together(data: Path, tmp_path: Path) -> None:
    """One step of a random network knows nothing."""
    asked = {"ladder": ["plain", "trained", "blend"], "trials": 2, "recipe": texts.recipe(epochs=1, threads=1)}
    run = tune(data, tmp_path, "run", **asked)
    assert [trial["rung"] for trial in trials(run)] == ["plain", "trained"]
    why = files.read_json(run.path / "search.json")["no_blend"]
    assert why.startswith(("beside trial-000 no rung", "the rungs together are no better than trial-000 alone"))
    assert not run.directory.member("trial-002").path.exists()
    assert "The best of each rung were not put together: " in run.report().read_text(encoding="utf-8")


@pytest.mark.slow
def test_training_begins_from_the_frozen_networks_head(data: Path, tmp_path: Path) -> None:
    small = text.recipe(init=str(texts.encoder_folder(tmp_path / "encoder")))
    ladder = ["frozen", "trained"]
    run = tune(data, tmp_path, "run", recipe=replace(small, epochs=1, workers=0), ladder=ladder)
    began = files.read_json(run.path / "members/trial-001/init.json")
    assert began["init"]["source"] == str(run.path.absolute() / "members/trial-000")
    assert "head.logits.weight" in began["loaded"]


@pytest.mark.slow
@pytest.mark.usefixtures("slow_steps")
def test_the_time_limit_covers_everything(data: Path, tmp_path: Path) -> None:
    start = time.monotonic()
    run = tune(data, tmp_path, "run", time_limit=12.0, trials=None, recipe=texts.recipe(epochs=100_000, threads=1))
    assert time.monotonic() - start < 14.0
    assert len(trials(run)) >= 3
    assert run.results()["n"] > 0
