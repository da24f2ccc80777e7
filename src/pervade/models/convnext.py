"""ConvNeXt (Liu et al. 2022, arXiv:2201.03545), in the form and the names of torchvision; atto to nano are sizes for
small data and processors (Woo et al. 2023, arXiv:2301.00808).

`patch` "auto" is 4, as in the paper, for pictures of 128 pixels and more, 2 from 64, and 1 below: it keeps the stages'
maps from shrinking to nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

from torch import nn

from pervade.core.bounds import Part
from pervade.core.contracts import Inputs, Model, Pixels, require
from pervade.core.registry import register
from pervade.nn.backbone import Backbone
from pervade.nn.trial import require_size
from pervade.weights.published import Published, torchvision_weights

# Filters of the first stage (doubled in each further one), and blocks of the four stages.
SIZES = {
    "atto": (40, (2, 2, 6, 2)),
    "femto": (48, (2, 2, 6, 2)),
    "pico": (64, (2, 2, 6, 2)),
    "nano": (80, (2, 2, 8, 2)),
    "tiny": (96, (3, 3, 9, 3)),
    "small": (96, (3, 3, 27, 3)),
    "base": (128, (3, 3, 27, 3)),
}
PUBLISHED = ("tiny", "small", "base")


@register("model", variants={f"convnext-{size}": {"size": size} for size in SIZES})
@dataclass(frozen=True)
class ConvNeXt(Model):
    reads: ClassVar[str] = "pictures"
    size: Literal["atto", "femto", "pico", "nano", "tiny", "small", "base"] = "tiny"
    patch: Literal["auto", 1, 2, 4] = "auto"  # pixels, side of the first convolution's squares
    stochastic_depth: Part = 0.0  # probability of leaving the last block out in training
    dropout: Part = 0.0  # before the head

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        """Raises ConfigError where the pictures are smaller than eight patches."""
        seen = require(inputs, Pixels, "convnext")
        channels, side = seen.shape[0], min(seen.shape[1:])
        patch = self._patch(side)
        require_size(f"convnext with patches of {patch}", lambda _: _body(self, channels, patch), seen)
        return Backbone(inputs, outputs, _body(self, channels, patch), 8 * SIZES[self.size][0], self.dropout)

    def _patch(self, side: int) -> int:
        if self.patch == "auto":
            return 4 if side >= 128 else 2 if side >= 64 else 1
        return self.patch

    def published(self) -> Published | None:
        return torchvision_weights(f"ConvNeXt_{self.size.title()}") if self.size in PUBLISHED else None


def _body(spec: ConvNeXt, channels: int, patch: int) -> nn.Module:
    from torchvision.models.convnext import CNBlock, LayerNorm2d

    width, depths = SIZES[spec.size]
    norm = partial(LayerNorm2d, eps=1e-6)
    features: list[nn.Module] = [nn.Sequential(nn.Conv2d(channels, width, patch, patch), norm(width))]
    done, last = 0, max(sum(depths) - 1, 1)
    for number, blocks in enumerate(depths):
        planes = width * 2**number
        if number:
            features.append(nn.Sequential(norm(planes // 2), nn.Conv2d(planes // 2, planes, 2, 2)))
        chances = [spec.stochastic_depth * (done + block) / last for block in range(blocks)]
        features.append(nn.Sequential(*(CNBlock(planes, 1e-6, chance) for chance in chances)))
        done += blocks
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        features=nn.Sequential(*features),
        avgpool=nn.AdaptiveAvgPool2d(1),
        classifier=nn.Sequential(norm(8 * width), nn.Flatten()),
    )
    body = nn.Sequential(parts)
    for module in body.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return body
