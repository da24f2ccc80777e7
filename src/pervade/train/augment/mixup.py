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


@register("augment")
@dataclass(frozen=True)
class MixUp(Augment):
    alpha: Annotated[float, Field(gt=0.0, le=100.0)] = 0.2  # of the Beta distribution: below 1 mostly one picture
    # prevails, 1 any share is as likely; the paper takes 0.1-0.4 for ImageNet, 1 for CIFAR
    probability: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0  # of mixing a batch at all

    @property
    def mixing(self) -> float:
        return self.probability

    def __call__(self, batch: Batch, rng: Generator) -> Batch:
        """Sets "mix" (n,), the share of a row's own picture, and "other_target". Leaves alone a batch mixed already."""
        from torchvision.transforms import v2

        if not chosen(batch, rng, self.probability):
            return batch
        share = float(rng.beta(self.alpha, self.alpha))
        pixels = pixels_of(batch, "mixup")
        mixed = v2.MixUp().transform(pixels, {"lam": share, "labels": None, "batch_size": len(pixels)})
        return with_neighbour(batch, mixed, share)


def chosen(batch: Batch, rng: Generator, probability: float) -> bool:
    """Whether this batch is to be mixed. It draws in either case, so that one augmentation does not move another."""
    return bool(rng.random() < probability) and "mix" not in batch


def pixels_of(batch: Batch, name: str) -> Tensor:
    """The input (n, c, h, w). Raises ConfigError where it is no picture, or where there is no target to mix."""
    pixels = batch["input"]
    if not isinstance(pixels, Tensor) or pixels.ndim != 4 or not pixels.is_floating_point() or "target" not in batch:
        raise ConfigError(
            f"augment: {name} mixes pictures that have a target, and this input has not both; leave it out"
        )
    return pixels


def with_neighbour(batch: Batch, mixed: Tensor, share: float) -> Batch:
    """The batch with `mixed` for input, in which row i holds row i - 1's picture (the first the last's)."""
    shares = torch.full((len(mixed),), share, dtype=torch.float32)
    return {**batch, "input": mixed, "mix": shares, "other_target": batch["target"].roll(1, 0)}
