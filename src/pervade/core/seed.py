"""One seed for everything that is random. Same seed, same result."""

from __future__ import annotations

import numpy as np


def everything(seed: int) -> None:
    """Seeds the generators that code we call may draw from: Python's, numpy's and torch's (all devices)."""
    import random

    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def generator(*key: int) -> np.random.Generator:
    """A generator of its own for a key such as (seed, epoch, row), independent of all else."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))
