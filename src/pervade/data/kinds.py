"""Hand-made features of several kinds as one row of numbers, in which every kind counts by how many it has.

One scale a kind: where each number had its own, a bin of a histogram that is nearly always empty would weigh as much as
one that tells the classes apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pervade.core.types import Example, Rows

if TYPE_CHECKING:
    from torch import Tensor

LOOKED_AT = 500  # rows that tell how far each kind varies; of more up to twice as many
STILL = 1e-6  # a kind that varies by less stays as it is


def deviations(rows: Sequence[Sequence[np.ndarray]]) -> tuple[float, ...]:
    """Of each kind the root of its mean variance; 1 where it does not vary. Each row holds the kinds, (d,) each."""
    kinds = (np.stack(kind).astype(np.float64) for kind in zip(*rows, strict=True))
    roots = [float(np.sqrt(kind.var(0).mean())) for kind in kinds]
    return tuple(float(f"{root:.6g}") if root > STILL else 1.0 for root in roots)


def learnt(train: Rows, measure: Callable[[dict[str, Any]], Sequence[np.ndarray]]) -> tuple[float, ...]:
    """The deviations of what is measured of rows that are evenly spaced."""
    return deviations([measure(train[i]) for i in range(0, len(train), max(len(train) // LOOKED_AT, 1))])


def joined(kinds: Sequence[np.ndarray], deviations: Sequence[float]) -> np.ndarray:
    """(d,) float32."""
    parts = [kind / deviation for kind, deviation in zip(kinds, deviations, strict=True)]
    return np.concatenate(parts).astype(np.float32)


def stacked(examples: Sequence[Example]) -> Tensor:
    """(n, d) float32, of the "input" (d,) of each."""
    import torch

    return torch.from_numpy(np.stack([example["input"] for example in examples]))
