"""Residual networks (He et al. 2015, arXiv:1512.03385), the form of torchvision.

`stem` "auto" takes the original 7x7 stride 2 and pooling for pictures of 128 pixels and more, and one 3x3 convolution
below 64, where the original would leave nothing to look at; between the two a 3x3 of stride 2 and no pooling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import nn
from torchvision.models import resnet as torchvision_resnet

from pervade.core.protocols import Model
from pervade.core.registry import register
from pervade.nn.backbone import Backbone

BLOCKS = {18: (2, 2, 2, 2)}


@register("model", variants={"resnet18": {"depth": 18}})
@dataclass(frozen=True)
class ResNet(Model):
    depth: Literal[18] = 18
    # Filters of the first stage; later ones have 2, 4 and 8 times as many. Below 16 the strided 1x1 convolution of a
    # shortcut crashes the process, channels last on processors with AVX-512 (torch 2.15, in oneDNN's backward).
    width: Annotated[int, Field(ge=16, multiple_of=8)] = 64
    stem: Literal["auto", "7x7", "3x3 stride 2", "3x3"] = "auto"

    def build(self, inputs: Mapping[str, Any], outputs: Mapping[str, int]) -> nn.Module:
        channels, side = inputs["shape"][0], min(inputs["shape"][1:])
        return Backbone(inputs, outputs, _body(self, channels, side), 8 * self.width)


def _body(spec: ResNet, channels: int, side: int) -> nn.Module:
    width, stem = spec.width, spec.stem
    if stem == "auto":
        stem = "7x7" if side >= 128 else "3x3 stride 2" if side >= 64 else "3x3"
    first: list[nn.Module]
    if stem == "7x7":
        first = [nn.Conv2d(channels, width, 7, 2, 3, bias=False)]
    else:
        first = [nn.Conv2d(channels, width, 3, 2 if "stride" in stem else 1, 1, bias=False)]
    first += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    if stem == "7x7":
        first.append(nn.MaxPool2d(3, 2, 1))
    stages: list[nn.Module] = []
    before = width
    for number, blocks in enumerate(BLOCKS[spec.depth]):
        planes = width * 2**number
        for block in range(blocks):
            stride = 2 if number > 0 and block == 0 else 1
            shortcut = None
            if stride != 1 or before != planes:
                shortcut = nn.Sequential(nn.Conv2d(before, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))
            stages.append(torchvision_resnet.BasicBlock(before, planes, stride, shortcut))
            before = planes
    body = nn.Sequential(*first, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for module in body.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return body
