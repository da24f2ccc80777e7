"""The statistics of `benchmarks/rare.py`, worked by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # which the scripts set


def test_a_mean_over_seeds_has_students_interval_and_p() -> None:
    from rare import Mean

    # Mean 2, deviation sqrt(2.5), of five: t = 2 / sqrt(0.5) = 2.8284, and of 4 degrees of freedom 2.7764 is p = 0.05.
    mean = Mean.of([0.0, 1.0, 2.0, 3.0, 4.0])
    assert mean.value == 2
    assert (mean.low, mean.high) == pytest.approx((2 - 2.7764 * math.sqrt(0.5), 2 + 2.7764 * math.sqrt(0.5)), abs=1e-4)
    assert mean.p == pytest.approx(0.0474, abs=1e-4)


def test_seeds_that_all_say_the_same_have_no_interval() -> None:
    from rare import Mean

    assert Mean.of([0.0, 0.0, 0.0]).p == 1
    assert math.isnan(Mean.of([0.1, 0.1]).p) and math.isnan(Mean.of([0.1]).low)


def test_the_best_threshold_in_hindsight_finds_enough_at_the_fewest_false_alarms() -> None:
    from rare_promises import fewest_false_alarms

    score = np.array([0.9, 0.8, 0.7, 0.6, 0.1, 0.85, 0.65, 0.2, 0.1, 0.0])
    positive = np.arange(10) < 5
    assert fewest_false_alarms(score, positive, 0.8) == 2  # 0.6 finds four of five, above 0.85 and 0.65
    assert fewest_false_alarms(score, positive, 0.2) == 0  # 0.9 finds one, and nothing lies above it
    assert fewest_false_alarms(score, positive, 1.0) == 4  # 0.1 finds all; a row of the same score is an alarm too


def test_rare_classes_are_cut_to_their_ratio_and_the_others_stay() -> None:
    from rare_data import cut

    labels = ["a"] * 40 + ["b"] * 30 + ["c"] * 40
    kept = cut(labels, ["c"], 20, np.random.default_rng(0))
    assert [sum(labels[place] == label for place in kept) for label in "abc"] == [40, 30, 2]
    assert list(kept) == sorted(kept)


def test_how_far_ink_leans() -> None:
    from rare_data import lean_of

    upright, slanted = np.zeros((5, 5)), np.eye(5)
    upright[:, 2] = 255
    assert lean_of(upright) == 0
    assert lean_of(slanted) == 1  # a step to the right with each step down
    assert lean_of(slanted[:, ::-1]) == -1
