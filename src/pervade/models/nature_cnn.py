"""The network that learnt Atari games from their screens (Mnih et al. 2015, "Human-level control through deep
reinforcement learning", Nature 518): three convolutions and a dense layer, here before one head an output."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pervade.core.bounds import Filters, Units
from pervade.core.contracts import Inputs, Model, Pixels, require
from pervade.core.registry import register
from pervade.models.perceptron import GAINS
from pervade.nn.backbone import Backbone
from pervade.nn.trial import require_size

LAYERS = ((8, 4), (4, 2), (3, 1))  # kernel, stride


@register("model", variants={"nature-cnn-small": {"channels": (16, 32, 32), "units": 256}})
@dataclass(frozen=True)
class NatureCNN(Model):
    reads: ClassVar[str] = "pictures"
    channels: tuple[Filters, Filters, Filters] = (32, 64, 64)
    units: Units = 512

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        seen = require(inputs, Pixels, "nature-cnn")
        depth, height, width = seen.shape
        require_size("nature-cnn", lambda side: _Body(depth, side, side, self.channels, 1), seen)
        body = _Body(depth, height, width, self.channels, self.units)
        network = Backbone(inputs, outputs, body, self.units)
        for name, module in network.named_modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                head = name.rpartition(".")[2] if name.startswith("head.") else None
                nn.init.orthogonal_(module.weight, GAINS.get(head, 1.0) if head else math.sqrt(2))
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        return network


class _Body(nn.Module):
    def __init__(self, depth: int, height: int, width: int, channels: tuple[int, int, int], units: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for out, (kernel, stride) in zip(channels, LAYERS, strict=True):
            layers += [nn.Conv2d(depth, out, kernel, stride), nn.ReLU()]
            depth, height, width = out, (height - kernel) // stride + 1, (width - kernel) // stride + 1
        if min(height, width) < 1:
            raise ValueError("nothing of the picture is left after the convolutions")
        self.convolutions = nn.Sequential(*layers)
        self.dense = nn.Linear(depth * height * width, units)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.dense(self.convolutions(x).flatten(1)))
