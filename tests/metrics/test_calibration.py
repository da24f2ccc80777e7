"""Calibration by hand, and the reliability diagram."""

import math

import numpy as np
import pytest

from pervade.core.errors import DataError
from pervade.metrics import calibration
from pervade.metrics.calibration import calibration_error, reliability, temperature, tempered, top_class
from pervade.metrics.classification import classification_metrics
from pervade.metrics.confusion import most_confused
from pervade.metrics.estimate import estimate
from pervade.metrics.interval import wilson


def file_of(top, right):
    """Two classes; class 0 has the top probability and is true where `right`."""
    top, right = np.asarray(top), np.asarray(right)
    return {"target": np.where(right, 0, 1), "probabilities": np.stack([top, 1 - top], axis=1)}


def error_of(columns, bins=15, weight=None):
    confidence, correct, bin_index = top_class(columns["probabilities"], columns["target"], bins)
    weight = np.ones(len(correct)) if weight is None else np.asarray(weight, float)
    return calibration_error(correct - confidence, bin_index, weight, bins)


def test_calibration_error_by_hand():
    # With 10 bins: 0.55 and 0.57 share one, 1 of 2 right, mean confidence 0.56; 0.95 x 2 share one, 1 of 2 right.
    columns = file_of([0.55, 0.57, 0.95, 0.95], [True, False, True, False])
    assert error_of(columns, bins=10) == pytest.approx(0.5 * 0.06 + 0.5 * 0.45)


def test_a_calibrated_file_has_no_error():
    assert error_of(file_of([0.75] * 4, [True, True, True, False])) == pytest.approx(0)


def test_rows_count_as_often_as_their_weight():
    columns = file_of([0.55, 0.95], [True, False])
    assert error_of(columns, weight=[3, 1]) == pytest.approx(0.75 * 0.45 + 0.25 * 0.95)
    assert math.isnan(error_of(columns, weight=[0, 0]))


def test_an_edge_belongs_to_the_bin_below_it():
    _, _, bin_index = top_class(np.array([[0.5, 0.5], [0.51, 0.49], [1.0, 0.0]]), np.zeros(3, int), 10)
    assert bin_index.tolist() == [4, 5, 9]


def test_a_top_probability_above_1_by_rounding_is_in_the_last_bin():
    _, _, bin_index = top_class(np.array([[1.0000001, 0.0]]), np.zeros(1, int), 10)
    assert bin_index.tolist() == [9]


def test_reliability_by_hand():
    bars = reliability(file_of([0.55, 0.57, 0.95, 0.95], [True, False, True, False]), bins=10)
    assert [bar.count for bar in bars] == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]
    assert (bars[5].low, bars[5].high) == pytest.approx((0.5, 0.6))
    assert (bars[5].confidence, bars[5].accuracy) == pytest.approx((0.56, 0.5))
    assert (bars[5].accuracy_low, bars[5].accuracy_high) == wilson(1, 2)
    assert math.isnan(bars[0].accuracy)
    assert math.isnan(bars[0].accuracy_low)


def test_the_gaps_of_the_diagram_add_up_to_the_calibration_error():
    generator = np.random.default_rng(0)
    columns = {"target": generator.integers(0, 4, 500), "probabilities": generator.dirichlet(np.ones(4), 500)}
    bars = [bar for bar in reliability(columns) if bar.count]
    assert sum(bar.count for bar in bars) == 500
    gaps = sum(bar.count * abs(bar.accuracy - bar.confidence) for bar in bars) / 500
    assert gaps == pytest.approx(error_of(columns))


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="bins is 0"):
        reliability(file_of([0.6], [True]), bins=0)
    with pytest.raises(DataError, match="probabilities"):
        reliability({"target": np.zeros(2, int), "probabilities": np.array([0.5, 0.5])})


def test_confidence_becomes_the_chance_of_being_right():
    generator = np.random.default_rng(0)
    claimed = generator.uniform(0.5, 1, 4000)
    truth = 1 / (1 + np.exp(-(0.5 * np.log(claimed / (1 - claimed)) - 1)))  # surer than it should be
    slope, offset = calibration.logistic(claimed, generator.random(4000) < truth)
    assert (slope, offset) == pytest.approx((0.5, -1.0), abs=0.12)
    assert calibration.chance(claimed, slope, offset) == pytest.approx(truth, abs=0.03)
    assert calibration.chance(claimed, 1.0, 0.0) is claimed


def test_nothing_becomes_certain_where_all_are_wrong_or_right():
    claimed = np.linspace(0.9, 1, 60)
    for right, chance in ((False, 1 / 62), (True, 61 / 62)):
        found = calibration.chance(claimed, *calibration.logistic(claimed, np.full(60, right)))
        assert found == pytest.approx(chance, abs=0.002)


def test_confidence_that_is_turned_round_tells_nothing():
    claimed = np.repeat([0.2, 0.9], 50)
    found = calibration.chance(claimed, *calibration.logistic(claimed, claimed < 0.5))
    assert found == pytest.approx(0.5)


def test_what_a_temperature_makes_of_probabilities():
    """By hand: roots of 0.8 and 0.2 are 0.894 and 0.447, which are two to one."""
    assert tempered(np.array([[0.8, 0.2]]), 2.0) == pytest.approx(np.array([[2 / 3, 1 / 3]]))
    assert tempered(np.array([[0.8, 0.2]]), 1.0) == pytest.approx(np.array([[0.8, 0.2]]))


def test_bars_of_grouped_rows_have_the_interval_of_the_figures():
    """All rows in one bar: its interval is that of the accuracy, over groups."""
    right = np.random.default_rng(0).random(80) < 0.7
    columns = file_of([0.9] * 80, right) | {"group": np.arange(80) // 4, "row": np.arange(80)}
    columns["prediction"] = columns["probabilities"].argmax(axis=1)
    (bar,) = [each for each in reliability(columns) if each.count]
    accuracy = estimate({"accuracy": classification_metrics(["a", "b"])["accuracy"]}, columns)["accuracy"]
    assert (bar.accuracy_low, bar.accuracy_high) == pytest.approx((accuracy.low, accuracy.high))
    assert accuracy.method == "bootstrap of 1,000 resamples by group"


def test_of_a_bar_with_rows_of_one_group_nothing_is_known():
    """The last of twenty groups alone is sure, and right: that says nothing of other groups."""
    top = np.where(np.arange(80) >= 76, 0.99, 0.7)
    bars = reliability(file_of(top, np.ones(80, bool)) | {"group": np.arange(80) // 4})
    known = [(bar.accuracy, bar.accuracy_low, bar.accuracy_high) for bar in bars if bar.count]
    assert known == [(1.0, pytest.approx(0.025 ** (1 / 19)), 1.0), (1.0, 0.0, 1.0)]


def test_the_pairs_most_confused_have_the_interval_of_their_groups():
    """Class 0 is taken for 1 in every one of ten groups, in each once in two; 1 is never mistaken."""
    target, group = np.tile([0, 0, 1, 1], 10), np.arange(40) // 4
    columns = {"group": group, "target": target, "prediction": np.tile([0, 1, 1, 1], 10)}
    found = most_confused(columns, ["a", "b"])
    assert found["kinds"] == 1
    (pair,) = found["pairs"]
    assert (pair["true"], pair["answer"], pair["count"], pair["n"], pair["value"]) == (0, 1, 10, 20, 0.5)
    assert pair["method"] == "bootstrap of 1,000 resamples by group"
    alone = most_confused({**columns, "group": np.arange(40)}, ["a", "b"])["pairs"][0]
    assert (alone["low"], alone["high"], alone["method"]) == (*wilson(10, 20), "Wilson")


def test_a_class_that_never_trained_makes_nobody_less_sure() -> None:
    """All are right: one of 42 counts as wrong, 4^(1/T) = 41, whether or not there is a class of which p is 0."""
    two = np.tile([0.8, 0.2], (40, 1))
    three = np.c_[two, np.zeros(40)]
    for probabilities in (two, three):
        assert temperature(probabilities, np.zeros(40, int)) == pytest.approx(math.log(4) / math.log(41), abs=1e-5)
