"""Complete configurations, as functions that return a Recipe. One file a domain.

A file says what it is for in `TASKS` (the Hugging Face Hub's task names to a line of description), whether it knows a
source in `recognises(source)`, and gives `recipe(model, task)`.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any

from pervade.core.errors import ConfigError, DataError, nearest
from pervade.core.protocols import Recipe


def tasks() -> dict[str, tuple[ModuleType, str]]:
    """Every task's module and description, by the Hub's name."""
    found: dict[str, tuple[ModuleType, str]] = {}
    for file in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{file.name}")
        found |= {name: (module, description) for name, description in module.TASKS.items()}
    return found


def choose(source: Any, task: str | None, model: str | None) -> tuple[str, Recipe]:
    """The task, detected from the source unless given, and its recipe for the model.

    Raises ConfigError where task or model is unknown, DataError where no domain knows the source.
    """
    there = tasks()
    if task is None:
        modules = dict.fromkeys(module for module, _ in there.values())
        task = next((name for module in modules if (name := module.recognises(source)) is not None), None)
        if task is None:
            raise DataError(f"{source} is of no kind that is known; say what to learn with --task ({', '.join(there)})")
    if task not in there:
        raise ConfigError(f"unknown task {task!r}; {nearest(task, there)}")
    recipe: Recipe = there[task][0].recipe(model, task)
    return task, recipe
