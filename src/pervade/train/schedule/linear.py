"""A learning rate that falls in a straight line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from pervade.core.contracts import Schedule
from pervade.core.registry import register


@register("schedule")
@dataclass(frozen=True)
class Linear(Schedule):
    end: Annotated[float, Field(ge=0, le=1)] = 0.0  # what is left of the peak

    def factor(self, progress: float) -> float:
        return 1.0 - (1.0 - self.end) * progress
