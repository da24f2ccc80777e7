"""How well scores rank positives above negatives: the areas under the ROC and precision-recall curves, of each of many
classes against the rest, and their means.

Sorting is dear and does not hang on the weights, so it is done once. Where there are too many rows and classes to go
through them again in every resample, the slopes of the areas stand for these (`Linearised`).

Axis letters: n rows, c classes, p positives of one class, g runs of equal scores that hold a positive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np

from pervade.metrics.estimate import Linearised, Measure

MOST_RANKED = 200_000  # rows x classes that are gone through in every resample: a thousand take a second or two
AT_ONCE = 64  # classes whose scores are laid out row by row at a time

Positives = tuple[np.ndarray, np.ndarray]
"""Rows, and which class (its position among those measured) each of them is a positive of."""


def mean_areas(scores: np.ndarray, classes: np.ndarray, positives: Positives, names: Mapping[str, str]) -> Measure:
    """The means of both areas over the classes for which each is defined, under the names that `names` gives to "roc"
    and "precision"; and where it names "each", the average precision of every class, (c,).

    ROC-AUC is the chance that a positive scores above a negative, ties counting half: the trapezoid rule (J. A. Hanley
    and B. J. McNeil, Radiology 143, 1982). nan without a positive or without a negative.

    Average precision is the sum over thresholds of (recall gained) x (precision there), without interpolation, as in
    scikit-learn: the trapezoid rule is too kind to a precision-recall curve (J. Davis and M. Goadrich, ICML 2006).
    nan without a positive; what chance reaches is the share of positives.

    Args:
        scores: (n, k) real numbers, higher where a row is thought likelier to be of a class.
        classes: (c,) those to measure.
    """

    def named(roc: np.ndarray, precision: np.ndarray) -> dict[str, Any]:
        values: dict[str, Any] = {names["roc"]: _mean_defined(roc), names["precision"]: _mean_defined(precision)}
        return values | ({names["each"]: precision} if "each" in names else {})

    if len(scores) * len(classes) <= MOST_RANKED:
        areas = ranked_areas(np.ascontiguousarray(scores[:, classes].T), positives)
        return lambda weight: named(*areas(weight))

    @cache
    def at_one() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The values where every row counts once, and their slopes."""
        n = len(scores)
        sums, defined = np.zeros((2, n)), np.zeros(2)
        singles = np.empty((n, len(classes))) if "each" in names else None
        areas = np.empty((2, len(classes)))
        for at, score, rows in _class_by_class(scores, classes, positives):
            areas[:, at], slopes = areas_and_slopes(score, rows, np.ones(n))
            known = ~np.isnan(areas[:, at])
            sums[known] += slopes[known]
            defined += known
            if singles is not None:
                singles[:, at] = slopes[1]
        means = sums / np.maximum(defined, 1)[:, None]
        own = {} if singles is None else {names["each"]: singles}
        return named(*areas), {names["roc"]: means[0], names["precision"]: means[1], **own}

    def exact(weight: np.ndarray) -> dict[str, Any]:
        if (weight == 1).all():
            return at_one()[0]
        areas = [
            areas_and_slopes(score, rows, weight)[0] for _, score, rows in _class_by_class(scores, classes, positives)
        ]
        return named(*np.array(areas).T)

    return Linearised(exact, lambda: at_one()[1])


def ranked_areas(scores: np.ndarray, positives: Positives) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Of scores (c, n): the function of how often each row counts, (n,), to both areas of every class, (c,) each.

    All classes stand in one long row, each sorted by falling score and cut into runs of equal scores.
    """
    num_classes, n = scores.shape
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=1)
    given = np.zeros((num_classes, n), bool)
    given[positives[1], positives[0]] = True
    positive: np.ndarray = np.take_along_axis(given, order, axis=1).ravel()
    begins = np.ones((num_classes, n), bool)
    begins[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    starts = np.flatnonzero(begins)
    stops = np.r_[starts[1:], num_classes * n]
    before = np.r_[0, np.cumsum(positive)]
    kept = before[stops] > before[starts]
    starts, stops = starts[kept], stops[kept]
    which = starts // n  # (g,) the class of a run
    order = order.ravel()
    positive_rows, positive_class = order[positive], np.flatnonzero(positive) // n
    first = which * n, before[which * n]  # where each run's class begins, among rows and among positives
    from_positive, to_positive = before[starts], before[stops]

    def areas(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # [i]: the weight of the first i rows, or positives.
        rows_before = np.concatenate(([0.0], np.cumsum(weight[order])))
        positives_before = np.concatenate(([0.0], np.cumsum(weight[positive_rows])))
        total = weight.sum()
        num_positive = np.bincount(positive_class, weight[positive_rows], num_classes)
        num_negative = total - num_positive
        reached = rows_before[stops] - rows_before[first[0]]
        positives_reached = positives_before[to_positive] - positives_before[first[1]]
        gained = positives_before[to_positive] - positives_before[from_positive]
        # A run whose rows all count 0 gains nothing; its 0/0 is set to 0.
        precision = np.divide(positives_reached, reached, out=np.zeros_like(reached), where=reached > 0)
        below = num_negative[which] - (reached - positives_reached)
        tied = rows_before[stops] - rows_before[starts] - gained
        # Float weights can leave a rounding error where there is no negative, so ask for more than that.
        told = (num_positive > 0) & (num_negative > 1e-12 * total)
        roc = np.bincount(which, gained * (below + tied / 2), num_classes)
        return (
            _divided(roc, num_positive * num_negative, told),
            _divided(np.bincount(which, gained * precision, num_classes), num_positive, num_positive > 0),
        )

    return areas


def areas_and_slopes(score: np.ndarray, rows: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both areas of one class, (2,), and by how much they rise with each row's weight, (2, n); nan where undefined.

    With P the weight of the positives, N that of the negatives, S_i that of the negatives below positive i, R_i that of
    all rows not below it, and T_i that of the positives among these: ROC-AUC A = sum_i w_i S_i / (P N), and average
    precision B = sum_i w_i (T_i / R_i) / P. So

        dA/dw_j = (S_j / N - A) / P of a positive, (share of the positives above j - A) / N of a negative
        dB/dw_j = (sum over positives i not above j of w_i ([j positive] / R_i - T_i / R_i²)
                   + [j positive] (T_j / R_j - B)) / P

    Args:
        score: (n,). rows: (p,) the positives. weight: (n,), 0 or more.
    """
    rows = rows[np.argsort(score[rows], kind="stable")]
    own, ranked = weight[rows], score[rows]
    total = weight.sum()
    num_positive, num_negative = own.sum(), total - own.sum()
    if num_positive <= 0:
        return np.full(2, math.nan), np.full((2, len(score)), math.nan)
    upto = np.searchsorted(ranked, score, side="right")  # (n,) how many positives do not score above
    run_start = np.searchsorted(ranked, ranked, side="left")
    last = np.maximum(upto - 1, 0)
    below = np.where((upto > 0) & (ranked[last] == score), run_start[last], upto)  # how many score below
    summed = np.r_[0.0, np.cumsum(own)]  # [m]: the weight of the m lowest positives
    # [m]: the weight of the rows that have at least m positives not above, or below, them.
    at_least, over = (_sums_from(np.bincount(places, weight, len(rows) + 1)) for places in (upto, below))
    upper = upto[rows]
    reached, strictly = at_least[upper], over[upper]  # R_i, and the weight of the rows above positive i
    positives_reached = num_positive - summed[run_start]  # T_i
    tied = (reached - strictly) - (summed[upper] - summed[run_start])
    lower = num_negative - (strictly - (num_positive - summed[upper])) - tied / 2  # S_i
    safe = np.where(reached > 0, reached, 1.0)
    precision = np.where(reached > 0, positives_reached / safe, 0.0)
    average_precision = float(own @ precision) / num_positive
    slope = -np.r_[0.0, np.cumsum(own * precision / safe)][upto]
    slope[rows] += np.r_[0.0, np.cumsum(own / safe)][upper] + precision - average_precision
    slopes = np.stack([np.full(len(score), math.nan), slope / num_positive])
    area = math.nan
    if num_negative > 1e-12 * total:
        area = float(own @ lower) / (num_positive * num_negative)
        slopes[0] = ((num_positive - (summed[upto] + summed[below]) / 2) / num_positive - area) / num_negative
        slopes[0, rows] = (lower / num_negative - area) / num_positive
    return np.array([area, average_precision]), slopes


def _class_by_class(
    scores: np.ndarray, classes: np.ndarray, positives: Positives
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Of each class its position, the scores of all rows (n,), and its positives (p,)."""
    order = np.argsort(positives[1], kind="stable")
    rows = np.split(positives[0][order], np.searchsorted(positives[1][order], np.arange(1, len(classes))))
    for start in range(0, len(classes), AT_ONCE):
        block = np.ascontiguousarray(scores[:, classes[start : start + AT_ONCE]].T)
        for at, score in enumerate(block, start):
            yield at, score, rows[at]


def _sums_from(values: np.ndarray) -> np.ndarray:
    """[i]: the sum of values[i] and all that follow."""
    return np.asarray(np.cumsum(values[::-1])[::-1])


def _divided(above: np.ndarray, below: np.ndarray, told: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(len(above), math.nan), where=told)


def _mean_defined(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.sum()) / len(defined) if len(defined) else math.nan
