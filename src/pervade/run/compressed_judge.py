"""What the steps that make a network smaller judge it by: the headline figure on validation rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch.nn import Module

from pervade.core.errors import DataError
from pervade.core.types import Rows
from pervade.engine import predictions, promises
from pervade.engine.checkpoint import Loaded
from pervade.engine.predictor import Predictor
from pervade.metrics.estimate import measure

MOST_JUDGED = 1000  # rows of the validation split, drawn by chance


@dataclass
class Judge:
    """Of networks like that of `loaded`, which the run at `place` holds, by its validation rows."""

    place: Path
    held: Rows
    loaded: Loaded
    metrics: Mapping[str, Any] = field(init=False)
    headline: str = ""  # the first metric that is defined on these rows

    def __post_init__(self) -> None:
        chosen = np.sort(np.random.default_rng(0).permutation(len(self.held))[:MOST_JUDGED]).tolist()
        self.held = self.held.select(chosen)
        self.metrics = self.loaded.task.metrics(self.loaded.domain)

    def __call__(self, network: Module) -> float:
        """The headline figure, signed so that larger is better. Raises DataError where there is none."""
        some, loaded = self.held, self.loaded
        if not len(some):
            raise DataError(
                f"{self.place} has no validation split to judge by; train anew with one (-o validation=0.2)"
            )
        decision = promises.without(loaded.decision)
        predictor = Predictor(network, loaded.domain, loaded.task, decision, members=loaded.members)
        columns = predictions.complete(predictor.table(some), some)
        figures = {name: float(value) for name, value in measure(self.metrics, columns)(np.ones(len(some))).items()}
        self.headline = next((name for name, value in figures.items() if not np.isnan(value)), "")
        if not self.headline:
            raise DataError(f"no figure is defined on {len(some):,} validation rows; give the run more")
        worse = self.metrics[self.headline].higher_is_better is False
        return -figures[self.headline] if worse else figures[self.headline]

    def loss(self, before: float, after: float) -> float:
        """Of two such figures, how much got lost (`Metric.loss`)."""
        lost: float = self.metrics[self.headline].loss(before - after, before)
        return lost
