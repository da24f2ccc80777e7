"""Up along a cosine to the peak, then down to almost nothing (Smith and Topin 2017, arXiv:1708.07120)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from pervade.core.contracts import Schedule
from pervade.core.registry import register


@register("schedule")
@dataclass(frozen=True)
class OneCycle(Schedule):
    rise: Annotated[float, Field(gt=0, lt=1)] = 0.25  # share of the training until the peak
    start: Annotated[float, Field(gt=0, le=1)] = 0.04  # factor at the first step
    end: Annotated[float, Field(ge=0, le=1)] = 1e-4  # factor at the last

    def factor(self, progress: float) -> float:
        if progress < self.rise:
            return _between(self.start, 1.0, progress / self.rise)
        return _between(1.0, self.end, (progress - self.rise) / (1 - self.rise))


def _between(low: float, high: float, share: float) -> float:
    return high + (low - high) * (1 + math.cos(math.pi * share)) / 2
