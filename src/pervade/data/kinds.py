"""Hand-made features of several kinds as one row of numbers, in which every kind counts by how many it has.

One scale a kind: where each number had its own, a bin of a histogram that is nearly always empty would weigh as much as
one that tells the classes apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

STILL = 1e-6  # a kind that varies by less stays as it is


def deviations(rows: Sequence[Sequence[np.ndarray]]) -> tuple[float, ...]:
    """Of each kind the root of its mean variance; 1 where it does not vary. Each row holds the kinds, (d,) each."""
    kinds = (np.stack(kind).astype(np.float64) for kind in zip(*rows, strict=True))
    found = [float(np.sqrt(kind.var(0).mean())) for kind in kinds]
    return tuple(float(f"{deviation:.6g}") if deviation > STILL else 1.0 for deviation in found)


def joined(kinds: Sequence[np.ndarray], deviations: Sequence[float]) -> np.ndarray:
    """(d,) float32."""
    parts = [kind / deviation for kind, deviation in zip(kinds, deviations, strict=True)]
    return np.concatenate(parts).astype(np.float32)
