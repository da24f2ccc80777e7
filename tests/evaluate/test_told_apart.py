"""Figures of rows unlike what was learnt, from a file of their scores; which score is believed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from pervade.core.types import Rows
from pervade.evaluate import unlike


def scored(mine: int = 80, others: int = 40, groups: int | None = None) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    other = np.arange(mine + others) >= mine
    own = np.arange(mine) % groups if groups else np.arange(mine)
    return {
        "row": np.arange(mine + others),
        "group": np.concatenate([own, mine + np.arange(others)]),
        "unlike": other,
        "distance": rng.normal(size=mine + others) + 2 * other,
        "max_probability": rng.normal(size=mine + others) + other,
    }


def test_each_score_has_its_figures_beside_the_plainest_one() -> None:
    columns = scored()
    measured = unlike.figures(columns, {"distance": 1.5, "max_probability": math.nan})
    area = {name: roc_auc_score(columns["unlike"], columns[name]) for name in measured}
    distance, plain = measured["distance"], measured["max_probability"]
    assert distance["auroc"]["value"] == pytest.approx(area["distance"])
    difference = distance["difference"]
    assert difference["difference"] == pytest.approx(area["distance"] - area["max_probability"])
    assert difference["low"] < difference["difference"] < difference["high"]
    assert "difference" not in plain
    above = columns["distance"] > 1.5
    for name, rows in (("flagged", columns["unlike"]), ("false_alarms", ~columns["unlike"])):
        figure = distance[name]
        wilson = binomtest(int(above[rows].sum()), int(rows.sum())).proportion_ci(method="wilson")
        assert figure["value"] == pytest.approx(above[rows].mean())
        assert (figure["low"], figure["high"]) == pytest.approx((wilson.low, wilson.high))
        assert figure["n"] == rows.sum()
        assert plain[name]["value"] is None
        assert plain[name]["why"] == "19 rows that were not trained on are needed to settle a threshold"


def test_one_speaker_alone_is_said() -> None:
    figures = unlike.figures(scored(groups=1), {"distance": 1.5, "max_probability": 1.5})["distance"]
    for name in ("auroc", "false_alarms"):
        assert "within the one group that there is: another may differ" in figures[name]["method"]
    several = unlike.figures(scored(groups=20), {"distance": 1.5, "max_probability": 1.5})["distance"]
    assert "resamples by group" in several["auroc"]["method"]


@pytest.mark.parametrize(
    ("taken", "best"),
    [
        ({"distance": 0.55, "energy": 0.5, "max_probability": 0.5}, "distance"),
        ({"distance": 0.7, "energy": 0.5, "max_probability": 0.8}, "distance"),  # no worse than the plainest one
        ({"distance": 0.9, "energy": 0.65, "max_probability": 0.7}, "energy"),
        ({"distance": 0.9, "energy": 0.9, "max_probability": 0.5}, "max_probability"),
        ({"energy": 0.5, "max_probability": 0.5}, "energy"),
        ({}, "max_probability"),
    ],
)
def test_a_score_that_takes_its_own_rows_for_unlike_is_not_believed(taken: dict[str, float], best: str) -> None:
    assert unlike.choose(taken) == best


def test_of_many_rows_as_many_of_each_class_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unlike, "MOST_LEARNT", 20)
    rows = Rows({"id": [str(i) for i in range(103)], "target": ["a"] * 50 + ["b"] * 50 + ["c"] * 3})
    drawn = unlike.some_of_each(rows)
    assert [drawn.column("target").count(label) for label in "abc"] == [6, 6, 3]
    assert unlike.some_of_each(drawn) is drawn
