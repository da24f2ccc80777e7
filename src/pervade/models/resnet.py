"""Residual networks of 10 to 50 layers (He et al. 2015, arXiv:1512.03385), in the form and the names of torchvision.

`stem` "auto" takes the original 7x7 stride 2 and pooling for pictures of 128 pixels and more, and one 3x3 convolution
below 64, where the original would leave nothing to look at; between the two a 3x3 of stride 2 and no pooling.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from pervade.core.bounds import Part
from pervade.core.contracts import Inputs, Model, Pixels, require
from pervade.core.registry import register
from pervade.nn.backbone import Backbone
from pervade.weights.published import Published, torchvision_weights

BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


@register("model", variants={f"resnet{depth}": {"depth": depth} for depth in BLOCKS})
@dataclass(frozen=True)
class ResNet(Model):
    reads: ClassVar[str] = "pictures"
    depth: Literal[10, 18, 34, 50] = 18  # 50 is of bottlenecks: 1x1, 3x3, 1x1
    # Filters of the first stage; later ones have 2, 4 and 8 times as many (in bottlenecks four times that).
    width: Annotated[int, Field(ge=8, le=2048, multiple_of=8)] = 64
    stem: Literal["auto", "7x7", "3x3 stride 2", "3x3"] = "auto"
    # How a shortcut halves the picture: a 1x1 convolution that looks at every fourth pixel, or one behind the mean of
    # each four ("ResNet-D", He et al. 2018, arXiv:1812.01187).
    shortcut: Literal["strided", "pooled"] = "strided"
    dropout: Part = 0.0  # before the head

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        channels, *sides = require(inputs, Pixels, "resnet").shape
        return Backbone(
            inputs, outputs, _body(self, channels, min(sides)), 8 * self.width * self.expansion, self.dropout
        )

    @property
    def expansion(self) -> int:
        return 4 if self.depth == 50 else 1

    def published(self) -> Published | None:
        if self.width != 64 or self.depth == 10 or self.shortcut != "strided":
            return None
        return torchvision_weights(f"ResNet{self.depth}")


class _Block(nn.Module):
    """Two 3x3 convolutions, or the three of a bottleneck, and a shortcut around them. As torchvision's, whose import
    takes more than a second."""

    def __init__(self, before: int, planes: int, stride: int, shortcut: nn.Module | None, bottleneck: bool) -> None:
        super().__init__()
        basic = ((3, planes, stride), (3, planes, 1))  # side, filters, stride
        layers = ((1, planes, 1), (3, planes, stride), (1, 4 * planes, 1)) if bottleneck else basic
        for number, (side, filters, step) in enumerate(layers, 1):
            self.add_module(f"conv{number}", nn.Conv2d(before, filters, side, step, side // 2, bias=False))
            self.add_module(f"bn{number}", nn.BatchNorm2d(filters))
            before = filters
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut
        self.last = len(layers)

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for number in range(1, self.last + 1):
            out = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(out))
            if number == self.last:
                out += x if self.downsample is None else self.downsample(x)
            out = self.relu(out)
        return out


def _shortcut(spec: ResNet, before: int, after: int, stride: int) -> nn.Sequential:
    if spec.shortcut == "pooled" and stride > 1:
        pool = nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False)
        return nn.Sequential(pool, nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after))
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))


def _body(spec: ResNet, channels: int, side: int) -> nn.Module:
    width, stem = spec.width, spec.stem
    if stem == "auto":
        stem = "7x7" if side >= 128 else "3x3 stride 2" if side >= 64 else "3x3"
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if stem == "7x7":
        parts["conv1"] = nn.Conv2d(channels, width, 7, 2, 3, bias=False)
    else:
        parts["conv1"] = nn.Conv2d(channels, width, 3, 2 if "stride" in stem else 1, 1, bias=False)
    parts["bn1"], parts["relu"] = nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    if stem == "7x7":
        parts["maxpool"] = nn.MaxPool2d(3, 2, 1)
    before = width
    for number, blocks in enumerate(BLOCKS[spec.depth]):
        planes = width * 2**number
        stage: list[nn.Module] = []
        for block in range(blocks):
            stride = 2 if number > 0 and block == 0 else 1
            after = planes * spec.expansion
            shortcut = None
            if stride != 1 or before != after:
                shortcut = _shortcut(spec, before, after, stride)
            stage.append(_Block(before, planes, stride, shortcut, spec.expansion > 1))
            before = after
        parts[f"layer{number + 1}"] = nn.Sequential(*stage)
    body = nn.Sequential(parts | {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()})
    for module in body.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return body
