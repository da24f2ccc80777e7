"""A pass draws of every class as many rows as the rarest has, of common ones others each time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pervade.core.contracts import Recipe
from pervade.core.registry import register
from pervade.train.rare_classes import Cure, drawn_evenly, told


@register("imbalance")
@dataclass(frozen=True)
class Undersample(Cure):
    """By the sampler `class-balanced`; where all rows are learnt from at once, the same as weights."""

    def treat(self, recipe: Recipe, counts: Mapping[str, int], held: Mapping[str, int]) -> tuple[Recipe, list[str]]:
        settled, instead = drawn_evenly(self, recipe, "rarest")
        done = instead or "a pass draws of every class as many rows as the rarest has, others each time"
        return settled, [f"{told(counts)}; {done} (--imbalance undersample)"]
