"""DCGAN: a generator of transposed convolutions and a discriminator of strided ones (Radford, Metz & Chintala 2016,
arXiv:1511.06434), with as many stages as the picture's side asks for.

Other than in the paper a discriminator's layers are bounded by spectral normalisation (Miyato et al. 2018,
arXiv:1802.05957) unless `bound` says otherwise, and both are told the class where there are classes. The paper's own
network at 64 pixels has `width` 128, `noise` 100 and `bound` batch.

Axis letters: n pictures, z numbers of noise, c channels, h and w pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pervade.core.contracts import Canvas, Inputs, Model, require
from pervade.core.registry import register
from pervade.nn.adversaries import Adversaries, Bound, ClassBatchNorm, Projection, bounded, doublings

WIDEST = 8  # times the width of the stage next to the picture
SLOPE = 0.2  # of the discriminator's leaky rectifiers
L = TypeVar("L", nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


@register("model")
@dataclass(frozen=True)
class DCGAN(Model):
    reads: ClassVar[str] = "pictures to be made"
    task: ClassVar[str] = "adversarial-generation"
    # Filters of the stage next to the picture; each stage farther from it has twice as many, up to 8 times.
    width: Annotated[int, Field(ge=4, le=1024)] = 32
    noise: Annotated[int, Field(ge=1, le=4096)] = 128  # numbers that a picture is made from
    bound: Bound = "spectral"

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        """Raises ConfigError where no pictures are to be made, SizeError where they are of another size."""
        canvas = require(inputs, Canvas, "dcgan", "it goes with --task unconditional-image-generation")
        first, times = doublings("dcgan", canvas)
        widths = [self.width * min(2**stage, WIDEST) for stage in range(times)]
        generator = _Generator(canvas, widths, first, self.noise)
        return Adversaries(generator, _Discriminator(canvas, widths, first, self.bound), self.noise)


def _drawn(layer: L) -> L:
    """With first weights as in the paper."""
    nn.init.normal_(layer.weight, 0.0, 0.02)
    return layer


class _Generator(nn.Module):
    def __init__(self, canvas: Canvas, widths: list[int], first: int, noise: int) -> None:
        super().__init__()
        channels, classes = canvas.shape[0], canvas.classes
        self.first = (widths[-1], first, first)
        self.dense = _drawn(nn.Linear(noise, widths[-1] * first * first, bias=False))
        self.norms = nn.ModuleList(ClassBatchNorm(width, classes) for width in reversed(widths))
        sizes = [*reversed(widths), channels]
        self.convolutions = nn.ModuleList(
            _drawn(nn.ConvTranspose2d(before, after, 4, 2, 1, bias=last))
            for before, after, last in zip(sizes[:-1], sizes[1:], [*[False] * (len(widths) - 1), True], strict=True)
        )

    def forward(self, noise: Tensor, number: Tensor) -> Tensor:
        x = self.dense(noise).unflatten(1, self.first).contiguous(memory_format=torch.channels_last)
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            x = convolution(F.relu(norm(x, number)))
        return x.tanh()


class _Discriminator(nn.Module):
    def __init__(self, canvas: Canvas, widths: list[int], first: int, bound: Bound) -> None:
        super().__init__()
        sizes = [canvas.shape[0], *widths]
        normed = bound == "batch"  # but for the first stage, as in the paper
        self.stages = nn.ModuleList(
            nn.Sequential(
                bounded(_drawn(nn.Conv2d(before, after, 4, 2, 1, bias=not normed or stage == 0)), bound),
                nn.BatchNorm2d(after) if normed and stage else nn.Identity(),
                nn.LeakyReLU(SLOPE),
            )
            for stage, (before, after) in enumerate(pairwise(sizes))
        )
        self.head = Projection(widths[-1] * first * first, canvas.classes, bound)

    def forward(self, picture: Tensor, number: Tensor) -> Tensor:
        x = picture.contiguous(memory_format=torch.channels_last)
        for stage in self.stages:
            x = stage(x)
        score: Tensor = self.head(x.flatten(1), number)
        return score
