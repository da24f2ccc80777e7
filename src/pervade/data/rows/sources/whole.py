"""All rows of the training split in one batch, for what learns from them at once. "pieces" of the batch are batches of
a few rows, each padded for itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pervade.core.contracts import Opening, Source, SourceSpec
from pervade.core.registry import register
from pervade.core.types import Batch
from pervade.data.rows.loader import Loader


@register("source")
@dataclass(frozen=True)
class Whole(SourceSpec):
    """Of several ranks each sees all rows, and finds the same."""

    def open(self, opening: Opening) -> Source:
        rows = opening.rows
        return _Whole(rows, opening.context.domain, max(len(rows), 1), opening.seed, workers=opening.workers)


PIECE = 64  # rows


class _Whole(Loader):
    def _batch(self, indices: Sequence[int], epoch: int, number: int = 0) -> Batch:
        starts = range(0, len(indices), PIECE)
        pieces = [super(_Whole, self)._batch(indices[start : start + PIECE], epoch, number) for start in starts]
        return {"row": torch.cat([piece["row"] for piece in pieces]), "pieces": pieces}

    def rehearsal(self) -> Batch | None:
        """There is only the one step."""
        return None
