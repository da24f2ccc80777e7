"""Recordings as statistics of their spectrum (data/sound/spectral_statistics.py): what a linear model reads.

All windows of a long recording are one row of statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.random import Generator

from pervade.core import spec
from pervade.core.bounds import Deviation
from pervade.core.contracts import Observations
from pervade.core.registry import register
from pervade.core.types import Batch, Example, Rows
from pervade.data import kinds
from pervade.data.sound import recordings, spectral_statistics
from pervade.domains.sound import Sound


@register("domain")
@dataclass(frozen=True)
class SpectralStatistics(Sound):
    """Sound's fields about views, and about what training changes, have no effect here."""

    graphless: ClassVar[str] = (
        "the statistics of a recording are counted outside of the network, by no operators of a graph; export a "
        "run of a network (--model), or use `pervade predict`"
    )

    deviations: tuple[Deviation, ...] = ()  # of each kind of feature in the training split

    @classmethod
    def of(cls, domain: Sound) -> Self:
        """The same rows, read in the same way; no silence is added to what is short."""
        fields = {name: getattr(domain, name) for name in spec.field_names(Sound)}
        return cls(**{**fields, "augment": False, "views": 1, "masked": True})

    def fit(self, train: Rows) -> Self:
        known: Any = super().fit(train)
        return replace(known, deviations=kinds.learnt(train, known._statistics))

    def inputs(self) -> Observations:  # type: ignore[override]
        return Observations((spectral_statistics.WIDTH,))

    def input_space(self) -> None:  # type: ignore[override]
        """Between two rows of statistics there need be no sound."""

    def _statistics(self, row: dict[str, Any]) -> list[np.ndarray]:
        samples = recordings.samples(row, self.rate)
        return spectral_statistics.of(self._windows(samples, 1.0), self.rate, len(samples) / self.rate)

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        """Input (d,) float32."""
        return [{"input": kinds.joined(self._statistics(row), self.deviations), **self._target_of(row)}]

    def collate(self, examples: Sequence[Example]) -> Batch:
        """ "input" (n, d) float32."""
        return {"input": kinds.stacked(examples), **self._targets(examples)}
