"""The usual source: each training row once a pass, or the batches that a sampler makes."""

from __future__ import annotations

from dataclasses import dataclass

from pervade.core.contracts import Opening, Sampling, Source, SourceSpec
from pervade.core.registry import register
from pervade.data.rows.loader import Loader


@register("source")
@dataclass(frozen=True)
class Dataset(SourceSpec):
    sampler: Sampling | None = None  # None: each row once a pass, in random order

    def open(self, opening: Opening) -> Source:
        """Raises what the sampler does."""
        rows = opening.rows
        sampler = self.sampler.over(rows, opening.seed, opening.world) if self.sampler is not None else None
        return Loader.opened(opening, rows, sampler)
