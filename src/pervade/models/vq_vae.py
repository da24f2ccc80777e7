"""A vector-quantised autoencoder: a picture as a small grid of codes, and back (van den Oord et al. 2017,
arXiv:1711.00937).

The encoder halves the picture with strided convolutions and goes through residual blocks, the decoder does the same the
other way round, and between them stands a codebook (nn/quantiser.py). 32 x 32 pixels halved twice are 8 x 8 codes.

Axis letters: n rows, c channels, h height, w width of pictures; d numbers of a code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn

from pervade.core.bounds import Filters, Part
from pervade.core.contracts import Canvas, Inputs, Model, require
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Output
from pervade.nn.quantiser import Quantiser

INNER = 4  # a residual block has this part of the filters inside, as the paper's


@register("model")
@dataclass(frozen=True)
class VQVAE(Model):
    reads: ClassVar[str] = "pictures to be made"
    task: ClassVar[str] = "reconstruct"
    width: Annotated[Filters, Field(ge=4, multiple_of=4)] = 64  # filters at the codes; half as many at twice the size
    blocks: Annotated[int, Field(ge=0, le=32)] = 2  # residual ones, in the encoder and in the decoder
    halvings: Annotated[int, Field(ge=1, le=6)] = 2  # of height and width, from pixels to codes
    codes: Annotated[int, Field(ge=2, le=65_536)] = 512  # of the codebook
    dimension: Annotated[int, Field(ge=1, le=4096)] = 64  # numbers of a code
    decay: Part = 0.99  # of the running mean that each code is
    restart: Part = 0.03  # a code used less than this share of an even use is put elsewhere; 0: none is

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        """Raises ConfigError where the input is no picture to be made, or cannot be halved so often."""
        canvas = require(inputs, Canvas, "vq-vae", "it goes with --task unconditional-image-generation")
        patch = 2**self.halvings
        if any(side % patch for side in canvas.shape[1:]):
            _, height, width = canvas.shape
            above = -(-max(height, width) // patch) * patch
            raise ConfigError(
                f"vq-vae makes a code of each {patch} x {patch} pixels, into which {height} x {width} cannot be "
                f"divided; set -o domain.size={above}, or another -o model.halvings"
            )
        return Autoencoder(self, canvas)


class Autoencoder(nn.Module):
    """{"pixels" (n, c, h, w) of 0-1} to "codes" (n, patches) int64, rows of the grid from the top, "picture" (n, c, h,
    w), what is made of these, and "distance" (n,), how far what was encoded lies from them. What it is of ("class")
    makes no difference.

    `positions` is the grid's (height, width). In evaluation pictures lie in 0-1.
    """

    def __init__(self, spec: VQVAE, inputs: Canvas) -> None:
        super().__init__()
        channels, height, width = inputs.shape
        patch = 2**spec.halvings
        self.positions = height // patch, width // patch
        # filters from the codes up to the pixels
        filters = [max(spec.width >> halving, INNER) for halving in range(spec.halvings)]
        down: list[nn.Module] = []
        for before, after in zip([channels, *filters[:0:-1]], filters[::-1], strict=True):
            down += [nn.Conv2d(before, after, 4, 2, 1), nn.ReLU()]
        up: list[nn.Module] = []
        for before, after in zip(filters, [*filters[1:], channels], strict=True):
            up += [nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1)]
        blocks = [[Residual(spec.width) for _ in range(spec.blocks)] for _ in range(2)]
        self.encoder = nn.Sequential(
            *down,
            nn.Conv2d(spec.width, spec.width, 3, padding=1),
            *blocks[0],
            nn.ReLU(),
            nn.Conv2d(spec.width, spec.dimension, 1),
        )
        self.quantiser = Quantiser(spec.codes, spec.dimension, spec.decay, spec.restart)
        self.decoder = nn.Sequential(nn.Conv2d(spec.dimension, spec.width, 3, padding=1), *blocks[1], *up)

    def forward(self, input: Mapping[str, Tensor], mask: Tensor | None = None) -> Output:
        quantised = self.quantiser(self.encoder(2 * input["pixels"] - 1))
        picture = self._shown(self.decoder(quantised.output))
        return {"picture": picture, "codes": quantised.codes.flatten(1), "distance": quantised.distance}

    def decode(self, codes: Tensor) -> Tensor:
        """(n, positions) int64 to pictures (n, c, h, w)."""
        return self._shown(self.decoder(self.quantiser.vectors(codes.view(-1, *self.positions))))

    def _shown(self, decoded: Tensor) -> Tensor:
        picture = (decoded + 1) / 2
        # While it trains a number beyond black or white still has to be told so, and a clamp has no gradient there.
        return picture if self.training else picture.clamp(0, 1)

    @property
    def num_codes(self) -> int:
        return len(self.quantiser.codebook)

    @property
    def patches(self) -> int:
        """Codes of a picture."""
        return math.prod(self.positions)


class Residual(nn.Module):
    """x + 1x1(relu(3x3(relu(x))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = width // INNER
        self.inner = nn.Conv2d(width, inner, 3, padding=1)
        self.outer = nn.Conv2d(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.outer(self.inner(x.relu()).relu())
        return out
