"""Which rows lie in the neighbourhoods of others, and what that would be if one of these were left out.

A row's neighbourhood, its ball, reaches to the k-th nearest of the other rows of its set. Distances are dear, so balls
of several k are made, and asked, together.

Axis letters: q rows that ask, r rows with balls, d features, k neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    def of(cls, rows: np.ndarray, ks: Sequence[int]) -> list[Balls]:
        """Of rows (r, d), r >= k + 2, for each of the k."""
        most = max(ks)
        nearest, distance = np.empty((len(rows), most + 1), np.int64), np.empty((len(rows), most + 1))
        for start in range(0, len(rows), BLOCK):
            squared = squared_distances(rows[start : start + BLOCK], rows)
            own = np.arange(len(squared))
            squared[own, start + own] = np.inf
            order = np.argpartition(squared, most, axis=1)[:, : most + 1]
            order = np.take_along_axis(order, np.take_along_axis(squared, order, 1).argsort(1, kind="stable"), 1)
            part = slice(start, start + BLOCK)
            nearest[part], distance[part] = order, np.take_along_axis(squared, order, 1)
        return [cls(rows, distance[:, k - 1], distance[:, k], nearest[:, :k]) for k in ks]

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
    def of(cls, rows: np.ndarray, balls: Sequence[Balls]) -> list[Reached]:
        """Of rows (q, d) that are others than those with balls, for each of the `balls`, which are of the same rows.
        "left_empty" means something where q = r."""
        counts = [_Counts(len(rows), of_one_k) for of_one_k in balls]
        for start in range(0, len(rows), BLOCK):
            squared = squared_distances(rows[start : start + BLOCK], balls[0].rows)
            for count in counts:
                count.add(start, squared)
        return [count.reached() for count in counts]


class _Counts:
    """What is known of the rows so far, block by block."""

    def __init__(self, rows: int, balls: Balls) -> None:
        number = len(balls.rows)
        self.balls, self.neighbours = balls, balls.neighbours()
        self.count, self.left_outside = np.zeros(rows, np.int64), np.zeros(number)
        self.held, self.wider = np.zeros(number, np.int64), np.zeros(number, np.int64)
        self.holder = np.zeros(number, np.int64)  # of a ball that holds one row, that row

    def add(self, start: int, squared: np.ndarray) -> None:
        """The distances (b, r) of the rows from `start` on."""
        inside, grown = squared <= self.balls.radius, squared <= self.balls.wider
        count = inside.sum(1)
        self.count[start : start + len(count)] = count
        self.held += inside.sum(0)
        self.wider += grown.sum(0)
        self.holder += (start + np.arange(len(count))) @ inside
        self.left_outside += _left_outside(inside, grown & ~inside, count, self.neighbours)

    def reached(self) -> Reached:
        gained = (self.wider - self.held) @ self.neighbours
        rows, number = len(self.count), len(self.held)
        empty = np.bincount(self.holder[self.held == 1], minlength=rows).astype(np.float64)
        filled = ((self.held == 0) & (self.wider > 0)).astype(np.int64) @ self.neighbours
        left_empty = empty - filled if rows == number else np.full(number, np.nan)
        return Reached(self.count, self.held, self.left_outside, self.held - gained, left_empty)


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
