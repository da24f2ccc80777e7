"""A linear warm-up, then down along a cosine (Loshchilov & Hutter 2017, arXiv:1608.03983; Goyal et al. 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from pervade.core.contracts import Schedule
from pervade.core.registry import register


@register("schedule")
@dataclass(frozen=True)
class Cosine(Schedule):
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.05  # share of the training until the peak
    end: Annotated[float, Field(ge=0, le=1)] = 0.0  # factor at the last step

    def factor(self, progress: float) -> float:
        if progress < self.warm_up:
            return progress / self.warm_up
        share = (progress - self.warm_up) / (1 - self.warm_up)
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * share)) / 2
