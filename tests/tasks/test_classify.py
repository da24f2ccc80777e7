"""One class out of several: losses by hand, weights of classes, and the temperature of the probabilities."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import pervade
from pervade.core import files
from pervade.core.contracts import Context
from pervade.domains.image import Image
from pervade.engine.predictions import read_columns
from pervade.models.reference_mlp import ReferenceMLP
from pervade.run.training import Options
from pervade.tasks.classify import Classify
from tests import asking
from tests.small_run import recipe

DOMAIN = Image(size=4, channels=1, labels=("a", "b"), counts=(30, 10), mean=(0.5,), deviation=(0.25,))


def test_focal_loss_by_hand() -> None:
    """(1 - p)^focus times the cross-entropy, p the probability of the true class: 0.9, 0.5, 0.2."""
    right = torch.tensor([0.9, 0.5, 0.2])
    output = {"logits": torch.stack([right.log(), (1 - right).log()], 1)}
    batch = {"row": torch.arange(3), "target": torch.zeros(3, dtype=torch.int64)}
    found = Classify(loss_name="focal", focus=2.0).loss(output, batch)
    wanted = [0.01 * 0.1053605, 0.25 * 0.6931472, 0.64 * 1.6094379]
    assert found["loss"].tolist() == pytest.approx(wanted, rel=1e-5)
    assert found["accuracy"].tolist() == [1, 1, 0]
    plain = Classify(loss_name="focal", focus=0.0).loss(output, batch)["loss"]
    assert torch.equal(plain, Classify().loss(output, batch)["loss"])


def test_balanced_classes_by_hand() -> None:
    """30 rows of "a" and 10 of "b" weigh 40 / (2 x 30) and 40 / (2 x 10); the mean is torch's weighted mean."""
    task, network = Classify(class_weights="balanced"), ReferenceMLP((4,)).build(DOMAIN.inputs(), {"logits": 2})
    companions = task.companions(network, DOMAIN)
    assert companions is not None
    weight = companions.get_buffer("class_weights")
    assert weight.tolist() == pytest.approx([2 / 3, 2.0])
    batch = {"row": torch.arange(5), "input": torch.rand(5, 1, 4, 4), "target": torch.tensor([0, 1, 0, 0, 1])}
    output = task.forward(network, batch, Context(DOMAIN, companions))
    found = task.loss(output, batch)
    assert found["count"].tolist() == pytest.approx([2 / 3, 2, 2 / 3, 2 / 3, 2])
    mean = found["loss"].sum() / found["count"].sum()
    torch.testing.assert_close(mean, F.cross_entropy(output["logits"], batch["target"], weight=weight))
    # Outside training nobody weighs.
    assert "class_weights" not in task.forward(network, batch, Context(DOMAIN))


def judged(probability: float, right: int, rows: int) -> dict[str, Any]:
    """Rows of which each gives its likeliest class `probability`; the first `right` of them are right."""
    likeliest = np.arange(rows) % 2
    probabilities = np.where(np.arange(2) == likeliest[:, None], probability, 1 - probability)
    target = np.where(np.arange(rows) < right, likeliest, 1 - likeliest)
    return {"row": np.arange(rows), "probabilities": probabilities, "target": target}


@pytest.mark.parametrize("probability", [0.99, 0.6, 0.9])
def test_temperature_makes_confidence_what_it_should_be(probability: float) -> None:
    """36 of 40 are right: the log-loss is least where the sigmoid of ln(p / (1 - p)) / T is 0.9, and ln 9 = 2.1972."""
    decision = Classify().decide(judged(probability, 36, 40), DOMAIN)
    wanted = math.log(probability / (1 - probability)) / math.log(9)
    assert decision["temperature"] == pytest.approx(wanted, abs=2e-6)
    logit = math.log(probability / (1 - probability))
    output, batch = {"logits": torch.tensor([[logit, 0.0]])}, {"row": torch.arange(1)}
    table = Classify().predictions(output, batch, Context(DOMAIN, decision=decision))
    assert table["probabilities"][0].tolist() == pytest.approx([0.9, 0.1], abs=1e-6)


def test_one_speaker_or_two_make_no_model_surer() -> None:
    """Right on all that it was 80% sure of: by rows of their own it may be surer of others, by one speaker not."""
    columns = judged(0.8, 40, 40)
    # As if one of 42 was wrong: 4^(1/T) = 41.
    assert Classify().decide(columns, DOMAIN)["temperature"] == pytest.approx(math.log(4) / math.log(41), abs=1e-5)
    for groups, surer in ((1, False), (2, False), (3, True)):
        found = Classify().decide({**columns, "group": np.arange(40) % groups}, DOMAIN)["temperature"]
        assert (found < 1) == surer
    unsure = {**judged(0.99, 27, 40), "group": np.zeros(40)}
    assert Classify().decide(unsure, DOMAIN)["temperature"] > 1


def test_few_rows_and_no_wish_leave_the_temperature_alone() -> None:
    assert Classify().decide(judged(0.99, 27, 29), DOMAIN) == {}
    assert set(Classify().decide(judged(0.99, 27, 30), DOMAIN)) == {"temperature"}
    assert Classify(calibrate=False).decide(judged(0.99, 36, 40), DOMAIN) == {}


def test_evaluate_and_predict_apply_the_same_temperature(shapes: Path, tmp_path: Path) -> None:
    """decision.json's, which is not 1: the logits of the network divided by it."""
    asked = recipe(task=Classify(), validation=0.5, test=0.2, epochs=2)
    run = pervade.fit(shapes, recipe=asked, name="a", runs=tmp_path, options=Options())
    loaded = run.load("best")
    temperature = files.read_json(run.directory.checkpoint("best") / "decision.json")["temperature"]
    assert abs(math.log(temperature)) > 0.1
    run.evaluate()
    evaluated = read_columns(run.directory.predictions("best", "test"))
    predicted = run.predict_proba([shapes / name for name in evaluated["id"]])
    assert np.abs(predicted - evaluated["probabilities"]).max() < 1e-6
    rows, _ = asking.asked(loaded.domain, [shapes / name for name in evaluated["id"]])
    batch = loaded.domain.collate([loaded.domain.transform(row, None)[0] for row in rows])
    logits = _logits(loaded.network, batch["input"])
    assert np.abs((logits / temperature).softmax(1).numpy() - predicted).max() < 1e-6
    assert np.abs(logits.softmax(1).numpy() - predicted).max() > 1e-3


def _logits(network: nn.Module, input: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = network(input)["logits"]
        return logits.double()
