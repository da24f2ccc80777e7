"""Split conformal prediction: how far from the truth an answer mostly is, found on rows that chose nothing.

A score says how ill a possible answer goes with a row. The truth of a new row, if it comes from where n others come
from, exceeds the ceil((n + 1) share)-th smallest of theirs with a probability of at most 1 - share; so what does not
exceed it holds the truth with `share` at least, and with 1 / (n + 1) more at most where no two scores are equal. The
promise is kept on average, over rows and over draws of the n.

V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World" (2005); J. Lei, M. G'Sell, A. Rinaldo,
R. J. Tibshirani, L. Wasserman, "Distribution-free predictive inference for regression", JASA 113 (2018).

Axis letters: n rows, k classes, g groups.
"""

from __future__ import annotations

import math

import numpy as np

SLACK = 1e-9  # (n + 1) share may miss a whole number by rounding, and so may sums over groups
# Of the adaptive score: the likeliest classes that it does not penalise, and what each further one adds. Those of
# A. N. Angelopoulos and S. Bates, "A gentle introduction to conformal prediction" (2021, arXiv:2107.07511). Fixed, so
# that no row settles both them and the limit.
FREE, PENALTY = 5, 0.01


def rows_needed(share: float) -> int:
    """The fewest scores, or groups of them, among which one is high enough: n with ceil((n + 1) share) <= n.

    >>> [rows_needed(share) for share in (0.5, 0.9, 0.95, 0.99)]
    [1, 9, 19, 99]
    """
    return math.ceil(share / (1 - share) - SLACK)


def quantile(scores: np.ndarray, share: float, group: np.ndarray | None = None) -> float:
    """What the next score exceeds with a probability of at most 1 - share, of scores (n,): the ceil((n + 1) share)-th
    smallest. nan where n is too small for that.

    With `group` (n,), equal where rows depend on each other, it holds of a row of the next group: each of the g groups
    counts alike, however many rows it has, and g stands in n's place.

    Y. Lee, R. F. Barber, R. Willett, "Distribution-free inference with hierarchical data" (2023, arXiv:2306.06342).
    """
    weight = np.ones(len(scores)) if group is None else weights(group)
    order = np.argsort(scores, kind="stable")
    wanted = (weight.sum() + 1) * share - SLACK
    place = int(np.searchsorted(np.cumsum(weight[order]), wanted))
    return float(scores[order[place]]) if place < len(scores) else math.nan


def weights(group: np.ndarray) -> np.ndarray:
    """(n,): what each row counts where those of one group (n,) count 1 together."""
    _, inverse, sizes = np.unique(group, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / sizes[inverse])


def threshold_scores(probabilities: np.ndarray) -> np.ndarray:
    """(n, k): 1 - p of each class. The sets of it are the smallest on average that hold the truth so often.

    M. Sadinle, J. Lei, L. Wasserman, "Least ambiguous set-valued classifiers with bounded error levels", JASA 114
    (2019).
    """
    return 1.0 - np.asarray(probabilities, np.float64)


def adaptive_scores(probabilities: np.ndarray) -> np.ndarray:
    """(n, k): the probability of all likelier classes together, and PENALTY for each place behind the FREE-th. So a row
    that is hard to tell gets a large set, and an easy one a small set, which the threshold does less.

    That is the score of RAPS (A. N. Angelopoulos, S. Bates, J. Malik, M. I. Jordan, "Uncertainty sets for image
    classifiers using conformal prediction", ICLR 2021, arXiv:2009.14193, equation 4), sum of what is likelier + u p +
    PENALTY (rank - FREE)+, with u = 0 where they draw it: so a row has the same set at every time, and its likeliest
    class, whose score is 0, is always in it. Any fixed score keeps the promise; without the draw sets hold the truth
    more often than asked where the likeliest class alone does.
    """
    probabilities = np.asarray(probabilities, np.float64)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=1)
    likelier = np.pad(np.cumsum(ranked[:, :-1], axis=1), ((0, 0), (1, 0)))
    penalty = PENALTY * np.maximum(np.arange(1, probabilities.shape[1] + 1) - FREE, 0)
    scores = np.empty_like(probabilities)
    np.put_along_axis(scores, order, likelier + penalty, axis=1)
    return scores


def within(scores: np.ndarray, limit: np.ndarray | float, empty: bool = False) -> np.ndarray:
    """(n, k) int8: which classes' scores (n, k) do not exceed the limit, one for all or (k,), one a class. A set
    without any gets the class of the lowest score, unless it may be `empty`: by that it holds the truth more often.
    """
    inside = scores <= limit
    if not empty:
        without = np.flatnonzero(~inside.any(axis=1))
        inside[without, scores[without].argmin(axis=1)] = True
    return inside.astype(np.int8)
