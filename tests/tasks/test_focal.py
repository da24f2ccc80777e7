"""The focal loss has a slope everywhere, for every focus that is allowed."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pervade.core.contracts import Task
from pervade.tasks.classify import Classify
from pervade.tasks.tag import Tag

FOCUSES = (0.0, 0.1, 0.5, 1.0, 2.0)


def slope(task: Task, logits: list[list[float]], target: Tensor) -> Tensor:
    x = torch.tensor(logits, requires_grad=True)
    task.loss({"logits": x}, {"target": target})["loss"].sum().backward()
    assert x.grad is not None
    return x.grad


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("focus", FOCUSES)
def test_it_is_finite_where_an_answer_is_sure(focus: float, smoothing: float) -> None:
    """(1 - p)^focus with a focus below 1 is infinitely steep at p = 1, and there 1 - p is rounded to 0 early."""
    sure = [[18.0, 0.0], [40.0, 0.0], [1000.0, -1000.0]]
    classify = Classify(loss_name="focal", focus=focus, smoothing=smoothing)
    for target in (0, 1):  # rightly, and wrongly
        assert slope(classify, sure, torch.full((3,), target)).isfinite().all()
    tag = Tag(loss_name="focal", focus=focus, smoothing=smoothing)
    for flags in ([1.0, 0.0], [0.0, 1.0]):
        assert slope(tag, [*sure, [200.0, -200.0]], torch.tensor([flags]).repeat(4, 1)).isfinite().all()


@pytest.mark.parametrize("focus", FOCUSES)
def test_it_is_the_derivative_elsewhere(focus: float) -> None:
    """By hand, of one answer with two outcomes: with q = 1 - p and loss = -q^f ln p, dp/dx = p q."""
    for x in (-3.0, -0.5, 1.0, 4.0):
        p = 1 / (1 + math.exp(-x))
        q = 1 - p
        wanted = (focus * q ** (focus - 1) * math.log(p) - q**focus / p) * p * q
        found = slope(Classify(loss_name="focal", focus=focus), [[x, 0.0]], torch.tensor([0]))
        assert found[0, 0].item() == pytest.approx(wanted, rel=1e-4)
        of_tag = slope(Tag(loss_name="focal", focus=focus), [[x]], torch.tensor([[1.0]]))
        assert of_tag[0, 0].item() == pytest.approx(wanted, rel=1e-4)
