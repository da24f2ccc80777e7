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
        return Loader(
            rows,
            opening.context.domain,
            opening.batch_size,
            opening.seed,
            sampler=self.sampler.over(rows, opening.seed, opening.world) if self.sampler is not None else None,
            workers=opening.workers,
            rank=opening.rank,
            world=opening.world,
            augment=opening.augment,
        )
