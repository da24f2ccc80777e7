"""From a spec to a network, once it is known that there is room for it.

A file may ask for anything: ten million layers, or a million numbers wide. So a network is first built without memory,
on torch's meta device, its weights counted meanwhile (core/memory.py), and only then in earnest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch.nn import Module
from torch.overrides import TorchFunctionMode

from pervade.core import memory, registry
from pervade.core.contracts import Change, Inputs, Mergeable, Model, Recipe
from pervade.core.errors import ResourceError
from pervade.nn.own import Own

FILE = 4  # times the bytes of a file: half precision and tied weights may be twice as large in memory, each
SPARE = 1 << 24  # bytes beyond that: tables of positions and the like, which no file holds
DRAWS = ("normal_", "uniform_", "kaiming_uniform_")  # what weights are drawn by
FILLS = (*DRAWS, "erfinv_", "clamp_")  # and what torch.nn.init goes on with


class _Unfilled(TorchFunctionMode):
    """Leaves weights that have no memory as they are: what would fill them imports torch's compiler, for a second."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in FILLS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


class _Undrawn(TorchFunctionMode):
    """Weights are 0 where they would be drawn, which takes as long as reading those that take their place."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") not in DRAWS:
            return func(*args, **(kwargs or {}))
        with torch.no_grad():
            tensor: torch.Tensor = args[0] if args else (kwargs or {})["tensor"]
            return tensor.zero_()


def weights_of(model: Model, inputs: Inputs, outputs: Mapping[str, int]) -> int | None:
    """How many it would have, counted without memory; None where it does not fit, or cannot be built so."""
    try:
        with torch.device("meta"), _Unfilled():
            network = model.build(inputs, outputs)
    except (
        Exception
    ):  # what does not fit raises ConfigError, and a constructor that looks at its numbers whatever it likes
        return None
    return sum(parameter.numel() for parameter in network.parameters())


def require_room(model: Model, inputs: Inputs, outputs: Mapping[str, int], held: int | None = None) -> None:
    """Raises ResourceError where the network takes more memory than is free, or, where `held` says how many bytes of
    weights a file holds for it, far more than these."""
    if isinstance(model, Own):  # the user's own function, which is called once
        return
    free, kind = memory.available(), registry.name_of(type(model)) or type(model).__name__
    most, reason = free, f"{free / 1e9:,.3g} GB are free; take a smaller model, or free some memory"
    if held is not None and FILE * held + SPARE < free:
        most = FILE * held + SPARE
        reason = f"the file that holds them has {held:,} bytes; they do not belong together: use another checkpoint"
    rest = getattr(model, "name", "")  # of one that a library has
    counted = (f"{kind}:{rest}" if rest else kind, most, reason)
    try:
        with memory.counted(*counted), torch.device("meta"), _Unfilled():
            model.build(inputs, outputs)
    except ResourceError:
        raise
    except Exception as error:
        if memory.ran_out(error):
            raise
        # A constructor that looks at its numbers cannot do without memory. What it takes is counted all the same, and
        # what else it was at fault with is so again.
        with memory.counted(*counted):
            model.build(inputs, outputs)


@memory.during("the network was built", "take a smaller --model, or free some memory")
def build(
    model: Model,
    inputs: Inputs,
    outputs: Mapping[str, int],
    held: int | None = None,
    changes: Sequence[Change] = (),
    drawn: bool = True,
) -> Module:
    """The network with `changes` made to it; torch's random state is what it would be without the count. Its weights
    are 0 where they are not to be `drawn`. Raises as `require_room` and `Change.apply`."""
    random = torch.get_rng_state()
    require_room(model, inputs, outputs, held)
    torch.set_rng_state(random)
    with nullcontext() if drawn else _Undrawn():
        network = model.build(inputs, outputs)
    for change in changes:
        network = change.apply(network)
    return network


def changes_of(recipe: Recipe) -> tuple[Change, ...]:
    """All that a training does to its network: what the recipe lists, and what its way of tuning puts in."""
    return (*recipe.changes, *((recipe.tuning,) if isinstance(recipe.tuning, Change) else ()))


def merged(network: Module, changes: Sequence[Change]) -> tuple[Module, tuple[Change, ...]]:
    """The network with what can be worked into its weights worked in, the last change first, and the changes left."""
    for change in reversed(changes):
        network = change.merge(network) if isinstance(change, Mergeable) else network
    return network, tuple(change for change in changes if not isinstance(change, Mergeable))
