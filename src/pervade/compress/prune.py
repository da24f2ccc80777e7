"""Whole channels are taken out, so that what is left is a smaller network of the same kind, and as much faster.

Which channels hang together, and which have to stay, is found out (engine/channels.py). Of the rest those go first that
are worth least: by how much the outputs move without them ("taylor", of the same multiply-adds), or by their weights
("magnitude"); all layers compared with one another ("global"), or of each the same share ("layer"). What is left learns
again for a few passes (Li et al. 2017, arXiv:1608.08710).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import Module

from pervade.compress.int8 import require_float
from pervade.core.bounds import MOST, LearningRate, Passes
from pervade.core.contracts import Change, Compressed, Compressor, Subject
from pervade.core.errors import ConfigError, UnfitError
from pervade.core.registry import register
from pervade.engine import building, channels
from pervade.engine.channels import Cuts, Group
from pervade.engine.multiply_adds import multiply_adds, told
from pervade.engine.recovery import recovery
from pervade.nn import pointwise
from pervade.weights.transplant import head_names

Size = Annotated[int, Field(ge=1, le=MOST)]
LEAST = 0.1  # of a layer's channels stay, whatever they are worth


@register("change", name="narrowed")
@dataclass(frozen=True)
class Narrowed(Change):
    """Layers that have fewer channels than their model gave them: by name, the shapes of their tensors, and the counts
    that they hold."""

    shapes: Mapping[str, tuple[Size, ...]] = field(default_factory=dict)
    counts: Mapping[str, Size] = field(default_factory=dict)

    @torch.no_grad()
    def apply(self, network: Module) -> Module:
        """The first channels stay. Raises ConfigError where the network has no such tensor or count, or less of it."""
        state, again = network.state_dict(keep_vars=True), dict[int, Any]()  # two layers may share a weight
        for name, shape in self.shapes.items():
            value = state.get(name)
            if value is None or value.ndim != len(shape) or any(a < b for a, b in zip(value.shape, shape, strict=True)):
                there = "no such weight" if value is None else f"{tuple(value.shape)} there"
                raise ConfigError(f"narrowed: {name!r} cannot become {tuple(shape)}, the network has {there}")
            fewer = value.detach()[tuple(slice(size) for size in shape)].clone()
            if id(value) not in again:
                again[id(value)] = nn.Parameter(fewer) if isinstance(value, nn.Parameter) else fewer
            layer, _, own = name.rpartition(".")
            setattr(network.get_submodule(layer), own, again[id(value)])
        modules = dict(network.named_modules())
        for name, count in self.counts.items():
            layer, _, own = name.rpartition(".")
            if type(vars(modules.get(layer, nn.Module())).get(own)) is not int:
                raise ConfigError(f"narrowed: the network has no count {name!r} that could become {count}")
            setattr(modules[layer], own, count)
        return pointwise.guard(network)


@register("compress")
@dataclass(frozen=True)
class Prune(Compressor):
    share: Annotated[float, Field(ge=0.01, lt=1)] = 0.5  # of the multiply-adds, that is left
    criterion: Literal["taylor", "magnitude"] = "taylor"
    scope: Literal["global", "layer"] = "global"
    round_to: Annotated[int, Field(ge=1, le=1024)] = 16  # counts of channels that are left are multiples of it, or, of
    # narrow layers, of a half, a quarter … of it: vectors of a processor are that long
    batches: Annotated[int, Field(ge=1, le=100_000)] = 16  # of training rows, by which "taylor" knows
    epochs: Passes = 5  # of the training afterwards; 0: none
    lr: LearningRate | None = None  # of that training; None: by how the weights were learnt (engine/recovery.py)

    def __call__(self, subject: Subject) -> Compressed:
        require_float(subject)
        network, changes = building.merged(subject.loaded.network, subject.loaded.changes)
        first = next(subject.batches())
        before = multiply_adds(network, first)
        fixed = {name.rpartition(".")[0] for name in head_names(network)}
        fixed |= {f"body.{name}" for name in getattr(getattr(network, "body", None), "outputs", ())}
        whole, left = channels.groups(network, first, fixed)
        if not whole:
            tried = f"tried: {', '.join(left[:3])}" if left else "it has none that hang together"
            raise UnfitError(f"prune: no channels of {type(network).__name__} can be taken out ({tried})")
        counted = channels.costs(network, first)
        worth = self._worth(subject, network, whole, counted)
        cuts = self._chosen(network, whole, worth, counted, before)
        shapes, counts = _sizes(network)
        for taken in cuts:
            channels.take_out(network, taken)
        pointwise.guard(network)
        change = _difference(shapes, counts, *_sizes(network))
        kept = f"; left as they are: {len(left)} more (first: {left[0]})" if left else ""
        gone = sum(len(next(iter(taken.values()))) for taken in cuts)
        return Compressed(
            network,
            (*changes, change),
            f"{gone:,} channels of {len(whole)} groups of layers taken out, "
            f"{told(before, multiply_adds(network, first))}{kept}",
            recovery(subject, (*changes, change), self.epochs, self.lr),
            begins_there=True,
        )

    def _worth(self, subject: Subject, network: Module, whole: list[Group], counted: Mapping[str, int]) -> list[Tensor]:
        """Of each group (units,), less being worth less."""
        if self.criterion == "magnitude":
            return [channels.magnitudes(network, group) for group in whole]
        effects = channels.effects(network, whole, islice(subject.batches(), self.batches))
        spared = [_spared(network, counted, group) for group in whole]
        return [effect / max(cost, 1.0) for effect, cost in zip(effects, spared, strict=True)]

    def _chosen(
        self, network: Module, whole: list[Group], worth: list[Tensor], counted: Mapping[str, int], before: int
    ) -> list[Cuts]:
        """What leaves the share, or a little less than it, found by halving. Raises UnfitError where it cannot be."""
        order = [value.argsort(stable=True).tolist() for value in worth]
        ranked = torch.cat(worth).sort().values

        def taken(part: float) -> list[Cuts]:
            """Of each group, where this part of all is to go."""
            limit = ranked[min(int(part * len(ranked)), len(ranked) - 1)] if part > 0 else ranked[0] - 1
            cuts = []
            for group, value, units in zip(whole, worth, order, strict=True):
                below = int((value <= limit).sum()) if self.scope == "global" else int(part * len(units))
                cuts.append(group.cuts(units[: self._rounded(len(units), below)]))
            return cuts

        def left(cuts: list[Cuts]) -> float:
            layers = sum(channels.left_of(network, counted, cuts).values())
            return (before - sum(counted.values()) + layers) / before

        fewer, more = _bounds(lambda part: left(taken(part)), self.share)
        cuts, spared = taken(more), taken(fewer)
        # Rounded, several layers lose channels at the same part; some of them need not.
        for number in range(len(cuts)):
            tried = [*cuts[:number], spared[number], *cuts[number + 1 :]]
            cuts = tried if left(tried) <= self.share else cuts
        return cuts

    def _rounded(self, units: int, taken: int) -> int:
        multiple = self.round_to
        while multiple > 1 and units < 4 * multiple:
            multiple //= 2
        kept = max(units - taken, int(LEAST * units), 1)
        return units - min(-(-kept // multiple) * multiple, units)


def _bounds(left: Callable[[float], float], share: float) -> tuple[float, float]:
    """Two parts of all units close to one another: by the first more than the share is left, by the second no more."""
    if (most := left(1.0)) > share:
        raise UnfitError(
            f"prune: with all taken out that can be, {most:.0%} of the multiply-adds are left, and prune.share is "
            f"{share:g}; set it to {min(most + 0.01, 0.99):.2f} or more"
        )
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if left(middle) > share else (low, middle)
    return low, high


def _spared(network: Module, counted: Mapping[str, int], group: Group) -> float:
    """Multiply-adds that go with one of the group's units, the others being there."""
    left = channels.left_of(network, counted, [group.cuts([0])])
    return sum(counted.values()) - sum(left.values())


def _sizes(network: Module) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    counts = {
        f"{name}.{own}": value
        for name, module in network.named_modules()
        for own, value in vars(module).items()
        if type(value) is int
    }
    return shapes, counts


def _difference(
    shapes: Mapping[str, tuple[int, ...]], counts: Mapping[str, int], after: Mapping[str, Any], held: Mapping[str, int]
) -> Narrowed:
    return Narrowed(
        {name: shape for name, shape in after.items() if shape != shapes[name]},
        {name: count for name, count in held.items() if count != counts[name]},
    )
