"""The vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929), in the form and the names of torchvision: a
picture is a sequence of square patches, and a class token gathers what is seen.

Pictures of any size: what the last patches lack is filled with the mean colour. `patch` "auto" is 16 pixels, as in the
paper, for pictures of 128 and more, 8 from 64, and 4 below.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pervade.core.bounds import Part
from pervade.core.contracts import Inputs, Model, Pixels, require
from pervade.core.contracts.inputs import Size
from pervade.core.registry import register
from pervade.nn.backbone import Backbone
from pervade.weights.published import Published, torchvision_weights

# Width, blocks, attention heads (tiny and small: Touvron et al. 2021, arXiv:2012.12877).
SIZES = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12)}


@register("model", variants={f"vit-{size}": {"size": size} for size in SIZES})
@dataclass(frozen=True)
class ViT(Model):
    reads: ClassVar[str] = "pictures"
    size: Literal["tiny", "small", "base"] = "tiny"
    patch: Literal["auto", 2, 4, 8, 16, 32] = "auto"  # pixels, side of a patch
    blocks: Annotated[int, Field(ge=1, le=48)] = 12
    dropout: Part = 0.0  # inside the blocks and before the head

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        shape = require(inputs, Pixels, "vit").shape
        body = _Body(self, shape, self._patch(min(shape[1:])))
        return Backbone(inputs, outputs, body, SIZES[self.size][0], self.dropout)

    def _patch(self, side: int) -> int:
        if self.patch == "auto":
            return 16 if side >= 128 else 8 if side >= 64 else 4
        return self.patch

    def published(self) -> Published | None:
        if self.size != "base" or self.blocks != 12 or self.patch not in ("auto", 16, 32):
            return None
        return torchvision_weights("ViT_B_32" if self.patch == 32 else "ViT_B_16")


class _Body(nn.Module):
    """(n, c, h, w) to the class token after the last block, (n, d)."""

    def __init__(self, spec: ViT, shape: Size, patch: int) -> None:
        from torchvision.models.vision_transformer import Encoder

        super().__init__()
        width, _, heads = SIZES[spec.size]
        channels, height, breadth = shape
        self.patch = patch
        patches = math.ceil(height / patch) * math.ceil(breadth / patch)
        self.conv_proj = nn.Conv2d(channels, width, patch, patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.encoder = Encoder(patches + 1, spec.blocks, heads, width, 4 * width, spec.dropout, 0.0)
        nn.init.trunc_normal_(self.conv_proj.weight, std=math.sqrt(1 / (channels * patch * patch)))
        assert self.conv_proj.bias is not None
        nn.init.zeros_(self.conv_proj.bias)

    def forward(self, x: Tensor) -> Tensor:
        height, breadth = x.shape[2:]
        # The picture is normalised, so zero is the mean colour.
        x = F.pad(x, (0, -breadth % self.patch, 0, -height % self.patch))
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1)
        encoded: Tensor = self.encoder(x)
        return encoded[:, 0]
