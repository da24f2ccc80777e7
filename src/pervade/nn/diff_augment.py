"""Pictures changed at random so that gradients flow through it (DiffAugment, Zhao et al. 2020, arXiv:2006.10738).

A discriminator that sees real and made pictures only so changed cannot learn few real ones by heart, and a generator
learns through the change not to make changed ones. Amounts are the authors', for pictures of -1..1, whose middle grey
is 0. Axis letters: n pictures, c channels, h and w pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

Change: TypeAlias = Literal["colour", "translation", "cutout"]
SHIFT = 0.125  # of the side, that a picture is moved by at most
HOLE = 0.5  # of the side, that a hole in it has


def diff_augment(pictures: Tensor, changes: Sequence[Change]) -> Tensor:
    """(n, c, h, w) of about -1..1 to the same, each picture changed by itself, in the order of `changes`; what is drawn
    comes from torch's own generator."""
    for change in changes:
        pictures = CHANGES[change](pictures)
    return pictures


def colour(x: Tensor) -> Tensor:
    """Brighter or darker by up to 0.5; saturation by a factor of 0-2; contrast by one of 0.5-1.5."""
    brightness, saturation, contrast = torch.rand(3, len(x), 1, 1, 1, device=x.device, dtype=x.dtype)
    x = x + (brightness - 0.5)
    grey = x.mean(1, keepdim=True)
    x = (x - grey) * (2 * saturation) + grey
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x - mean) * (contrast + 0.5) + mean


def translation(x: Tensor) -> Tensor:
    """Moved by up to an eighth of the side, with grey where nothing was."""
    height, width = x.shape[2:]
    # A shift is a product with a matrix that has ones beside its diagonal: exact, and its gradient is one as well.
    return _shift(x, height) @ x @ _shift(x, width).transpose(2, 3)


def _shift(x: Tensor, side: int) -> Tensor:
    """(n, 1, side, side): ones where what comes to a place is taken from."""
    most = int(side * SHIFT + 0.5)
    by = torch.randint(-most, most + 1, (len(x), 1, 1), device=x.device)
    place = torch.arange(side, device=x.device)
    return (place[:, None] + by == place)[:, None].to(x.dtype)


def cutout(x: Tensor) -> Tensor:
    """A square of half the side made grey, its middle anywhere in the picture."""
    kept = [_outside(x, side) for side in x.shape[2:]]
    return x * (kept[0][:, None, :, None] | kept[1][:, None, None, :])


def _outside(x: Tensor, side: int) -> Tensor:
    """(n, side): the places along one axis that are not in the hole."""
    size = int(side * HOLE + 0.5)
    middle = torch.randint(0, side + (1 - size % 2), (len(x), 1), device=x.device)
    distance = torch.arange(side, device=x.device) - (middle - size // 2)
    return (distance < 0) | (distance >= size)


CHANGES = {"colour": colour, "translation": translation, "cutout": cutout}
