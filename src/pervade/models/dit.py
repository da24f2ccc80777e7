"""The diffusion transformer (Peebles & Xie 2023, arXiv:2212.09748): a noisy picture is a sequence of square patches,
and time and class stretch and move what every block is given and gives ("adaLN-Zero": at first it gives nothing).

Pictures of any size: sides are filled up to whole patches.

Axis letters: n rows, t patches, d width.
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

from pervade.core.bounds import Blocks, Heads, Part
from pervade.core.contracts import Canvas, Inputs, Model, require
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.nn.denoising import SLOWEST, Denoiser, Moment, attended

WAVES = 256  # numbers of a time's embedding
EPSILON = 1e-6  # of layer normalisation


@register("model", variants={"dit-tiny": {"width": 128, "blocks": 4, "heads": 4}, "dit-small": {"width": 384}})
@dataclass(frozen=True)
class DiT(Model):
    reads: ClassVar[str] = "pictures to be made"
    task: ClassVar[str] = "denoise"
    patch: Literal[1, 2, 4, 8] = 4  # pixels, side of a patch
    width: Annotated[int, Field(ge=16, le=16_384, multiple_of=4)] = 192  # numbers of each patch
    blocks: Blocks = 8
    heads: Heads = 6
    dropout: Part = 0.0

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"model.heads {self.heads} must divide model.width {self.width}")

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        """Raises ConfigError where no pictures are to be made."""
        canvas = require(inputs, Canvas, "dit", "it goes with --task unconditional-image-generation")
        return Denoiser(canvas, _Body(self, canvas))


class _Body(nn.Module):
    places: Tensor

    def __init__(self, spec: DiT, canvas: Canvas) -> None:
        super().__init__()
        channels, height, width = canvas.shape
        self.patch, numbers = spec.patch, channels * spec.patch**2
        self.told = Moment(WAVES, spec.width, canvas.classes)
        self.into = nn.Linear(numbers, spec.width)
        self.register_buffer("places", places(-(-height // spec.patch), -(-width // spec.patch), spec.width), False)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.blocks))
        self.norm = nn.LayerNorm(spec.width, EPSILON, elementwise_affine=False)
        self.modulation = nn.Linear(spec.width, 2 * spec.width)
        self.out = nn.Linear(spec.width, numbers)
        for block in self.blocks:
            nn.init.xavier_uniform_(block.into.weight)  # type: ignore[union-attr, arg-type]
        for last in (self.modulation, self.out, *(block.modulation for block in self.blocks)):
            nn.init.zeros_(last.weight)  # type: ignore[union-attr, arg-type]
            nn.init.zeros_(last.bias)  # type: ignore[union-attr, arg-type]

    def forward(self, input: Mapping[str, Tensor]) -> Tensor:
        pixels = input["pixels"]
        height, width = pixels.shape[2:]
        told = F.silu(self.told(input))
        x = F.pixel_unshuffle(F.pad(pixels, (0, -width % self.patch, 0, -height % self.patch)), self.patch)
        rows, columns = x.shape[2:]
        x = self.into(x.flatten(2).transpose(1, 2)) + self.places
        for block in self.blocks:
            x = block(x, told)
        shift, scale = self.modulation(told)[:, None].chunk(2, 2)
        x = self.out(torch.addcmul(shift, self.norm(x), 1 + scale)).transpose(1, 2)
        return F.pixel_shuffle(x.unflatten(2, (rows, columns)), self.patch)[:, :, :height, :width]


class Block(nn.Module):
    """(n, t, d) and what is told, (n, d), to (n, t, d)."""

    def __init__(self, spec: DiT) -> None:
        super().__init__()
        self.heads, width = spec.heads, spec.width
        self.modulation = nn.Linear(width, 6 * width)
        self.norm = nn.LayerNorm(width, EPSILON, elementwise_affine=False)
        self.into, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Dropout(spec.dropout), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        shift, scale, gate, shift_feed, scale_feed, gate_feed = self.modulation(told)[:, None].chunk(6, 2)
        n, t, d = x.shape
        y = self.into(torch.addcmul(shift, self.norm(x), 1 + scale)).view(n, t, 3, self.heads, d // self.heads)
        y = attended(*y.permute(2, 0, 3, 1, 4)).transpose(1, 2).reshape(n, t, d)
        x = x + gate * self.out(y)
        return x + gate_feed * self.feed(torch.addcmul(shift_feed, self.norm(x), 1 + scale_feed))


def places(rows: int, columns: int, width: int) -> Tensor:
    """(rows * columns, width): where each patch lies, as waves down and across."""
    rate = [math.exp(-math.log(SLOWEST) * place / (width // 4)) for place in range(width // 4)]
    parts = []
    for place in (torch.arange(rows).repeat_interleave(columns), torch.arange(columns).repeat(rows)):
        angle = torch.outer(place.float(), torch.tensor(rate))
        parts += [angle.sin(), angle.cos()]
    return torch.cat(parts, 1)
