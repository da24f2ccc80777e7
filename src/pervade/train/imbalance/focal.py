"""The loss of rows that are right already is turned down, so that those of rare classes, which seldom are, count more
(Lin et al. 2017, arXiv:1708.02002)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from pervade.core.contracts import Recipe, Solver
from pervade.core.registry import register
from pervade.tasks.classify import Classify
from pervade.tasks.tag import Tag
from pervade.train.rare_classes import Cure, told


@register("imbalance")
@dataclass(frozen=True)
class Focal(Cure):
    """Linear models whose weights are found at once keep their loss."""

    focus: Annotated[float, Field(ge=0.0, le=10.0)] = 2.0  # gamma

    def check(self, recipe: Recipe) -> None:
        self.require(recipe, Classify, Tag)

    def treat(self, recipe: Recipe, counts: Mapping[str, int], held: Mapping[str, int]) -> tuple[Recipe, list[str]]:
        fields = {} if isinstance(recipe.optimizer, Solver) else {"loss_name": "focal", "focus": self.focus}
        done = "the loss of rows that are right already is turned down (--imbalance focal)"
        said = f"{told(counts)}; {done}" if isinstance(recipe.task, Classify) else f"labels: {done}"
        return self.cured(recipe, **fields), [said]
