"""A recipe, or a task, with settings changed as the command line and the Python face have them. A part of api.py."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pervade.core import registry, spec
from pervade.core.contracts import Imbalance, Recipe, Task
from pervade.core.contracts.abilities import LearntSampling
from pervade.core.errors import ConfigError
from pervade.init.pretrained import starting_from
from pervade.models.reference_mlp import ReferenceMLP
from pervade.nn.own import Own
from pervade.run import data_flags

PLACES = {"lr": "optimizer.lr", "judge": "task.judge"}  # of flags that are no field of the recipe


def told(recipe: Recipe) -> str:
    """Which network a training would take, and why it would begin with random weights where it would rather not."""
    why = getattr(recipe.init, "because", "")
    return f"model: {registry.full_name(recipe.model)}{f', from random weights, since {why}' if why else ''}"


def configure(recipe: Recipe, settings: Sequence[str] = (), **flags: Any) -> Recipe:
    """The recipe with settings applied. Raises ConfigError with every fault at once."""
    if flags.get("init") is not None:
        flags["init"] = starting_from(flags["init"])
    if isinstance(flags.get("imbalance"), str):  # as a spec, which settings can change
        flags["imbalance"] = spec.decode(flags["imbalance"], Imbalance)
    of_data, problems = data_flags.settings(recipe.domain, flags)
    others = {key: value for key, value in flags.items() if key not in data_flags.FLAGS and value is not None}
    if "judge" in others and "judge" not in spec.field_names(type(recipe.task)):
        problems.append(f"--judge {others.pop('judge')!r} is for --task unconditional-image-generation; leave it out")
    if "lr" in others and isinstance(recipe.optimizer, Mapping):
        rates = ", ".join(f"-o optimizer.{name}.lr" for name in recipe.optimizer)
        problems.append(f"--lr {others.pop('lr'):g}: each player has an optimizer of its own; set {rates}")
    named = {PLACES.get(key, key): value for key, value in others.items()} | of_data
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
    by_hand = any(setting.partition("=")[0].strip() in ("then", "then.epochs") for setting in settings)
    return changed if by_hand else _followed(recipe, changed)


def _followed(before: Recipe, recipe: Recipe) -> Recipe:
    """The recipe, with what comes `then` as much shorter or longer as it is itself than it was before."""
    if recipe.then is None or recipe.epochs == before.epochs or not before.epochs:
        return recipe
    passes = max(round(recipe.then.epochs * recipe.epochs / before.epochs), 1)
    return replace(recipe, then=replace(recipe.then, epochs=passes))


def _text(value: Any) -> str:
    return json.dumps(spec.encode(value))


def sampled(task: Any, settings: Mapping[str, Any]) -> Any:
    """The task with some settings of its sampling changed. Raises ConfigError where it has none."""
    if "sampling" not in spec.field_names(type(task)):
        raise ConfigError(
            f"{', '.join(settings) or 'writing'}: this model writes nothing (its task is "
            f"{registry.name_of(type(task))}); that is for models of --task text-generation"
        )
    learnt = task.learnt_sampling() if isinstance(task, LearntSampling) else {}
    if wrong := [f"{name} {settings[name]}: {learnt[name]}" for name in settings if name in learnt]:
        raise ConfigError(*wrong)
    if not settings:
        return task
    changed = spec.change(spec.encode(task), [f"sampling.{key}={_text(value)}" for key, value in settings.items()])
    return spec.decode(changed, Task)


def about_rare_classes(recipe: Recipe, settings: Sequence[str], flags: Mapping[str, Any]) -> Recipe:
    """The recipe with what is done about rare classes: nothing where the task has no classes and nobody asked for it,
    and not by a figure of its own where settings name one. Raises ConfigError where it was asked for of such a task."""
    cure = recipe.imbalance
    if cure is None:
        return recipe
    named = {name for name, value in flags.items() if value is not None}
    named |= {setting.partition("=")[0].strip() for setting in settings}
    try:
        cure.check(recipe)
    except ConfigError:
        if any(path.partition(".")[0] == "imbalance" for path in named):
            raise
        return replace(recipe, imbalance=None)
    by_hand = {"early_stopping", "early_stopping.metric"} & named
    if by_hand and "metric" in spec.field_names(type(cure)) and "imbalance.metric" not in named:
        cure = replace(cure, metric=None)  # type: ignore[type-var]
    return replace(recipe, imbalance=cure)
