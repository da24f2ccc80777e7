"""What the validation split settles for the best pass (temperature, thresholds) is settled by rows that did not choose
it.

The split is cut in two halves, and each settles for the pass that the other one alone would choose; the mean of both is
what holds (cross-fitting: Chernozhukov et al. 2018, arXiv:1608.00060). Mostly both halves would choose the pass that
all rows choose; then all of them settle for it together. So every row chooses and every row settles, but none for what
it chose itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pervade.core.contracts import Task
from pervade.core.types import Rows, Table
from pervade.data.rows import folds
from pervade.engine import predictions
from pervade.metrics.estimate import Metric, measure

SAME_ROWS = (
    "settled by the rows that chose the pass as well: two halves of the validation split, which would choose different "
    "ones, are too small to settle by themselves"
)

Settle = Callable[[Table], dict[str, Any]]
"""Predictions of rows to what these settle (`Task.decide`)."""


@dataclass
class Half:
    """Half of the validation rows: the pass that these alone would choose, and what the other half settles for it."""

    best: float | None = None
    at: float = 0  # 0: none yet, or none that these rows can tell from the others
    settled: dict[str, Any] = field(default_factory=dict)


@dataclass
class CrossFit:
    """What is settled so far. `whole`: by all rows, for the pass `at`, which all rows chose."""

    halves: list[Half] = field(default_factory=lambda: [Half(), Half()])
    at: float = 0
    whole: dict[str, Any] = field(default_factory=dict)

    def judge(
        self, at: float, metric: Metric, best: bool, columns: Table, half_of: Mapping[int, int], settle: Settle
    ) -> None:
        """After the pass `at`, whose predictions `columns` hold, and which is the `best` by all rows so far or not.
        `half_of`: the half of each row, by its number."""
        half = np.array([half_of[row] for row in np.asarray(columns["row"]).tolist()])
        sign, measured = -1.0 if metric.higher_is_better is False else 1.0, measure({"": metric}, columns)
        for side, own in enumerate(self.halves):
            figure = measured((half == side).astype(np.float64))[""]
            # A figure that is not defined on these rows (nan) is never better.
            if sign * figure > (-math.inf if own.best is None else sign * own.best):
                others = only(columns, half != side)
                own.best, own.at, own.settled = figure, at, settle(others) if len(others["row"]) else {}
        if best:
            self.at, self.whole = at, settle(columns)

    @property
    def remarks(self) -> list[str]:
        """In words, where rows settle that chose."""
        return [] if self._agreed or self._enough or not self.whole else [SAME_ROWS]

    @property
    def settled(self) -> dict[str, Any]:
        """What holds for the best pass: what rows that did not choose it settle, or, where they are too few, all."""
        one, other = self.halves
        return mean(one.settled, other.settled) if self._enough and not self._agreed else self.whole

    @property
    def _agreed(self) -> bool:
        return all(half.at == self.at for half in self.halves)

    @property
    def _enough(self) -> bool:
        return all(half.at and half.settled.keys() == self.whole.keys() for half in self.halves)


def mean(one: Any, other: Any) -> Any:
    """Of two decisions (decision.json) of one task, number by number."""
    if isinstance(one, Mapping):
        return {name: mean(value, other[name]) for name, value in one.items()}
    if isinstance(one, list):
        return [mean(*pair) for pair in zip(one, other, strict=True)]
    return round((one + other) / 2, 6)


def halves(rows: Rows, seed: int) -> dict[int, int]:
    """The half, 0 or 1, of each row by its number: groups whole, classes in like shares."""
    return dict(zip(rows.number, (fold - 1 for fold in folds.deal(rows, range(len(rows)), 2, seed)), strict=True))


def settles(task: Task) -> bool:
    """Whether the task settles anything by the validation split."""
    return type(task).decide is not Task.decide


def only(table: Table, kept: np.ndarray) -> Table:
    """The rows of a table that are kept (n,) bool."""
    return {name: predictions.in_order(values, np.flatnonzero(kept)) for name, values in table.items()}
