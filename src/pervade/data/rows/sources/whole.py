"""All rows of the training split in one batch, for what learns from them at once. "pieces" of the batch are batches of
a few rows, each padded for itself, which say of which "group" each row is where that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pervade.core.bounds import Count
from pervade.core.contracts import Opening, Source, SourceSpec
from pervade.core.registry import register
from pervade.core.types import Batch, Rows
from pervade.data.rows.loader import Loader


@register("source")
@dataclass(frozen=True)
class Whole(SourceSpec):
    """Of several ranks each sees all rows, and finds the same."""

    most: Count | None = None  # of what rows have for a "size" together; of more, some that are evenly spaced

    def open(self, opening: Opening) -> Source:
        rows = opening.rows.select(self._some(opening.rows))
        return _Whole(rows, opening.context.domain, max(len(rows), 1), opening.seed, workers=opening.workers)

    def _some(self, rows: Rows) -> Sequence[int]:
        """Positions: evenly spaced, without those that are too large by themselves, or the smallest of these."""
        if not self.most or "size" not in rows or sum(rows.column("size")) <= self.most:
            return range(len(rows))
        size = rows.column("size")
        fit = [place for place in range(len(rows)) if size[place] <= self.most]
        fit = fit or [min(range(len(rows)), key=size.__getitem__)]
        return fit[:: -(-sum(size[place] for place in fit) // self.most)]

    def remarks(self, opening: Opening) -> list[str]:
        some, number = self._some(opening.rows), len(opening.rows)
        told = f"of {number:,} rows {len(some):,} are learnt from: all would be too many to hold at once"
        return [told] if len(some) < number else []


PIECE = 64  # rows


class _Whole(Loader):
    def _batch(self, indices: Sequence[int], epoch: int, number: int = 0) -> Batch:
        starts = range(0, len(indices), PIECE)
        pieces = [super(_Whole, self)._batch(indices[start : start + PIECE], epoch, number) for start in starts]
        if "group" in self.rows:
            names = list(map(str, self.rows.column("group")))
            numbers = {name: place for place, name in enumerate(sorted(set(names)))}
            group = {int(row): numbers[name] for row, name in zip(self.rows.number, names, strict=True)}
            for piece in pieces:
                piece["group"] = torch.tensor([group[row] for row in piece["row"].tolist()])
        return {"row": torch.cat([piece["row"] for piece in pieces]), "pieces": pieces}

    def rehearsal(self) -> Batch | None:
        """There is only the one step."""
        return None
