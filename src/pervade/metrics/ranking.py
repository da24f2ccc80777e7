"""How well scores rank positives above negatives: the areas under the ROC and precision-recall curves.

Sorting is dear and does not hang on the weights, so a `Ranking` is built once, and `areas` then costs one pass.

Axis letters: n rows, g runs of equal scores that hold a positive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranking:
    """Rows in falling order of score, cut into runs of equal scores; only runs with a positive are kept.

    Half-open spans [start, stop): `row_…` in `order`, `positive_…` in `positives`.
    """

    order: np.ndarray  # (n,) rows by falling score
    positives: np.ndarray  # (p,) the positive rows among them, in the same order
    row_start: np.ndarray  # (g,)
    row_stop: np.ndarray  # (g,)
    positive_start: np.ndarray  # (g,)
    positive_stop: np.ndarray  # (g,)


def rank(score: np.ndarray, positive: np.ndarray) -> Ranking:
    """Sort once.

    Args:
        score: (n,) real numbers, higher where a positive is thought likelier.
        positive: (n,) bool.
    """
    order = np.argsort(-score, kind="stable")
    sorted_score, sorted_positive = score[order], positive[order]
    starts = np.flatnonzero(np.r_[True, sorted_score[1:] != sorted_score[:-1]]) if len(order) else np.empty(0, np.int64)
    stops = np.r_[starts[1:], len(order)].astype(np.int64)[: len(starts)]
    positives_before = np.r_[0, np.cumsum(sorted_positive)]
    holds_positive = positives_before[stops] > positives_before[starts]
    starts, stops = starts[holds_positive], stops[holds_positive]
    return Ranking(order, order[sorted_positive], starts, stops, positives_before[starts], positives_before[stops])


def areas(ranking: Ranking, weight: np.ndarray) -> tuple[float, float]:
    """(area under the ROC curve, average precision), each in [0, 1], where row i counts weight[i] times.

    ROC-AUC is the chance that a positive scores above a negative, ties counting half: the trapezoid rule (J. A. Hanley
    and B. J. McNeil, Radiology 143, 1982). nan without a positive or without a negative.

    Average precision is the sum over thresholds of (recall gained) x (precision there), without interpolation, as in
    scikit-learn: the trapezoid rule is too kind to a precision-recall curve (J. Davis and M. Goadrich, ICML 2006).
    nan without a positive; what chance reaches is the share of positives.
    """
    # [i]: the weight of the first i rows, or positives.
    rows_before = np.concatenate(([0.0], np.cumsum(weight[ranking.order])))
    positives_before = np.concatenate(([0.0], np.cumsum(weight[ranking.positives])))
    num_positive = positives_before[-1]
    num_negative = rows_before[-1] - num_positive
    if num_positive <= 0:
        return math.nan, math.nan

    reached, positives_reached = rows_before[ranking.row_stop], positives_before[ranking.positive_stop]
    gained = positives_reached - positives_before[ranking.positive_start]
    # A run whose rows all count 0 gains nothing; its 0/0 is set to 0.
    precision = np.divide(positives_reached, reached, out=np.zeros_like(reached), where=reached > 0)
    average_precision = float(gained @ precision) / num_positive

    # Float weights can leave a rounding error where there is no negative, so ask for more than that.
    if num_negative <= 1e-12 * rows_before[-1]:
        return math.nan, average_precision
    negatives_below = num_negative - (reached - positives_reached)
    negatives_tied = reached - rows_before[ranking.row_start] - gained
    area = float(gained @ (negatives_below + negatives_tied / 2)) / (num_positive * num_negative)
    return area, average_precision


def roc_auc(score: np.ndarray, positive: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Area under the ROC curve of score (n,) against positive (n,) bool: see `areas`."""
    return areas(rank(score, positive), np.ones(len(score)) if weight is None else weight)[0]


def average_precision(score: np.ndarray, positive: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Average precision of score (n,) against positive (n,) bool: see `areas`."""
    return areas(rank(score, positive), np.ones(len(score)) if weight is None else weight)[1]
