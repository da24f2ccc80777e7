"""The weights that a network from Python came with, as they are."""

from __future__ import annotations

from dataclasses import dataclass

from torch.nn import Module

from pervade.core.protocols import Domain, Initializer, Model, Started
from pervade.core.registry import register


@register("init")
@dataclass(frozen=True)
class Given(Initializer):
    def apply(self, network: Module, model: Model, domain: Domain) -> Started:
        # `Model.build` has copied them already.
        names = tuple(network.state_dict())
        return Started(f"{sum(p.numel() for p in network.parameters()):,} weights as they came from Python", names)
