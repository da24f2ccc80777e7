"""MobileNet: separable convolutions, small and quick on processors.

`version` v1 is Howard et al. 2017 (arXiv:1704.04861), with a slope for LeakyReLU; v2 Sandler et al. 2018
(arXiv:1801.04381) and v3 Howard et al. 2019 (arXiv:1905.02244), both in the form and the names of torchvision.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import nn

from pervade.core import bounds
from pervade.core.contracts import Inputs, Model, Pixels, require
from pervade.core.registry import register
from pervade.nn.backbone import Backbone
from pervade.weights.published import Published, torchvision_weights

# v1: filters (before the width multiplier) and stride of each separable convolution, by stage.
STAGES = (
    ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)),
    ((512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1)),
    ((1024, 2), (1024, 1)),
)
VARIANTS: dict[str, dict[str, Any]] = {
    "mobilenet-v1": {"version": "v1"},
    "mobilenet-v1-0.25": {"version": "v1", "width": 0.25, "slope": 0.1},
    "mobilenet-v2": {"version": "v2"},
    "mobilenet-v3-small": {"version": "v3-small"},
    "mobilenet-v3-large": {"version": "v3-large"},
}


@register("model", variants=VARIANTS)
@dataclass(frozen=True)
class MobileNet(Model):
    reads: ClassVar[str] = "pictures"
    version: Literal["v1", "v2", "v3-small", "v3-large"] = "v1"
    width: Annotated[float, Field(ge=0.05, le=4)] = 1.0  # times as many filters as in the paper
    slope: bounds.Part = 0.0  # v1: of LeakyReLU below zero; 0: ReLU
    dropout: bounds.Part = 0.0  # before the head

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        body, features = _BODIES[self.version](self, require(inputs, Pixels, "mobilenet").shape[0])
        return Backbone(inputs, outputs, body, features, self.dropout)

    def published(self) -> Published | None:
        if self.width != 1 or self.version == "v1":
            return None
        return torchvision_weights(f"MobileNet_{self.version.replace('-', '_').title()}")


def _first(spec: MobileNet, channels: int) -> tuple[nn.Module, int]:
    def filters(number: int) -> int:
        return max(int(number * spec.width), 1)

    def activation() -> nn.Module:
        return nn.LeakyReLU(spec.slope, inplace=True) if spec.slope else nn.ReLU(inplace=True)

    def separable(before: int, after: int, stride: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(before, before, 3, stride, 1, groups=before, bias=False),
            nn.BatchNorm2d(before),
            activation(),
            nn.Conv2d(before, after, 1, bias=False),
            nn.BatchNorm2d(after),
            activation(),
        )

    before = filters(32)
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    blocks: list[nn.Module] = [
        nn.Sequential(nn.Conv2d(channels, before, 3, 2, 1, bias=False), nn.BatchNorm2d(before), activation())
    ]
    for number, stage in enumerate(STAGES, 1):
        for planes, stride in stage:
            blocks.append(separable(before, filters(planes), stride))
            before = filters(planes)
        parts[f"stage{number}"] = nn.Sequential(*blocks)
        blocks = []
    body = nn.Sequential(parts | {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()})
    for module in body.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, spec.slope, mode="fan_out")
    return body, before


def _second(spec: MobileNet, channels: int) -> tuple[nn.Module, int]:
    from torchvision.models import mobilenetv2

    return _from_torchvision(mobilenetv2.MobileNetV2(width_mult=spec.width), channels)


def _third(spec: MobileNet, channels: int) -> tuple[nn.Module, int]:
    from torchvision.models import mobilenetv3

    settings, last = mobilenetv3._mobilenet_v3_conf(f"mobilenet_{spec.version.replace('-', '_')}", spec.width)
    return _from_torchvision(mobilenetv3.MobileNetV3(settings, last), channels)


def _from_torchvision(network: Any, channels: int) -> tuple[nn.Module, int]:
    """The network without the last of its dense layers and the dropout before it; grey pictures get a first
    convolution of one channel."""
    first = network.features[0][0]
    if channels != first.in_channels:
        new = nn.Conv2d(channels, first.out_channels, first.kernel_size, first.stride, first.padding, bias=False)
        nn.init.kaiming_normal_(new.weight, mode="fan_out")
        network.features[0][0] = new
    features: int = network.classifier[-1].in_features
    parts = OrderedDict(features=network.features, avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten())
    dense = [module for module in network.classifier[:-1] if not isinstance(module, nn.Dropout)]
    if dense:
        parts["classifier"] = nn.Sequential(*dense)
    return nn.Sequential(parts), features


_BODIES = {"v1": _first, "v2": _second, "v3-small": _third, "v3-large": _third}
