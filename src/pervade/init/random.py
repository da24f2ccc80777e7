"""Random weights, each layer's own way, drawn from the run's seed."""

from __future__ import annotations

from dataclasses import dataclass

from torch.nn import Module

from pervade.core.contracts import Domain, Initializer, Model, Started
from pervade.core.registry import register


@register("init")
@dataclass(frozen=True)
class Random(Initializer):
    because: str = ""  # why no pretrained weights were taken, where nobody had decided it

    def apply(self, network: Module, model: Model, domain: Domain) -> Started:
        # `Model.build` has drawn them already.
        parameters = sum(p.numel() for p in network.parameters())
        why = f", since {self.because}" if self.because else ""
        return Started(f"{parameters:,} weights drawn at random{why}; nothing was downloaded")
