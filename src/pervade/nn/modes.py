"""Asking a network in the middle of its training, or in that of another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(network: nn.Module) -> Iterator[nn.Module]:
    """Inside, the network is in evaluation mode; afterwards every part of it is in the mode it was in: a frozen part
    stays in evaluation mode while others train."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield network
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def still(network: nn.Module) -> Iterator[nn.Module]:
    """Inside, what is computed by the network carries gradients to its input, and none to its weights."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield network
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
