"""The short training after weights were taken away, at small rates, from those that are left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pervade.core import spec
from pervade.core.contracts import Change, Optimizer, Recipe, Schedule, Solver, SourceSpec, Subject
from pervade.core.contracts.abilities import CanTeach
from pervade.core.registry import name_of
from pervade.tasks.distil import Distil

# Of AdamW, for weights that were learnt from random ones (digits, 30% of the multiply-adds left, 2 passes: 99.2% of the
# validation rows by this, 98.7% by a quarter of it), and at most for what was published.
FROM_RANDOM, FINETUNING = 2e-3, 1e-4


def recovery(subject: Subject, changes: tuple[Change, ...], epochs: int, lr: float | None) -> Recipe | None:
    """What the recipe becomes for a network to which these `changes` were made; None with no passes. It learns what it
    said before anything was taken away, where its task has answers that can be learnt so. Every weight learns, whatever
    the run had frozen. It begins from the network's weights (`Compressed.begins_there`), whatever `init` says.
    Without an `lr` it is one for weights of their kind."""
    if epochs == 0:
        return None
    recipe = subject.recipe
    task = recipe.task.task if isinstance(recipe.task, Distil) else recipe.task
    parts = recipe.optimizer.values() if isinstance(recipe.optimizer, Mapping) else (recipe.optimizer,)
    at_once = any(isinstance(optimizer, Solver) for optimizer in parts)
    return replace(
        recipe,
        task=Distil(task, str(subject.place)) if isinstance(task, CanTeach) else task,
        changes=changes,
        tuning=None,
        optimizer=spec.decode({"use": "adamw", "lr": lr or _rate(recipe)}, Optimizer),
        schedule=spec.decode("cosine", Schedule),
        source=spec.decode("dataset", SourceSpec) if at_once else recipe.source,
        epochs=epochs,
        average=None,  # which is slower than so short a training
        imbalance=None,  # stands in the task, settled
        promises=(),  # are settled again of what has learnt
        then=None,
        time_limit=None,
    )


def _rate(recipe: Recipe) -> float:
    if name_of(type(recipe.init)) == "random":
        return FROM_RANDOM
    parts = recipe.optimizer.values() if isinstance(recipe.optimizer, Mapping) else (recipe.optimizer,)
    return min([FINETUNING, *(float(optimizer.lr) for optimizer in parts if name_of(type(optimizer)) == "adamw")])
