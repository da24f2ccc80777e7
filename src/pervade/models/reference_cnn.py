"""The plain convolutional network that people write first: convolutions of 32, 64 and 128 filters 3x3 with ReLU,
2x2 max-pooling after the first two, a dense layer of 128, and the output.

Pooling comes before ReLU: both are monotone, so the order does not change the result, and ReLU then sees a quarter of
the numbers. The dense layer reads the pixels channels last, the order they already have in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from pervade.core.bounds import Filters, Units
from pervade.core.contracts import Inputs, Model, Pixels, require
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.nn.backbone import Backbone

SMALLEST = 8  # pixels: smaller pictures are used up before the last convolution


@register("model")
@dataclass(frozen=True)
class ReferenceCNN(Model):
    reads: ClassVar[str] = "pictures"
    filters: tuple[Filters, Filters, Filters] = (32, 64, 128)
    dense: Units = 128

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        """Raises ConfigError where the pictures are too small."""
        channels, height, width = require(inputs, Pixels, "reference-cnn").shape
        if min(height, width) < SMALLEST:
            raise ConfigError(
                f"reference-cnn needs pictures of at least {SMALLEST} x {SMALLEST} pixels, "
                f"not {height} x {width}; set -o domain.size={SMALLEST} or more"
            )
        return Backbone(inputs, outputs, _Body(self, channels, height, width), self.dense)


class _Body(nn.Module):
    def __init__(self, spec: ReferenceCNN, channels: int, height: int, width: int) -> None:
        super().__init__()
        first, second, third = spec.filters
        self.convolution1 = nn.Conv2d(channels, first, 3, padding=1)
        self.convolution2 = nn.Conv2d(first, second, 3, padding=1)
        self.convolution3 = nn.Conv2d(second, third, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.relu = nn.ReLU(inplace=True)
        self.dense = nn.Linear(third * (height // 4) * (width // 4), spec.dense)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.pool(self.convolution1(x)))
        x = self.relu(self.pool(self.convolution2(x)))
        x = self.relu(self.convolution3(x))
        x = x.permute(0, 2, 3, 1).flatten(1)
        return self.relu(self.dense(x))
