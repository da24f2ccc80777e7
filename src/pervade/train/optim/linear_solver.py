"""The best weights of linear heads at once, by scikit-learn: logistic regression by L-BFGS, ridge regression exactly.

One step over all rows (`source` whole) is the training. The penalty is chosen by rows of the training split that are
held out for it (data/linear.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import Module

from pervade.core import deadline
from pervade.core.bounds import Positive
from pervade.core.contracts import Domain, Solver, Task
from pervade.core.contracts.abilities import HasLinearHead
from pervade.core.errors import ConfigError, TrainingError
from pervade.core.registry import register
from pervade.core.types import Batch, Linear
from pervade.data.linear import STRENGTHS
from pervade.nn.backbone import LinearAtTheEnd


@register("optimizer")
@dataclass(frozen=True)
class LinearSolver(Solver):
    strengths: tuple[Positive, ...] = STRENGTHS  # inverse, of the penalty, of which one is chosen

    def __post_init__(self) -> None:
        if not self.strengths:
            raise ConfigError("optimizer.strengths names none; give at least one: [1.0]")

    def solve(
        self,
        network: Module,
        task: Task,
        domain: Domain,
        pieces: Sequence[Batch],
        until: float | None,
        latest: float | None,
    ) -> str:
        """By the best penalty, or, where time does not suffice to look for it, by one in the middle."""
        import sklearn.linear_model  # noqa: F401, since loading it is no part of the time that a fit takes

        if not isinstance(task, HasLinearHead) or not isinstance(network, LinearAtTheEnd):
            raise ConfigError(
                f"optimizer: {type(self).__name__} finds the weights of a linear layer at the end, for classes, "
                f"labels, numbers or embeddings; {type(task).__name__} with {type(network).__name__} has none: take "
                "adamw"
            )
        whole, known = seen(network, pieces)
        target, number, group = known["target"], known["row"], known.get("group")

        def fitted(strengths: Sequence[float], by: float | None) -> Mapping[str, Linear] | None:
            return deadline.done_by(by, lambda: task.fit_head(whole, target, number, domain, strengths, group))

        middle = self.strengths[len(self.strengths) // 2]
        first = fitted((middle,), latest) if until is not None else None
        best = fitted(self.strengths, until) if first is not None or until is None else None
        heads = first if best is None else best
        if heads is None:
            raise TrainingError(
                f"the time does not suffice to fit a linear model to {len(target):,} rows; give a longer --time-limit"
            )
        for name, head in heads.items():
            network.set_head(name, head)
        if best is None:
            return f"the time did not suffice to choose the penalty of the linear model, which is 1 / {middle:g}"
        return ""


def seen(network: LinearAtTheEnd, pieces: Sequence[Batch]) -> tuple[Any, dict[str, np.ndarray]]:
    """Of all rows what the last layer is given, (n, d), an array or a sparse matrix, and what is known of them: "row",
    and where they have it "target", "group" and "part", (n, …)."""
    from scipy import sparse

    features = [network.linear_features(piece["input"], piece.get("mask")) for piece in pieces]
    whole = np.concatenate(features) if isinstance(features[0], np.ndarray) else sparse.vstack(features, "csr")
    names = [name for name in ("row", "target", "group", "part") if any(name in piece for piece in pieces)]
    return whole, {name: np.concatenate([_column(piece, name) for piece in pieces]) for name in names}


def _column(piece: Batch, name: str) -> np.ndarray:
    """Of a piece whose rows all came whole each is the first part."""
    return np.asarray((piece[name] if name in piece else torch.zeros_like(piece["row"])).cpu())
