"""The figures of a regression, from the columns "target" and "prediction", (n,) or (n, outputs) real numbers.

Several outputs are averaged, each counting alike. Axis letters: n rows, o outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pervade.core.errors import DataError
from pervade.core.words import FigureWords
from pervade.metrics.baseline import beside
from pervade.metrics.columns import Columns, column, number_column
from pervade.metrics.estimate import UNIT, Measure, Metric, Shared, weighted_mean

# What a constant answer can be measured by: it ranks nothing.
BASELINE_METRICS = (
    "mean_absolute_error",
    "root_mean_squared_error",
    "r2",
    "median_absolute_error",
    "mean_squared_error",
)


def regression_metrics() -> dict[str, Metric]:
    """Errors in the target's unit (mean_squared_error in its square), the share of variance explained (r2), and the
    correlation of ranks."""
    mean = FigureWords(
        "Mean absolute error",
        sentence="On {rows}, it was off by {value} on average.",
        baseline="{name} would be off by {value} on average",
        hub="mae",
    )
    r2, ranks = "Share of variance explained (R²)", "Correlation of ranks (Spearman)"
    told = {
        "mean_absolute_error": ("mean absolute difference of prediction and target", mean),
        "root_mean_squared_error": (
            "root of the mean squared difference: large errors weigh more",
            FigureWords("Root mean squared error"),
        ),
        "r2": (
            "share of the target's variance explained: 1 is perfect, 0 is always answering the mean",
            FigureWords(r2, hub="r_squared"),
        ),
        "median_absolute_error": ("half of the rows are closer than this", FigureWords("Median absolute error")),
        "spearman": ("correlation of the ranks of prediction and target, -1 to 1", FigureWords(ranks, hub="spearmanr")),
        "mean_squared_error": (
            "mean squared difference of prediction and target",
            FigureWords("Mean squared error", hub="mse"),
        ),
    }
    why = {"r2": "needs targets that differ", "spearman": "needs targets that differ, and predictions that do"}
    bounds = {"r2": (-math.inf, 1.0), "spearman": (-1.0, 1.0)}
    return {
        name: Metric(
            Shared(regression_family, name),
            higher_is_better=name in ("r2", "spearman"),
            description=text,
            undefined=why.get(name, "no row counts"),
            bounds=bounds.get(name, (0.0, math.inf)),
            words=words,
        )
        for name, (text, words) in told.items()
    }


def coverage_metric(share: float) -> Metric:
    """How often the target lies between the columns "low" and "high" (n,), which were to hold `share` of them."""
    return Metric(
        _coverage,
        trials=_inside,
        higher_is_better=None,
        description=f"share of targets inside the interval given with the answer, which was to hold {100 * share:g}%",
        undefined="no interval was given: the validation split is too small to learn one from",
        bounds=UNIT,
        words=FigureWords("Truths inside the interval given with the answer", "share"),
    )


def mean_baseline(columns: Columns, mean: float) -> dict[str, Any]:
    """What always answering one number reaches on these rows beside the answers given (see `baseline.beside`).

    Args:
        mean: of the targets OF THE TRAINING SPLIT.
    """
    constant = {**columns, "prediction": np.full(len(column(columns, "target")), mean)}
    metrics = regression_metrics()
    chosen = {name: metrics[name] for name in BASELINE_METRICS}
    return beside(f"always {mean:.4g}, the mean in training", chosen, constant, columns)


def regression_family(columns: Columns) -> Measure:
    """r2 = 1 - sum (y - p)² / sum (y - mean y)², of each output and then averaged; nan where a target is constant."""
    target, prediction = number_column(columns, "target"), number_column(columns, "prediction")
    if target.shape != prediction.shape:
        raise DataError(f"'target' has shape {target.shape} but 'prediction' {prediction.shape}; they must agree")
    target, prediction = target.reshape(len(target), -1), prediction.reshape(len(target), -1)
    absolute = np.abs(target - prediction)
    squared = absolute**2
    mean_squared, mean_absolute = squared.mean(axis=1), absolute.mean(axis=1)
    outputs = range(target.shape[1])
    medians = [median_of(absolute[:, output]) for output in outputs]
    correlations = [rank_correlation(target[:, output], prediction[:, output]) for output in outputs]

    def measure(weight: np.ndarray) -> dict[str, float]:
        total = weight.sum()
        roots = np.sqrt(weight @ squared / total) if total > 0 else np.full(len(outputs), math.nan)
        return {
            "mean_absolute_error": weighted_mean(mean_absolute, weight),
            "root_mean_squared_error": float(roots.mean()),
            "r2": _explained(target, squared, weight),
            "median_absolute_error": float(np.mean([median(weight) for median in medians])),
            "spearman": float(np.mean([correlation(weight) for correlation in correlations])),
            "mean_squared_error": weighted_mean(mean_squared, weight),
        }

    return measure


def median_of(values: np.ndarray) -> Callable[[np.ndarray], float]:
    """weight (n,) -> the median of values (n,), each counted as often as its weight says; nan where none is."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]

    def median(weight: np.ndarray) -> float:
        reached = np.cumsum(weight[order])
        half = reached[-1] / 2
        if half <= 0:
            return math.nan
        # Where one value ends just at the half, the median lies between it and the next: as of an even number of rows.
        slack = 1e-12 * reached[-1]
        low, high = np.searchsorted(reached, half - slack), np.searchsorted(reached, half + slack)
        return float(ranked[low] + ranked[min(high, len(ranked) - 1)]) / 2

    return median


def rank_correlation(one: np.ndarray, other: np.ndarray) -> Callable[[np.ndarray], float]:
    """weight (n,) -> Spearman's correlation of (n,) and (n,), ties at their mean rank; nan where either is constant.

    C. Spearman, "The proof and measurement of association between two things", Am. J. Psychology 15 (1904).
    """
    first, second = _ranks(one), _ranks(other)

    def correlation(weight: np.ndarray) -> float:
        total = weight.sum()
        if total <= 0:
            return math.nan
        a, b = first(weight), second(weight)
        a, b = a - weight @ a / total, b - weight @ b / total
        spread = float(np.sqrt((weight @ a**2) * (weight @ b**2)))
        return float(weight @ (a * b)) / spread if spread > 1e-12 * total**3 else math.nan

    return correlation


def _ranks(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """weight (n,) -> the rank of each value (n,), up to a constant, if it counts as often as its weight says."""
    _, tied = np.unique(values, return_inverse=True)

    def ranks(weight: np.ndarray) -> np.ndarray:
        of_ties = np.bincount(tied, weights=weight)
        return np.asarray((np.cumsum(of_ties) - of_ties / 2)[tied])

    return ranks


def _coverage(columns: Columns, weight: np.ndarray) -> float:
    inside = _inside(columns)
    return weighted_mean(inside.astype(np.float64), weight) if len(inside) else math.nan


def _inside(columns: Columns) -> np.ndarray:
    """(n,) bool; empty where no row has an interval."""
    target, low, high = (column(columns, name) for name in ("target", "low", "high"))
    if np.isnan(low).any() or np.isnan(high).any():
        return np.zeros(0, bool)
    return np.asarray((target >= low) & (target <= high))


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
