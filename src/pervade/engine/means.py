"""Running means of what a step's loss consists of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pervade.core.errors import TrainingError
from pervade.core.types import Parts
from pervade.engine import ranks


class Means:
    """They stay tensors until somebody asks: a number of every step would have the device wait for it."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, float] = {}

    def add(self, parts: Parts, player: str = "") -> float:
        """Returns the units in `parts`, whose names get the player's in front ("critic.")."""
        rows = parts["loss"].shape[0]
        count = float(parts["count"].sum()) if "count" in parts else float(rows)
        for name, value in parts.items():
            if name != "count":
                self._add(player + name, value.detach(), count if name == "loss" else rows)
        return count

    def _add(self, name: str, value: Tensor, count: float) -> None:
        """Row by row while batches have as many rows: one addition a step, and the sum when somebody asks."""
        if name not in self._sums:
            self._sums[name], self._counts[name] = value.clone(), count
            return
        held = self._sums[name]
        self._sums[name] = held.add_(value) if held.shape == value.shape else held.sum() + value.sum()
        self._counts[name] += count

    def take(self, step: int, rates: Mapping[str, float]) -> dict[str, float]:
        """Mean of every part since the last call, over all ranks: "loss" a unit, the others a row. `rates`: those of
        learning, by the settings that change them.

        Raises TrainingError where one is not finite, since going on would only hide it.
        """
        sums = ranks.sum_floats({name: float(value.sum()) for name, value in self._sums.items()})
        counts = ranks.sum_floats(self._counts)
        self._sums, self._counts = {}, {}
        means = {name: value / max(counts[name], 1.0) for name, value in sums.items()}
        for name, value in means.items():
            if not math.isfinite(value):
                now = ", ".join(f"{setting}, now {rate:g}" for setting, rate in rates.items())
                raise TrainingError(
                    f"the {name} became {value} at step {step}; lower the learning rate ({now}), or bound the gradient "
                    "with -o clip_norm=1"
                )
        return means

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self._sums, "counts": self._counts}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        self._sums = {name: value.to(device) for name, value in state["sums"].items()}
        self._counts = dict(state["counts"])
