"""Figures of a regression against scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn import metrics as reference

from pervade.core.errors import DataError
from pervade.metrics.estimate import estimate, measure
from pervade.metrics.regression import coverage_metric, mean_baseline, regression_metrics


def file_of(target, prediction):
    rows = np.arange(len(target))
    return {"row": rows, "group": rows, "target": np.asarray(target), "prediction": np.asarray(prediction)}


@given(st.integers(2, 30), st.sampled_from([None, 1, 3]), st.integers(0, 2**32 - 1))
def test_figures_agree_with_scikit_learn(n, outputs, seed):
    generator = np.random.default_rng(seed)
    shape = n if outputs is None else (n, outputs)
    target, prediction = generator.normal(5, 2, shape), generator.normal(5, 2, shape)
    weight = generator.uniform(0.1, 3, n)
    found = measure(regression_metrics(), file_of(target, prediction))(weight)
    for name, function in {
        "mean_squared_error": reference.mean_squared_error,
        "mean_absolute_error": reference.mean_absolute_error,
        "root_mean_squared_error": reference.root_mean_squared_error,
        "r2": reference.r2_score,
    }.items():
        wanted = function(target, prediction, sample_weight=weight)
        assert found[name] == pytest.approx(wanted, rel=1e-9, abs=1e-9), name


@given(st.integers(3, 30), st.integers(0, 2**32 - 1))
def test_weights_are_as_good_as_repeated_rows(n, seed):
    """Of the figures that rank: the bootstrap asks for them row by row, as often as each was drawn."""
    generator = np.random.default_rng(seed)
    target, prediction = generator.integers(0, 8, n).astype(float), generator.integers(0, 8, n).astype(float)
    times = generator.integers(0, 4, n)
    repeated = np.repeat(target, times), np.repeat(prediction, times)
    found = measure(regression_metrics(), file_of(target, prediction))(times.astype(float))
    if times.sum() == 0:
        assert math.isnan(found["median_absolute_error"])
        return
    assert found["median_absolute_error"] == pytest.approx(np.median(np.abs(repeated[0] - repeated[1])))
    if all(len(set(each)) > 1 for each in repeated):
        assert found["spearman"] == pytest.approx(spearmanr(*repeated).statistic)
    else:
        assert math.isnan(found["spearman"])


def test_coverage_of_the_interval_given_with_an_answer():
    columns = {
        **file_of([1.0, 2, 3, 4], [1, 2, 3, 9]),
        "low": np.array([0.0, 1, 2, 8]),
        "high": np.array([2.0, 3, 4, 10]),
    }
    found = estimate({"coverage": coverage_metric(0.9)}, columns)["coverage"]
    assert (found.value, found.n, found.method) == (0.75, 4, "Wilson")
    unknown = estimate({"coverage": coverage_metric(0.9)}, {**columns, "low": np.full(4, np.nan)})["coverage"]
    assert math.isnan(unknown.value)
    assert unknown.why.startswith("no interval was given")


def test_the_baseline_is_the_mean_of_training():
    found = mean_baseline(file_of([1.0, 2, 3, 6], [0, 0, 0, 0]), 2.0)
    assert found["metrics"]["mean_absolute_error"]["value"] == pytest.approx(6 / 4)
    assert found["metrics"]["r2"]["value"] == pytest.approx(1 - 18 / 14)
    assert "spearman" not in found["metrics"]
    assert found["differences"]["mean_absolute_error"]["difference"] == pytest.approx(12 / 4 - 6 / 4)


def test_by_hand():
    found = estimate(regression_metrics(), file_of([1, 2, 3], [1, 2, 5]))
    assert found["mean_squared_error"].value == pytest.approx(4 / 3)
    assert found["mean_absolute_error"].value == pytest.approx(2 / 3)
    assert found["r2"].value == pytest.approx(-1)
    assert found["median_absolute_error"].value == 0
    assert found["spearman"].value == pytest.approx(1)
    assert next(iter(found)) == "mean_absolute_error"  # what a verdict is about


def test_constant_targets_have_no_r2():
    found = estimate(regression_metrics(), file_of([0.1] * 7, np.linspace(0, 1, 7)))
    assert math.isnan(found["r2"].value)
    assert found["r2"].why == "needs targets that differ"
    assert found["mean_squared_error"].low < found["mean_squared_error"].high


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(DataError, match="must agree"):
        estimate(regression_metrics(), file_of(np.zeros((2, 2)), np.zeros(2)))
    with pytest.raises(DataError, match="'prediction' at position 1 is not finite"):
        estimate(regression_metrics(), file_of(np.zeros(2), [0, np.inf]))
    with pytest.raises(DataError, match="must hold numbers"):
        estimate(regression_metrics(), file_of(np.array(["a", "b"]), np.zeros(2)))
