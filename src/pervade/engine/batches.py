"""Batches in pieces, and where they are computed with."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch

from pervade.core.types import Batch
from pervade.engine import ranks


def num_rows(batch: Batch) -> int:
    """Rows of the data, each counted once, though it may be there in several parts (views, windows)."""
    return int((batch["part"] == 0).sum()) if "part" in batch else len(batch["row"])


def cut(batch: Batch, size: int | None) -> list[Batch]:
    """The batch in pieces of at most `size` rows; one piece where `size` is None or large enough."""
    rows = len(batch["row"])
    if size is None or rows <= size:
        return [batch]
    return [_slice(batch, start, start + size) for start in range(0, rows, size)]


def micro_batches(batch: Batch, size: int | None) -> list[Batch]:
    """As `cut`, but on several ranks equally many, since a layer may wait for the others' rows in each
    (nn/batch_norm.py). Shares differ by a row, and so a piece may have a row more than `size`."""
    if size is None or ranks.world() == 1:
        return cut(batch, size)
    rows = len(batch["row"])
    most, fewest = ranks.largest(math.ceil(rows / size), -rows)
    number = int(min(most, -fewest))
    bounds = [rows * piece // number for piece in range(number + 1)]
    return [_slice(batch, start, stop) for start, stop in itertools.pairwise(bounds)]


def _slice(batch: Batch, start: int, stop: int) -> Batch:
    return {k: _slice(v, start, stop) if isinstance(v, dict) else v[start:stop] for k, v in batch.items()}


def to_device(batch: Batch, device: torch.device) -> Batch:
    if device.type == "cpu":
        return batch

    def moved(value: Any) -> Any:
        if isinstance(value, list):  # pieces
            return [to_device(piece, device) for piece in value]
        return to_device(value, device) if isinstance(value, dict) else value.to(device, non_blocking=True)

    return {name: moved(value) for name, value in batch.items()}
