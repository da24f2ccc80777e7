"""What is cheap is tried, and taken where it is better.

Always: the answer is the class whose probability is largest beside its share, and not the likeliest
(`Classify.answers`), unless that is worse on rows that are held out. Where weights are found at once: rows weigh the
more, the rarer their class is, where that is shown to be better by cross-validation (run/weighing.py). It is taken out
of the head again, so that probabilities mean what they say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pervade.core.contracts import Recipe, Solver, TriesWeights
from pervade.core.registry import register
from pervade.tasks.classify import Classify
from pervade.train.rare_classes import SHOWN, Cure, is_uneven, told


@register("imbalance")
@dataclass(frozen=True)
class Auto(Cure):
    """Nothing where no class has less than a fifth of its fair share."""

    answers: Literal["balanced", "likeliest", "auto"] = "auto"
    weights: Literal["none", "balanced", "auto"] = "auto"  # where they are found at once

    def open_weights(self) -> TriesWeights | None:
        return self if self.weights == "auto" and self.answers == "auto" else None

    def tried(
        self, recipe: Recipe, weights: Literal["none", "balanced"], answers: Literal["likeliest", "balanced"]
    ) -> Recipe:
        own = replace(self, weights=weights, answers=answers)
        return own.cured(replace(recipe, imbalance=own))

    def cured(self, recipe: Recipe, source: Any = None, **fields: Any) -> Recipe:
        own = super().cured(recipe, source, **fields)
        return replace(own, task=self.weighed(own.task)) if isinstance(own.task, Classify) else own

    def weighed(self, task: Classify) -> Classify:
        """The task with its rows weighed where that is taken."""
        return replace(task, class_weights="balanced", honest_head=True) if self.weights == "balanced" else task

    def treat(self, recipe: Recipe, counts: Mapping[str, int], held: Mapping[str, int]) -> tuple[Recipe, list[str]]:
        if not is_uneven(counts):
            return replace(recipe, imbalance=None), []
        absent = sorted(label for label in counts if not held.get(label))
        if len(absent) > len(counts) - 2:
            why = "no row validates" if not sum(held.values()) else "rows of one class alone validate"
            told_why = f"{told(counts)}; {why}, so nothing can be tried: --imbalance weights does without"
            return replace(recipe, imbalance=None), [told_why]
        at_once = isinstance(recipe.optimizer, Solver)
        by = "rows held out in turn say whether weights help, and" if at_once else "validation rows say"
        said = [
            f"{told(counts)}; each class counts the same where passes and rungs are chosen, and {by} whether it does "
            "in answers too (--imbalance auto)"
        ]
        if absent:
            names = ", ".join(absent[:SHOWN]) + (f" and {len(absent) - SHOWN} more" if len(absent) > SHOWN else "")
            said.append(f"classes: of {names} no row validates, so nothing that is tried is judged by it")
        return self.cured(recipe), said
