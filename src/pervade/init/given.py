"""The weights that a network from Python came with, as they are."""

from __future__ import annotations

from dataclasses import dataclass

from torch.nn import Module

from pervade.core.contracts import Domain, Initializer, Model, Started
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.nn.own import Own


@register("init")
@dataclass(frozen=True)
class Given(Initializer):
    def fetch(self, model: Model) -> None:
        """Raises ConfigError where the network is not from Python."""
        if not isinstance(model, Own):
            raise ConfigError(
                "init given is for a network from Python, pervade.fit(data, model=module); take random or pretrained"
            )

    def apply(self, network: Module, model: Model, domain: Domain) -> Started:
        # `Model.build` has copied them already.
        names = tuple(network.state_dict())
        return Started(f"{sum(p.numel() for p in network.parameters()):,} weights as they came from Python", names)
