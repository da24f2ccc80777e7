"""Rows of the validation split settle for what they did not choose: temperature, thresholds, intervals of numbers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import pervade
from pervade.core import files
from pervade.core.types import Rows, Table
from pervade.metrics.classification import classification_metrics
from pervade.metrics.estimate import Metric
from pervade.metrics.regression import regression_metrics
from pervade.run import settling, training
from pervade.run.settling import Best, CrossFit
from pervade.run.stopping import Stopped
from pervade.run.training import Options
from pervade.tasks import classify
from pervade.tasks.regress import Regress
from tests import texts
from tests.small_run import stop_at

__all__ = ["stop_at"]

HALF_OF = {row: int(row >= 20) for row in range(40)}


def off_by(first: float, second: float) -> Table:
    """Answers that are all as far off in each half."""
    prediction = np.repeat([first, second], 20)
    return {"row": np.arange(40), "prediction": prediction, "target": np.zeros(40)}


def judged(*passes: Table, best: int) -> CrossFit:
    cross = CrossFit()
    for number, table in enumerate(passes, start=1):
        better = number <= best  # of growing goodness until then
        metric = regression_metrics()["mean_absolute_error"]
        cross.judge(number, [metric], better, table, HALF_OF, lambda own: Regress().decide(own, None))
    return cross


def test_the_half_settles_that_had_no_say() -> None:
    """All rows take pass 1. So would the second half alone; the first one, off by 4 in it, would take pass 2."""
    cross = judged(off_by(4.0, 3.0), off_by(1.0, 7.0), off_by(5.0, 9.0), best=1)
    assert [half.at for half in cross.halves] == [2, 1]
    assert cross.settled == {"reach": 4.0, "coverage": 0.9}
    assert not cross.remarks


def test_where_neither_half_alone_would_choose_the_pass_all_rows_settle_and_that_is_said() -> None:
    cross = judged(off_by(4.0, 1.0), off_by(2.0, 2.0), off_by(1.0, 4.0), best=2)
    assert [half.at for half in cross.halves] == [3, 1]
    assert cross.settled == {"reach": 2.0, "coverage": 0.9}
    assert "chose the pass as well" in cross.remarks[0]


def test_where_both_halves_agree_all_rows_settle_together() -> None:
    cross = judged(off_by(4.0, 3.0), off_by(1.0, 2.0), off_by(5.0, 9.0), best=2)
    assert [half.at for half in cross.halves] == [2, 2]
    assert cross.settled == {"reach": 2.0, "coverage": 0.9}  # 90% of all forty, half of which are off by 2


def test_of_equal_passes_the_one_with_the_finer_figure_is_taken() -> None:
    """Few rows are soon all right, and the first pass to have them so need not be the best."""
    metrics = [Metric(lambda columns, weight: 0.0), Metric(lambda columns, weight: 0.0, higher_is_better=False)]
    best = Best()
    assert best.beaten(metrics, [0.5, 0.9])
    assert not best.beaten(metrics, [0.4, 0.1])
    assert best.beaten(metrics, [1.0, 0.7])
    assert not best.beaten(metrics, [1.0, 0.7])
    assert best.beaten(metrics, [1.0, 0.2])
    assert not best.beaten(metrics, [math.nan, 0.1])
    assert (best.best, best.finer) == (1.0, 0.2)
    older = Best(best=1.0)  # of a run from before there was a finer figure
    assert not older.beaten(metrics, [1.0, 0.1])
    assert not Best().beaten(metrics[:1], [math.nan])


def test_halves_that_are_too_small_let_all_rows_settle_and_that_is_said() -> None:
    """Of fewer than nine rows no range holds nine tenths of new ones."""
    cross, metric = CrossFit(), regression_metrics()["mean_absolute_error"]
    for number, table in enumerate((off_by(4.0, 3.0), off_by(1.0, 7.0)), start=1):
        some = settling.only(table, np.arange(40) % 5 == 0)  # four of each half
        cross.judge(number, [metric], number == 1, some, HALF_OF, lambda own: Regress().decide(own, None))
    assert cross.settled == {} and not cross.remarks  # eight are too few for anything
    cross = CrossFit()
    for number, table in enumerate((off_by(4.0, 3.0), off_by(1.0, 7.0)), start=1):
        some = settling.only(table, np.arange(40) % 4 == 0)  # five of each half
        cross.judge(number, [metric], number == 1, some, HALF_OF, lambda own: Regress().decide(own, None))
    assert cross.settled == {"reach": 4.0, "coverage": 0.9}
    assert "chose the pass as well" in cross.remarks[0]


def test_a_half_that_cannot_tell_passes_apart_leaves_it_to_all_rows() -> None:
    """All rows are of one group, which is not divided: the other half is empty."""
    rows = Rows({"id": list(map(str, range(40))), "group": ["one"] * 40, "target": list(map(float, range(40)))})
    half_of = settling.halves(rows, seed=0)
    assert set(half_of.values()) == {0}
    cross, metric = CrossFit(), regression_metrics()["mean_absolute_error"]
    cross.judge(1, [metric], True, off_by(4.0, 3.0), half_of, lambda own: Regress().decide(own, None))
    assert cross.settled == {"reach": 4.0, "coverage": 0.9}
    assert cross.remarks


def test_halves_keep_groups_whole_and_classes_in_like_shares() -> None:
    targets = ["a"] * 30 + ["b"] * 10 + [f"rare {number}" for number in range(8)]
    groups = [str(number // 2) for number in range(40)] + [f"r{number}" for number in range(8)]
    rows = Rows({"id": list(map(str, range(48))), "target": targets, "group": groups})
    half_of = settling.halves(rows, seed=3)
    assert all(half_of[number] == half_of[number + 1] for number in range(0, 40, 2))
    first = [targets[row] for row, half in half_of.items() if half == 0]
    assert first.count("a") in (14, 16) and first.count("b") in (4, 6)
    assert sum(name.startswith("rare") for name in first) == 4  # of classes of one row each as well
    assert half_of != settling.halves(rows, seed=4)


def test_a_run_settles_so_and_one_that_was_stopped_does_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at
) -> None:
    """What stands in decision.json, worked out again from what every pass said of the validation split."""
    monkeypatch.setattr(classify, "FEWEST_TO_CALIBRATE", 8)
    flipped = {"good": "bad", "bad": "good"}
    rows = [
        (text, flipped[label] if number % 3 == 0 else label) for number, (text, label) in enumerate(texts.reviews(200))
    ]
    data = texts.write(tmp_path / "reviews.tsv", rows)
    passes: list[Table] = []
    validate = training.Training._validate

    def kept(self, *asked):
        value, columns = validate(self, *asked)
        passes.append(columns)
        half_of.update(self.half_of)
        return value, columns

    half_of: dict[int, int] = {}
    monkeypatch.setattr(training.Training, "_validate", kept)
    asked = {"recipe": texts.recipe(epochs=5), "task": "text-classification", "options": Options()}
    run = pervade.fit(data, runs=tmp_path, name="whole", **asked)
    domain, task = run.load("best").domain, run.recipe().task
    metric = classification_metrics(run.labels)[run.recipe().early_stopping.metric]
    assert metric.higher_is_better is False
    half = np.array([half_of[row] for row in passes[0]["row"].tolist()])
    chosen = [
        int(np.argmin([metric.compute(columns, (half == side).astype(float)) for columns in passes])) for side in (0, 1)
    ]
    assert chosen[0] != chosen[1]  # else nothing is asked here
    best = int(np.argmin([metric.compute(columns, np.ones(len(half))) for columns in passes]))
    (without,) = (half != side for side in (0, 1) if chosen[side] == best)
    settled = files.read_json(run.directory.checkpoint("best") / "decision.json")["temperature"]
    assert settled == task.decide(settling.only(passes[best], without), domain)["temperature"]
    stop_at(12)
    with pytest.raises(Stopped):
        pervade.fit(data, runs=tmp_path, name="stopped", **asked)
    resumed = pervade.resume(tmp_path / "stopped")
    assert files.read_json(resumed.directory.checkpoint("best") / "decision.json")["temperature"] == settled
