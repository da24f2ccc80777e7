"""Rows of rare classes are drawn several times a pass, those of common ones every few passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pervade.core.contracts import Recipe
from pervade.core.registry import register
from pervade.train.rare_classes import Cure, drawn_evenly, told


@register("imbalance")
@dataclass(frozen=True)
class Oversample(Cure):
    """By the sampler `class-balanced`; where all rows are learnt from at once, the same as weights."""

    def treat(self, recipe: Recipe, counts: Mapping[str, int], held: Mapping[str, int]) -> tuple[Recipe, list[str]]:
        settled, instead = drawn_evenly(self, recipe, "data")
        done = instead or "every class is drawn as often, rare rows several times a pass"
        return settled, [f"{told(counts)}; {done} (--imbalance oversample)"]
