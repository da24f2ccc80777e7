"""The figure of the verdict over part of the measured rows: one speaker, one range of lengths.

It is computed from the predictions file by the task's own metric, as the figure over all rows was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pervade.core.contracts import Domain
from pervade.core.contracts.abilities import CouplesRows
from pervade.core.errors import DataError, PervadeError
from pervade.engine import promises
from pervade.metrics.columns import Columns
from pervade.metrics.estimate import Measure, Metric, Shared, estimate, weighted_mean
from pervade.report import preprocessing
from pervade.report.record import Figure, Record
from pervade.report.sections.mistakes import predictions


@dataclass(frozen=True)
class Measured:
    """All measured rows: their predictions, and the metric that the verdict is about."""

    name: str
    metric: Metric
    table: dict[str, Any]

    def column(self, record: Record, name: str) -> list[Any] | None:
        """What data.json, or else the predictions file, holds of each measured row; None where neither does."""
        known, numbers = record.columns.get(name), np.asarray(self.table["row"]).tolist()
        if known is not None and all(0 <= number < len(known) for number in numbers):
            return [known[number] for number in numbers]
        if name in self.table and len(self.table[name]) == len(numbers):
            return list(self.table[name])
        return None

    def figure(self, positions: Sequence[int], apart: bool = False) -> Figure | None:
        """Of the rows at these positions; `apart` takes each as independent of the others, as within one group, where
        nothing else can be done. None where the metric makes nothing of them."""
        part = {name: _some(values, positions) for name, values in self.table.items()}
        if apart or len(set(np.asarray(part["group"]).tolist())) == 1:
            part["group"] = np.arange(len(positions))
        try:
            estimated = estimate({self.name: self.metric}, part)[self.name]
        except DataError:
            return None
        if math.isnan(estimated.value):
            return None
        own = Figure.of(self.name, estimated.as_dict())
        return replace(own, higher_is_better=self.metric.higher_is_better, known=self.metric.words)


def measured(record: Record, name: str | None = None) -> Measured | None:
    """By the figure of the verdict, or another of the result's. None where the predictions file or its metric is not to
    be had, or is no sum over rows (comparing people) or over data (an agent's episodes)."""
    result, table = record.main, predictions(record, {"row", "group"})
    asked = None if result is None else result.headline if name is None else result.figures.get(name)
    if result is None or asked is None or table is None or record.acts or not len(table["row"]):
        return None
    task, domain = preprocessing.task(record), preprocessing.domain(record, result.checkpoint)
    if task is None or domain is None or isinstance(task, CouplesRows):
        return None
    metric = {**task.metrics(domain), **_promised(record, result.checkpoint, domain)}.get(asked.name)
    if metric is None:
        return None
    return Measured(asked.name, replace(_light(metric, table), words=asked.words), table)


def _promised(record: Record, checkpoint: str, domain: Domain) -> dict[str, Metric]:
    """What is measured of promises; nothing where one is not known here."""
    try:
        return promises.metrics(record.run.of_checkpoint(checkpoint, "decision.json"), domain)
    except PervadeError:
        return {}


def _light(metric: Metric, table: dict[str, Any]) -> Metric:
    """A proportion of rows as the mean of its outcomes, without the family that it was computed with: the same value,
    resampled in a moment."""
    trials = metric.trials
    if trials is None or len(trials(table)) != len(table["row"]):
        return metric

    def shares(columns: Columns) -> Measure:
        outcomes = trials(columns).astype(np.float64)
        return lambda weight: {"share": weighted_mean(outcomes, weight)}

    return replace(metric, compute=Shared(shares, "share"))


def _some(values: Any, positions: Sequence[int]) -> Any:
    return values[np.asarray(positions)] if isinstance(values, np.ndarray) else [values[i] for i in positions]
