"""CutMix (Yun et al. 2019, arXiv:1905.04899): a rectangle of every picture is replaced by the same rectangle of its
neighbour, and the losses of their targets are mixed by area (`mixed_loss` in engine/step.py).

    sides of the rectangle: sqrt(1 - s) of the picture's, s ~ Beta(alpha, alpha); its middle anywhere, cut off at the
    edge; the share of a row's own picture is what is left of it: 1 - area of the rectangle / area of the picture
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from numpy.random import Generator
from pydantic import Field
from torch import Tensor

from pervade.core.registry import register
from pervade.train.augment.mixup import Mixing


@register("augment")
@dataclass(frozen=True)
class CutMix(Mixing):
    alpha: Annotated[float, Field(gt=0.0, le=100.0)] = 1.0  # of the Beta distribution; 1: every area is as likely
    probability: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0  # of mixing a batch at all

    def mixed(self, pixels: Tensor, rng: Generator) -> tuple[Tensor, float]:
        from torchvision.transforms import v2

        height, width = pixels.shape[2:]
        box = rectangle(float(rng.beta(self.alpha, self.alpha)), height, width, rng)
        left, top, right, bottom = box
        mixed = v2.CutMix().transform(pixels, {"box": box, "labels": None, "batch_size": len(pixels)})
        return mixed, 1.0 - (right - left) * (bottom - top) / (width * height)


def rectangle(share: float, height: int, width: int, rng: Generator) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) in pixels, of 1 - `share` of the area unless cut off at the edge."""
    x, y = int(rng.integers(width)), int(rng.integers(height))
    half = 0.5 * (1.0 - share) ** 0.5
    across, down = int(half * width), int(half * height)
    return max(x - across, 0), max(y - down, 0), min(x + across, width), min(y + down, height)
