"""What networks are made of that learn against each other (Goodfellow et al. 2014, arXiv:1406.2661): a generator of
pictures, and the discriminator that is to tell what it makes from real ones.

Both may be told what a picture is of. Inside pictures are -1..1, c x h x w.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from pervade.core.contracts import Canvas
from pervade.core.errors import SizeError
from pervade.core.types import Output

Bound: TypeAlias = Literal["spectral", "batch", "none"]  # what keeps a discriminator's layers from growing
SMALLEST_MAPS = (4, 7)  # pixels a side, which are doubled
LARGEST = 128  # pixels a side


class Adversaries(nn.Module):
    """{"noise" (n, z), "class" (n,) int64} to "picture" (n, c, h, w) of 0-1, which is what the generator makes.

    `generator(noise, number)` gives pictures of -1..1; `discriminator(picture, number)` (n,) is the larger, the more it
    takes them for real. `noise` is z.
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module, noise: int) -> None:
        super().__init__()
        self.generator, self.discriminator, self.noise = generator, discriminator, noise

    def forward(self, input: Output, mask: Tensor | None = None) -> Output:
        return {"picture": (self.generator(input["noise"], input["class"]) + 1) / 2}


class ClassBatchNorm(nn.Module):
    """Batch normalisation with a gain and a bias for each class (Dumoulin et al. 2017, arXiv:1610.07629), or for all
    where there are no `classes`; class 0 is none that is known."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=not classes)
        self.gain = nn.Embedding(classes + 1, channels) if classes else None
        self.bias = nn.Embedding(classes + 1, channels) if classes else None
        if self.gain is not None and self.bias is not None:
            nn.init.ones_(self.gain.weight)
            nn.init.zeros_(self.bias.weight)

    def forward(self, x: Tensor, number: Tensor) -> Tensor:
        x = self.norm(x)
        if self.gain is None or self.bias is None:
            return x
        return torch.addcmul(self.bias(number)[:, :, None, None], x, self.gain(number)[:, :, None, None])


class Projection(nn.Module):
    """The end of a discriminator: features h (n, d) to (n,), a linear map of h, and where there are `classes` the inner
    product of h with its class's direction as well (Miyato & Koyama 2018, arXiv:1802.05637, equation 4)."""

    def __init__(self, features: int, classes: int, bound: Bound) -> None:
        super().__init__()
        self.linear = bounded(nn.Linear(features, 1), bound)
        self.direction = bounded(nn.Embedding(classes + 1, features), bound) if classes else None

    def forward(self, h: Tensor, number: Tensor) -> Tensor:
        score: Tensor = self.linear(h)[:, 0]
        return score if self.direction is None else score + (self.direction(number) * h).sum(1)


class Spectral(nn.Module):
    """Divides a weight by its largest singular value, which a step of the power method follows whenever training asks
    for it (Miyato et al. 2018, arXiv:1802.05957, algorithm 1). torch's own computes on the meta device too, where
    networks are counted, and that imports a compiler for a second."""

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        rows, columns = weight.flatten(1).shape
        self.register_buffer("u", torch.empty(1, rows).normal_())
        self.register_buffer("v", torch.empty(1, columns).normal_())

    def forward(self, weight: Tensor) -> Tensor:
        if weight.is_meta:
            return weight
        # In single precision: the method follows small changes of the weight, which bfloat16 rounds off.
        with torch.autocast(weight.device.type, enabled=False):
            matrix = weight.flatten(1)
            if self.training:
                with torch.no_grad():
                    self.v.copy_(F.normalize(self.u @ matrix))
                    self.u.copy_(F.normalize(self.v @ matrix.T))
            # Copies, since the next call changes them before this one's gradient is asked for.
            return weight / (self.u.clone() @ matrix @ self.v.clone().T)


def bounded(layer: nn.Module, bound: Bound) -> nn.Module:
    """The layer, its weight divided by its largest singular value where `bound` is "spectral"."""
    if bound == "spectral":
        parametrize.register_parametrization(layer, "weight", Spectral(layer.get_parameter("weight")))
    return layer


def doublings(name: str, inputs: Canvas) -> tuple[int, int]:
    """How many pixels a side the smallest map has, and how often it is doubled up to the picture. Raises SizeError,
    with the nearest size there is, where pictures are of another."""
    known = {first << times: (first, times) for first in SMALLEST_MAPS for times in range(1, 6)}
    sides = sorted(side for side in known if side <= LARGEST)
    height, width = inputs.shape[1:]
    if height == width and height in sides:
        return known[height]
    nearest = min(sides, key=lambda side: abs(side - max(height, width)))
    raise SizeError(
        f"{name} makes square pictures of {', '.join(map(str, sides[:-1]))} or {sides[-1]} pixels a side, not "
        f"{height} x {width}",
        f"set -o domain.size={nearest}",
    )
