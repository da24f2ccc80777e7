"""Rows of like length together, as many as a budget of units (tokens) allows, so that padding is hardly computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from pervade.core import seed as seeds
from pervade.core.contracts import Opening, Source, SourceSpec
from pervade.core.registry import register
from pervade.core.types import Rows
from pervade.data.rows.loader import Loader

MOST = 4  # times the batch size: of very short rows not more are taken at once


@register("source")
@dataclass(frozen=True)
class ByLength(SourceSpec):
    """`units` is the budget of a batch, padding included; None: the batch size times the mean length of a row, so that
    a batch has as many rows as asked for on average. The budget is the same in every pass, and so is the number of
    batches; which rows of one length stand together, and the order of the batches, is drawn anew.
    """

    units: Annotated[int, Field(ge=1, le=10**9)] | None = None

    def open(self, opening: Opening) -> Source:
        domain, rows = opening.context.domain, opening.rows
        lengths = np.array([sum(len(e["input"]) for e in domain.transform(row, None)) for row in rows], np.int64)
        budget = self.units or max(round(opening.batch_size * float(lengths.mean())) if len(lengths) else 1, 1)
        sampler = BudgetSampler(lengths, budget, opening.batch_size, opening.world, opening.seed)
        return Loader.opened(opening, rows.with_columns(size=lengths.tolist()) if len(rows) else rows, sampler)


class BudgetSampler:
    """Batches of rows sorted by length: rows times the longest of them is at most `budget`, but there are at least
    `least` rows in each, one for every rank.

    `loose`: by how much lengths are changed before they are sorted, each by its own share drawn anew, up to this one.
    Where hardly two rows are of one length (recordings) the same ones would stand together in every pass, and a network
    with batch normalisation would know them by what stands beside them, and be wrong as soon as they come alone.
    """

    def __init__(
        self, lengths: np.ndarray, budget: int, batch_size: int, least: int, seed: int, loose: float = 0.0
    ) -> None:
        self.lengths, self.seed, self.loose = lengths, seed, loose
        # Whatever is drawn, the row at a place is no longer than (1 + loose) times the one that is there by length.
        self.cuts = cuts(np.sort(lengths) * (1 + loose), budget, MOST * batch_size, least)
        self.last: tuple[int, list[list[int]]] | None = None

    def batches(self, epoch: int, batch_size: int) -> list[list[int]]:
        if self.last is None or self.last[0] != epoch:
            rng = seeds.generator(self.seed, epoch)
            drawn = rng.random(len(self.lengths))
            order = np.lexsort((drawn, self.lengths * (1 + self.loose * drawn)))
            parts = np.split(order, self.cuts)
            self.last = epoch, [parts[i].tolist() for i in rng.permutation(len(parts))]
        return self.last[1]


def cuts(ordered: Sequence[int] | np.ndarray, budget: int, most: int, least: int) -> list[int]:
    """Where batches end in rows of these lengths, which rise.

    >>> cuts([2, 2, 2, 6, 6], budget=6, most=9, least=1)
    [3, 4]
    """
    ends: list[int] = []
    start = 0
    for place, length in enumerate(ordered):
        count = place - start
        if count >= least and ((count + 1) * int(length) > budget or count >= most):
            ends.append(place)
            start = place
    if ends and len(ordered) - start < least:  # too few are left for a batch of their own
        ends.pop()
    return ends


def by_size(rows: Rows) -> list[int]:
    """Positions in the order of "size" where the rows have one, so that a batch in order needs little padding."""
    if "size" not in rows:
        return list(range(len(rows)))
    return np.argsort(np.asarray(rows.column("size")), kind="stable").tolist()
