"""A pass draws of every class as many rows as the rarest has, of common ones others each time."""

from __future__ import annotations

from dataclasses import dataclass

from pervade.core.registry import register
from pervade.train.rare_classes import DrawnEvenly


@register("imbalance")
@dataclass(frozen=True)
class Undersample(DrawnEvenly):
    length = "rarest"
    done = "a pass draws of every class as many rows as the rarest has, others each time"
