"""Rows unlike what was learnt: against scikit-learn, SciPy, and numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from pervade.metrics import unlike
from pervade.metrics.estimate import estimate


@pytest.mark.parametrize("decimals", [8, 1])  # of one, many scores are equal
def test_the_area_is_that_of_scikit_learn(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    other = np.arange(90) >= 50
    score = (rng.normal(size=90) + other).round(decimals)
    columns = {"row": np.arange(90), "group": np.arange(90), "unlike": other, "score": score}
    area = estimate({"auroc": unlike.AREA}, columns, resamples=200)["auroc"]
    assert area.value == pytest.approx(roc_auc_score(other, score), abs=1e-12)
    assert area.low < area.value < area.high
    assert area.n == 90


def test_the_energy() -> None:
    logits = np.array([[0.0, 0.0], [800.0, -800.0], [-900.0, -900.0]])
    np.testing.assert_allclose(unlike.energy(logits), -logsumexp(logits, axis=1))
    assert unlike.energy(logits)[0] == pytest.approx(-np.log(2))


def test_the_curve_goes_from_none_to_all() -> None:
    points = unlike.curve(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.35, 0.5]))
    assert points[0] == [0.0, 0.0]
    assert points[-1] == [1.0, 1.0]
    assert [0.0, 0.5] in points  # above 0.4
    assert [0.25, 1.0] in points  # from 0.35 on
    assert points == sorted(points)
    many = unlike.curve(np.random.default_rng(0).normal(size=5000), np.random.default_rng(1).normal(size=5000))
    assert len(many) <= unlike.CURVE + 1
