"""A checkpoint without adapters out of one with them: what they add is worked into the weights beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pervade.core.contracts import Recipe
from pervade.core.errors import ConfigError
from pervade.core.run import RunDirectory
from pervade.engine import building
from pervade.engine.checkpoint import MERGED, load_checkpoint, read_recipe, save_checkpoint

# What a checkpoint says of itself alone, and the merged one says anew; the rest (steps, passes …) is told of both.
OWN = ("format", "model", "inputs", "outputs", "changes", "tied", "sha256", "parameters", "base")


def merge(run: RunDirectory, name: str, recipe: Recipe | None = None) -> Path:
    """Writes the checkpoint "merged" out of `name`; returns its folder. `recipe` as in `load_checkpoint`.

    Raises ConfigError where `name` has no adapters, CheckpointError where it, or its base, cannot be read.
    """
    with run.lock():
        stored = recipe or read_recipe(run.checkpoint(name) / "recipe.yaml")
        loaded = load_checkpoint(run, name, recipe)
        network, left = building.merged(loaded.network, loaded.changes)
        if left == loaded.changes:
            raise ConfigError(f"{run.checkpoint(name)} has no adapters to merge; it is complete as it is")
        note = {key: value for key, value in loaded.architecture.items() if key not in OWN} | {"merged_from": name}
        decision = {key: value for key, value in loaded.decision.items() if key != "format"}
        plain = replace(stored, tuning=None, changes=left)
        save_checkpoint(run, MERGED, network, plain, loaded.domain, note, decision)
    return run.checkpoint(MERGED)
