"""The figures of a regression, from the columns "target" and "prediction", (n,) or (n, outputs) real numbers.

Several outputs are averaged, each counting alike. Axis letters: n rows.
"""

from __future__ import annotations

import math

import numpy as np

from pervade.core.errors import DataError
from pervade.metrics.columns import Columns, number_column
from pervade.metrics.estimate import Measure, Metric, Shared, weighted_mean


def regression_metrics() -> dict[str, Metric]:
    """mean_squared_error, mean_absolute_error (in the target's unit, the first in its square) and r2."""
    texts = {
        "mean_squared_error": "mean squared difference of prediction and target",
        "mean_absolute_error": "mean absolute difference of prediction and target",
        "r2": "share of the target's variance explained: 1 is perfect, 0 is always answering the mean",
    }
    return {
        name: Metric(
            Shared(regression_family, name),
            higher_is_better=name == "r2",
            description=text,
            undefined="needs targets that differ" if name == "r2" else "no row counts",
        )
        for name, text in texts.items()
    }


def regression_family(columns: Columns) -> Measure:
    """r2 = 1 - sum (y - p)² / sum (y - mean y)², of each output and then averaged; nan where a target is constant."""
    target, prediction = number_column(columns, "target"), number_column(columns, "prediction")
    if target.shape != prediction.shape:
        raise DataError(f"'target' has shape {target.shape} but 'prediction' {prediction.shape}; they must agree")
    target, prediction = target.reshape(len(target), -1), prediction.reshape(len(target), -1)
    squared = (target - prediction) ** 2
    mean_squared, mean_absolute = squared.mean(axis=1), np.abs(target - prediction).mean(axis=1)

    def measure(weight: np.ndarray) -> dict[str, float]:
        return {
            "mean_squared_error": weighted_mean(mean_squared, weight),
            "mean_absolute_error": weighted_mean(mean_absolute, weight),
            "r2": _explained(target, squared, weight),
        }

    return measure


def _explained(target: np.ndarray, squared: np.ndarray, weight: np.ndarray) -> float:
    total = weight.sum()
    if total <= 0:
        return math.nan
    center = weight @ target / total
    spread = weight @ (target - center) ** 2
    # A constant target leaves a rounding error here, not a clean 0.
    if (spread <= 1e-20 * total * np.maximum(1e-280, np.abs(center)) ** 2).any():
        return math.nan
    return float(np.mean(1 - weight @ squared / spread))
