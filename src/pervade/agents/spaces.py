"""What an environment shows and takes, as JSON, and between its own form and arrays.

Observations become pictures (c, h, w) uint8, or one row of float32 numbers: whatever else a space holds (a choice, a
dictionary of parts) is laid out as Gymnasium flattens it. Channels may stand first or last, and pictures that are seen
together are channels of one. Actions: see nn/actions.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pervade.core.errors import DataError

COLOURS = (1, 3, 4)  # last axes that tell a picture (h, w, c)
SMALLEST = 36  # pixels, from which bytes with other channels are a picture, which convolutions take, and not a board


def observation(space: Any, where: str) -> dict[str, Any]:
    """{"shape", "picture", "dtype"}. Raises DataError where the space has no fixed size."""
    from gymnasium import spaces

    order = _channels_first(space) if isinstance(space, spaces.Box) else None
    if order is not None:
        *channels, height, width = (int(space.shape[axis]) for axis in order)
        return {"shape": [math.prod(channels), height, width], "picture": True, "dtype": "uint8"}
    try:
        if _holds_text(space):
            raise NotImplementedError
        length = spaces.flatdim(space)
    except (ValueError, NotImplementedError):
        raise DataError(
            f"{where}: observations of {space} have no fixed length, and networks here need one; wrap the environment "
            "so that it gives an array (gymnasium.ObservationWrapper)"
        ) from None
    return {"shape": [int(length)], "picture": False, "dtype": "float32"}


def _holds_text(space: Any) -> bool:
    """Gymnasium lays texts out as numbers of letters, which are no quantities."""
    from gymnasium import spaces

    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        return any(map(_holds_text, space.values() if isinstance(space, spaces.Dict) else space))
    return isinstance(space, spaces.Text)


def _channels_first(space: Any) -> tuple[int, ...] | None:
    """The order of its axes in which a picture's channels come before its height and width; None where it is none.
    Pictures that are stacked, of colours too (k, h, w, c or k, c, h, w), are one of more channels."""
    shape: tuple[int, ...] = space.shape
    if space.dtype != np.uint8 or not 2 <= len(shape) <= 4:
        return None
    before = tuple(range(len(shape) - 3))  # the axis of a stack, where there is one
    first, height, width = range(len(shape) - 3, len(shape))
    if len(shape) == 2:
        return height, width
    channels_last = (*before, width, first, height)
    if len(shape) == 3 and shape[-1] in COLOURS:
        return channels_last
    for order in (channels_last, (*before, first, height, width)):
        channels, *sides = (shape[axis] for axis in order[-3:])
        few = channels in COLOURS if before else channels < min(sides)
        if few and min(sides) >= SMALLEST:
            return order
    return None


def _stacked(picture: np.ndarray) -> np.ndarray:
    """(…, h, w) as one of many channels."""
    return picture.reshape(-1, *picture.shape[-2:])


def reader(space: Any) -> Callable[[Any], np.ndarray]:
    """The function from an observation of this space to its array."""
    from gymnasium import spaces

    if isinstance(space, spaces.Box):
        order = _channels_first(space)
        if order is not None:
            return lambda frame: _stacked(frame.transpose(order))
        if len(space.shape) == 1:
            return lambda value: np.asarray(value, dtype=np.float32)
        return lambda value: np.asarray(value, dtype=np.float32).reshape(-1)
    return lambda value: np.asarray(spaces.flatten(space, value), dtype=np.float32)


def action(space: Any, where: str) -> dict[str, Any]:
    """As nn/actions.py reads it. Raises DataError where no policy here can act in it."""
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        return {"kind": "discrete", "sizes": [int(space.n)], "start": [int(space.start)], "form": "number"}
    if isinstance(space, spaces.MultiDiscrete):
        sizes = [int(n) for n in np.asarray(space.nvec).reshape(-1)]
        return {
            "kind": "discrete",
            "sizes": sizes,
            "start": [int(number) for number in np.asarray(space.start).reshape(-1)],
            "form": list(space.shape),
        }
    if isinstance(space, spaces.MultiBinary):
        count = math.prod(space.shape)
        return {"kind": "discrete", "sizes": [2] * count, "start": [0] * count, "form": list(space.shape)}
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        # JSON has no infinity: an open end is None here, and made one again by `unpacked`.
        low, high = (
            [float(v) if math.isfinite(v) else None for v in np.reshape(e, -1)] for e in (space.low, space.high)
        )
        return {"kind": "continuous", "low": low, "high": high, "form": list(space.shape)}
    raise DataError(
        f"{where}: actions of {space} are not known here; there are Discrete, MultiDiscrete, MultiBinary and Box of "
        "floating point numbers"
    )


def unpacked(action: dict[str, Any]) -> dict[str, Any]:
    """The action space as nn/actions.py computes with it."""
    if action["kind"] == "discrete":
        return dict(action)
    low = [-math.inf if bound is None else bound for bound in action["low"]]
    high = [math.inf if bound is None else bound for bound in action["high"]]
    return {**action, "low": low, "high": high}


def writer(action: dict[str, Any]) -> Callable[[np.ndarray], Any]:
    """The function from one action's row (nn/actions.py) to what `env.step` takes."""
    if action["kind"] == "continuous":
        form = tuple(action["form"])
        return lambda row: np.asarray(row, dtype=np.float32).reshape(form)
    if action["form"] == "number":
        start = action["start"][0]
        return lambda row: int(row[0]) + start
    form, starts = tuple(action["form"]), np.asarray(action["start"], dtype=np.int64)
    return lambda row: (np.asarray(row, dtype=np.int64) + starts).reshape(form)
