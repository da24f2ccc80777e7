"""The plainest network for pictures: three dense layers of 1000, 500 and 100 units with ReLU."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from pervade.core.bounds import Layers
from pervade.core.contracts import Inputs, Model, Pixels, require
from pervade.core.registry import register
from pervade.nn.backbone import Backbone


@register("model")
@dataclass(frozen=True)
class ReferenceMLP(Model):
    reads: ClassVar[str] = "pictures"
    units: Layers = (1000, 500, 100)

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        body = _Body(self.units, math.prod(require(inputs, Pixels, "reference-mlp").shape))
        return Backbone(inputs, outputs, body, self.units[-1])


class _Body(nn.Module):
    def __init__(self, units: tuple[int, ...], pixels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((pixels, *units)):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        # Pixels arrive channels last: read in that order they need no copy.
        features: Tensor = self.layers(x.permute(0, 2, 3, 1).flatten(1))
        return features
