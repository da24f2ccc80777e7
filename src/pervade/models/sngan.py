"""SNGAN: a residual generator and a residual discriminator whose layers are bounded by spectral normalisation (Miyato
et al. 2018, arXiv:1802.05957, appendix B.4), told the class where there are classes (Miyato & Koyama 2018,
arXiv:1802.05637). As in their networks for ImageNet each halving of a map doubles the filters.

Axis letters: n pictures, z numbers of noise, c channels, h and w pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pervade.core.contracts import Canvas, Inputs, Model, require
from pervade.core.registry import register
from pervade.nn.adversaries import Adversaries, Bound, ClassBatchNorm, Projection, bounded, doublings

WIDEST = 16  # times the width of the stage next to the picture


@register("model")
@dataclass(frozen=True)
class SNGAN(Model):
    reads: ClassVar[str] = "pictures to be made"
    task: ClassVar[str] = "adversarial-generation"
    # Filters of the stage next to the picture; each stage farther from it has twice as many, up to 16 times.
    width: Annotated[int, Field(ge=4, le=1024)] = 16
    noise: Annotated[int, Field(ge=1, le=4096)] = 128  # numbers that a picture is made from
    bound: Bound = "spectral"

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        """Raises ConfigError where no pictures are to be made, SizeError where they are of another size."""
        canvas = require(inputs, Canvas, "sngan", "it goes with --task unconditional-image-generation")
        first, times = doublings("sngan", canvas)
        widths = [self.width * min(2**stage, WIDEST) for stage in range(times + 1)]
        generator = _Generator(canvas, widths, first, self.noise)
        return Adversaries(generator, _Discriminator(canvas, widths[:-1], self.bound), self.noise)


def _convolution(before: int, after: int, side: int, bound: Bound = "none") -> nn.Module:
    """Of which a residual block's two have larger first weights than its shortcut, as in the authors' code."""
    layer = nn.Conv2d(before, after, side, padding=side // 2)
    nn.init.xavier_uniform_(layer.weight, 2**0.5 if side > 1 else 1.0)
    return bounded(layer, bound)


class _Up(nn.Module):
    """Twice the side: normalise, rectify, double, convolve, and once more without doubling, beside a shortcut."""

    def __init__(self, before: int, after: int, classes: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(ClassBatchNorm(width, classes) for width in (before, after))
        self.convolutions = nn.ModuleList([_convolution(before, after, 3), _convolution(after, after, 3)])
        self.shortcut = _convolution(before, after, 1)

    def forward(self, x: Tensor, number: Tensor) -> Tensor:
        h = self.convolutions[0](_doubled(F.relu(self.norms[0](x, number))))
        h = self.convolutions[1](F.relu(self.norms[1](h, number)))
        return h + _doubled(self.shortcut(x))


class _Down(nn.Module):
    """Half the side where it is not the last: rectify and convolve twice, and the mean of each four pixels. The `first`
    sees pictures, which are not rectified."""

    def __init__(self, before: int, after: int, bound: Bound, first: bool = False, last: bool = False) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList([_convolution(before, after, 3, bound), _convolution(after, after, 3, bound)])
        self.shortcut = nn.Identity() if before == after else _convolution(before, after, 1, bound)
        self.first, self.last = first, last

    def forward(self, x: Tensor) -> Tensor:
        h = self.convolutions[0](x if self.first else F.relu(x))
        h = self.convolutions[1](F.relu(h))
        if self.last:
            return h + self.shortcut(x)
        return F.avg_pool2d(h, 2) + self.shortcut(F.avg_pool2d(x, 2))


class _Generator(nn.Module):
    def __init__(self, canvas: Canvas, widths: list[int], first: int, noise: int) -> None:
        super().__init__()
        sizes = list(reversed(widths))
        self.first = (sizes[0], first, first)
        self.dense = nn.Linear(noise, sizes[0] * first * first)
        nn.init.xavier_uniform_(self.dense.weight)
        self.blocks = nn.ModuleList(_Up(before, after, canvas.classes) for before, after in pairwise(sizes))
        self.norm = nn.BatchNorm2d(sizes[-1])
        self.last = _convolution(sizes[-1], canvas.shape[0], 3)

    def forward(self, noise: Tensor, number: Tensor) -> Tensor:
        x = self.dense(noise).unflatten(1, self.first).contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = block(x, number)
        picture: Tensor = self.last(F.relu(self.norm(x))).tanh()
        return picture


class _Discriminator(nn.Module):
    def __init__(self, canvas: Canvas, widths: list[int], bound: Bound) -> None:
        super().__init__()
        sizes = [canvas.shape[0], *widths]
        pairs = list(enumerate(pairwise(sizes)))
        self.blocks = nn.ModuleList(_Down(before, after, bound, first=stage == 0) for stage, (before, after) in pairs)
        self.blocks.append(_Down(widths[-1], widths[-1], bound, last=True))
        self.head = Projection(widths[-1], canvas.classes, bound)

    def forward(self, picture: Tensor, number: Tensor) -> Tensor:
        x = picture.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = block(x)
        score: Tensor = self.head(F.relu(x).sum((2, 3)), number)
        return score


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
