"""Inception v3 (Szegedy et al. 2015, arXiv:1512.00567), in the form and the names of torchvision.

While training a second head looks at the maps in the middle: the output "auxiliary", whose loss the task adds at 0.4.
It helps the lower half to learn; evaluation leaves it out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from pervade.core.bounds import Part
from pervade.core.contracts import Inputs, Model, Pixels, require
from pervade.core.registry import register
from pervade.core.types import Output
from pervade.nn.backbone import Backbone
from pervade.nn.trial import require_size
from pervade.weights.published import Published, torchvision_weights

TAP = "Mixed_6e"  # the block after which the auxiliary head looks


@register("model", variants={"inception-v3": {}})
@dataclass(frozen=True)
class Inception(Model):
    reads: ClassVar[str] = "pictures"
    auxiliary: bool = True  # the second head while training
    dropout: Part = 0.5  # before the head

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        """Raises ConfigError where the pictures are smaller than 75 pixels. It was made for 299."""
        seen = require(inputs, Pixels, "inception")
        require_size("inception", lambda side: _body(seen.shape[0]), seen)
        return _Network(self, seen, outputs)

    @property
    def side(self) -> int:
        return 299

    def published(self) -> Published:
        # Those weights expect pixels of (x - 0.5) / 0.5: torchvision turns ImageNet's normalisation into it first.
        return torchvision_weights("Inception_V3", mean=(0.5,) * 3, deviation=(0.5,) * 3)


class _Network(Backbone):
    def __init__(self, spec: Inception, inputs: Pixels, outputs: Mapping[str, int]) -> None:
        super().__init__(inputs, outputs, _body(inputs.shape[0]), 2048, spec.dropout)
        if spec.auxiliary and "logits" in outputs:
            self.head["auxiliary"] = _Auxiliary(768, outputs["logits"])

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Output:
        if "auxiliary" not in self.head or not self.training or input.ndim == 2 or self.normalise is None:
            features = input if input.ndim == 2 else self.features(input)
            maps = None
        else:
            maps, features = input, self.normalise(input)
            for name, block in self.body.named_children():
                features = block(features)
                if name == TAP:
                    maps = features
        features = self.dropout(features)
        output = {name: head(features) for name, head in self.head.items() if name != "auxiliary"}
        return output if maps is None else {**output, "auxiliary": self.head["auxiliary"](maps)}


class _Auxiliary(nn.Module):
    def __init__(self, channels: int, classes: int) -> None:
        from torchvision.models.inception import BasicConv2d

        super().__init__()
        self.conv0 = BasicConv2d(channels, 128, kernel_size=1)
        self.conv1 = BasicConv2d(128, 768, kernel_size=5)
        self.fc = nn.Linear(768, classes)
        nn.init.trunc_normal_(self.conv1.conv.weight, std=0.01)
        nn.init.trunc_normal_(self.fc.weight, std=0.001)

    def forward(self, x: Tensor) -> Tensor:
        # 17 x 17 maps, of pictures of 299 pixels, become 5 x 5; of smaller pictures, too, whatever their maps.
        x = F.avg_pool2d(x, 5, 3) if min(x.shape[2:]) >= 17 else F.adaptive_avg_pool2d(x, 5)
        return self.fc(F.adaptive_avg_pool2d(self.conv1(self.conv0(x)), 1).flatten(1))


def _body(channels: int) -> nn.Module:
    from torchvision.models.inception import BasicConv2d, InceptionA, InceptionB, InceptionC, InceptionD, InceptionE

    parts: OrderedDict[str, nn.Module] = OrderedDict(
        Conv2d_1a_3x3=BasicConv2d(channels, 32, kernel_size=3, stride=2),
        Conv2d_2a_3x3=BasicConv2d(32, 32, kernel_size=3),
        Conv2d_2b_3x3=BasicConv2d(32, 64, kernel_size=3, padding=1),
        maxpool1=nn.MaxPool2d(3, 2),
        Conv2d_3b_1x1=BasicConv2d(64, 80, kernel_size=1),
        Conv2d_4a_3x3=BasicConv2d(80, 192, kernel_size=3),
        maxpool2=nn.MaxPool2d(3, 2),
        Mixed_5b=InceptionA(192, pool_features=32),
        Mixed_5c=InceptionA(256, pool_features=64),
        Mixed_5d=InceptionA(288, pool_features=64),
        Mixed_6a=InceptionB(288),
        Mixed_6b=InceptionC(768, channels_7x7=128),
        Mixed_6c=InceptionC(768, channels_7x7=160),
        Mixed_6d=InceptionC(768, channels_7x7=160),
        Mixed_6e=InceptionC(768, channels_7x7=192),
        Mixed_7a=InceptionD(768),
        Mixed_7b=InceptionE(1280),
        Mixed_7c=InceptionE(2048),
        avgpool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
    )
    body = nn.Sequential(parts)
    for module in body.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return body
