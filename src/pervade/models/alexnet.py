"""AlexNet (Krizhevsky et al. 2012; one column, arXiv:1404.5997), in the form and the names of torchvision: five
convolutions and three dense layers with dropout between."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from pervade.core import bounds
from pervade.core.contracts import Inputs, Model, Pixels, require
from pervade.core.registry import register
from pervade.nn.backbone import Backbone
from pervade.nn.trial import require_size
from pervade.weights.published import Published, torchvision_weights


@register("model")
@dataclass(frozen=True)
class AlexNet(Model):
    reads: ClassVar[str] = "pictures"
    dropout: bounds.Part = 0.5  # before each of the two inner dense layers

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        """Raises ConfigError where the pictures are smaller than 63 pixels."""
        seen = require(inputs, Pixels, "alexnet")
        channels = seen.shape[0]
        require_size("alexnet", lambda side: _convolutions(channels), seen)
        body = nn.Sequential(
            OrderedDict(
                features=_convolutions(channels),
                avgpool=nn.AdaptiveAvgPool2d(6),
                flatten=nn.Flatten(),
                classifier=nn.Sequential(
                    nn.Dropout(self.dropout),
                    nn.Linear(256 * 6 * 6, 4096),
                    nn.ReLU(inplace=True),
                    nn.Dropout(self.dropout),
                    nn.Linear(4096, 4096),
                    nn.ReLU(inplace=True),
                ),
            )
        )
        return Backbone(inputs, outputs, body, 4096)

    def published(self) -> Published:
        return torchvision_weights("AlexNet")


def _convolutions(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 64, 11, 4, 2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2),
    )
