"""A task around a task: what it does not say itself is the inner one's (distillation, hardening)."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

from pervade.core.contracts.abilities import ABILITIES, FindsGradient
from pervade.core.contracts.task import Task


def members(contract: type) -> list[str]:
    """What a contract asks for, but for `kind`, which says what it is itself."""
    own = [name for base in contract.__mro__ if getattr(base, "_is_protocol", False) for name in vars(base)]
    return sorted({name for name in own if not name.startswith("_") and name != "kind"})


@dataclass(frozen=True)
class Wrapping(Task):
    """Inherit, and write what differs; `super()` reaches the inner task. It has the inner task's abilities, so that
    `isinstance` tells of both; but a gradient that the inner task knows is not that of another loss or forward. Whoever
    has a `__post_init__` of its own calls this one."""

    task: Task

    def __post_init__(self) -> None:
        changed = any(getattr(type(self), name) is not getattr(Wrapping, name) for name in ("forward", "loss"))
        for ability in ABILITIES:
            if not isinstance(self.task, ability) or (ability is FindsGradient and changed):
                continue
            for name in members(ability):
                if getattr(type(self), name, None) in (None, getattr(ability, name)):
                    object.__setattr__(self, name, getattr(self.task, name))


for _name in members(Task):
    setattr(Wrapping, _name, property(attrgetter(f"task.{_name}")))
