"""Stochastic gradient descent, plain or with momentum (Sutskever et al. 2013)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.nn import Parameter

from pervade.core.bounds import LearningRate, Part, WeightDecay
from pervade.core.contracts import Optimizer
from pervade.core.registry import register


@register("optimizer", variants={"momentum": {"momentum": 0.9, "nesterov": True}})
@dataclass(frozen=True)
class SGD(Optimizer):
    elementwise: ClassVar[bool] = True  # each weight for itself, whatever tensor it is in

    lr: LearningRate = 0.05
    momentum: Part = 0.0
    nesterov: bool = False
    weight_decay: WeightDecay = 0.0  # added to the gradient (L2)

    def build(self, parameters: Iterable[Parameter] | Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            parameters, self.lr, self.momentum, weight_decay=self.weight_decay, nesterov=self.nesterov
        )
