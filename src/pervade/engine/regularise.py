"""What is done to weights beside the optimiser's step: penalties on their size, and a moving average of them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.nn import Module


class Penalty:
    """l1 * sum |w| + l2 / 2 * sum w^2 over the weights of the network, added as gradients.

    Biases and the scales of normalisation (tensors of one axis) are spared: they do not make a function wilder. Unlike
    the decay inside AdamW the penalty goes through the optimiser's own scaling (Loshchilov & Hutter 2019,
    arXiv:1711.05101).
    """

    def __init__(self, network: Module, l1: float, l2: float) -> None:
        self.weights: list[Tensor] = [p for p in network.parameters() if p.ndim > 1]
        self.l1, self.l2 = l1, l2

    @torch.no_grad()
    def add_gradient(self) -> None:
        there = [p for p in self.weights if p.grad is not None]
        gradients = [p.grad for p in there if p.grad is not None]
        if not there:
            return
        if self.l2:
            torch._foreach_add_(gradients, there, alpha=self.l2)
        if self.l1:
            torch._foreach_add_(gradients, torch._foreach_sign(there), alpha=self.l1)


class Average:
    """An exponential moving average of the weights, in a network of its own; buffers are copied as they are.

    Early on the decay is (1 + step) / (10 + step), so that the first, random weights are soon forgotten (as in
    TensorFlow's ExponentialMovingAverage).
    """

    def __init__(self, network: Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False)
        # Weights are found once: going through a small network's modules takes longer than the averaging.
        self.learning = network
        self.own: list[Tensor] = list(self.network.parameters())
        self.learnt: list[Tensor] = list(network.parameters())

    @torch.no_grad()
    def update(self, step: int) -> None:
        """To be called after every step."""
        weight = 1.0 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.own, self.learnt, weight)
        for mine, theirs in zip(self.network.buffers(), self.learning.buffers(), strict=True):
            mine.copy_(theirs)
