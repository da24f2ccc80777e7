"""A recipe, or a task, with settings changed as the command line and the Python face have them. A part of api.py."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pervade.core import registry, spec
from pervade.core.contracts import Recipe, Task
from pervade.core.errors import ConfigError
from pervade.init.pretrained import starting_from
from pervade.models.reference_mlp import ReferenceMLP
from pervade.nn.own import Own
from pervade.run import data_flags


def told(recipe: Recipe) -> str:
    """Which network a training would take, and why it would begin with random weights where it would rather not."""
    why = getattr(recipe.init, "because", "")
    return f"model: {registry.full_name(recipe.model)}{f', from random weights, since {why}' if why else ''}"


def configure(recipe: Recipe, settings: Sequence[str] = (), **flags: Any) -> Recipe:
    """The recipe with settings applied. Raises ConfigError with every fault at once."""
    if flags.get("init") is not None:
        flags["init"] = starting_from(flags["init"])
    of_data, problems = data_flags.settings(recipe.domain, flags)
    others = {key: value for key, value in flags.items() if key not in data_flags.FLAGS and value is not None}
    named = {"optimizer.lr" if key == "lr" else key: value for key, value in others.items()} | of_data
    given = [f"{key}={_text(value)}" for key, value in named.items()]
    if not given and not settings and not problems:
        if spec.readable(recipe):
            spec.decode(spec.encode(recipe), Recipe)  # a recipe from Python may hold any number
        return recipe
    if isinstance(recipe.model, Own):  # which no file can hold, and which has no settings
        other = replace(recipe, model=ReferenceMLP())
        return replace(configure(other, settings, **flags), model=recipe.model)
    try:
        changed: Recipe = spec.decode(spec.change(spec.encode(recipe), [*given, *settings]), Recipe)
    except ConfigError as error:
        raise ConfigError(*problems, *error.problems) from None
    if problems:
        raise ConfigError(*problems)
    return changed


def _text(value: Any) -> str:
    return json.dumps(spec.encode(value))


def sampled(task: Any, settings: Mapping[str, Any]) -> Any:
    """The task with some settings of its sampling changed. Raises ConfigError where it has none."""
    if "sampling" not in spec.field_names(type(task)):
        raise ConfigError(
            f"{', '.join(settings) or 'writing'}: this model writes nothing (its task is "
            f"{registry.name_of(type(task))}); that is for models of --task text-generation"
        )
    if not settings:
        return task
    changed = spec.change(spec.encode(task), [f"sampling.{key}={_text(value)}" for key, value in settings.items()])
    return spec.decode(changed, Task)
