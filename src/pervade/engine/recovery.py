"""The short training after weights were taken away, at small rates, from those that are left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pervade.core import spec
from pervade.core.contracts import Change, Optimizer, Recipe, Schedule, Solver, SourceSpec


def recovery(recipe: Recipe, changes: tuple[Change, ...], epochs: int, lr: float) -> Recipe | None:
    """What `recipe` becomes for a network to which these `changes` were made; None with no passes. Every weight learns,
    whatever the run had frozen, and so by AdamW where the run had found them at once. Where it begins, `Recipe.init`,
    is for whoever trains it to say, who knows where the weights were put."""
    if epochs == 0:
        return None
    parts = recipe.optimizer.values() if isinstance(recipe.optimizer, Mapping) else (recipe.optimizer,)
    at_once = any(isinstance(optimizer, Solver) for optimizer in parts)
    return replace(
        recipe,
        changes=changes,
        tuning=None,
        optimizer=spec.decode({"use": "adamw", "lr": lr}, Optimizer),
        schedule=spec.decode("cosine", Schedule),
        source=spec.decode("dataset", SourceSpec) if at_once else recipe.source,
        epochs=epochs,
        average=None,  # which is slower than so short a training
        then=None,
        time_limit=None,
    )
