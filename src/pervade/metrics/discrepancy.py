"""How far two sets of rows (n, d) lie apart: the kernel distance, which few rows do not bias, and the Fréchet distance.

Axis letters: n rows, d features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

BLOCK = 1024  # rows whose pairs with all others are held together


def numbers(*sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    made, real = (np.ascontiguousarray(rows, np.float64) for rows in sets)
    return made, real


@dataclass(frozen=True)
class KernelSums:
    """Sums of the kernel over pairs of different rows, of which each counts `weight` (n,) times. A row's own two
    samples are no pair: where samples are made by class both are of one class, and so more alike than any two are."""

    made: np.ndarray  # (n,) of each made sample with all others that were made,
    real: np.ndarray  # of each real one with all other real ones,
    across: np.ndarray  # and of row i's samples with those of other rows: the made with real ones and the reverse
    weight: np.ndarray

    @classmethod
    def of(cls, made: np.ndarray, real: np.ndarray, weight: np.ndarray) -> KernelSums:
        rows, columns = _kernel_sums(made, real, weight)
        return cls(
            _kernel_sums(made, made, weight)[0] - weight * _kernel_of_pairs(made, made),
            _kernel_sums(real, real, weight)[0] - weight * _kernel_of_pairs(real, real),
            rows + columns - 2 * weight * _kernel_of_pairs(made, real),
            weight,
        )

    @property
    def _pairs(self) -> float:
        """Of two different rows, in both orders."""
        return float(self.weight.sum() ** 2 - np.square(self.weight).sum())

    @property
    def distance(self) -> float:
        between = self.weight @ (self.made + self.real - self.across)
        return float(between / self._pairs) if self._pairs > 0 else math.nan

    def slopes(self) -> np.ndarray:
        """(n,) of the distance by how often each row counts, where each counts once."""
        n = len(self.weight)
        between = 2 * (self.made + self.real - self.across)
        slopes: np.ndarray = (between - self.distance * (2 * n - 2)) / (n * (n - 1))
        return slopes


def kernel_distance(made: np.ndarray, real: np.ndarray) -> float:
    """The unbiased estimate of the squared maximum mean discrepancy of two sets (n, d), with the kernel (x.y/d + 1)^3
    (Bińkowski et al. 2018, "Demystifying MMD GANs", arXiv:1801.01401, who call it KID); nan of a single row each. It is
    about 0, and may lie below, where both come from one distribution, however few they are. Made and real samples of
    one row are not compared with each other (`KernelSums`), so that this holds where they are of one class, too."""
    return KernelSums.of(*numbers(made, real), np.ones(len(made))).distance


def _kernel_sums(rows: np.ndarray, others: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) of each of the rows over the others, and of each of the others over the rows."""
    over_others, over_rows = np.empty(len(rows)), np.zeros(len(others))
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        base = rows[part] @ others.T
        base /= rows.shape[1]
        base += 1
        kernel = base * base  # numpy's power takes ten times as long
        kernel *= base
        over_others[part] = kernel @ weight
        over_rows += weight[part] @ kernel
    return over_others, over_rows


def _kernel_of_pairs(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    kernel: np.ndarray = (np.einsum("nd,nd->n", rows, others) / rows.shape[1] + 1) ** 3
    return kernel


@dataclass(frozen=True)
class Gaussian:
    """Mean (d,) and covariance (d, d) of rows that count `weight` (n,) times."""

    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, weight: np.ndarray) -> Gaussian:
        mean = weight @ rows / weight.sum()
        apart = rows - mean
        return cls(mean, (apart * weight[:, None]).T @ apart / (weight.sum() - 1))

    def distance(self, other: Gaussian) -> float:
        between = np.square(self.mean - other.mean).sum()
        spread = np.trace(self.covariance) + np.trace(other.covariance)
        root = _root(other.covariance)
        values = np.linalg.eigvalsh(root @ self.covariance @ root)
        return float(between + spread - 2 * np.sqrt(np.maximum(values, 0)).sum())

    def slopes(self, other: Gaussian, rows: np.ndarray) -> np.ndarray:
        """(n,) of the distance to the other by how often each of the rows counts, of which this is the distribution."""
        root = _root(other.covariance)
        change = np.eye(len(root)) - root @ _root(root @ self.covariance @ root, -1) @ root
        apart = rows - self.mean
        moved = 2 * apart @ (self.mean - other.mean) / len(rows)
        spread = np.einsum("nd,de,ne->n", apart, change, apart, optimize=True) - (change * self.covariance).sum()
        slopes: np.ndarray = moved + spread / (len(rows) - 1)
        return slopes


def frechet_distance(made: np.ndarray, real: np.ndarray) -> float:
    """|m - m'|² + tr(C + C' - 2 (C C')^(1/2)) of the means and covariances of two sets (n, d) (Heusel et al. 2017,
    "GANs trained by a two time-scale update rule", arXiv:1706.08500, who call it FID). Few rows make it larger."""
    made, real = numbers(made, real)
    once = np.ones(len(made))
    return Gaussian.of(made, once).distance(Gaussian.of(real, once)) if len(made) > 1 else math.nan


def _root(matrix: np.ndarray, sign: int = 1) -> np.ndarray:
    """The square root of a symmetric matrix (d, d) without negative eigenvalues; with sign -1 its inverse, on the space
    where there is one."""
    values, vectors = np.linalg.eigh(matrix)
    kept = values > 1e-12 * max(float(values[-1]), 1e-300)
    root: np.ndarray = (vectors[:, kept] * values[kept] ** (sign / 2)) @ vectors[:, kept].T
    return root
