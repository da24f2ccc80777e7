"""Random weights, each layer's own way, drawn from the run's seed."""

from __future__ import annotations

from dataclasses import dataclass

from torch.nn import Module

from pervade.core.protocols import Initializer, Model, Started
from pervade.core.registry import register


@register("init")
@dataclass(frozen=True)
class Random(Initializer):
    def apply(self, network: Module, model: Model) -> Started:
        # `Model.build` has drawn them already.
        parameters = sum(p.numel() for p in network.parameters())
        return Started(f"{parameters:,} weights drawn at random; nothing was downloaded")
