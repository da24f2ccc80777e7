"""Batches of P people x K pictures, so that every picture of a batch has others of the same person beside it.

A pass has as many batches as hold every row once, and each person comes equally often, however many pictures there
are: somebody with 500 pictures would otherwise stand in every batch. People and pictures are drawn without repetition
until all had their turn, then anew.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.random import Generator
from pydantic import Field

from pervade.core import seed as seeds
from pervade.core.contracts import Sampler, Sampling
from pervade.core.errors import ConfigError, DataError
from pervade.core.registry import register
from pervade.core.types import Rows


@register("sampler")
@dataclass(frozen=True)
class PeopleByPictures(Sampling):
    """The batch size says how many people: P = batch size / `pictures`, or all there are.

    Somebody with fewer than `pictures` pictures has some of them twice in a batch, which the loader augments each in
    its own way. With several ranks whole people go to each.
    """

    pictures: Annotated[int, Field(ge=2, le=1024)] = 4  # K, of each person in a batch

    def over(self, rows: Rows, seed: int, world: int = 1) -> Sampler:
        """People are the rows' targets. Raises DataError where somebody has a single picture, or there are fewer than
        two people; `batches` raises ConfigError where the batch size does not fit."""
        return _Batches(list(rows.column("target")), self.pictures, seed, world)


@dataclass(frozen=True)
class _Batches(Sampler):
    names: Sequence[Hashable]  # the person of each row
    pictures: int
    seed: int
    world: int

    def __post_init__(self) -> None:
        single = [name for name, rows in self._rows().items() if len(rows) == 1]
        if single:
            raise DataError(
                f"{counted(single)} only one picture to learn from; batches of people x pictures take at least 2 of "
                "each"
            )
        if len(self._rows()) < 2:
            raise DataError("there are fewer than two people to learn from, so there is nobody to tell apart")

    def _rows(self) -> dict[Hashable, list[int]]:
        rows_of: dict[Hashable, list[int]] = {}
        for position, name in enumerate(self.names):
            rows_of.setdefault(name, []).append(position)
        return rows_of

    def batches(self, epoch: int, batch_size: int) -> list[list[int]]:
        rows = list(self._rows().values())
        people = min(self._people(batch_size), len(rows) - len(rows) % self.world)
        if people < 2 * self.world:
            raise ConfigError(
                f"{self.world} processes cannot share {min(len(rows), batch_size // self.pictures)} people: each needs "
                f"at least 2; start fewer, or raise --batch-size ({self.pictures} rows for each person)"
            )
        rng = seeds.generator(self.seed, epoch)
        turns = _Turns(range(len(rows)), rng)
        albums = [_Turns(album, rng) for album in rows]
        count = math.ceil(len(self.names) / (people * self.pictures))
        return [self._batch(turns.take(people), albums) for _ in range(count)]

    def _people(self, batch_size: int) -> int:
        people, rest = divmod(batch_size, self.pictures)
        if people < 2 or rest:
            least, fits = 2 * self.pictures, max(round(batch_size / self.pictures), 2) * self.pictures
            raise ConfigError(
                f"batch size {batch_size} is no whole number of people of {self.pictures} pictures each (at least 2 "
                f"people, {least} rows); take --batch-size {fits}, or another -o source.sampler.pictures"
            )
        if people % self.world:
            raise ConfigError(
                f"{people} people of a batch cannot be shared by {self.world} processes; take "
                f"--batch-size {math.ceil(people / self.world) * self.world * self.pictures}"
            )
        return people

    def _batch(self, people: list[int], albums: Sequence[_Turns]) -> list[int]:
        """In the order person, picture for each rank, and the ranks' rows in turns."""
        drawn = [albums[person].take(self.pictures) for person in people]
        share = len(people) // self.world
        shares = [
            [row for rows in drawn[rank * share : (rank + 1) * share] for row in rows] for rank in range(self.world)
        ]
        return [row for together in zip(*shares, strict=True) for row in together]


class _Turns:
    """Draws in random order; when all were drawn, in a new order."""

    def __init__(self, of: Sequence[int], rng: Generator) -> None:
        self.of, self.rng = np.asarray(of), rng
        self.waiting: list[int] = []

    def take(self, count: int) -> list[int]:
        """`count` of them, none twice unless there are fewer than that."""
        taken: list[int] = []
        while len(taken) < count:
            if not self.waiting:
                order = self.rng.permutation(self.of).tolist()
                self.waiting = sorted(order, key=lambda row: row in taken)  # whoever was just taken comes last
            taken.append(self.waiting.pop(0))
        return taken


def counted(names: Sequence[Hashable], most: int = 5) -> str:
    """ "anna has", "3 people (anna, ben, cleo) have".

    >>> counted(["anna", "ben"])
    "2 people ('anna', 'ben') have"
    """
    if len(names) == 1:
        return f"{names[0]!r} has"
    shown = ", ".join(repr(name) for name in names[:most])
    return f"{len(names)} people ({shown}{' …' if len(names) > most else ''}) have"
