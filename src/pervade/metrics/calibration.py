"""Whether probabilities can be believed: log-loss, Brier score, calibration error, reliability diagram.

Axis letters: n rows, k classes, b bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pervade.metrics.columns import Columns, class_column, column, probability_column
from pervade.metrics.estimate import estimate, share

NUM_BINS = 15  # of Guo et al. (2017), so that figures compare with published ones


def log_losses(probabilities: np.ndarray, target: np.ndarray) -> np.ndarray:
    """-ln p(true class) of each row, (n,) in nats, float64.

    As in scikit-learn, p is clipped to [eps, 1 - eps] with eps the machine precision of the probabilities' own type, so
    one impossible row costs 15.9 nats in float32 and 36.0 in float64 instead of infinity.

    Args:
        probabilities: (n, k) floating; rows sum to 1.
        target: (n,) integers in 0 .. k - 1.
    """
    eps = float(np.finfo(probabilities.dtype).eps)
    chosen = probabilities[np.arange(len(target)), target].astype(np.float64)
    return np.asarray(-np.log(np.clip(chosen, eps, 1 - eps)))


def brier_scores(probabilities: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Squared distance of the probabilities from the truth, (n,) float64.

    k = 2: (p(class 1) - [target = 1])², in [0, 1]. k > 2: the sum of that over all classes, in [0, 2]. These are the
    customary forms, and scikit-learn's (scale_by_half="auto"). For k = 2 that is half the sum over both classes.

    G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78 (1950).
    """
    difference = probabilities.astype(np.float64)
    difference[np.arange(len(target)), target] -= 1
    scores: np.ndarray = np.einsum("nk,nk->n", difference, difference)
    return scores / 2 if probabilities.shape[1] == 2 else scores


def temperature(
    probabilities: np.ndarray, target: np.ndarray, shown: np.ndarray | None = None, shift: np.ndarray | None = None
) -> float:
    """The T in 0.05 - 20 for which probabilities^(1/T), normalised again, have the least log-loss on these rows.

    Above 1 where the model was surer than it should have been (Guo et al. 2017, arXiv:1706.04599). Logarithms of
    probabilities serve as logits, since softmax does not see what is added to all of them. The loss is convex in 1/T,
    so a search by golden section finds its one minimum. Where the likeliest class of every row is right, T would be as
    small as it may: then one row in n + 2 counts as wrong (Laplace's rule of succession), of whichever class.

    Args:
        probabilities: (n, k) floating, at T = 1.
        target: (n,) integers in 0 .. k - 1.
        shown: (k,) the logarithm of how much more training showed of each class. It was taken out of the probabilities,
            and is no part of what the network is too sure of.
        shift: (k,) the logarithm of how much more these rows hold of each class than the probabilities are of. By
            Bayes' rule it comes on top, and is none of what the network is too sure or too unsure of either.
    """
    logits = np.log(np.clip(probabilities.astype(np.float64), np.finfo(np.float64).tiny, None))
    logits = logits if shown is None else logits + shown
    rows = np.arange(len(target))
    wrong = 0.0 if (probabilities.argmax(1) != target).any() else 1 / (len(target) + 2)

    def loss(sharpness: float) -> float:
        scaled = logits * sharpness - (0.0 if shown is None else shown) + (0.0 if shift is None else shift)
        scaled -= scaled.max(axis=1, keepdims=True)
        powers, right = np.exp(scaled), scaled[rows, target]
        total = powers.sum(axis=1)
        if wrong:
            powers[rows, target] = 0.0
            others = np.log(np.maximum(powers.sum(axis=1), np.finfo(np.float64).tiny))
            right = (1 - wrong) * right + wrong * others
        return float(np.mean(np.log(total) - right))

    low, high, ratio = 1 / 20, 20.0, (math.sqrt(5) - 1) / 2
    for _ in range(60):
        one, two = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, two) if loss(one) <= loss(two) else (one, high)
    return 2 / (low + high)


def tempered(probabilities: np.ndarray, by: float, shown: np.ndarray | None = None) -> np.ndarray:
    """probabilities (n, k) ^ (1 / by), normalised again: what a `temperature` makes of them, with `shown` as there."""
    logits = np.log(np.clip(probabilities.astype(np.float64), np.finfo(np.float64).tiny, None))
    scaled = logits / by if shown is None else (logits + shown) / by - shown
    powers: np.ndarray = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def logistic(confidence: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """The slope (0 or more) and offset with which `chance` makes of confidences, (n,) in 0-1, the chance of being right
    on these rows, `right` (n,) bool.

    J. C. Platt, "Probabilistic outputs for support vector machines" (1999): logistic regression towards (n+ + 1) /
    (n+ + 2) and 1 / (n- + 2), so that nothing becomes certain where all, or none, are right.
    """
    from scipy.optimize import minimize

    hits = int(right.sum())
    wanted = np.where(right, (hits + 1) / (hits + 2), 1 / (len(right) - hits + 2))
    logits = _logit(confidence)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        z = weights[0] * logits + weights[1]
        wrong = np.exp(-np.logaddexp(0, -z)) - wanted
        return float(np.sum(np.logaddexp(0, z) - wanted * z)), np.array([wrong @ logits, wrong.sum()])

    weights = minimize(loss, (0.0, float(_logit(wanted.mean()))), jac=True, method="BFGS").x
    if weights[0] < 0:  # surer where it is wrong: its confidence tells nothing, the share that is right does
        return 0.0, float(_logit(wanted.mean()))
    return float(weights[0]), float(weights[1])


def chance(confidence: np.ndarray, slope: float, offset: float) -> np.ndarray:
    """1 / (1 + exp(-(slope logit(confidence) + offset))), of (n,) in 0-1."""
    if (slope, offset) == (1.0, 0.0):
        return confidence
    return np.asarray(1 / (1 + np.exp(-(slope * _logit(confidence) + offset))))


def _logit(share: np.ndarray | float) -> np.ndarray:
    clipped = np.clip(share, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(clipped / (1 - clipped)))


def top_class(probabilities: np.ndarray, target: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(confidence, correct, bin) of each row, (n,) each: the top probability, whether its class is the true one, and
    which of `bins` intervals (i/b, (i + 1)/b] of equal width it falls into.

    The class of the top probability is asked, not the column "prediction": the two part where a threshold was tuned,
    and then it is still the top probability whose honesty is measured.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == target
    edges = np.linspace(0, 1, bins + 1)
    # Rounding can take a top probability a little above 1.
    bin_index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    return confidence, correct, bin_index


def calibration_error(gap: np.ndarray, bin_index: np.ndarray, weight: np.ndarray, bins: int) -> float:
    """Expected calibration error: sum over bins of (share of rows) x |accuracy - mean confidence|, in [0, 1].

    It rests on the bins, and is biased upward on few rows: a perfectly calibrated model scores above 0. Its bootstrap
    adds that bias once more, so the interval sits high and never reaches 0: on 500 rows of a perfectly calibrated model
    the value lay below it in 6 of 100 files. Read it as a spread, not as a test of calibration.

    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks", ICML 2017, equation 3.

    Args:
        gap: (n,) correct - confidence, so that a bin's sum is its rows times (accuracy - mean confidence).
        bin_index: (n,) integers in 0 .. bins - 1.
        weight: (n,) how often each row counts.
    """
    total = weight.sum()
    if total <= 0:
        return math.nan
    return float(np.abs(np.bincount(bin_index, weights=gap * weight, minlength=bins)).sum() / total)


@dataclass(frozen=True)
class ReliabilityBin:
    """One bar of a reliability diagram: rows whose top probability lies in (low, high]."""

    low: float
    high: float
    count: int
    confidence: float  # mean top probability; nan where count is 0
    accuracy: float  # share of rows whose top class is right; nan where count is 0
    accuracy_low: float  # the interval of the accuracy; 0 to 1 where nothing is known; nan where count is 0
    accuracy_high: float


def reliability(columns: Columns, bins: int = NUM_BINS, *, level: float = 0.95) -> list[ReliabilityBin]:
    """The bars of a reliability diagram, from confidence 0 to 1, empty ones included.

    Reads "target" (n,), "probabilities" (n, k) and "group" (n,), by which intervals are found as those of figures are
    (`estimate`); without it rows are independent.

    Raises:
        DataError: a column is missing or holds what is no class or no probability.
        ValueError: bins is below 1.
    """
    if bins < 1:
        raise ValueError(f"bins is {bins}; a reliability diagram needs at least 1")
    shape = column(columns, "probabilities").shape
    num_classes = shape[1] if len(shape) == 2 else 0
    probabilities = probability_column(columns, num_classes)
    confidence, correct, bin_index = top_class(probabilities, class_column(columns, "target", num_classes), bins)
    counts = np.bincount(bin_index, minlength=bins)
    rows = np.arange(len(bin_index))
    file = {"row": rows, "group": column(columns, "group") if "group" in columns else rows}
    shares = {str(i): share(correct, bin_index == i) for i in np.flatnonzero(counts)}
    # Of rows of a single group, say, nothing is known of others: anything between 0 and 1.
    intervals = {
        name: (0.0, 1.0) if math.isnan(share.low) else (share.low, share.high)
        for name, share in estimate(shares, file, level=level).items()
    }
    hits = np.bincount(bin_index, weights=correct, minlength=bins)
    confidences = np.bincount(bin_index, weights=confidence, minlength=bins)
    edges = np.linspace(0, 1, bins + 1)
    return [
        ReliabilityBin(
            low=float(edges[i]),
            high=float(edges[i + 1]),
            count=int(counts[i]),
            confidence=float(confidences[i] / counts[i]) if counts[i] else math.nan,
            accuracy=float(hits[i] / counts[i]) if counts[i] else math.nan,
            accuracy_low=interval[0],
            accuracy_high=interval[1],
        )
        for i in range(bins)
        for interval in [intervals.get(str(i), (math.nan, math.nan))]
    ]
