"""Several labels a picture: losses, thresholds, answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pervade.core.contracts import Context
from pervade.core.errors import DataError
from pervade.core.types import Rows
from pervade.domains.image import Image
from pervade.engine.step import mixed_loss
from pervade.models.reference_mlp import ReferenceMLP
from pervade.tasks.tag import STEADY, Tag, best_threshold
from pervade.testing import check_task

DOMAIN = Image(
    size=8, target="labels", labels=("a", "b", "c"), counts=(6, 2, 8), rows=8, mean=(0.5,) * 3, deviation=(0.2,) * 3
)


def batch(rows: int = 6) -> dict:
    generator = torch.Generator().manual_seed(0)
    target = (torch.rand(rows, 3, generator=generator) < 0.5).float()
    return {"row": torch.arange(rows), "input": torch.rand(rows, 3, 8, 8, generator=generator), "target": target}


@pytest.mark.parametrize(
    "task", [Tag(), Tag(loss_name="focal"), Tag(smoothing=0.2), Tag(class_weights="balanced")], ids=str
)
def test_contract(task: Tag) -> None:
    torch.manual_seed(0)
    network = ReferenceMLP((8,)).build(DOMAIN.inputs(), task.outputs(DOMAIN))
    check_task(task, network, batch(), Context(DOMAIN, task.companions(network, DOMAIN)))


def test_losses_by_hand() -> None:
    logits, target = torch.tensor([[2.0, -1.0, 0.5]]), torch.tensor([[1.0, 1.0, 0.0]])
    output, given = {"logits": logits}, {"target": target}
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    assert Tag().loss(output, given)["loss"].item() == pytest.approx(each.mean().item())
    assert Tag().loss(output, given)["right_labels"].item() == pytest.approx(1 / 3)
    truth = torch.where(target > 0, logits.sigmoid(), 1 - logits.sigmoid())
    focal = ((1 - truth) ** 3 * each).mean().item()
    assert Tag(loss_name="focal", focus=3.0).loss(output, given)["loss"].item() == pytest.approx(focal)
    smoothed = F.binary_cross_entropy_with_logits(logits, torch.tensor([[0.9, 0.9, 0.1]]))
    assert Tag(smoothing=0.2).loss(output, given)["loss"].item() == pytest.approx(smoothed.item())
    # Of 8 rows 6, 2 and all 8 have the label: 2 lack it for 6 that have it, 6 for 2, none for 8.
    companions = Tag(class_weights="balanced").companions(torch.nn.Module(), DOMAIN)
    assert companions.get_buffer("class_weights").tolist() == pytest.approx([1 / 3, 3.0, 0.01])


def test_mixed_pictures_mix_losses() -> None:
    one, other = batch(), batch()["target"].roll(1, 0)
    output = {"logits": torch.randn(6, 3, generator=torch.Generator().manual_seed(1))}
    share = torch.full((6,), 0.3)
    mixed = mixed_loss(Tag(), output, {**one, "mix": share, "other_target": other})["loss"]
    apart = [Tag().loss(output, {"target": target})["loss"] for target in (one["target"], other)]
    assert torch.allclose(mixed, 0.3 * apart[0] + 0.7 * apart[1])
    # The loss is linear in the target, so this is the loss of the mixed target.
    blended = F.binary_cross_entropy_with_logits(output["logits"], 0.3 * one["target"] + 0.7 * other, reduction="none")
    assert torch.allclose(mixed, blended.mean(1), atol=1e-6)


def test_best_threshold() -> None:
    score = np.array([0.1, 0.3, 0.4, 0.8])
    assert best_threshold(score, np.array([False, True, True, True])) == pytest.approx(0.2)
    assert best_threshold(score, np.array([False, False, False, True])) == pytest.approx(0.6)
    assert best_threshold(score, np.zeros(4, bool)) == 0.5
    assert best_threshold(np.full(4, 0.3), np.array([True, False, True, False])) == pytest.approx(0.15)


def test_thresholds_are_decided_kept_and_applied() -> None:
    generator = np.random.default_rng(0)
    target = (generator.random((200, 3)) < (0.5, 0.1, 0.0)).astype(np.int8)
    probabilities = np.clip(0.25 + 0.2 * target + generator.normal(0, 0.05, (200, 3)), 0, 1)
    decision = Tag().decide({"row": np.arange(200), "target": target, "probabilities": probabilities}, DOMAIN)
    thresholds = decision["thresholds"]
    positives = target.sum(0)
    assert 0.3 < thresholds["a"] < 0.42
    assert thresholds["a"] < thresholds["b"] < 0.5  # fewer rows: drawn further towards 0.5
    assert thresholds["c"] == 0.5
    best = best_threshold(probabilities[:, 1], target[:, 1] > 0)
    assert thresholds["b"] == pytest.approx((positives[1] * best + STEADY * 0.5) / (positives[1] + STEADY), abs=1e-6)
    assert Tag(thresholds="half").decide({}, DOMAIN) == {}

    logits = torch.logit(torch.tensor([[0.42, 0.42, 0.42], [0.1, 0.1, 0.1]]))
    output, given = {"logits": logits}, {"row": torch.arange(2), "target": torch.tensor([[1.0, 0, 0], [0, 0, 0]])}
    table = Tag().predictions(output, given, Context(DOMAIN, decision=decision))
    assert table["label"] == ["a", ""]
    assert table["prediction"].tolist() == [[1, 0, 0], [0, 0, 0]]
    assert table["target"].tolist() == [[1, 0, 0], [0, 0, 0]]
    answers = Tag().answers(table, DOMAIN, top=2)
    assert answers[0]["labels"] == [{"label": "a", "probability": pytest.approx(0.42)}]
    assert answers[1]["labels"] == []
    assert [each["label"] for each in answers[1]["top"]] == ["a", "b"]


def test_views_are_averaged_and_judged_by_the_same_thresholds() -> None:
    task, context = Tag(), Context(DOMAIN, decision={"thresholds": {"a": 0.7}}, targets=False)
    logits = torch.tensor([[3.0, 1.0, -1.0], [-1.0, 1.0, -3.0], [0.0, 0.0, 9.0], [0.0, 2.0, 9.0]])
    given = {"row": torch.tensor([5, 5, 2, 2]), "part": torch.tensor([0, 1, 0, 1])}
    reduced = task.reduce(
        {name: np.asarray(each) for name, each in task.predictions({"logits": logits}, given, context).items()}, DOMAIN
    )
    assert reduced["row"].tolist() == [5, 2]
    mean = torch.tensor([[1.0, 1.0, -2.0], [0.0, 1.0, 9.0]]).double().sigmoid().numpy()
    assert np.allclose(reduced["probabilities"], mean)
    assert list(reduced["label"]) == ["a | b", "b | c"]


def test_rows_it_cannot_learn_from() -> None:
    def rows(targets: list) -> Rows:
        return Rows({"id": [str(i) for i in range(len(targets))], "target": targets})

    for targets, fault in (
        ([[], []], "no row has a label"),
        ([["3.5"], ["4.5", "b"]], r"no label stands in two rows, .*'3\.5'"),
        ([["a"], ["a"]], r"every row has the same labels \('a'\)"),
        (["a", "b"], r"'a', not a list of labels; .*domain\.target=labels"),
    ):
        with pytest.raises(DataError, match=fault):
            Tag().examine(rows(targets))
    with pytest.raises(DataError, match="has no labels"):
        Tag().examine(Rows({"id": ["1"]}))
    Tag().examine(rows([["a"], ["a"], []]))
    Tag().examine(rows([["a"], []]))
