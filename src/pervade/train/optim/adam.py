"""Adam (Kingma and Ba 2014, arXiv:1412.6980)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch.nn import Parameter

from pervade.core.protocols import Optimizer
from pervade.core.registry import register


@register("optimizer")
@dataclass(frozen=True)
class Adam(Optimizer):
    elementwise: ClassVar[bool] = True  # each weight for itself, whatever tensor it is in

    lr: Annotated[float, Field(gt=0)] = 1e-3
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0  # added to the gradient (L2); AdamW is the decoupled kind

    def build(self, parameters: Iterable[Parameter] | Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        # One fused pass over memory: on a processor Adam is bound by it.
        return torch.optim.Adam(
            parameters, self.lr, (self.beta1, self.beta2), self.epsilon, self.weight_decay, fused=True
        )
