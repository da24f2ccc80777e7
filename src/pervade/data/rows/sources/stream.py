"""Running text in windows: all documents one after another, cut anew in every pass.

What a window asks is the domain's: the token after each (`Corpus`), or those that are hidden (`Masked`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator

from pervade.core import seed as seeds
from pervade.core.contracts import Opening, Source, SourceSpec
from pervade.core.contracts.capabilities import Streamed, able
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Batch
from pervade.data.rows.loader import Passes
from pervade.data.text.corpus import Tokens


@register("source")
@dataclass(frozen=True)
class Stream(SourceSpec):
    """The domain gives `tokens(rows)`, `length` and `asks(windows, rng)`. A pass begins at another token each time, so
    that windows are not the same, and is as long."""

    def open(self, opening: Opening) -> Source:
        domain = able(opening.context.domain, Streamed)
        numbers = np.array([int(number) for number in opening.rows.number])
        return Windows(
            domain,
            domain.tokens(opening.rows),
            numbers,
            opening.batch_size,
            opening.seed,
            opening.rank,
            opening.world,
        )


class Windows(Passes):
    """Batches of windows of the domain's length. "row" is the document that a window begins in.

    Raises ConfigError where the text is too short to learn from, or a batch for the number of processes.
    """

    def __init__(
        self, domain: Streamed, tokens: Tokens, numbers: np.ndarray, batch_size: int, seed: int, rank: int, world: int
    ) -> None:
        self.domain, self.tokens, self.numbers = domain, tokens, numbers
        self.batch_size, self.seed, self.rank, self.world = batch_size, seed, rank, world
        self.length = min(domain.length, len(tokens.stream) - 1)
        if self.length < 2:
            raise ConfigError(f"the training text has {len(tokens.stream)} tokens, too few to learn from; add texts")
        # One fewer than fit from the first token on, so that every beginning leaves room for as many.
        self.windows = max((len(tokens.stream) - 1) // self.length - 1, 1)
        smallest = self.windows // len(self)
        if smallest < world:
            raise ConfigError(f"{world} processes cannot share a batch of {smallest} windows of text; start fewer")

    def __len__(self) -> int:
        return max(math.ceil(self.windows / max(self.batch_size, self.world)), 1)

    def __iter__(self) -> Iterator[Batch]:
        plan = self._plan()
        for starts in plan[self.position :]:
            rng = seeds.generator(self.seed, self.epoch, self.position, self.rank)
            self.position += 1
            yield self._batch(starts[self.rank :: self.world], rng)
        self.epoch += 1
        self.position = 0

    def _plan(self) -> list[np.ndarray]:
        rng = seeds.generator(self.seed, self.epoch)
        room = len(self.tokens.stream) - 1 - self.windows * self.length
        first = int(rng.integers(0, min(room, self.length - 1) + 1))
        starts = first + self.length * rng.permutation(self.windows)
        return [part for part in np.array_split(starts, len(self)) if len(part)]

    def _batch(self, starts: np.ndarray, rng: Generator) -> Batch:
        cut = np.stack([self.tokens.stream[start : start + self.length + 1] for start in starts]).astype(np.int64)
        rows = self.numbers[[self.tokens.document(int(start)) for start in starts]]
        asked = self.domain.asks(cut, rng)
        return {"row": torch.from_numpy(rows), **asked}

    def rehearsal(self) -> Batch | None:
        return self._batch(self._plan()[0][: max(self.batch_size // self.world, 1)], seeds.generator(self.seed))
