"""Which rows lie in the neighbourhoods of others, and what that would be if one of these were left out.

A row's neighbourhood, its ball, reaches to the k-th nearest of the other rows of its set.

Axis letters: q rows that ask, r rows with balls, d features, k neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

BLOCK = 1024  # rows whose distances to all others are held together
SAME = 1e-10  # of their squared lengths, which two rows may lie apart by rounding alone


@dataclass(frozen=True)
class Balls:
    rows: np.ndarray  # (r, d)
    radius: np.ndarray  # (r,) squared
    wider: np.ndarray  # (r,) squared, where one of the k nearest is left out
    nearest: np.ndarray  # (r, k) which these are

    @classmethod
    def of(cls, rows: np.ndarray, k: int) -> Balls:
        """Of rows (r, d), r >= k + 2."""
        radius, wider, nearest = np.empty(len(rows)), np.empty(len(rows)), np.empty((len(rows), k), np.int64)
        for start in range(0, len(rows), BLOCK):
            squared = squared_distances(rows[start : start + BLOCK], rows)
            own = np.arange(len(squared))
            squared[own, start + own] = np.inf
            order = np.argpartition(squared, k, axis=1)[:, : k + 1]
            distance = np.take_along_axis(squared, order, 1)
            part = slice(start, start + BLOCK)
            nearest[part], radius[part], wider[part] = order[:, :k], distance[:, :k].max(1), distance[:, k]
        return cls(rows, radius, wider, nearest)

    def neighbours(self) -> Any:
        """(r, r) sparse: 1 where the column is one of the row's k nearest."""
        from scipy import sparse

        r, k = self.nearest.shape
        ones, begins = np.ones(r * k, np.int64), np.arange(r + 1) * k
        return sparse.csr_array((ones, self.nearest.reshape(-1), begins), shape=(r, r))


@dataclass(frozen=True)
class Reached:
    count: np.ndarray  # (q,) in how many balls each row lies
    held: np.ndarray  # (r,) how many rows lie in each ball
    # What changes where one row is left out:
    left_outside: np.ndarray  # (r,) rows that then lie in no ball, less those that then lie in one after all
    fewer: np.ndarray  # (r,) in how many balls fewer the rows then lie, taken together
    left_empty: np.ndarray  # (n,) balls without a row, where q = r = n and both of a number are left out together

    @classmethod
    def of(cls, rows: np.ndarray, balls: Balls) -> Reached:
        """Of rows (q, d) that are others than those with balls. "left_empty" means something where q = r."""
        number, neighbours = len(balls.rows), balls.neighbours()
        count, left_outside = np.empty(len(rows), np.int64), np.zeros(number)
        held, wider, holder = (np.zeros(number, np.int64) for _ in range(3))
        for start in range(0, len(rows), BLOCK):
            squared = squared_distances(rows[start : start + BLOCK], balls.rows)
            inside, grown = squared <= balls.radius, squared <= balls.wider
            here = inside.sum(1)
            count[start : start + BLOCK] = here
            held += inside.sum(0)
            wider += grown.sum(0)
            holder += (start + np.arange(len(inside))) @ inside  # of a ball that holds one row, that row
            left_outside += _left_outside(inside, grown & ~inside, here, neighbours)
        gained = (wider - held) @ neighbours
        empty = np.bincount(holder[held == 1], minlength=len(rows)).astype(np.float64)
        filled = ((held == 0) & (wider > 0)).astype(np.int64) @ neighbours
        left_empty = empty[:number] - filled if len(rows) == number else np.full(number, np.nan)
        return cls(count, held, left_outside, held - gained, left_empty)


def _left_outside(inside: np.ndarray, grown: np.ndarray, count: np.ndarray, neighbours: Any) -> np.ndarray:
    """(r,) of a block of rows: those that lie in no other ball, nor in one that grows where this one is left out, less
    those that lie in none until one grows."""
    from scipy import sparse

    alone, outside = count == 1, count == 0
    only = inside[alone].argmax(1)
    kept = (sparse.csr_array(grown[alone].astype(np.int64)) @ neighbours).toarray() > 0
    lost = np.bincount(only[~kept[np.arange(len(only)), only]], minlength=inside.shape[1])
    gained = (sparse.csr_array(grown[outside].astype(np.int64)) @ neighbours).toarray() > 0
    left: np.ndarray = lost - gained.sum(0)
    return left.astype(np.float64)


def squared_distances(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(q, r); 0 where both are the same, which rounding would hide."""
    squares = np.square(rows).sum(1)[:, None] + np.square(others).sum(1)[None]
    squared: np.ndarray = squares - 2 * rows @ others.T
    squared[squared < SAME * squares] = 0.0
    return squared
