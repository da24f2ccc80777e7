"""Rows of rare classes are drawn several times a pass, those of common ones every few passes."""

from __future__ import annotations

from dataclasses import dataclass

from pervade.core.registry import register
from pervade.train.rare_classes import DrawnEvenly


@register("imbalance")
@dataclass(frozen=True)
class Oversample(DrawnEvenly):
    length = "data"
    done = "every class is drawn as often, rare rows several times a pass"
