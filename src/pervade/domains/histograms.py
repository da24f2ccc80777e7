"""Pictures as histograms of their colours, edges and textures (data/image/histograms.py): what a linear model reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.random import Generator

from pervade.core import spec
from pervade.core.bounds import Deviation
from pervade.core.contracts import Observations
from pervade.core.registry import register
from pervade.core.types import Batch, Example, Rows
from pervade.data import kinds
from pervade.data.image import histograms
from pervade.domains.image import Image

if TYPE_CHECKING:
    from torch import nn


@register("domain")
@dataclass(frozen=True)
class Histograms(Image):
    """Image's fields about views, and about what training changes, have no effect here."""

    deviations: tuple[Deviation, ...] = ()  # of each kind of feature in the training split

    @classmethod
    def of(cls, domain: Image) -> Self:
        """The same rows, read in the same way."""
        fields = {name: getattr(domain, name) for name in spec.field_names(Image)}
        return cls(**{**fields, "augment": False, "views": 1, "flip": False})

    def fit(self, train: Rows) -> Self:
        known: Any = super().fit(train)
        return replace(known, deviations=kinds.learnt(train, known._histograms))

    def inputs(self) -> Observations:  # type: ignore[override]
        return Observations((histograms.WIDTH,))

    def input_space(self) -> None:  # type: ignore[override]
        """Between two rows of shares there need be no picture."""

    def _histograms(self, row: dict[str, Any]) -> list[np.ndarray]:
        return histograms.of(self._seen(self._opened(row)))

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        """Input (d,) float32."""
        return [{"input": kinds.joined(self._histograms(row), self.deviations), **self._target_of(row)}]

    def collate(self, examples: Sequence[Example]) -> Batch:
        """ "input" (n, d) float32."""
        return {"input": kinds.stacked(examples), **self._targets(examples)}

    # where it leaves this project

    def entrance(self) -> nn.Module:
        """What is seen of a picture is counted in the graph, too."""
        from pervade.data.image.histograms_in_graph import Histograms as Counted

        return Counted(self._framing_module(), self.deviations)
