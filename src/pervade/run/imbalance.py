"""What is done about rare classes (train/imbalance/), settled once the rows are known, and said before training and
after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pervade.core.contracts import Domain, MakesRows, Promise, Recipe
from pervade.core.errors import ConfigError
from pervade.core.run import RunDirectory
from pervade.core.types import Rows
from pervade.core.words import percent
from pervade.engine import ranks
from pervade.metrics.estimate import Metric
from pervade.run import overview


def settled(run: RunDirectory, recipe: Recipe, rows: Rows, say: Callable[[str], None]) -> Recipe:
    """The recipe for these rows, of which the training ones say how rare classes are. What is new is said, and kept in
    the run's remarks. Raises ConfigError where the recipe's task has no classes."""
    if recipe.imbalance is None:
        return recipe
    own, lines = recipe.imbalance.settle(recipe, counts(rows, "train"), counts(rows, "validation"))
    if own == recipe:
        return recipe
    for line in lines:
        say(line)
    if ranks.rank() == 0:
        overview.keep(run, lines)
    return own


def making(recipe: Recipe) -> MakesRows | None:
    """What makes rows for training, where some are made."""
    return None if recipe.imbalance is None else recipe.imbalance.making()


def refuse_made(recipe: Recipe) -> None:
    """Raises ConfigError where rows are to be made, of whose trainings each trial would have its own."""
    if making(recipe) is not None:
        raise ConfigError(
            "--imbalance generate is for a training, a ladder, seeds or folds, and not for a search; take weights or "
            "oversample, or search first and then train what was found with it"
        )


def counts(rows: Rows, split: str) -> Counter[str]:
    """How many rows of the split each class has, or each label where a row may have several."""
    if "target" not in rows:
        return Counter()
    own = rows.where("split", split) if "split" in rows else rows
    return Counter(
        str(label) for target in own.column("target") for label in (target if isinstance(target, list) else [target])
    )


def headline(recipe: Recipe, domain: Domain) -> tuple[str, Metric]:
    """The figure by which several ways to learn are compared: where something is done about rare classes the one that
    chooses the pass, else the task's first."""
    metrics: Mapping[str, Metric] = recipe.task.metrics(domain)
    chosen = recipe.early_stopping.metric
    if recipe.imbalance is not None and chosen is not None and chosen in metrics:
        return chosen, metrics[chosen]
    name = next(iter(metrics))
    return name, metrics[name]


def told(decision: Mapping[str, Any], promises: Sequence[Promise] = ()) -> list[str]:
    """What was tried on the validation rows, and what was taken; nothing where nothing was. Where a promise says what
    is answered, neither is."""
    tried: Mapping[str, Mapping[str, float]] = decision.get("tried", {})
    if not tried:
        return []
    shown = [
        f"{name} {percent(own.get('balanced_accuracy', 0.0))} ({percent(own.get('accuracy', 0.0))} of all rows)"
        for name, own in tried.items()
    ]
    taken = decision.get("answers", "likeliest")
    end = f"{taken} " + (
        "is taken, which is no worse there" if taken == "balanced" else "is kept, which is better there"
    )
    for promise in promises:
        if "prediction" in promise.changes:
            end = f"neither is taken where {promise.asked} can be kept, which decides what is answered"
    return [f"answers tried on the validation rows, right where each class counts the same: {', '.join(shown)}; {end}"]


def conclude(run: RunDirectory, promises: Sequence[Promise], say: Callable[[str], None]) -> None:
    """Says what was tried for the checkpoint that is delivered, where there is one; the first rank does."""
    if ranks.rank() == 0 and run.checkpoints():
        for line in told(run.of_checkpoint(run.require_checkpoint(None), "decision.json"), promises):
            say(line)
