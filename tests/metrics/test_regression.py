"""Figures of a regression against scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from pervade.core.errors import DataError
from pervade.metrics.estimate import estimate, measure
from pervade.metrics.regression import regression_metrics


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
        "r2": reference.r2_score,
    }.items():
        wanted = function(target, prediction, sample_weight=weight)
        assert found[name] == pytest.approx(wanted, rel=1e-9, abs=1e-9), name


def test_by_hand():
    found = estimate(regression_metrics(), file_of([1, 2, 3], [1, 2, 5]))
    assert found["mean_squared_error"].value == pytest.approx(4 / 3)
    assert found["mean_absolute_error"].value == pytest.approx(2 / 3)
    assert found["r2"].value == pytest.approx(-1)


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
