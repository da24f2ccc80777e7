"""Channels of a network that can only be taken out together, and what it costs to keep them.

Which layers hang together torch-pruning finds out, from the graph of one forward pass (Fang et al. 2023, "DepGraph",
arXiv:2301.12900). It does not know every way in which a network may rearrange numbers, so each group is tried: half of
its channels are taken out, and the outputs must be those of the same network with these channels at zero. What fails,
because the channels are heads of an attention, or normalised together, or counted somewhere, stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import Module
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from pervade.core.errors import ConfigError, UnfitError
from pervade.core.types import Batch
from pervade.engine.batches import cut

Side = Literal["out", "in", "heads"]
Cuts = dict[tuple[str, Side], Tensor]  # layer and side: the numbers of the channels that go; or a count of heads, and
# the numbers of those that go
# Attention by the names of its layers: what makes queries, keys and values, in one or in three, what reads the heads,
# and how many of them there are (of nn/transformer.py, timm, and of BERT's kind in transformers).
ATTENTION = (
    (("into",), "out", "heads"),
    (("qkv",), "proj", "num_heads"),
    (("query", "key", "value"), "..output.dense", "num_attention_heads"),
)
WIDTHS = ("attn_dim", "all_head_size")  # what such a module calls the numbers of all heads together
CLOSE = 1e-9  # of the largest output: in double precision what is computed in another order differs by far less


@dataclass
class Place:
    """Where a group's channels stand in one layer."""

    layer: str
    side: Side
    channels: Tensor  # there
    root: Tensor  # the same, as the group counts them


@dataclass
class Group:
    name: str  # of the layer that it begins with
    size: int
    places: list[Place]
    units: list[Tensor] = field(default_factory=list)  # of channels that go together
    heads: str = ""  # where these are the heads of an attention, the count of them

    def cuts(self, units: Iterable[int]) -> Cuts:
        chosen = torch.tensor(list(units), dtype=torch.int64)
        gone = torch.isin(self.unit_of(), chosen)
        made: Cuts = {(place.layer, place.side): place.channels[gone[place.root]] for place in self.places}
        return {**made, (self.heads, "heads"): chosen} if self.heads else made

    def unit_of(self) -> Tensor:
        """(size,) the unit of each channel."""
        unit_of = torch.zeros(self.size, dtype=torch.int64)
        for number, unit in enumerate(self.units):
            unit_of[unit] = number
        return unit_of

    def by_unit(self, of_channels: Tensor) -> Tensor:
        return torch.zeros(len(self.units)).index_add(0, self.unit_of(), of_channels)


def groups(network: Module, batch: Batch, fixed: set[str]) -> tuple[list[Group], list[str]]:
    """Those whose channels can be taken out, and the layers at which the others begin. `fixed` layers keep what they
    put out. Raises ConfigError where torch-pruning is not there, UnfitError where it makes nothing of the network."""
    network, row = _in_double(network), cut(batch, 2)[0]
    named = {module: name for name, module in network.named_modules()}
    graph = _graph(network, row)
    hanging = graph.get_all_groups(ignored_layers=[network.get_submodule(name) for name in fixed])
    heads = list(_heads(network))
    known = {place.layer for group in heads for place in group.places if place.side == "out"}
    made = [*(group for one in hanging if (group := _group(graph, one, named)).name not in known), *heads]
    whole = [group for group in made if group.places and _stands_for_zeros(network, group, row)]
    taken = {place.layer for group in whole for place in group.places if place.side == "out"}
    return whole, [group.name for group in made if group not in whole and group.name not in taken]


def _heads(network: Module) -> Iterator[Group]:
    modules: dict[str, Any] = dict(network.named_modules())
    for name, module in modules.items():
        for makers, reader, count in ATTENTION:
            heads = getattr(module, count, None)
            above = name.rpartition(".")[0] if reader.startswith("..") else name
            out = f"{above}.{reader.removeprefix('..')}"
            made = [f"{name}.{maker}" for maker in makers]
            if type(heads) is not int or heads < 2 or any(type(modules.get(n)) is not nn.Linear for n in (*made, out)):
                continue
            size = modules[out].in_features
            if size % heads or any(modules[maker].out_features * len(made) != 3 * size for maker in made):
                continue
            root = torch.arange(size)
            parts = 3 // len(made)
            places = [Place(maker, "out", torch.arange(parts * size), root.repeat(parts)) for maker in made]
            units = list(root.view(heads, -1))
            yield Group(made[0], size, [*places, Place(out, "in", root, root)], units, f"{name}.{count}")


def _graph(network: Module, batch: Batch) -> Any:
    try:
        from torch_pruning import DependencyGraph
    except ImportError:
        raise ConfigError("pruning needs the package torch-pruning; pip install 'pervade[deploy]'") from None

    def outputs(network: Module, batch: Any) -> Any:
        return _differentiable(network(batch["input"], mask=batch.get("mask")))

    try:
        with torch.enable_grad():
            return DependencyGraph().build_dependency(network, batch, outputs, verbose=False)
    except Exception as error:  # whatever its tracing fell over: the network is not of a kind that it follows
        raise UnfitError(
            f"prune: torch-pruning cannot follow {type(network).__name__} ({type(error).__name__}: {str(error)[:120]})"
        ) from error


def _in_double(network: Module) -> Module:
    """A copy that computes in double precision: in single precision attention that is nearly even over all positions
    would pass for what has no heads. What computes spectra stays as it is, and so layers take what they are given."""

    def taken(layer: Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(x.double() if isinstance(x, Tensor) and x.is_floating_point() else x for x in given)

    network = copy.deepcopy(network).double()
    for module in network.modules():
        if next(module.parameters(recurse=False), None) is not None:
            module.register_forward_pre_hook(taken)
    return network


def _differentiable(output: Mapping[str, Any]) -> list[Tensor]:
    return [value for value in output.values() if isinstance(value, Tensor) and value.requires_grad]


def _group(graph: Any, hanging: Any, named: Mapping[Module, str]) -> Group:
    """Without places where a layer is among them that has no `_cut`."""
    root, handler = hanging[0].dep.target.module, hanging[0].dep.handler
    made = Group(named[root], len(hanging[0].idxs), [])
    for item in hanging.items:
        layer = item.dep.target.module
        if layer not in named and (isinstance(layer, nn.Parameter) or next(layer.parameters(), None) is not None):
            return Group(made.name, made.size, [])
        if layer not in named:  # an operation
            continue
        side: Side = "out" if graph.is_out_channel_pruning_fn(item.dep.handler) else "in"
        numbers = (*item.idxs, *item.root_idxs)
        # Where numbers are rearranged in a way that it does not follow, it may name channels that are not there.
        if not _cut(layer, side) or None in numbers or not 0 <= min(numbers) <= max(item.idxs) < _size(layer, side):
            return Group(made.name, made.size, [])
        made.places.append(Place(named[layer], side, torch.tensor(item.idxs), torch.tensor(item.root_idxs)))

    def together(channel: int) -> Tensor:
        items = graph.get_pruning_group(root, handler, [channel]).items
        return torch.tensor(sorted({idx for i in items if i.dep.target.module is root for idx in i.idxs}))

    alone = len(together(0)) == 1
    made.units = [torch.tensor([channel]) for channel in range(made.size)] if alone else []
    seen: set[int] = set()
    for channel in [] if alone else range(made.size):
        if channel not in seen:
            made.units.append(together(channel))
            seen |= set(made.units[-1].tolist())
    return made


def _cut(layer: Any, side: Side) -> tuple[tuple[str, ...], int, tuple[str, ...]] | None:
    """Of its tensors those that lose channels, along which axis, and the counts that say how many there are; None where
    the layer is of a kind whose channels stay."""
    if isinstance(layer, _ConvNd) and not layer.transposed:
        if layer.groups == layer.in_channels == layer.out_channels > 1:
            return ("weight", "bias"), 0, ("in_channels", "out_channels", "groups")
        if layer.groups == 1:
            return (("weight", "bias"), 0, ("out_channels",)) if side == "out" else (("weight",), 1, ("in_channels",))
    elif type(layer) is nn.Linear:
        return (("weight", "bias"), 0, ("out_features",)) if side == "out" else (("weight",), 1, ("in_features",))
    elif isinstance(layer, _BatchNorm):
        return ("weight", "bias", "running_mean", "running_var"), 0, ("num_features",)
    elif type(layer) is nn.Embedding:
        return ("weight",), 1, ("embedding_dim",)
    return None


def _size(layer: Any, side: Side) -> int:
    told = _cut(layer, side)
    return 0 if told is None else int(getattr(layer, told[2][0]))


@torch.no_grad()
def take_out(network: Module, cuts: Cuts) -> None:
    for (name, side), channels in cuts.items():
        if side == "heads":
            holder, _, count = name.rpartition(".")
            module: Any = network.get_submodule(holder)
            heads = getattr(module, count)
            for own in {*WIDTHS} & vars(module).keys():
                setattr(module, own, getattr(module, own) // heads * (heads - len(channels)))
            setattr(module, count, heads - len(channels))
            continue
        layer = network.get_submodule(name)
        told = _cut(layer, side)
        assert told is not None  # groups have no others
        tensors, axis, counts = told
        size = int(getattr(layer, counts[0]))
        kept = torch.ones(size, dtype=torch.bool)
        kept[channels] = False
        for tensor in tensors:
            value = getattr(layer, tensor)
            if value is not None:
                fewer = value.detach().index_select(axis, kept.nonzero().flatten())
                setattr(layer, tensor, nn.Parameter(fewer) if isinstance(value, nn.Parameter) else fewer)
        for count in counts:
            setattr(layer, count, int(kept.sum()))


@contextmanager
def _unchanged(network: Module) -> Iterator[None]:
    """Whatever layers are given inside, they have their own again afterwards."""
    before = [
        (module, dict(vars(module)), dict(module._parameters), dict(module._buffers)) for module in network.modules()
    ]
    try:
        yield
    finally:
        for module, own, parameters, buffers in before:
            vars(module).update(own)
            module._parameters.update(parameters)
            module._buffers.update(buffers)


@torch.no_grad()
def _stands_for_zeros(network: Module, group: Group, batch: Batch) -> bool:
    cuts = group.cuts(range(0, len(group.units), 2))
    with _unchanged(network):
        for (name, side), channels in cuts.items():
            if side == "heads":
                continue
            layer = network.get_submodule(name)
            tensors, axis, _ = _cut(layer, side) or ((), 0, ())
            for tensor in {"weight", "bias"} & set(tensors) if side == "out" else ():
                value = getattr(layer, tensor)
                if value is not None:
                    setattr(layer, tensor, nn.Parameter(value.index_fill(axis, channels, 0.0)))
        zeroed = network(batch["input"], mask=batch.get("mask"))
    with _unchanged(network):
        take_out(network, cuts)
        try:
            fewer = network(batch["input"], mask=batch.get("mask"))
        except Exception:  # whatever it is that counts these channels, they have to stay
            return False
    return all(_equal(fewer[name], value) for name, value in zeroed.items())


def _equal(one: Any, other: Any) -> bool:
    if not isinstance(other, Tensor):
        return bool(one == other)
    if one.shape != other.shape:
        return False
    return bool((one.double() - other.double()).abs().max() <= CLOSE * other.double().abs().max().clamp(min=1e-30))


# what channels cost, and are worth


@torch.no_grad()
def costs(network: Module, batch: Batch) -> dict[str, int]:
    """Multiply-adds of one row in each layer that multiplies."""
    counted: dict[str, int] = {}

    def counting(name: str) -> Callable[[Any, Any, Tensor], None]:
        def count(layer: Any, given: Any, made: Tensor) -> None:
            outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
            counted[name] = counted.get(name, 0) + layer.weight.numel() * (made.numel() // outputs)

        return count

    row = cut(batch, 1)[0]
    layers = [(name, module) for name, module in network.named_modules() if isinstance(module, (_ConvNd, nn.Linear))]
    hooks = [module.register_forward_hook(counting(name)) for name, module in layers]
    try:
        network(row["input"], mask=row.get("mask"))
    finally:
        for hook in hooks:
            hook.remove()
    return counted


def left_of(network: Module, counted: Mapping[str, int], cuts: Iterable[Cuts]) -> dict[str, float]:
    """`counted` multiply-adds of each layer once channels are gone."""
    gone: dict[str, dict[str, int]] = {}
    for cut_ in cuts:
        for (name, side), channels in cut_.items():
            if name in counted and side != "heads":
                sides = gone.setdefault(name, {"out": 0, "in": 0})
                sides[side] += len(channels)
    kept = {name: float(count) for name, count in counted.items()}
    for name, sides in gone.items():
        layer: Any = network.get_submodule(name)
        rows, columns = (
            (layer.out_features, layer.in_features)
            if isinstance(layer, nn.Linear)
            else (layer.out_channels, layer.in_channels)
        )
        if isinstance(layer, _ConvNd) and layer.groups > 1:
            kept[name] *= 1 - max(sides.values()) / rows
        else:
            kept[name] *= (1 - sides["out"] / rows) * (1 - sides["in"] / columns)
    return kept


def magnitudes(network: Module, group: Group) -> Tensor:
    """(units,) mean square of the weights that make and read each, in units of the group's mean (Fang et al. 2023)."""
    score = torch.zeros(group.size)
    for place in group.places:
        layer: Any = network.get_submodule(place.layer)
        if not isinstance(layer, _BatchNorm):
            squares = layer.weight.detach().square().transpose(0, (_cut(layer, place.side) or ((), 0))[1]).flatten(1)
            score.index_add_(0, place.root, squares.sum(1)[place.channels])
    units = group.by_unit(score)
    return units / units.mean().clamp(min=1e-30)


def effects(network: Module, whole: list[Group], batches: Iterable[Batch], rows: int = 4) -> list[Tensor]:
    """Of each group (units,): E (r · J)^2, by how much each unit's absence moves the outputs to the first order, in
    random directions r of the outputs, a new one every so many rows (after Molchanov et al. 2019, arXiv:1906.10771,
    who take the loss; no target is needed so). A channel's share in what its readers are given is the sum of weight
    times gradient over all weights that read it."""
    scores = [torch.zeros(len(group.units)) for group in whole]
    random = torch.Generator().manual_seed(0)
    for batch in batches:
        for piece in cut(batch, rows):
            network.zero_grad(set_to_none=True)
            with torch.enable_grad():
                made = _differentiable(network(piece["input"], mask=piece.get("mask")))
                sum((value * torch.randn(value.shape, generator=random)).sum() for value in made).backward()  # type: ignore[union-attr]
            for group, score in zip(whole, scores, strict=True):
                score += group.by_unit(_seen_by_readers(network, group)).square()
    network.zero_grad(set_to_none=True)
    return scores


@torch.no_grad()
def _seen_by_readers(network: Module, group: Group) -> Tensor:
    seen = torch.zeros(group.size)
    for place in group.places:
        layer: Any = network.get_submodule(place.layer)
        reads = place.side == "in" and not isinstance(layer, _BatchNorm) and getattr(layer, "groups", 1) == 1
        if reads and layer.weight.grad is not None:
            shares = (layer.weight * layer.weight.grad).transpose(0, 1).flatten(1).sum(1)
            seen.index_add_(0, place.root, shares[place.channels])
    return seen
