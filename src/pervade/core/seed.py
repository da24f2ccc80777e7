"""One seed for everything that is random. Same seed, same result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, device


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


@contextmanager
def kept() -> Iterator[None]:
    """Inside, torch may be seeded; afterwards its generators, the GPU's as well where this process computes on one, are
    where they were."""
    import torch

    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if torch.cuda.is_initialized() else []):
        yield


def rng_state(device: device) -> dict[str, Tensor]:
    """The state of torch's generators that a training step on this device draws from."""
    import torch

    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_rng(state: dict[str, Tensor], device: device) -> None:
    import torch

    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
