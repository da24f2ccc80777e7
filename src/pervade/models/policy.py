"""A network that acts: any other network behind what it has seen of observations and rewards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field
from torch import nn

from pervade.core import registry
from pervade.core.contracts import Inputs, Model, Observations, Pixels
from pervade.core.errors import ConfigError, SizeError
from pervade.core.registry import register
from pervade.models.nature_cnn import NatureCNN
from pervade.models.perceptron import Perceptron
from pervade.nn.own import Own
from pervade.nn.policy import PolicyNetwork


@register("model")
@dataclass(frozen=True)
class Policy(Model):
    """`network` None: nature-cnn for pictures, a perceptron for anything else."""

    reads: ClassVar[str] = "what an environment shows"
    network: Model | None = None
    normalise: bool = True  # numbers by what was seen of them so far; pictures are 0-1 as ever
    deviation: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0  # of continuous actions at first, in units of the policy

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        asked = {name: size for name, size in outputs.items() if name != "log_deviation"}
        match inputs:
            case Pixels():
                built = _for_pictures(self.network or NatureCNN(), inputs, asked)
            case Observations():
                built = _for_numbers(self.network or Perceptron(), inputs, asked)
            case _:
                raise ConfigError(f"policy reads observations, not {inputs.called}; take another of `pervade models`")
        normalise = self.normalise and isinstance(inputs, Observations)
        return PolicyNetwork(built, inputs.shape, outputs, normalise, self.deviation)


def _for_pictures(network: Model, inputs: Pixels, outputs: Mapping[str, int]) -> nn.Module:
    """Raises ConfigError where pictures are too small, which no setting of an environment changes."""
    try:
        return network.build(inputs, outputs)
    except SizeError as error:
        raise ConfigError(
            f"{error.why}; take --model perceptron, or let the environment show larger ones "
            "(gymnasium.wrappers.ResizeObservation)"
        ) from None


def _for_numbers(network: Model, inputs: Observations, outputs: Mapping[str, int]) -> nn.Module:
    """Raises ConfigError where it does not take rows of numbers."""
    try:
        return network.build(inputs, outputs)
    except ConfigError:
        name = registry.name_of(type(network)) or type(network).__name__
        if isinstance(network, (Perceptron, Own)):
            raise
        raise ConfigError(
            f"{name} does not take observations that are {inputs.shape[0]} numbers; take --model perceptron, or "
            "leave --model out"
        ) from None
