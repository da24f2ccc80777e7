"""What the form offers: tasks, and networks by what they read."""

from __future__ import annotations

from functools import cache
from typing import Any

from pervade import recipes
from pervade.core import registry
from pervade.core.contracts import Model


@cache
def choices() -> dict[str, Any]:
    """Imports every recipe and network, which takes seconds once."""
    reads: dict[str, list[str]] = {}
    for name in registry.names("model"):
        cls, _ = registry.find("model", name)
        if getattr(cls, "rest", None) is None:
            reads.setdefault(getattr(cls, "reads", Model.reads), []).append(name)
    tasks = [{"name": name, "about": about} for name, (_, about) in recipes.tasks().items()]
    return {"tasks": tasks, "models": [{"reads": kind, "names": names} for kind, names in sorted(reads.items())]}
