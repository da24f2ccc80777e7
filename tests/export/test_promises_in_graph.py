"""What is promised is kept in a graph as it is kept here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pervade.core.contracts.promises import KeptInGraph
from pervade.domains.image import Image
from pervade.promises.cost import Cost
from pervade.promises.coverage import Coverage
from pervade.promises.max_risk import MaxRisk
from pervade.promises.threshold import Threshold
from pervade.tasks.classify import Classify

LABELS = tuple("abcdefgh")
DOMAIN = Image(size=16, framing="crop", labels=LABELS, counts=(9,) * 8, rows=72, mean=(0.5,) * 3, deviation=(0.2,) * 3)
COSTS = {true: {said: 0.0 if true == said else 1.0 + LABELS.index(said) for said in LABELS} for true in LABELS}
SETTLED: list[tuple[KeptInGraph, dict[str, Any]]] = [
    (Cost(costs=COSTS), {}),
    (Threshold(min_recall={"b": 0.9}), {"thresholds": {"b": 0.2, "e": 0.3}}),
    (MaxRisk(share=0.1), {"confidence": 0.5}),
    (Coverage(share=0.9, method="threshold"), {"of": "classes", "limit": 0.75}),
    (Coverage(share=0.9, method="threshold"), {"of": "classes", "limit": 0.3}),  # sets without any class
    (Coverage(share=0.9, method="adaptive"), {"of": "classes", "limit": 0.6}),
    (
        Coverage(share=0.9, method="adaptive", by="class"),
        {"of": "classes", "limits": dict(zip(LABELS, np.linspace(0.2, 0.9, 8), strict=True))},
    ),
]


@pytest.mark.parametrize(("promise", "settled"), SETTLED)
def test_classes(promise: KeptInGraph, settled: dict[str, Any]) -> None:
    drawn = np.random.default_rng(0).normal(0, 2, (200, 8))
    probabilities = torch.from_numpy(drawn).float().softmax(1)
    answers = {"probabilities": probabilities, "prediction": probabilities.argmax(1)}
    table = {
        "row": np.arange(200),
        "probabilities": probabilities.numpy().astype(np.float64),
        "prediction": answers["prediction"].numpy(),
        "label": ["?"] * 200,
    }
    wanted, made = promise.keep(table, settled, DOMAIN), promise.deployed(answers, settled, DOMAIN)
    added = promise.adds(settled, [spec.name for spec in Classify().gives(DOMAIN)], DOMAIN)
    assert added is not None and made.keys() == {*answers, *(spec.name for spec in added)}
    for name in ("prediction", *(spec.name for spec in added)):
        np.testing.assert_array_equal(made[name].numpy(), wanted[name], err_msg=name)


def test_ranges_of_numbers() -> None:
    promise, settled = Coverage(share=0.8), {"of": "numbers", "limit": 2.5}
    made = promise.deployed({"prediction": torch.tensor([1.0, -3.0], dtype=torch.float64)}, settled, DOMAIN)
    assert made["low"].tolist() == [-1.5, -5.5] and made["high"].tolist() == [3.5, -0.5]


def test_sets_of_texts_are_left_to_predict() -> None:
    assert Coverage(share=0.8).adds({"of": "answers", "limit": 1.0}, ["begin_token", "score"], DOMAIN) is None
    assert MaxRisk(share=0.1).adds({"confidence": 0.5}, ["begin_token", "score"], DOMAIN) is None
