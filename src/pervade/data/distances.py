"""How far rows lie from those of known classes, by their features.

Axis letters: n rows, d features, k classes, r directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

LEAST = 1e-12  # variance, where all rows of a class are alike
NEAREST = 10  # of the known rows, which one counts: a single one may be near by chance
AT_ONCE = 4_000_000  # similarities of rows that are held together


@dataclass(frozen=True)
class Gaussians:
    """One normal distribution a class, all of one covariance, which is that of the rows about the means of their
    classes, shrunk towards a multiple of the identity (O. Ledoit and M. Wolf, "A well-conditioned estimator for
    large-dimensional covariance matrices", J. of Multivariate Analysis 88, 2004): so it can be inverted however few
    rows there are.
    """

    center: np.ndarray  # (d,)
    means: np.ndarray  # (k, d) of the classes, less that
    basis: np.ndarray  # (d, r) directions in which rows of one class differ,
    variance: np.ndarray  # (r,) the shrunk variance in each,
    outside: float  # and that in any direction at right angles to them

    @classmethod
    def of(cls, rows: np.ndarray, target: np.ndarray) -> Self:
        """From the features (n, d) of rows whose classes are `target` (n,). Dear where both n and d are large: the
        smaller one decides."""
        rows = np.asarray(rows, np.float64)
        n, d = rows.shape
        center = rows.mean(0)
        rows = rows - center
        _, place, counts = np.unique(target, return_inverse=True, return_counts=True)
        means = np.zeros((len(counts), d))
        np.add.at(means, place, rows)
        means /= counts[:, None]
        inside = rows - means[place]
        wide = n < d
        values, vectors = np.linalg.eigh((inside @ inside.T if wide else inside.T @ inside) / n)
        kept = values > 1e-10 * max(float(values[-1]), LEAST)
        values, vectors = values[kept], vectors[:, kept]
        basis = inside.T @ vectors / np.sqrt(n * values) if wide else vectors
        share, mean = shrinkage(inside, values), values.sum() / d
        return cls(
            center, means, basis, np.maximum((1 - share) * values + share * mean, LEAST), max(share * mean, LEAST)
        )

    def distance(self, rows: np.ndarray) -> np.ndarray:
        """(n,): Mahalanobis distance of rows (n, d) to the nearest of the means, squared (K. Lee et al. 2018,
        arXiv:1807.03888)."""
        rows = np.asarray(rows, np.float64) - self.center
        seen, means = rows @ self.basis, self.means @ self.basis
        scale = 1 / np.sqrt(self.variance)
        squared = _squared(seen * scale, means * scale)
        if self.basis.shape[1] < self.basis.shape[0]:
            rest = _squared(rows, self.means) - _squared(seen, means)
            squared = squared + np.maximum(rest, 0.0) / self.outside
        nearest: np.ndarray = squared.min(1)
        return nearest


def shrinkage(rows: np.ndarray, values: np.ndarray) -> float:
    """The share of the identity in the covariance of rows (n, d) of mean 0, whose eigenvalues above 0 are `values`:
    Ledoit and Wolf's, as in scikit-learn."""
    n, d = rows.shape
    mean, total = values.sum() / d, float(values @ values)
    apart = (total - d * mean**2) / d
    noise = (float(np.square(np.square(rows).sum(1)).sum()) / n - total) / (n * d)
    return min(noise / apart, 1.0) if apart > LEAST * mean**2 else 1.0


@dataclass(frozen=True)
class Neighbours:
    """Known rows, sparse (n, d), each of length 1: where they are words, most of which stand in few rows, no covariance
    can be told (Y. Sun et al. 2022, arXiv:2204.06507)."""

    rows: Any

    @classmethod
    def of(cls, rows: Any) -> Self:
        return cls(unit(rows))

    def distance(self, rows: Any) -> np.ndarray:
        """(n,): 1 - the cosine with the NEAREST-th of the known rows, or with the last, of fewer."""
        rows, known = unit(rows), self.rows.shape[0]
        step, place = max(AT_ONCE // known, 1), max(known - NEAREST, 0)
        blocks = [(rows[start : start + step] @ self.rows.T).toarray() for start in range(0, rows.shape[0], step)]
        return np.concatenate([1 - np.partition(block, place, axis=1)[:, place] for block in blocks])


def unit(rows: Any) -> Any:
    """Sparse rows divided by their length; a row of zeros stays."""
    length = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1), np.float64)).reshape(-1, 1)
    return rows.multiply(1 / np.where(length > 0, length, 1.0)).tocsr()


def _squared(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n, k): squared distances."""
    squares = np.square(rows).sum(1)[:, None] + np.square(others).sum(1)[None]
    squared: np.ndarray = np.maximum(squares - 2 * rows @ others.T, 0.0)
    return squared
