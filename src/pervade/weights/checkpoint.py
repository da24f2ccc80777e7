"""What the weights of any origin are read into, and what is known about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of ImageNet's training pixels, by colour, 0-1: what nearly all networks of
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)  # torchvision and of papers were trained with


@dataclass(frozen=True)
class Checkpoint:
    """Weights by name as they stand in the file, and what was found beside them."""

    where: str  # for messages: the file, or the published name
    weights: Mapping[str, Tensor]
    mean: tuple[float, ...] | None = None  # by channel, of pixels of 0-1; None: nothing is said about it
    deviation: tuple[float, ...] | None = None
    labels: tuple[str, ...] | None = None  # the classes of the head, in order
    config: Mapping[str, Any] = field(default_factory=dict)  # config.json, where there is one
    remedy: str = ""  # set: all weights find their place or none is taken, and this is what helps then
    remark: str = ""  # what is to be known of them, said when they are loaded


def shape_text(shape: tuple[int, ...]) -> str:
    """
    >>> shape_text((64, 3, 7, 7))
    '64 x 3 x 7 x 7'
    """
    return " x ".join(map(str, shape)) or "one number"
