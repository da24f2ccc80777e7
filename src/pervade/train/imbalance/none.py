"""Nothing is done about rare classes, where a recipe would; how rare they are is said all the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pervade.core.contracts import Imbalance, Recipe
from pervade.core.registry import register
from pervade.train.rare_classes import is_uneven, told


@register("imbalance", name="none")
@dataclass(frozen=True)
class Nothing(Imbalance):
    def check(self, recipe: Recipe) -> None:
        """Nothing can be done about every task."""

    def settle(self, recipe: Recipe, counts: Mapping[str, int], held: Mapping[str, int]) -> tuple[Recipe, list[str]]:
        said = [f"{told(counts)}; nothing is done about it (--imbalance none)"] if is_uneven(counts) else []
        return replace(recipe, imbalance=None), said
