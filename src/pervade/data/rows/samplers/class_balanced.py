"""Every class is drawn as often as any other, however many rows it has.

A class's rows are drawn in turns, without one coming twice before all have come once, over the ends of passes too: rows
of a rare class come several times a pass, those of a common one every few passes.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pervade.core import seed as seeds
from pervade.core.contracts import Sampler, Sampling
from pervade.core.errors import ConfigError, DataError
from pervade.core.registry import register
from pervade.core.types import Rows


@register("sampler")
@dataclass(frozen=True)
class ClassBalanced(Sampling):
    """`length` of a pass: "data", about as many rows as there are, so that it takes as long as without (oversampling
    of what is rare); "rarest", as many of each class as the rarest has (undersampling of what is not)."""

    length: Literal["data", "rarest"] = "data"

    def over(self, rows: Rows, seed: int, world: int = 1) -> Sampler:
        """Classes are the rows' targets. Raises DataError where a row has several, or there is one class alone;
        `batches` raises ConfigError where processes cannot share a batch."""
        target = list(rows.column("target")) if len(rows) else []
        if any(isinstance(label, list) for label in target):
            raise DataError("class-balanced: a row has several labels, so classes cannot be drawn apart; leave it out")
        places: dict[Hashable, list[int]] = {}
        for place, label in enumerate(target):
            places.setdefault(label, []).append(place)
        if len(places) < 2:
            raise DataError(f"class-balanced: there are {len(places)} classes, and it takes two at least; leave it out")
        classes = [np.array(places[label]) for label in sorted(places, key=str)]
        each = min(map(len, classes)) if self.length == "rarest" else max(round(len(target) / len(classes)), 1)
        return _Batches(classes, each, seed, world)


@dataclass
class _Batches(Sampler):
    classes: Sequence[np.ndarray]  # places of each one's rows
    times: int  # that each class is drawn in a pass
    seed: int
    world: int
    last: tuple[int, int, list[list[int]]] | None = field(default=None, repr=False)  # pass, batch size, batches

    def batches(self, epoch: int, batch_size: int) -> list[list[int]]:
        if self.last is None or self.last[:2] != (epoch, batch_size):
            self.last = epoch, batch_size, self._batches(epoch, batch_size)
        return self.last[2]

    def _batches(self, epoch: int, batch_size: int) -> list[list[int]]:
        drawn = np.concatenate([self._drawn(number, epoch) for number in range(len(self.classes))])
        count = math.ceil(len(drawn) / batch_size)
        if (smallest := len(drawn) // count) < self.world:
            raise ConfigError(
                f"{self.world} processes cannot share a batch of {smallest} rows; raise --batch-size or start fewer"
            )
        order = seeds.generator(self.seed, epoch).permutation(drawn)
        return [part.tolist() for part in np.array_split(order, count)]

    def _drawn(self, number: int, epoch: int) -> np.ndarray:
        """Of an endless row of shuffles, one after the other, the part that belongs to this pass."""
        places = self.classes[number]
        start = epoch * self.times
        first, last = start // len(places), (start + self.times - 1) // len(places)
        shuffles = [seeds.generator(self.seed, turn, number, 31).permutation(places) for turn in range(first, last + 1)]
        whole = np.concatenate(shuffles)
        return whole[start - first * len(places) :][: self.times]
