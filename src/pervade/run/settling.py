"""What the validation split settles for the best pass (temperature, thresholds) is settled by rows that did not choose
it, where there are such.

The split is cut in two halves. Where one alone would choose the pass that all rows choose, the other one had no say in
it and settles; where either would, all settle together; where neither would, all settle as well, and that is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pervade.core.contracts import Recipe, Task
from pervade.core.types import Rows, Table
from pervade.data.rows import folds
from pervade.engine import predictions
from pervade.metrics.estimate import Metric, measure

SAME_ROWS = (
    "settled by the rows that chose the pass as well: neither half of the validation split alone would choose it, or "
    "the half that had no say is too small to settle by itself"
)

Settle = Callable[[Table], dict[str, Any]]
"""Predictions of rows to what these settle (`Task.decide`)."""


FINER = "log_loss"  # which, of passes with the same figure, says the better: few rows are soon all right


@dataclass
class Best:
    """How good the best pass was, by the figure that chooses; of equal ones by the finer one, where there is any."""

    best: float | None = None
    finer: float | None = None

    def beaten(self, metrics: Sequence[Metric], figures: Sequence[float]) -> bool:
        """Whether these figures are better, which then are the best. One that is not defined on these rows (nan) is
        never better."""
        own = [self.best, self.finer]
        for place, (metric, figure) in enumerate(zip(metrics, figures, strict=True)):
            known, sign = own[place], -1.0 if metric.higher_is_better is False else 1.0
            if known is None:
                better = place == 0 and not math.isnan(figure)
            elif figure == known:
                continue
            else:
                better = sign * figure > sign * known
            if better:
                self.best, self.finer = figures[0], figures[1] if len(figures) > 1 else None
            return better
        return False


@dataclass
class Half(Best):
    """Half of the validation rows: the pass that these alone would choose, and what the other half settles for it."""

    at: float = 0  # 0: none yet, or none that these rows can tell from the others
    settled: dict[str, Any] = field(default_factory=dict)


@dataclass
class CrossFit:
    """What is settled so far. `whole`: by all rows, for the pass `at`, which all rows chose."""

    halves: list[Half] = field(default_factory=lambda: [Half(), Half()])
    at: float = 0
    whole: dict[str, Any] = field(default_factory=dict)

    def judge(
        self,
        at: float,
        metrics: Sequence[Metric],
        best: bool,
        columns: Table,
        half_of: Mapping[int, int],
        settle: Settle,
    ) -> None:
        """After the pass `at`, whose predictions `columns` hold, and which is the `best` by all rows so far or not, by
        `metrics` as of `Best.beaten`.
        `half_of`: the half of each row, by its number."""
        half = np.array([half_of[row] for row in np.asarray(columns["row"]).tolist()])
        measured = measure({str(place): metric for place, metric in enumerate(metrics)}, columns)
        for side, own in enumerate(self.halves):
            if own.beaten(metrics, list(measured((half == side).astype(np.float64)).values())):
                others = only(columns, half != side)
                own.at, own.settled = at, settle(others) if len(others["row"]) else {}
        if best:
            self.at, self.whole = at, settle(columns)

    @property
    def remarks(self) -> list[str]:
        """In words, where rows settle that chose."""
        return [SAME_ROWS] if self.whole and self._alone is None and not self._agreed else []

    @property
    def settled(self) -> dict[str, Any]:
        """What holds for the best pass: what rows that did not choose it settle, or, where there are too few, all."""
        return self.whole if self._agreed or self._alone is None else self._alone

    @property
    def _agreed(self) -> bool:
        return all(half.at == self.at for half in self.halves)

    @property
    def _alone(self) -> dict[str, Any] | None:
        """What is settled for the best pass by the half that had no say in it."""
        same = self.whole.keys()
        return next((half.settled for half in self.halves if half.at == self.at and half.settled.keys() == same), None)


def halves(rows: Rows, seed: int) -> dict[int, int]:
    """The half, 0 or 1, of each row by its number: groups whole, classes in like shares."""
    return dict(zip(rows.number, (fold - 1 for fold in folds.deal(rows, range(len(rows)), 2, seed)), strict=True))


def validation_rows(recipe: Recipe, rows: Rows, keep: bool) -> Rows:
    """The validation split, where anything is made of what the model says of it: it chooses the pass, it settles
    something, or its predictions are to be kept."""
    used = keep or recipe.early_stopping.metric is not None or settles(recipe.task)
    return rows.where("split", "validation") if used and "split" in rows else rows.select([])


def settles(task: Task) -> bool:
    """Whether the task settles anything by the validation split."""
    return type(task).decide is not Task.decide


def only(table: Table, kept: np.ndarray) -> Table:
    """The rows of a table that are kept (n,) bool."""
    return {name: predictions.in_order(values, np.flatnonzero(kept)) for name, values in table.items()}
