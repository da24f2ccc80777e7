"""Strings as tensors, for batches: the code points of their characters, filled up with -1.

So an answer can be cut out of the very text that was read, wherever the batch went in between.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

BETWEEN = "\0"  # parts the strings of a list: no text holds it, since control characters are taken out


def to_tensor(texts: Sequence[str]) -> Tensor:
    """(n, c) int32.

    >>> to_tensor(["ab", "c"]).tolist()
    [[97, 98], [99, -1]]
    """
    codes = [np.frombuffer(text.encode("utf-32-le"), np.int32) for text in texts]
    filled = np.full((len(texts), max(map(len, codes), default=0)), -1, np.int32)
    for row, points in zip(filled, codes, strict=True):
        row[: len(points)] = points
    return torch.from_numpy(filled)


def from_tensor(codes: Tensor) -> list[str]:
    """What `to_tensor` was given."""
    rows = codes.cpu().numpy()
    return [row[row >= 0].astype(np.uint32).tobytes().decode("utf-32-le") for row in rows]


def join(texts: Sequence[str]) -> str:
    """A list as one string, told apart from the list of one empty string."""
    return "".join(text + BETWEEN for text in texts)


def part(text: str) -> list[str]:
    """
    >>> part(join(["a", ""])), part(join([]))
    (['a', ''], [])
    """
    return text.split(BETWEEN)[:-1]
