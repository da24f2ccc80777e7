"""All rows of the training split in one batch, for what learns from them at once."""

from __future__ import annotations

from dataclasses import dataclass

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


class _Whole(Loader):
    def rehearsal(self) -> Batch | None:
        """There is only the one step."""
        return None
