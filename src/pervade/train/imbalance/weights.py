"""Every row weighs the more in the loss, the rarer its class is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pervade.core.bounds import Part
from pervade.core.contracts import Recipe
from pervade.core.registry import register
from pervade.tasks.classify import Classify
from pervade.tasks.tag import Tag
from pervade.train.rare_classes import Cure, told


@register("imbalance")
@dataclass(frozen=True)
class Weights(Cure):
    """`scheme` "balanced": the inverse of the class's share. "effective": of its effective number of rows,
    (1 - beta^n) / (1 - beta), which grows ever slower with n (Cui et al. 2019, arXiv:1901.05555). Of several labels at
    once, each one's rows by how many lack it."""

    scheme: Literal["balanced", "effective"] = "balanced"
    beta: Part = 0.999

    def check(self, recipe: Recipe) -> None:
        self.require(recipe, Classify, Tag)

    def treat(self, recipe: Recipe, counts: Mapping[str, int], held: Mapping[str, int]) -> tuple[Recipe, list[str]]:
        if isinstance(recipe.task, Tag):
            said = "labels: rows that have one are weighed by how many lack it (--imbalance weights)"
            return self.cured(recipe, class_weights="balanced", corrected=True), [said]
        by = "share" if self.scheme == "balanced" else "effective number of rows"
        said = f"{told(counts)}; rows are weighed by the inverse of their class's {by} (--imbalance weights)"
        return self.cured(recipe, class_weights=self.scheme, beta=self.beta), [said]
