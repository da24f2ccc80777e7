"""Classes of which some are rare: how rare is said, and what the ways of dealing with them (imbalance/) share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from pervade.core import registry
from pervade.core.contracts import Imbalance, Recipe, Solver
from pervade.core.errors import ConfigError
from pervade.core.terminal import visible
from pervade.core.words import percent
from pervade.data.rows.samplers.class_balanced import ClassBalanced
from pervade.data.rows.sources.by_length import ByLength
from pervade.data.rows.sources.dataset import Dataset
from pervade.data.rows.sources.whole import Whole
from pervade.tasks.classify import Classify
from pervade.tasks.tag import Tag

RARE = 0.2  # of its fair share, 1 / k of the rows, below which a class is rare
SHOWN = 3  # classes that are named
LETTERS = 30  # of a name


@dataclass(frozen=True)
class Cure(Imbalance):
    """Something is done about rare classes. `answers`: see `Classify.answers`."""

    metric: str | None = "balanced_accuracy"  # chooses pass and rung; None: what the recipe says without a cure
    answers: Literal["balanced", "likeliest", "auto"] = "balanced"

    def check(self, recipe: Recipe) -> None:
        self.require(recipe, Classify)

    def settle(self, recipe: Recipe, counts: Mapping[str, int], held: Mapping[str, int]) -> tuple[Recipe, list[str]]:
        self.check(recipe)
        if isinstance(recipe.task, Classify) and len(counts) < 2:
            return replace(recipe, imbalance=None), []
        return self.treat(recipe, counts, held)

    def treat(self, recipe: Recipe, counts: Mapping[str, int], held: Mapping[str, int]) -> tuple[Recipe, list[str]]:
        """As `settle`, where there are several classes."""
        raise NotImplementedError

    def require(self, recipe: Recipe, *able: type) -> None:
        """Raises ConfigError where the recipe asks for what is none of these tasks."""
        if not isinstance(recipe.task, able):
            several = isinstance(recipe.task, Tag)
            what = "several labels at once" if several else f"the task {registry.name_of(type(recipe.task)) or 'given'}"
            ways = "weights, focal or none" if several else "none, or leave it out"
            raise ConfigError(
                f"--imbalance {registry.name_of(type(self))} is for one class out of several, and not for {what}; "
                f"take {ways}"
            )

    def cured(self, recipe: Recipe, source: Any = None, **fields: Any) -> Recipe:
        """The recipe with these fields of its task. Where weights are found at once, no target is smoothed."""
        task, stopping = recipe.task, recipe.early_stopping
        if isinstance(task, Classify):
            fields["answering"] = self.answers
            fields |= {"smoothing": 0.0} if isinstance(recipe.optimizer, Solver) else {}
            if self.metric is not None and stopping.metric is not None:
                stopping = replace(stopping, metric=self.metric)
        task = replace(task, **fields)  # type: ignore[type-var]
        return replace(recipe, task=task, early_stopping=stopping, source=source or recipe.source)


@dataclass(frozen=True)
class DrawnEvenly(Cure):
    """Every class is drawn as often, by the sampler `class-balanced`. Where all rows are learnt from at once they are
    weighed instead: to draw a row more often is to weigh it."""

    length: ClassVar[Literal["data", "rarest"]]  # of a pass
    done: ClassVar[str]  # in words

    def treat(self, recipe: Recipe, counts: Mapping[str, int], held: Mapping[str, int]) -> tuple[Recipe, list[str]]:
        """Raises ConfigError, too, where another sampler, or a source that draws otherwise, is set."""
        task, source, name = recipe.task, recipe.source, registry.name_of(type(self))
        assert isinstance(task, Classify)
        done = self.done
        if isinstance(source, Whole):
            recipe = self.cured(recipe, class_weights="balanced")
            done = "rows are weighed by the inverse of their class's share, as all are learnt from at once"
        elif not task.evenly_drawn:
            if not isinstance(source, Dataset | ByLength) or (
                isinstance(source, Dataset) and source.sampler is not None
            ):
                raise ConfigError(
                    f"--imbalance {name} draws rows itself, and so does the source that is set; leave one of them out, "
                    "or take --imbalance weights"
                )
            recipe = self.cured(recipe, Dataset(ClassBalanced(self.length)), evenly_drawn=True)
        return recipe, [f"{told(counts)}; {done} (--imbalance {name})"]


def is_uneven(counts: Mapping[str, int]) -> bool:
    """Whether the rarest of several classes has less than a fifth of its fair share.

    >>> is_uneven({"ham": 91, "spam": 9}), is_uneven({"ham": 90, "spam": 10}), is_uneven({"ham": 90})
    (True, False, False)
    """
    return len(counts) > 1 and min(counts.values()) < RARE * sum(counts.values()) / len(counts)


def told(counts: Mapping[str, int]) -> str:
    """How rare the rarest classes are.

    >>> told({"ham": 952, "spam": 48})
    'classes: spam 4.8% of the rows that train, where 50.0% would be its fair share'
    """
    total, fair = sum(counts.values()), percent(1 / len(counts))
    rarest = sorted(counts, key=lambda label: (counts[label], label))
    rare = [label for label in rarest if counts[label] < RARE * total / len(counts)] or rarest[:1]
    shown = [f"{visible(label)[:LETTERS]} {percent(counts[label] / total)}" for label in rare[:SHOWN]]
    more = f" and {len(rare) - SHOWN} more" if len(rare) > SHOWN else ""
    return f"classes: {', '.join(shown)}{more} of the rows that train, where {fair} would be its fair share"
