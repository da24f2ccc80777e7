"""A perceptron for observations that are a few numbers, with layers of its own for every output."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from pervade.core.bounds import Layers
from pervade.core.contracts import Inputs, Model, Observations, Pixels
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Output
from pervade.nn.stacked_perceptrons import StackedPerceptrons

# Policies begin nearly undecided (Andrychowicz et al. 2021).
GAINS = {"logits": 0.01, "mean": 0.01}


@register("model")
@dataclass(frozen=True)
class Perceptron(Model):
    """Inputs of any shape are read as one row of numbers."""

    reads: ClassVar[str] = "what an environment shows"
    units: Layers = (64, 64)
    activation: Literal["tanh", "relu", "elu"] = "tanh"
    separate: bool = True  # a body for each output; False: one for all

    def __post_init__(self) -> None:
        if not self.units or min(self.units) < 1:
            raise ConfigError(f"units {list(self.units)}: a perceptron needs layers of at least one unit")

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        if not isinstance(inputs, (Pixels, Observations)):
            raise ConfigError(f"perceptron reads numbers, not {inputs.called}; take another of `pervade models`")
        size = math.prod(inputs.shape)
        network = StackedPerceptrons(size, outputs, self.units, self.activation, self.separate, GAINS)
        return network if len(inputs.shape) == 1 else _Flat(network)


class _Flat(nn.Module):
    def __init__(self, perceptrons: StackedPerceptrons) -> None:
        super().__init__()
        self.add_module("twin", perceptrons)  # as checkpoints name its weights

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Output:
        return self.get_submodule("twin")(input.flatten(1))
