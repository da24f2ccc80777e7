"""The best weights of linear heads at once, by scikit-learn: logistic regression by L-BFGS, ridge regression exactly.

One step over all rows (`source` whole) is the training. The penalty is chosen by rows of the training split that are
held out for it (data/linear.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import Parameter

from pervade.core.bounds import Positive
from pervade.core.contracts import Solver
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.data.linear import STRENGTHS


@register("optimizer")
@dataclass(frozen=True)
class LinearSolver(Solver):
    strengths: tuple[Positive, ...] = STRENGTHS  # inverse, of the penalty, of which one is chosen

    def __post_init__(self) -> None:
        if not self.strengths:
            raise ConfigError("optimizer.strengths names none; give at least one: [1.0]")

    @property
    def lr(self) -> float:
        """There is none: nothing is approached step by step."""
        return 0.0

    def build(self, parameters: Iterable[Parameter] | Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        """What holds the weights that will be found, and remembers nothing of its own."""
        return torch.optim.SGD(parameters, lr=0.0)
