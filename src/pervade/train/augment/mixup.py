"""MixUp (Zhang et al. 2018, arXiv:1710.09412): every picture of a batch is blended with its neighbour, and so are the
losses of their targets (`mixed_loss` in engine/step.py).

    x' = s x_i + (1 - s) x_j,   loss' = s loss(x', y_i) + (1 - s) loss(x', y_j),   s ~ Beta(alpha, alpha), one a batch

The arithmetic is torchvision's; its own drawing is not used, because it takes torch's global generator, which threads
share and a resumed run does not repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from numpy.random import Generator
from pydantic import Field
from torch import Tensor

from pervade.core.contracts import Augment
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Batch


class Mixing(Augment):
    """What puts each row's picture together with the one before it (the first with the last)."""

    probability: float
    alpha: float

    @property
    def mixing(self) -> float:
        return self.probability

    def mixed(self, pixels: Tensor, rng: Generator) -> tuple[Tensor, float]:
        """Pictures (n, c, h, w), and the share of each that is still its own."""
        raise NotImplementedError

    def __call__(self, batch: Batch, rng: Generator) -> Batch:
        """Sets "mix" (n,), the share of a row's own picture, and "other_target". Leaves alone a batch mixed already.

        Raises ConfigError where the input is no picture, or where there is no target to mix.
        """
        # It draws in either case, so that one augmentation does not move another.
        if rng.random() >= self.probability or "mix" in batch:
            return batch
        pixels = batch["input"]
        picture = isinstance(pixels, Tensor) and pixels.ndim == 4 and pixels.is_floating_point()
        if not picture or "target" not in batch:
            raise ConfigError(
                f"augment: {type(self).__name__.lower()} mixes pictures that have a target, and this input has not "
                "both; leave it out"
            )
        mixed, share = self.mixed(pixels, rng)
        shares = torch.full((len(mixed),), share, dtype=torch.float32)
        return {**batch, "input": mixed, "mix": shares, "other_target": batch["target"].roll(1, 0)}


@register("augment")
@dataclass(frozen=True)
class MixUp(Mixing):
    alpha: Annotated[float, Field(gt=0.0, le=100.0)] = 0.2  # of the Beta distribution: below 1 mostly one picture
    # prevails, 1 any share is as likely; the paper takes 0.1-0.4 for ImageNet, 1 for CIFAR
    probability: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0  # of mixing a batch at all

    def mixed(self, pixels: Tensor, rng: Generator) -> tuple[Tensor, float]:
        from torchvision.transforms import v2

        share = float(rng.beta(self.alpha, self.alpha))
        return v2.MixUp().transform(pixels, {"lam": share, "labels": None, "batch_size": len(pixels)}), share
