"""Adam with decoupled weight decay (Loshchilov and Hutter 2017, arXiv:1711.05101)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.nn import Parameter

from pervade.core.bounds import LearningRate, Part, WeightDecay
from pervade.core.contracts import Optimizer
from pervade.core.registry import register


@register("optimizer")
@dataclass(frozen=True)
class AdamW(Optimizer):
    elementwise: ClassVar[bool] = True  # each weight for itself, whatever tensor it is in

    lr: LearningRate = 1e-3
    beta1: Part = 0.9
    beta2: Part = 0.999
    weight_decay: WeightDecay = 0.01  # taken off the weights directly, apart from the gradient

    def build(self, parameters: Iterable[Parameter] | Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        # One fused pass over memory: on a processor Adam is bound by it.
        return torch.optim.AdamW(
            parameters, self.lr, (self.beta1, self.beta2), weight_decay=self.weight_decay, fused=True
        )
