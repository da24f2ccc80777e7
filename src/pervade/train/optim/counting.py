"""Counts what follows what in all texts at once: the training of an n-gram model (models/ngram.py).

One step over all rows (`source` whole) is the training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field
from torch.nn import Module

from pervade.core import deadline
from pervade.core.contracts import Domain, Solver, Task
from pervade.core.errors import ConfigError, TrainingError
from pervade.core.registry import register
from pervade.core.types import Batch
from pervade.data.text import kneser_ney
from pervade.models.ngram import NGramNetwork


@register("optimizer")
@dataclass(frozen=True)
class Counting(Solver):
    most: Annotated[int, Field(ge=1, le=10**9)] = 4_000_000  # n-grams that are kept, 16 bytes each, where pairs allow

    def solve(
        self,
        network: Module,
        task: Task,
        domain: Domain,
        pieces: Sequence[Batch],
        until: float | None,
        latest: float | None,
    ) -> str:
        if not isinstance(network, NGramNetwork):
            raise ConfigError(f"optimizer: counting is for an ngram, and {type(network).__name__} is none; take adamw")
        text = kneser_ney.joined(_windows(pieces), network.order)
        learnt = deadline.done_by(latest, lambda: kneser_ney.learn(text, network.order, network.vocabulary, self.most))
        if learnt is None:
            raise TrainingError(
                f"the time does not suffice to count {len(text.tokens):,} tokens; give a longer --time-limit"
            )
        levels, least = learnt
        network.set_counts(levels)
        shortest = kneser_ney.PRUNED
        return (
            f"of n-grams of {shortest} tokens and more those are kept that were seen {least} times or more"
            if least > 1
            else ""
        )


def _windows(pieces: Sequence[Batch]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for piece in pieces:
        yield from zip(piece["input"].cpu().numpy(), piece["target"].cpu().numpy(), strict=True)
