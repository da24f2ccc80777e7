"""The plainest network for pictures: three dense layers of 1000, 500 and 100 units with ReLU."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from pervade.core.protocols import Model
from pervade.core.registry import register
from pervade.core.types import Output
from pervade.nn.normalise import Normalise


@register("model")
@dataclass(frozen=True)
class ReferenceMLP(Model):
    units: tuple[int, ...] = (1000, 500, 100)

    def build(self, inputs: Mapping[str, Any], outputs: Mapping[str, int]) -> nn.Module:
        return _Network(self.units, inputs, outputs["logits"])


class _Network(nn.Module):
    def __init__(self, units: tuple[int, ...], inputs: Mapping[str, Any], classes: int) -> None:
        super().__init__()
        self.normalise = Normalise(inputs["mean"], inputs["deviation"])
        layers: list[nn.Module] = []
        for before, after in pairwise((math.prod(inputs["shape"]), *units)):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(units[-1], classes)

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Output:
        # Pixels arrive channels last: read in that order they need no copy.
        x = self.normalise(input).permute(0, 2, 3, 1).flatten(1)
        return {"logits": self.head(self.body(x))}
