"""A network that acts: any other network behind what it has seen of observations and rewards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from pervade.core import registry
from pervade.core.contracts import Model
from pervade.core.errors import ConfigError, SizeError
from pervade.core.registry import register
from pervade.models.nature_cnn import NatureCNN
from pervade.models.perceptron import Perceptron
from pervade.nn.modes import evaluating
from pervade.nn.own import Own
from pervade.nn.policy import PolicyNetwork
from pervade.nn.trial import REFUSALS


@register("model")
@dataclass(frozen=True)
class Policy(Model):
    """`network` None: nature-cnn for pictures, a perceptron for anything else."""

    network: Model | None = None
    normalise: bool = True  # numbers by what was seen of them so far; pictures are 0-1 as ever
    deviation: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0  # of continuous actions at first, in units of the policy

    def build(self, inputs: Mapping[str, Any], outputs: Mapping[str, int]) -> nn.Module:
        pictures = len(inputs["shape"]) == 3
        network = self.network or (NatureCNN() if pictures else Perceptron())
        asked = {name: size for name, size in outputs.items() if name != "log_deviation"}
        built = self._built(network, inputs, asked) if pictures else _for_numbers(network, inputs, asked)
        return PolicyNetwork(built, inputs["shape"], outputs, self.normalise and not pictures, self.deviation)

    def _built(self, network: Model, inputs: Mapping[str, Any], outputs: Mapping[str, int]) -> nn.Module:
        """Raises ConfigError where pictures are too small, which no setting of an environment changes."""
        try:
            return network.build(inputs, outputs)
        except SizeError as error:
            raise ConfigError(
                f"{error.why}; take --model perceptron, or let the environment show larger ones "
                "(gymnasium.wrappers.ResizeObservation)"
            ) from None


def _for_numbers(network: Model, inputs: Mapping[str, Any], outputs: Mapping[str, int]) -> nn.Module:
    """Raises ConfigError where it does not take rows of numbers; what reads pictures or texts fails in its own way."""
    try:
        built = network.build(inputs, outputs)
        with evaluating(built), torch.no_grad():
            built(torch.zeros(2, *inputs["shape"]))
    except (*REFUSALS, KeyError, TypeError, ConfigError):
        name = registry.name_of(type(network)) or type(network).__name__
        if isinstance(network, (Perceptron, Own)):
            raise
        raise ConfigError(
            f"{name} does not take observations that are {inputs['shape'][0]} numbers; take --model perceptron, or "
            "leave --model out"
        ) from None
    return built
