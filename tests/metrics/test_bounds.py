"""Every figure lies between its metric's bounds, whatever was answered."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from pervade.metrics.classification import classification_metrics
from pervade.metrics.estimate import Metric
from pervade.metrics.multilabel import multilabel_metrics
from pervade.metrics.regression import coverage_metric, regression_metrics
from pervade.metrics.retrieval import retrieval_metrics
from pervade.metrics.verification import verification_metrics

SURE = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
WRONG = SURE[:, [1, 2, 0]]
FLAGS = SURE.astype(np.int64)


def classes(probabilities: np.ndarray) -> dict[str, np.ndarray]:
    return {"target": SURE.argmax(1), "prediction": probabilities.argmax(1), "probabilities": probabilities}


def numbers(prediction: list[float]) -> dict[str, np.ndarray]:
    target = np.array([1.0, 2.0, 3.0, 4.0])
    answer = np.array(prediction)
    return {"target": target, "prediction": answer, "low": answer - 0.5, "high": answer + 0.5}


def people(embedding: list[list[float]]) -> dict[str, np.ndarray]:
    return {"group": np.array([0, 0, 1, 1]), "embedding": np.array(embedding), "threshold": np.full(4, 0.5)}


CLASSES = classification_metrics(["a", "b", "c"])
TAGS = multilabel_metrics(["a", "b", "c"])
NUMBERS = {**regression_metrics(), "coverage": coverage_metric(0.9)}
PEOPLE = verification_metrics() | retrieval_metrics()


@pytest.mark.parametrize(
    ("metrics", "columns"),
    [
        (CLASSES, classes(SURE)),
        (CLASSES, classes(WRONG)),
        (TAGS, {"target": FLAGS, "prediction": FLAGS, "probabilities": SURE}),
        (TAGS, {"target": FLAGS, "prediction": 1 - FLAGS, "probabilities": 1 - SURE}),
        (NUMBERS, numbers([1.0, 2.0, 3.0, 4.0])),
        (NUMBERS, numbers([40.0, 30.0, 20.0, 10.0])),
        (PEOPLE, people([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])),
        (PEOPLE, people([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])),
    ],
)
def test_all_right_and_all_wrong(metrics: Mapping[str, Metric], columns: dict[str, np.ndarray]) -> None:
    columns = {"row": np.arange(4), "group": np.arange(4), **columns}
    for name, metric in metrics.items():
        low, high = metric.bounds
        assert low > -math.inf or high < math.inf, name
        value = metric.compute(columns, np.ones(4))
        assert math.isnan(value) or low - 1e-9 <= value <= high + 1e-9, name


def test_the_widest() -> None:
    """By hand: sure and wrong in two classes costs 2 squares of 1; an order turned round correlates with -1."""
    assert CLASSES["brier"].compute({**classes(WRONG), "group": np.arange(4)}, np.ones(4)) == CLASSES["brier"].bounds[1]
    assert classification_metrics(["a", "b"])["brier"].bounds == (0.0, 1.0)
    turned = {**numbers([4.0, 3.0, 2.0, 1.0]), "group": np.arange(4)}
    assert NUMBERS["spearman"].compute(turned, np.ones(4)) == pytest.approx(NUMBERS["spearman"].bounds[0])
    assert NUMBERS["r2"].compute(turned, np.ones(4)) < 0 > NUMBERS["r2"].bounds[0]
