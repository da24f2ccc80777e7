"""A run of a text's tokens in its place, some of them exchanged for tokens of other texts.

Fragments say less than their texts, and at times something else. So a teacher that reads them too (tasks/distil.py) has
something to say that the labels of the whole texts do not, which is what a student of few rows lacks (Tang et al. 2019,
arXiv:1903.12136). Tokens that come from other texts are as frequent as they are there (SwitchOut, Wang et al. 2018,
arXiv:1808.07512, takes all alike). What stands in every text of the batch, the tokenizer's own marks among it, stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from numpy.random import Generator
from pydantic import Field
from torch import Tensor

from pervade.core.bounds import Share
from pervade.core.contracts import Augment
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Batch


@register("augment")
@dataclass(frozen=True)
class Fragments(Augment):
    shortest: Annotated[float, Field(gt=0.0, le=1.0)] = 0.3  # share of a text's tokens that is left at least; any share
    # above it is as likely
    exchanged: Share = 0.1  # of the tokens that are left

    def __call__(self, batch: Batch, rng: Generator) -> Batch:
        """Raises ConfigError where the input is no text that is judged as a whole."""
        tokens, mask, target = batch["input"], batch.get("mask"), batch.get("target")
        numbered = isinstance(tokens, Tensor) and tokens.ndim == 2 and not tokens.is_floating_point()
        # A number for each token could not follow it.
        placed = isinstance(target, Tensor) and target.ndim > 1 and not target.is_floating_point()
        if not numbered or mask is None or placed or "inside" in batch:
            raise ConfigError(
                "augment: fragments are of texts that are judged as a whole, and this input is none; leave it out"
            )
        everywhere = _in_all(tokens, mask)
        kept, size = mask & torch.isin(tokens, everywhere), tokens.shape[1]
        free = mask & ~kept
        others = tokens[free]
        if not len(others):
            return batch
        # Of each text's m free tokens a run of k, from a place that is as likely as any.
        count = free.sum(1)
        draw = torch.from_numpy(rng.random((2, len(tokens))))
        run = ((self.shortest + (1 - self.shortest) * draw[0]) * count).round().clamp(min=1)
        first = (draw[1] * (count - run + 1)).floor()
        place = free.cumsum(1) - 1
        kept |= free & (place >= first[:, None]) & (place < (first + run)[:, None])
        exchanged = free & (torch.from_numpy(rng.random((len(tokens), size))) < self.exchanged)
        drawn = others[torch.from_numpy(rng.integers(0, len(others), (len(tokens), size)))]
        # What is left moves to the front, in its order.
        order = torch.argsort(kept.int(), dim=1, descending=True, stable=True)[:, : max(int(kept.sum(1).max()), 1)]
        made = torch.where(exchanged, drawn, tokens)
        padding = tokens[~mask][:1] if bool((~mask).any()) else tokens.new_zeros(1)
        left = kept.gather(1, order)
        return {**batch, "input": torch.where(left, made.gather(1, order), padding), "mask": left}


def _in_all(tokens: Tensor, mask: Tensor) -> Tensor:
    """Numbers of the tokens that every row has."""
    rows = (row[own].unique() for row, own in zip(tokens, mask, strict=True))
    numbers, times = torch.cat(list(rows)).unique(return_counts=True)
    return numbers[times == len(tokens)]
