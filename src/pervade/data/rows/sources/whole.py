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
        rows = opening.rows.select(range(0, len(opening.rows), self._spacing(opening.rows)))
        return _Whole(rows, opening.context.domain, max(len(rows), 1), opening.seed, workers=opening.workers)

    def _spacing(self, rows: Rows) -> int:
        total = sum(rows.column("size")) if self.most and "size" in rows else 0
        return max(-(-total // self.most), 1) if self.most else 1

    def remarks(self, opening: Opening) -> list[str]:
        spacing = self._spacing(opening.rows)
        all_rows = (
            f"of {len(opening.rows):,} rows one in {spacing} is learnt from: all would be too many to hold at once"
        )
        return [all_rows] if spacing > 1 else []


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
