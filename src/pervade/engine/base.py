"""The base: weights that stay as they were published while adapters beside them learn, and that no checkpoint or state
of a run holds again. They are read from their place each time, and known by their SHA-256.

    initialiser   says where its weights can be read again (`Initializer.place`), and puts them there (`apply`)
    tuning        says which of the network's stay as they are put there (`Tuning.kept`)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from pervade.core import files
from pervade.core.contracts import Change, Domain, Recipe, Started
from pervade.core.errors import CheckpointError, PervadeError


@dataclass(frozen=True)
class Base:
    place: str  # where the weights lie, in words
    sha256: str  # of the tensors (`digest`)
    names: tuple[str, ...]  # of the network's state

    def beside(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What of a state is not the base."""
        own = set(self.names)
        return {name: value for name, value in state.items() if name not in own}

    def stands_in(self, state: Mapping[str, Tensor]) -> bool:
        """Whether the state holds the base, bit for bit, so that it need not be saved."""
        return all(name in state for name in self.names) and digest(state, self.names) == self.sha256


def of_run(path: Path) -> Base | None:
    """What init.json says; None where it names no base, or nothing was begun."""
    base = files.read_json(path).get("base") if path.exists() else None
    return Base(base["place"], base["sha256"], tuple(base["names"])) if base else None


def build(recipe: Recipe, domain: Domain, network: Module, apply: bool) -> tuple[Module, Base | None, Started | None]:
    """The network with its first weights, if these are to be applied, and with what its tuning puts into it; the base
    among these weights, where the initialiser can be asked for them again; and what the initialiser said."""
    before = {id(value): name for name, value in network.state_dict(keep_vars=True).items()}
    started = recipe.init.apply(network, recipe.model, domain) if apply else None
    if recipe.tuning is None:
        return network, None, started
    if isinstance(recipe.tuning, Change):
        network = recipe.tuning.apply(network)
    place = recipe.init.place(recipe.model)
    if started is None or place is None:
        return network, None, started
    state = network.state_dict(keep_vars=True)
    loaded, kept = set(started.loaded), recipe.tuning.kept(network)
    # A layer with adapters beside it has other names, and the very same weights.
    names = tuple(sorted(name for name in kept if before.get(id(state[name])) in loaded))
    return network, Base(place, digest(state, names), names) if names else None, started


def again(where: Path, known: Mapping[str, Any], recipe: Recipe, domain: Domain, network: Module) -> Module:
    """As `build`, of a network whose base is on record in `where`. Raises CheckpointError where it cannot be read any
    more, or is another now."""
    place = known["place"]
    try:
        network, base, _ = build(recipe, domain, network, apply=True)
    except PervadeError as error:
        raise CheckpointError(
            f"{where} holds adapters alone, and the weights that they belong to cannot be read again from {place}: "
            f"{error} (a checkpoint made by `pervade merge` needs nothing beside it)"
        ) from None
    actual = base.sha256 if base is not None else "none"
    if actual != known["sha256"]:
        raise CheckpointError(
            f"{where} holds adapters alone, and {place} holds other weights now than those that they belong to "
            f"(SHA-256 {actual[:12]}, not {known['sha256'][:12]}); put those back there, or train again"
        )
    return network


def digest(state: Mapping[str, Tensor], names: Iterable[str]) -> str:
    """SHA-256 of these tensors: names, kinds, shapes and values, in the order of their names."""
    sha256 = hashlib.sha256()
    for name in sorted(names):
        value = state[name].detach().cpu().contiguous()
        sha256.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        sha256.update(value.view(-1).view(torch.uint8).numpy().data)
    return sha256.hexdigest()
