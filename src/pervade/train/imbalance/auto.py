"""What is cheap is tried on the validation rows, and taken unless it is worse there: the answer is the class whose
probability is largest beside its share, and not the likeliest (`Classify.answers`). Nothing else of the training
changes but by which figure passes and rungs are chosen, so that probabilities stay what they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pervade.core.contracts import Recipe
from pervade.core.registry import register
from pervade.train.rare_classes import SHOWN, Cure, is_uneven, told


@register("imbalance")
@dataclass(frozen=True)
class Auto(Cure):
    """Nothing where no class has less than a fifth of its fair share."""

    answers: Literal["auto"] = "auto"

    def treat(self, recipe: Recipe, counts: Mapping[str, int], held: Mapping[str, int]) -> tuple[Recipe, list[str]]:
        if not is_uneven(counts):
            return replace(recipe, imbalance=None), []
        absent = sorted(label for label in counts if not held.get(label))
        if len(absent) > len(counts) - 2:
            why = "no row validates" if not sum(held.values()) else "rows of one class alone validate"
            told_why = f"{told(counts)}; {why}, so nothing can be tried: --imbalance weights does without"
            return replace(recipe, imbalance=None), [told_why]
        said = [
            f"{told(counts)}; each class counts the same where passes and rungs are chosen, and validation rows say "
            "whether it does in answers too (--imbalance auto)"
        ]
        if absent:
            names = ", ".join(absent[:SHOWN]) + (f" and {len(absent) - SHOWN} more" if len(absent) > SHOWN else "")
            said.append(f"classes: of {names} no row validates, so nothing that is tried is judged by it")
        return self.cured(recipe), said
