"""Mean and deviation of what has been seen so far, kept in a network as buffers, so that they go with its weights.

Axis letters: n rows; the axes after it are those of one observation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn


class Running(nn.Module):
    """Counts, means and squared deviations, merged batch by batch (Chan, Golub & LeVeque 1983, "Algorithms for
    computing the sample variance"). Until something was seen it changes nothing.
    """

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, shape: Sequence[int], clip: float = 10.0) -> None:
        super().__init__()
        self.clip = clip
        self.register_buffer("mean", torch.zeros(tuple(shape), dtype=torch.float32))
        self.register_buffer("variance", torch.ones(tuple(shape), dtype=torch.float32))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def update(self, seen: np.ndarray) -> None:
        """`seen` is (n, …). Sums are in double precision."""
        values = np.asarray(seen, dtype=np.float64)
        before, added = float(self.count), float(len(values))
        total = before + added
        mean = self.mean.cpu().numpy().astype(np.float64)
        variance = self.variance.cpu().numpy().astype(np.float64)
        apart = values.mean(0) - mean
        squares = values.var(0) * added + (variance * before if before else 0.0) + apart**2 * (before * added / total)
        self.mean.copy_(torch.from_numpy(np.asarray(mean + apart * (added / total), dtype=np.float32)))
        self.variance.copy_(torch.from_numpy(np.asarray(squares / total, dtype=np.float32)))
        self.count.fill_(total)

    @property
    def deviation(self) -> Tensor:
        return torch.sqrt(self.variance + 1e-8)

    def forward(self, x: Tensor) -> Tensor:
        """(x - mean) / deviation, within ± `clip`."""
        return ((x - self.mean) / self.deviation).clamp(-self.clip, self.clip)

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """`values` / deviation, within ± `clip`: what keeps its sign (rewards)."""
        return np.clip(values / float(self.deviation), -self.clip, self.clip).astype(np.float32)
