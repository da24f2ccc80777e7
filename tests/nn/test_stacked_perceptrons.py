"""Layers multiplied side by side by numpy give torch's own gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pervade.core.contracts.inputs import Observations
from pervade.models.perceptron import Perceptron
from pervade.nn.stacked_perceptrons import StackedPerceptrons


def gradients(net: StackedPerceptrons, x: Tensor, back: list[Tensor]) -> list[Tensor]:
    net.zero_grad()
    x.grad = None
    torch.autograd.backward(list(net(x).values()), back)
    return [each.grad.clone() for each in (x, *net.parameters())]  # type: ignore[union-attr]


@pytest.mark.parametrize("separate", [True, False])
@pytest.mark.parametrize("activation", ["tanh", "relu", "elu"])
@pytest.mark.parametrize("outputs", [{"value": 2}, {"logits": 3, "value": 1}])
@pytest.mark.parametrize("units", [(16,), (16, 8), (8, 8, 8)])
def test_the_gradient_is_that_of_autograd(outputs, units, activation, separate) -> None:
    torch.manual_seed(0)
    net = StackedPerceptrons(5, outputs, units, activation, separate)
    for each in net.parameters():
        torch.nn.init.normal_(each, std=0.4)
    x, back = torch.randn(7, 5, requires_grad=True), [torch.randn(7, size) for size in outputs.values()]
    found, expected = gradients(net.train(), x, back), gradients(net.eval(), x, back)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_weights_that_moved_are_found_where_they_are() -> None:
    """Another memory under the same parameters, as engine/flat.py gives them."""
    net, x = StackedPerceptrons(3, {"value": 2}, (4,)).train(), torch.randn(6, 3)
    net(x)
    with torch.no_grad():
        for each in net.parameters():
            each.data = torch.randn_like(each)
        ours, theirs = net(x)["value"], net.eval()(x)["value"]
    torch.testing.assert_close(ours, theirs)


def test_weights_that_changed_before_the_gradient_are_an_error() -> None:
    net = StackedPerceptrons(3, {"value": 2}, (4,)).train()
    value = net(torch.randn(6, 3))["value"].sum()
    with torch.no_grad():
        net.head["value"].weight.add_(1.0)  # type: ignore[operator,union-attr]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.backward()


def test_weights_for_pictures_keep_the_names_that_checkpoints_have() -> None:
    names = Perceptron((4,)).build(Observations((2, 3)), {"value": 1}).state_dict()
    assert set(names) == {"twin.weight.0", "twin.bias.0", "twin.head.value.weight", "twin.head.value.bias"}
