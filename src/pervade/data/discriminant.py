"""A linear layer that puts rows of one class near each other, found at once: directions in which rows of one class
differ little and all rows differ much (Fisher 1936; the covariance within classes is that of nn/whitening.py).

All directions are kept that there is room for, not only as many as tell the classes apart: what is asked later is of
others. Axis letters: n rows, d features, r directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from pervade.core.types import Linear

MOST = 512  # principal directions among which others are sought
USUAL = 0.1  # of the mean variance within classes, that a strength of 1 adds to each
FOLDS = 3  # in each of which some classes are held out
FEWEST = 6  # classes by which the strength is chosen; of fewer it is 1
JUDGED = 2000  # rows of a fold at most


def embedding(
    train: np.ndarray, target: np.ndarray, dimensions: int, strengths: Sequence[float], number: np.ndarray
) -> Linear:
    """(dimensions, d). The inverse strength of the penalty is the one by whose cosines classes that were held out are
    told apart best. `number` (n,) says which are views of one thing, of which one is judged."""
    train = train.astype(np.float64)
    classes = np.unique(target)
    if len(strengths) == 1 or len(classes) < FEWEST:
        return directions(train, target, dimensions, 1.0 if len(strengths) > 1 else strengths[0])
    told = np.zeros(len(strengths))
    for fold in range(FOLDS):
        outside = np.isin(target, classes[fold::FOLDS])
        spread = _Spread.of(train[~outside], target[~outside])
        judged = _some(np.flatnonzero(outside)[np.unique(number[outside], return_index=True)[1]], target)
        for place, strength in enumerate(strengths):
            model = spread.directions(dimensions, strength)
            told[place] += apart(model(train[judged]), target[judged])
    return directions(train, target, dimensions, strengths[int(told.argmax())])


def _some(rows: np.ndarray, target: np.ndarray) -> np.ndarray:
    """JUDGED of them at most, as many of each class and two at least: the first ones may all be of one class, and one
    of each makes no pair."""
    if len(rows) <= JUDGED:
        return rows
    classes = np.unique(target[rows])[: JUDGED // 2]
    return np.concatenate([rows[target[rows] == own][: JUDGED // len(classes)] for own in classes])


def directions(rows: np.ndarray, target: np.ndarray, dimensions: int, strength: float) -> Linear:
    """Of the whitened rows those with the largest variance; where there are fewer, the rest is 0."""
    return _Spread.of(rows, target).directions(dimensions, strength)


@dataclass(frozen=True)
class _Spread:
    """Rows less their `mean`; the `basis` in which they differ (d, r); and in that the `values` of the covariance
    within classes (r,), with their `vectors` (r, r). None of it hangs on the penalty."""

    rows: np.ndarray
    mean: np.ndarray
    basis: np.ndarray
    values: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, target: np.ndarray) -> Self:
        mean = rows.mean(0)
        rows = rows - mean
        basis = _principal(rows)
        seen = rows @ basis
        _, place, counts = np.unique(target, return_inverse=True, return_counts=True)
        means = np.zeros((len(counts), seen.shape[1]))
        np.add.at(means, place, seen)
        inside = seen - (means / counts[:, None])[place]
        values, vectors = np.linalg.eigh(inside.T @ inside / max(len(rows) - len(counts), 1))
        return cls(rows, mean, basis, values, vectors)

    def directions(self, dimensions: int, strength: float) -> Linear:
        values = self.values
        added = USUAL / strength * max(float(values.mean()) if len(values) else 0.0, 1e-12)
        white = self.basis @ (self.vectors / np.sqrt(np.maximum(values, 0.0) + added))
        seen = self.rows @ white
        turn = np.linalg.eigh(seen.T @ seen)[1][:, ::-1][:, :dimensions]
        weight = np.zeros((dimensions, self.rows.shape[1]))
        weight[: turn.shape[1]] = (white @ turn).T
        return Linear(weight, -weight @ self.mean)


def _principal(rows: np.ndarray) -> np.ndarray:
    """(d, r), of length 1, in which rows of mean 0 differ at all; the MOST in which they differ most."""
    wide = len(rows) <= rows.shape[1]
    values, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    kept = np.flatnonzero(values > 1e-10 * max(float(values[-1]), 1e-30))[-MOST:]
    if not wide:
        return np.asarray(vectors[:, kept])
    return np.asarray(rows.T @ vectors[:, kept] / np.sqrt(values[kept]))


def apart(embedding: np.ndarray, target: np.ndarray) -> float:
    """The area under the curve of the cosines of all pairs: of one class, or of two."""
    from sklearn.metrics import roc_auc_score

    unit = embedding / np.maximum(np.linalg.norm(embedding, axis=1, keepdims=True), 1e-12)
    one, other = np.triu_indices(len(unit), 1)
    same = target[one] == target[other]
    if same.all() or not same.any():
        return 0.5
    return float(roc_auc_score(same, (unit @ unit.T)[one, other]))
