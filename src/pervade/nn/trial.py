"""What a network makes of pictures of a size, tried on a picture of zeros."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pervade.core import memory
from pervade.core.contracts import Inputs, Pixels
from pervade.core.errors import ConfigError, SizeError
from pervade.nn.modes import evaluating

# Sizes that are tried in order where pictures are too small; between the first that fits and the one before it the
# smallest is found by halving.
COARSE = (*range(8, 64, 8), *range(64, 545, 32))
# What torch, timm and transformers raise at pictures of a wrong size.
REFUSALS = (RuntimeError, AssertionError, ValueError, IndexError, ZeroDivisionError)


def require_size(name: str, make: Callable[[int], nn.Module], inputs: Pixels) -> None:
    """Raises ConfigError, with the smallest size that fits, where pictures of `inputs` are too small for the network.

    `make(side)` builds the part of it that could be too large for pictures of side x side. Nothing is computed: torch's
    meta device has shapes but no numbers.
    """
    channels, height, width = inputs.shape
    if not _fits(make, channels, min(height, width)):
        raise _too_small(name, make, inputs, "")


def require_training_size(network: nn.Module, inputs: Inputs) -> None:
    """Raises ConfigError where training sees pictures of another size than `network` was built for, and it does not
    take them: position embeddings, and dense layers behind a whole map, are made for one size."""
    if not isinstance(inputs, Pixels) or inputs.training_shape is None:
        return
    shape = inputs.training_shape
    try:
        with evaluating(network), torch.no_grad():
            network(torch.zeros(1, *shape))
    except REFUSALS as error:
        height, width = inputs.shape[1:]
        raise ConfigError(
            f"the network is for pictures of {height} x {width} pixels and does not take the {shape[1]} x {shape[2]} "
            f"that domain.train_scale has it trained on ({str(error).strip().splitlines()[0]}); set "
            "-o domain.train_scale=1"
        ) from None


def features(name: str, make: Callable[[int], nn.Module], inputs: Pixels) -> tuple[nn.Module, int]:
    """The body that `make` builds for pictures of `inputs`, and how many features it gives for one.

    Raises ConfigError where it does not take such pictures or does not give one row of numbers for each.
    """
    try:
        body = make(min(inputs.shape[1:]))
        with evaluating(body), torch.no_grad():
            output = body(torch.zeros(1, *inputs.shape))
    except REFUSALS as error:
        if memory.ran_out(error):
            raise
        raise _too_small(name, make, inputs, f" ({str(error).strip().splitlines()[0]})" if str(error) else "") from None
    if not isinstance(output, Tensor) or output.ndim != 2:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ConfigError(f"{name} gives {shape} for a picture, not one row of features; take another network")
    return body, output.shape[1]


def _too_small(name: str, make: Callable[[int], nn.Module], inputs: Pixels, why: str) -> ConfigError:
    channels, height, width = inputs.shape
    side = min(height, width)
    fails, fits = side, next((size for size in COARSE if size > side and _fits(make, channels, size)), None)
    if fits is None:
        return ConfigError(f"{name} does not take pictures of {height} x {width} pixels{why}; take another network")
    fails = max([fails, *(size for size in COARSE if size < fits)])
    while fits - fails > 1:
        middle = (fits + fails) // 2
        fails, fits = (fails, middle) if _fits(make, channels, middle) else (middle, fits)
    least = f"{name} needs pictures of at least {fits} x {fits} pixels, not {height} x {width}{why}"
    return SizeError(least, f"set -o domain.size={fits} or more")


def _fits(make: Callable[[int], nn.Module], channels: int, side: int) -> bool:
    try:
        with torch.device("meta"), torch.no_grad():
            make(side).eval()(torch.empty(1, channels, side, side))
    except REFUSALS:
        return False
    return True
