"""Normalisation as a layer, so that what is explained, attacked and exported starts from natural units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """(x - mean) / deviation, by channel of (n, c, h, w). Computed as x * scale + shift in one pass over memory."""

    scale: Tensor
    shift: Tensor

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.nothing = set(mean) == {0.0} and set(deviation) == {1.0}
        # By numpy: torch's arithmetic without memory (engine/building.py) imports its compiler, which takes a second.
        scale = np.float32(1) / np.asarray(deviation, np.float32)
        shift = -np.asarray(mean, np.float32) * scale
        self.register_buffer("scale", torch.tensor(scale).view(-1, 1, 1))
        self.register_buffer("shift", torch.tensor(shift).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x if self.nothing else torch.addcmul(self.shift, x, self.scale)
