"""Figures of many classes: the same as class by class, by scikit-learn and by resampling, and done in time."""

import time

import numpy as np
import pytest
from sklearn import metrics as reference

from pervade.metrics import ranking
from pervade.metrics.classification import classification_metrics
from pervade.metrics.estimate import bootstrap, estimate
from pervade.metrics.interval import resample
from pervade.metrics.multilabel import multilabel_metrics
from pervade.metrics.paired import differences


def classified(n, k, seed=0, ties=False):
    generator = np.random.default_rng(seed)
    target = generator.integers(0, k, n)
    logits = generator.normal(size=(n, k))
    logits[np.arange(n), target] += 1.5
    probabilities = np.exp(logits.round() if ties else logits)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    probabilities = (
        probabilities.round(2) / probabilities.round(2).sum(axis=1, keepdims=True) if ties else probabilities
    )
    rows = np.arange(n)
    prediction = probabilities.argmax(axis=1)
    return {"row": rows, "group": rows, "target": target, "probabilities": probabilities, "prediction": prediction}


def labelled(n, k, seed=0):
    generator = np.random.default_rng(seed)
    target = (generator.random((n, k)) < 0.3).astype(int)
    probabilities = np.clip(target * 0.2 + generator.random((n, k)) * 0.8, 0, 1).round(2)
    rows = np.arange(n)
    said = (probabilities >= 0.5).astype(int)
    return {"row": rows, "group": rows, "target": target, "probabilities": probabilities, "prediction": said}


def names(k):
    return [f"c{index}" for index in range(k)]


def test_every_resample_agrees_with_scikit_learn():
    columns = classified(150, 5, ties=True)
    drawn = bootstrap(classification_metrics(names(5)), columns, resamples=8, seed=3)
    for at, weight in enumerate(resample(columns["group"], 8, 3)):
        target, scores, weighted = columns["target"], columns["probabilities"], {"sample_weight": weight}
        figures = reference.precision_recall_fscore_support(target, columns["prediction"], zero_division=0, **weighted)
        roc = [reference.roc_auc_score(target == c, scores[:, c], **weighted) for c in range(5)]
        area = [reference.average_precision_score(target == c, scores[:, c], **weighted) for c in range(5)]
        expected = {f"{n}[c{c}]": figures[i][c] for i, n in enumerate(("precision", "recall", "f1")) for c in range(5)}
        expected |= {"roc_auc": np.mean(roc), "pr_auc": np.mean(area), "f1_macro": figures[2].mean()}
        assert {name: drawn[name][at] for name in expected} == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_areas_one_by_one_are_those_of_all_classes_together(weighted):
    columns = classified(300, 4, ties=True)
    weight = np.random.default_rng(1).integers(0, 4, 300).astype(float) if weighted else np.ones(300)
    scores = np.ascontiguousarray(columns["probabilities"].T)
    together = ranking.ranked_areas(scores, (np.arange(300), columns["target"]))(weight)
    alone = [ranking.areas_and_slopes(scores[c], np.flatnonzero(columns["target"] == c), weight)[0] for c in range(4)]
    assert pytest.approx(np.array(together)) == np.array(alone).T


@pytest.mark.parametrize("weighted", [False, True])
def test_slopes_are_those_of_small_steps(weighted):
    generator = np.random.default_rng(2)
    score, positive = generator.integers(0, 8, 40) / 8, generator.random(40) < 0.3
    weight, rows, step = generator.uniform(0.5, 2, 40) if weighted else np.ones(40), np.flatnonzero(positive), 1e-6
    _, slopes = ranking.areas_and_slopes(score, rows, weight)
    for row in range(40):
        up, down = (weight + sign * step * (np.arange(40) == row) for sign in (1, -1))
        rise = ranking.areas_and_slopes(score, rows, up)[0] - ranking.areas_and_slopes(score, rows, down)[0]
        assert slopes[:, row] == pytest.approx(rise / (2 * step), abs=1e-7)


def test_without_a_positive_or_a_negative_there_is_no_area():
    areas, slopes = ranking.areas_and_slopes(np.array([0.1, 0.2]), np.empty(0, int), np.ones(2))
    assert np.isnan(areas).all()
    assert np.isnan(slopes).all()
    areas, slopes = ranking.areas_and_slopes(np.array([0.1, 0.2]), np.array([1, 0]), np.ones(2))
    assert np.isnan(areas[0])
    assert areas[1] == 1.0


@pytest.mark.parametrize("kind", ["classes", "labels"])
def test_to_first_order_intervals_are_those_of_the_bootstrap(kind, monkeypatch):
    """Ten classes, 2,000 rows: each end moves by less than a sixth of the width, near what 1,000 resamples leave open
    (an end's own error is about 4% of it)."""
    columns = classified(2000, 10) if kind == "classes" else labelled(2000, 10)
    every = classification_metrics(names(10)) if kind == "classes" else multilabel_metrics(names(10))
    chosen = {n: each for n, each in every.items() if n in ("roc_auc", "pr_auc") or "average_precision" in n}
    usual = estimate(chosen, columns)
    monkeypatch.setattr(ranking, "MOST_RANKED", 0)
    linear = estimate(chosen, columns)
    for name, found in linear.items():
        assert found.method == "bootstrap of 1,000 resamples by row, to first order"
        assert found.value == pytest.approx(usual[name].value)
        width = usual[name].high - usual[name].low
        assert found.low == pytest.approx(usual[name].low, abs=width / 6)
        assert found.high == pytest.approx(usual[name].high, abs=width / 6)
        assert found.high - found.low == pytest.approx(width, rel=0.1)


def test_differences_to_first_order_stay_paired(monkeypatch):
    """The second file is the first with a tenth of its rows answered better, so most of the error is common."""
    first = classified(1500, 10)
    better = first["probabilities"].copy()
    better[:150] = 0.5 * better[:150] + 0.5 * np.eye(10)[first["target"][:150]]
    second = {**first, "probabilities": better}
    chosen = {"roc_auc": classification_metrics(names(10))["roc_auc"]}
    usual = differences(chosen, [first, second])[0]["roc_auc"]
    monkeypatch.setattr(ranking, "MOST_RANKED", 0)
    linear = differences(chosen, [first, second])[0]["roc_auc"]
    assert (linear.low, linear.high) == pytest.approx((usual.low, usual.high), abs=(usual.high - usual.low) / 6)
    assert linear.shown
    assert linear.low > 0


def test_groups_left_out_are_left_out_exactly(monkeypatch):
    columns = {**classified(120, 3), "group": np.arange(120) // 20}
    chosen = {"roc_auc": classification_metrics(names(3))["roc_auc"]}
    usual = estimate(chosen, columns)["roc_auc"]
    monkeypatch.setattr(ranking, "MOST_RANKED", 0)
    found = estimate(chosen, columns)["roc_auc"]
    assert (found.low, found.high) == pytest.approx((usual.low, usual.high))
    assert found.method == "jackknife over 6 groups, with Student's t"


def test_three_hundred_classes_take_about_a_second():
    """It was a minute. The limit leaves room for a busy machine."""
    start = time.perf_counter()
    found = estimate(classification_metrics(names(300)), classified(3000, 300))
    assert time.perf_counter() - start < 15
    assert found["roc_auc"].low < found["roc_auc"].value < found["roc_auc"].high
