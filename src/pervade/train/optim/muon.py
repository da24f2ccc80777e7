"""Muon for the matrices inside a network, AdamW for the rest (Jordan et al. 2024, kellerjordan.github.io/posts/muon;
scaled as by Liu et al. 2025, arXiv:2502.16982, so that AdamW's learning rates and decay fit).

A matrix moves by its momentum made orthogonal: every direction by as much, not only those in which gradients are large.
Embeddings, heads, biases and scales of normalisation have no such directions and are AdamW's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.adamw import adamw

from pervade.core.bounds import LearningRate, Part, WeightDecay
from pervade.core.contracts import Optimizer
from pervade.core.registry import register

# Newton-Schulz: singular values are driven towards 1 by the polynomial a x + b x^3 + c x^5, five times over.
A, B, C, STEPS = 3.4445, -4.7750, 2.0315, 5


@register("optimizer")
@dataclass(frozen=True)
class Muon(Optimizer):
    lr: LearningRate = 2e-3
    momentum: Part = 0.95  # of the matrices
    beta1: Part = 0.9  # of the rest
    beta2: Part = 0.95
    weight_decay: WeightDecay = 0.1

    def build(self, parameters: Iterable[Parameter] | Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        fixed = {"momentum": self.momentum, "beta1": self.beta1, "beta2": self.beta2}
        return _Muon(parameters, {"lr": self.lr, "weight_decay": self.weight_decay, **fixed})


class _Muon(torch.optim.Optimizer):
    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            learning = [p for p in group["params"] if p.grad is not None]
            for parameter in (p for p in learning if _is_matrix(p)):
                self._turn(parameter, group)
            self._adamw([p for p in learning if not _is_matrix(p)], group)

    def _turn(self, parameter: Parameter, group: dict[str, Any]) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(state["momentum"], group["momentum"])  # Nesterov's
        flat = orthogonal(ahead.flatten(1))
        scale = 0.2 * math.sqrt(max(flat.shape))  # as large as a step of AdamW is, on average of a matrix
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(flat.view_as(parameter), alpha=-group["lr"] * scale)

    def _adamw(self, parameters: list[Parameter], group: dict[str, Any]) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                means = {name: torch.zeros_like(parameter) for name in ("mean", "mean_of_squares")}
                self.state[parameter] = {"step": torch.zeros(()), **means}
        states = [self.state[parameter] for parameter in parameters]
        adamw(
            list(parameters),
            [p.grad for p in parameters if p.grad is not None],
            [state["mean"] for state in states],
            [state["mean_of_squares"] for state in states],
            [],
            [state["step"] for state in states],
            amsgrad=False,
            beta1=group["beta1"],
            beta2=group["beta2"],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )


def _is_matrix(parameter: Parameter) -> bool:
    return parameter.ndim > 1 and not getattr(parameter, "row_by_row", False)


def orthogonal(matrix: Tensor) -> Tensor:
    """(a, b): the singular vectors as they are, the singular values near 1 (0.7 to 1.2), in half precision."""
    x = matrix.bfloat16()
    if x.shape[0] > x.shape[1]:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(STEPS):
        square = x @ x.T
        x = A * x + (B * square + C * square @ square) @ x
    return (x.T if matrix.shape[0] > matrix.shape[1] else x).to(matrix.dtype)
