"""Every weight learns; the body may learn more slowly than the head, layer by layer, or begin later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch.nn import Module, Parameter

from pervade.core.contracts import ParameterGroup, Tuning
from pervade.core.registry import register
from pervade.nn import backbone


@register("tuning")
@dataclass(frozen=True)
class Full(Tuning):
    """`layer_decay` 0.8: each stage learns at 0.8 times the rate of the one above it, counted from the head down
    (Howard & Ruder 2018, arXiv:1801.06146; Clark et al. 2020). `unfreeze` 0.3: the head learns alone at first, and the
    stages join it from the top down, the lowest after 30% of the training (gradual unfreezing, Howard & Ruder 2018).
    """

    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    unfreeze: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of the training after which everything learns
    decay_all: bool = True  # off: weight decay spares biases and the scales of normalisation

    def groups(self, network: Module, parameters: Sequence[Parameter]) -> list[ParameterGroup]:
        layers = [list(parameters)]
        if self.layer_decay < 1 or self.unfreeze > 0:
            layers = from_the_top(network, parameters, "layer_decay or unfreeze")
        groups = []
        for depth, layer in enumerate(layers):
            rate, start = self.layer_decay**depth, self._start(depth, len(layers))
            if self.decay_all:
                groups.append(ParameterGroup(layer, rate, start))
                continue
            heavy, light = [p for p in layer if p.ndim > 1], [p for p in layer if p.ndim <= 1]
            groups += [ParameterGroup(heavy, rate, start), ParameterGroup(light, rate, start, decay=False)]
        return [group for group in groups if group.parameters]

    def frozen(self, network: Module, progress: float) -> list[Module]:
        """The stages that have not begun: their batch normalisation keeps the statistics that belong to the weights."""
        if self.unfreeze == 0:
            return []
        stages = backbone.known(network, "unfreeze").stages()
        starts = [self._start(len(stages) - place, len(stages) + 1) for place in range(len(stages))]
        return [stage for stage, start in zip(stages, starts, strict=True) if progress < start]

    def _start(self, depth: int, layers: int) -> float:
        """When the layer `depth` below the head begins."""
        return self.unfreeze * depth / max(layers - 1, 1)


def from_the_top(network: Module, parameters: Sequence[Parameter], what: str) -> list[list[Parameter]]:
    """`parameters` by layer: the head's, with whatever belongs to no stage, then each stage's down to the input. A
    stage of which there are none among `parameters` is empty, so that the others keep their depth."""
    stages = backbone.known(network, what).stages()
    stage_of = {id(p): number for number, stage in enumerate(stages) for p in stage.parameters()}
    layers: list[list[Parameter]] = [[] for _ in range(len(stages) + 1)]
    for parameter in parameters:
        place = stage_of.get(id(parameter))
        layers[0 if place is None else len(stages) - place].append(parameter)
    return layers
