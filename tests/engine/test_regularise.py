"""Penalties and the moving average of weights, worked by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pervade.core.contracts import Context
from pervade.domains.image import Image
from pervade.engine.fit import Learner
from pervade.engine.regularise import Average, Penalty
from pervade.models.reference_mlp import ReferenceMLP
from pervade.tasks.classify import Classify
from pervade.train.optim.sgd import SGD
from pervade.train.schedule.constant import Constant


def network() -> nn.Sequential:
    net = nn.Sequential(nn.Linear(3, 1), nn.BatchNorm1d(1), nn.Linear(1, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[2.0, -0.5, 0.0]]))
    return net


@pytest.mark.parametrize(
    ("l1", "l2", "wanted"),
    [(0.0, 0.1, [0.2, -0.05, 0.0]), (0.3, 0.0, [0.3, -0.3, 0.0]), (0.3, 0.1, [0.5, -0.35, 0.0])],
)
def test_gradients_of_penalties_by_hand(l1: float, l2: float, wanted: list[float]) -> None:
    """l2 w + l1 sign(w) is added to what is there; biases and normalisation are spared, and so is what does not
    learn."""
    net = network()
    for parameter in [*net[0].parameters(), *net[1].parameters()]:
        parameter.grad = torch.ones_like(parameter)
    Penalty(net, l1, l2).add_gradient()
    torch.testing.assert_close(net[0].weight.grad, 1 + torch.tensor([wanted]))
    for spared in (net[0].bias, net[1].weight, net[1].bias):
        assert torch.equal(spared.grad, torch.ones(1))
    assert net[2].weight.grad is None


def test_penalties_are_those_of_the_loss() -> None:
    """A step of `fit` is torch's on the loss with l1 sum |w| + l2 / 2 sum w^2 written into it."""
    domain = Image(size=4, channels=1, labels=("a", "b"), mean=(0.5,), deviation=(0.25,))
    torch.manual_seed(0)
    net = ReferenceMLP((5,)).build(domain.inputs(), {"logits": 2})
    theirs = copy.deepcopy(net)
    batch = {"row": torch.arange(6), "input": torch.rand(6, 1, 4, 4), "target": torch.arange(6) % 2}
    Learner(Classify(), net, Context(domain), SGD(lr=0.5), Constant(), 1, l1=0.01, l2=0.1)._take_step(batch)
    heavy = [p for p in theirs.parameters() if p.ndim > 1]
    penalty = sum(0.01 * p.abs().sum() + 0.05 * p.square().sum() for p in heavy)
    (F.cross_entropy(theirs(batch["input"])["logits"], batch["target"]) + penalty).backward()
    torch.optim.SGD(theirs.parameters(), 0.5).step()
    for mine, other in zip(net.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other)


def test_average_by_hand() -> None:
    """decay x average + (1 - decay) x weight, the decay at step n being (1 + n) / (10 + n) until that exceeds it."""
    net = network()
    average = Average(net, decay=0.25)
    mean = net[0].weight.detach().clone()
    for step, decay in enumerate((2 / 11, 0.25, 0.25), start=1):
        with torch.no_grad():
            net[0].weight += step
            net[1].running_mean += 1.0
        average.update(step)
        mean = decay * mean + (1 - decay) * net[0].weight.detach()
        torch.testing.assert_close(average.network[0].weight, mean)
        assert torch.equal(average.network[1].running_mean, net[1].running_mean)  # buffers are no weights
    assert not any(parameter.requires_grad for parameter in average.network.parameters())


def test_the_first_weights_are_soon_forgotten() -> None:
    """From 0 to 1 and staying there: what is missing after n steps is the product of the decays."""
    net = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        net.weight.fill_(0.0)
    average = Average(net, decay=0.999)
    with torch.no_grad():
        net.weight.fill_(1.0)
    for step in (1, 2, 3):
        average.update(step)
    assert 1 - float(average.network.weight) == pytest.approx(2 / 11 * 3 / 12 * 4 / 13, abs=1e-6)
