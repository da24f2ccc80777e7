"""How well rows unlike what was learnt are told from others by a score, the higher the more unlike.

Axis letters: n rows, k classes.
"""

from __future__ import annotations

import numpy as np

from pervade.core.words import FigureWords
from pervade.metrics.columns import Columns, column, number_column
from pervade.metrics.estimate import UNIT, Measure, Metric, Shared
from pervade.metrics.ranking import ranked_areas

CURVE = 60  # points of a curve, at most

FLAGGED = FigureWords("Other rows that are flagged", "share")
FALSE = FigureWords("False alarms among its own rows", "share")


def _area(columns: Columns) -> Measure:
    score, rows = number_column(columns, "score"), np.flatnonzero(column(columns, "unlike"))
    areas = ranked_areas(score[None], (rows, np.zeros_like(rows)))
    return lambda weight: {"auroc": float(areas(weight)[0][0])}


AREA = Metric(
    Shared(_area, "auroc"),
    description="chance that one of the other rows is more unlike what was learnt than one of the run's own",
    undefined="takes rows of both kinds",
    bounds=UNIT,
    words=FigureWords("Other rows told from its own (AUROC)"),
)
"""Of "score" (n,), where "unlike" (n,) is True of the other rows."""


def energy(logits: np.ndarray) -> np.ndarray:
    """(n,) of logits (n, k): -log of the sum of their exponentials, the energy at T = 1 (W. Liu et al. 2020,
    arXiv:2010.03759)."""
    most = logits.max(1)
    return np.asarray(-most - np.log(np.exp(logits - most[:, None]).sum(1)))


def curve(mine: np.ndarray, others: np.ndarray) -> list[list[float]]:
    """Points [share of `mine`, share of `others`] that have at least some score: from [0, 0] to [1, 1]."""
    thresholds = np.unique(np.concatenate([mine, others]))[::-1]
    false = (len(mine) - np.searchsorted(np.sort(mine), thresholds, side="left")) / len(mine)
    true = (len(others) - np.searchsorted(np.sort(others), thresholds, side="left")) / len(others)
    wanted = np.concatenate([np.linspace(0, 1, CURVE // 2), np.geomspace(1e-3, 1, CURVE // 2)])
    places = np.unique(np.clip(np.searchsorted(false, wanted, side="right") - 1, 0, None))
    return [[0.0, 0.0], *([round(float(false[i]), 5), round(float(true[i]), 5)] for i in places)]
