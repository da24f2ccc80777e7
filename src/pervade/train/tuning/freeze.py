"""The body stays as it is, and only the head learns: the body is a feature extractor.

Where training pictures are not changed at random either (`domain.augment` off), every picture's features are computed
once and kept (engine/features.py), and a pass takes as long as a linear layer does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch.nn import Module, Parameter

from pervade.core.contracts import ParameterGroup, Tuning
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.nn import backbone


@register("tuning")
@dataclass(frozen=True)
class Freeze(Tuning):
    def groups(self, network: Module, parameters: Sequence[Parameter]) -> list[ParameterGroup]:
        body = {id(p) for p in self._body(network).parameters()}
        learning = [p for p in parameters if id(p) not in body]
        if not learning:
            raise ConfigError(
                "tuning freeze trains the head alone, and this network has none apart from its body (it writes text); "
                "take -o tuning=lora"
            )
        return [ParameterGroup(learning)]

    def frozen(self, network: Module, progress: float) -> list[Module]:
        return [self._body(network)]

    def _body(self, network: Module) -> Module:
        return backbone.known(network, "freezing the body").body
