"""A network for pictures of up to about 48 pixels, at their own size: three stages of two 3x3 convolutions each, halved
by a maximum between the two.

In the manner of the fastest ones for 32 x 32 pixels (Page 2018, "How to train your ResNet"; Jordan 2024,
arXiv:2404.00498): few layers, wide early, normalised after the maximum so that little is computed at full size, and the
strongest answer of all places as feature. It takes any size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field
from torch import nn

from pervade.core.bounds import Part
from pervade.core.contracts import Inputs, Model, Pixels, require
from pervade.core.registry import register
from pervade.nn.backbone import Backbone

STAGES = (1, 2, 4)  # times the width


@register("model")
@dataclass(frozen=True)
class SmallCNN(Model):
    reads: ClassVar[str] = "pictures"
    width: Annotated[int, Field(ge=8, le=1024, multiple_of=8)] = (
        32  # filters of the first stage, twice as many in each later
    )
    dropout: Part = 0.0  # before the head

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        channels = require(inputs, Pixels, "small-cnn").shape[0]
        return Backbone(inputs, outputs, _body(self.width, channels), STAGES[-1] * self.width, self.dropout)


def _convolution(before: int, after: int, halved: bool = False) -> list[nn.Module]:
    """What is normalised has no need of a bias. A picture of an odd number of pixels is halved up."""
    layers: list[nn.Module] = [nn.Conv2d(before, after, 3, padding=1, bias=False)]
    if halved:
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
    return [*layers, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]


def _body(width: int, channels: int) -> nn.Module:
    stem = width // 2
    stages: list[nn.Module] = [nn.Sequential(*_convolution(channels, stem))]
    before = stem
    for factor in STAGES:
        after = factor * width
        stages.append(nn.Sequential(*_convolution(before, after, halved=True), *_convolution(after, after)))
        before = after
    body = nn.Sequential(*stages, nn.AdaptiveMaxPool2d(1), nn.Flatten())
    for module in body.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return body
