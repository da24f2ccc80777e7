"""Figures of several labels a row against scikit-learn, and by hand."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from pervade.core.errors import ConfigError, DataError
from pervade.metrics.estimate import estimate, measure
from pervade.metrics.multilabel import multilabel_metrics, prior_baseline

LABELS = ("a", "b", "c")


def file_of(target, probabilities, threshold=0.5):
    rows = np.arange(len(target))
    probabilities = np.asarray(probabilities, float)
    prediction = (probabilities >= threshold).astype(np.int8)
    columns = {"row": rows, "group": rows, "target": np.asarray(target, np.int8)}
    return {**columns, "prediction": prediction, "probabilities": probabilities}


@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_figures_agree_with_scikit_learn(n, seed):
    generator = np.random.default_rng(seed)
    target = generator.random((n, 3)) < (0.6, 0.3, 0.05)
    columns = file_of(target, generator.random((n, 3)).round(2))
    weight = generator.uniform(0.1, 3, n)
    found = measure(multilabel_metrics(LABELS), columns)(weight)
    said = columns["prediction"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels without rows, which it counts as it is told to
        for name, average in (("f1_micro", "micro"), ("f1_macro", "macro"), ("f1_samples", "samples")):
            undefined = {"f1_micro": math.nan, "f1_macro": math.nan, "f1_samples": 1.0}[name]
            wanted = reference.f1_score(target, said, average=average, sample_weight=weight, zero_division=undefined)
            assert found[name] == pytest.approx(wanted, nan_ok=True), name
        assert found["subset_accuracy"] == pytest.approx(reference.accuracy_score(target, said, sample_weight=weight))
        assert found["hamming_loss"] == pytest.approx(reference.hamming_loss(target, said, sample_weight=weight))
        each = [
            reference.average_precision_score(target[:, i], columns["probabilities"][:, i], sample_weight=weight)
            for i in range(3)
            if target[:, i].any()
        ]
    assert found["mean_average_precision"] == pytest.approx(np.mean(each) if each else math.nan, nan_ok=True)


def test_by_hand():
    target = [[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0]]
    probabilities = [[0.9, 0.6, 0.1], [0.8, 0.2, 0.1], [0.4, 0.1, 0.1], [0.3, 0.3, 0.1]]
    found = estimate(multilabel_metrics(LABELS), file_of(target, probabilities))
    assert found["subset_accuracy"].value == 1 / 4  # the third row, rightly without labels
    assert found["subset_accuracy"].method == "Wilson"
    assert found["hamming_loss"].value == pytest.approx(3 / 12)
    assert found["f1_micro"].value == pytest.approx(2 * 2 / (4 + 3))
    assert found["f1_samples"].value == pytest.approx((2 / 3 + 2 / 3 + 1 + 0) / 4)
    assert found["recall[a]"].value == pytest.approx(2 / 3)
    assert found["recall[a]"].n == 3
    assert found["precision[b]"].value == 0
    assert found["recall[c]"].why == "no row has 'c'"
    assert found["precision[c]"].why == "no row was called 'c'"
    assert found["average_precision[a]"].value == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert found["mean_average_precision"].value == pytest.approx((11 / 12 + 1 / 3) / 2)


def test_the_prior_reaches_the_share_of_each_label():
    target = np.tile([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]], (5, 1))
    found = prior_baseline(file_of(target, np.zeros((20, 3))), LABELS, np.array([0.7, 0.2, 0.1]))["metrics"]
    assert found["mean_average_precision"]["value"] == pytest.approx((3 / 4 + 1 / 4) / 2)
    assert found["f1_micro"]["value"] == pytest.approx(2 * 15 / (20 + 20))  # always 'a'
    assert found["hamming_loss"]["value"] == pytest.approx((5 + 5) / 60)


def test_intervals_and_groups():
    generator = np.random.default_rng(0)
    columns = file_of(generator.random((40, 3)) < 0.4, generator.random((40, 3)))
    columns["group"] = np.repeat(np.arange(10), 4)
    for name, each in estimate(multilabel_metrics(LABELS), columns).items():
        assert each.low <= each.value <= each.high, name
        assert each.method == "bootstrap of 1,000 resamples by group"


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ConfigError, match="no labels"):
        multilabel_metrics(())
    with pytest.raises(ConfigError, match="twice: a"):
        multilabel_metrics(("a", "a"))
    good = file_of([[1, 0, 0]], [[0.1, 0.2, 0.3]])
    with pytest.raises(DataError, match="'target' must hold 0 or 1 for each of 3 labels"):
        estimate(multilabel_metrics(LABELS), {**good, "target": np.array([[1, 2, 0]])})
    with pytest.raises(DataError, match="'probabilities' must hold 3 probabilities in 0-1"):
        estimate(multilabel_metrics(LABELS), {**good, "probabilities": np.array([[0.1, 0.2, np.nan]])})
