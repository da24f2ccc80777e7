"""Which rows are most alike to this one? Figures over every row asking for the others, from "embedding" (n, d) and
"group" (n,), which says who.

The rows that may be found stay the same in every resample, and those who ask are drawn, by person: leaving people out
of what may be found would make finding easier than it is. Rows that are alone of their person are found by others but
do not ask.

Axis letters: n rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from pervade.core.words import FigureWords
from pervade.metrics.columns import Columns, column, number_column
from pervade.metrics.estimate import UNIT, Measure, Metric, Shared, weighted_mean

DEPTHS = {1: "found first", 5: "among the first five"}
BLOCK = 512  # rows that ask at a time


@dataclass(frozen=True)
class Retrieved:
    """What each asking row found."""

    asks: np.ndarray  # (q,) positions of rows that have another of their person
    hit: dict[int, np.ndarray]  # depth to (q,) bool: somebody of the same person is among so many nearest
    precision: np.ndarray  # (q,) mean average precision at R


def retrieval_metrics() -> dict[str, Metric]:
    shared = partial(Shared, retrieval_family)
    missing = "takes two rows of one person"
    metrics = {
        f"recall_at_{k}": Metric(
            shared(f"recall_at_{k}"),
            description="share of rows whose nearest other row is of the same person"
            if k == 1
            else f"share of rows with one of the same person among the {k} nearest others",
            undefined=missing,
            words=FigureWords(f"The right one {place} (recall at {k})", "share"),
        )
        for k, place in DEPTHS.items()
    }
    metrics["map_at_r"] = Metric(
        shared("map_at_r"),
        description="of the R nearest others, R being how many there are of the same person: the mean of the precision "
        "at each that is right, wrong ones counting 0 (Musgrave et al. 2020)",
        undefined=missing,
        words=FigureWords("Mean average precision at R"),
    )
    return {name: replace(metric, bounds=UNIT) for name, metric in metrics.items()}


def retrieval_family(columns: Columns) -> Measure:
    there = retrieved(columns)
    values = {f"recall_at_{k}": there.hit[k].astype(np.float64) for k in DEPTHS} | {"map_at_r": there.precision}

    def measure(weight: np.ndarray) -> dict[str, float]:
        if not len(there.asks):
            return dict.fromkeys(values, math.nan)
        return {name: weighted_mean(value, weight[there.asks]) for name, value in values.items()}

    return measure


def retrieved(columns: Columns) -> Retrieved:
    """Recall at k, and mean average precision at R (K. Musgrave, S. Belongie and S.-N. Lim, "A metric learning reality
    check", ECCV 2020, arXiv:2003.08505), of every row that asks."""
    embedding = number_column(columns, "embedding")
    embedding = embedding / np.maximum(np.linalg.norm(embedding, axis=1, keepdims=True), 1e-12)
    _, person, sizes = np.unique(column(columns, "group"), return_inverse=True, return_counts=True)
    relevant = sizes[person] - 1  # R
    asks = np.flatnonzero(relevant > 0)
    hits: dict[int, list[np.ndarray]] = {k: [np.empty(0, bool)] for k in DEPTHS}
    precisions = [np.empty(0)]
    for start in range(0, len(asks), BLOCK):
        block = asks[start : start + BLOCK]
        score = embedding[block] @ embedding.T
        score[np.arange(len(block)), block] = -np.inf  # itself
        depth = min(max(*DEPTHS, int(relevant[block].max())), len(person) - 1)
        nearest = np.argsort(-score, axis=1, kind="stable")[:, :depth]
        right = person[nearest] == person[block][:, None]
        for k in DEPTHS:
            hits[k].append(right[:, :k].any(axis=1))
        rank = np.arange(1, depth + 1)
        precision = right.cumsum(axis=1) / rank * right * (rank <= relevant[block][:, None])
        precisions.append(precision.sum(axis=1) / relevant[block])
    return Retrieved(asks, {k: np.concatenate(parts) for k, parts in hits.items()}, np.concatenate(precisions))


def by_person(columns: Columns) -> list[dict[str, Any]]:
    """For the report: of each person, one "row" that shows who it is, "n" rows that ask, and how many "found" one of
    the same person first; the least found come first."""
    there = retrieved(columns)
    group, row = column(columns, "group")[there.asks], column(columns, "row")[there.asks]
    people = []
    for person in np.unique(group):
        own = group == person
        people.append({"row": int(row[own][0]), "n": int(own.sum()), "found": int(there.hit[1][own].sum())})
    return sorted(people, key=lambda person: person["found"] / person["n"])
