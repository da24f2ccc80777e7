"""The usual source: each training row once a pass, or the batches that the task's sampler makes."""

from __future__ import annotations

from dataclasses import dataclass

from pervade.core.contracts import Opening, Source, SourceSpec
from pervade.core.contracts.abilities import CouplesRows
from pervade.core.registry import register
from pervade.data.rows.loader import Loader


@register("source")
@dataclass(frozen=True)
class Dataset(SourceSpec):
    def open(self, opening: Opening) -> Source:
        task = opening.task
        return Loader(
            opening.rows,
            opening.context.domain,
            opening.batch_size,
            opening.seed,
            sampler=task.sampler(opening.rows, opening.seed) if isinstance(task, CouplesRows) else None,
            workers=opening.workers,
            rank=opening.rank,
            world=opening.world,
            augment=opening.augment,
        )
