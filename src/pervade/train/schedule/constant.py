"""The same learning rate throughout."""

from __future__ import annotations

from dataclasses import dataclass

from pervade.core.contracts import Schedule
from pervade.core.registry import register


@register("schedule")
@dataclass(frozen=True)
class Constant(Schedule):
    def factor(self, progress: float) -> float:
        return 1.0
