"""A network that acts: any other network behind what it has seen of observations and rewards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field
from torch import nn

from pervade.core.protocols import Model
from pervade.core.registry import register
from pervade.models.nature_cnn import NatureCNN
from pervade.models.perceptron import Perceptron
from pervade.nn.policy import PolicyNetwork


@register("model")
@dataclass(frozen=True)
class Policy(Model):
    """`network` None: nature-cnn for pictures, a perceptron for anything else."""

    network: Model | None = None
    normalise: bool = True  # numbers by what was seen of them so far; pictures are 0-1 as ever
    deviation: Annotated[float, Field(gt=0)] = 1.0  # of continuous actions at first, in units of the policy

    def build(self, inputs: Mapping[str, Any], outputs: Mapping[str, int]) -> nn.Module:
        pictures = len(inputs["shape"]) == 3
        network = self.network or (NatureCNN() if pictures else Perceptron())
        asked = {name: size for name, size in outputs.items() if name != "log_deviation"}
        built = network.build(inputs, asked)
        return PolicyNetwork(built, inputs["shape"], outputs, self.normalise and not pictures, self.deviation)
