"""What an environment shows and takes, as JSON, and between its own form and arrays.

Observations become pictures (c, h, w) uint8, or one row of float32 numbers: whatever else a space holds (a choice, a
dictionary of parts) is laid out as Gymnasium flattens it. Actions: see nn/actions.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pervade.core.errors import DataError

COLOURS = (1, 3, 4)  # last axes that tell a picture (h, w, c)


def observation(space: Any, where: str) -> dict[str, Any]:
    """{"shape", "picture", "dtype"}. Raises DataError where the space has no fixed size."""
    from gymnasium import spaces

    if isinstance(space, spaces.Box) and _is_picture(space):
        height, width, *colours = space.shape
        return {"shape": [*(colours or [1]), height, width], "picture": True, "dtype": "uint8"}
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


def _is_picture(space: Any) -> bool:
    shape = space.shape
    return bool(space.dtype == np.uint8 and (len(shape) == 2 or (len(shape) == 3 and shape[2] in COLOURS)))


def reader(space: Any) -> Callable[[Any], np.ndarray]:
    """The function from an observation of this space to its array."""
    from gymnasium import spaces

    if isinstance(space, spaces.Box):
        if _is_picture(space):
            return lambda each: each.transpose(2, 0, 1) if each.ndim == 3 else each[None]
        if len(space.shape) == 1:
            return lambda each: each
        return lambda each: np.asarray(each, dtype=np.float32).reshape(-1)
    return lambda each: np.asarray(spaces.flatten(space, each), dtype=np.float32)


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
            "start": [int(each) for each in np.asarray(space.start).reshape(-1)],
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
    low = [-math.inf if each is None else each for each in action["low"]]
    high = [math.inf if each is None else each for each in action["high"]]
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
