"""Dense layers and 1x1 convolutions as two thin ones: W, of o x i numbers, becomes B A with B o x r and A r x i.

What is kept is what matters to the layer's output on training rows, not to W: of y = W x the r directions that hold
most of the energy E |y|^2 (Chen et al. 2021, "DRONE", NeurIPS; Wang et al. 2024, arXiv:2403.07378). With E x x' = L L'
the singular vectors U of W L are these directions, so B = U and A = U' W. A layer is left as it is where the two would
multiply as much as the one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import Module

from pervade.compress.int8 import require_float
from pervade.core.bounds import LearningRate, Passes, Units
from pervade.core.contracts import Change, Compressed, Compressor, Subject
from pervade.core.errors import ConfigError, UnfitError
from pervade.core.registry import register
from pervade.core.types import Batch
from pervade.engine import building
from pervade.engine.multiply_adds import multiply_adds, told
from pervade.engine.recovery import recovery
from pervade.nn import pointwise
from pervade.nn.pointwise import Pointwise
from pervade.weights.transplant import head_names

ROUND = 8  # ranks are multiples of it, as long as vectors of a processor are


@register("change", name="factorised")
@dataclass(frozen=True)
class Factorised(Change):
    """Layers in two factors each, which stand under the layer's name as "0" and "1"."""

    ranks: Mapping[str, Units] = field(default_factory=dict)  # by the layer's name in the network

    def apply(self, network: Module) -> Module:
        """Raises ConfigError where there is no such layer, or none that has factors."""
        modules = dict(network.named_modules())
        for name, rank in self.ranks.items():
            if not has_factors(layer := modules.get(name)):
                what = f"is of the kind {type(layer).__name__}" if layer is not None else "is not in the network"
                raise ConfigError(f"factorised: {name!r} {what}; only dense layers and 1x1 convolutions have factors")
            network.set_submodule(name, _factors(layer, rank))
        return pointwise.guard(network)


@register("compress")
@dataclass(frozen=True)
class LowRank(Compressor):
    energy: Annotated[float, Field(gt=0, le=1)] = 0.98  # of what a layer puts out, that is kept
    batches: Annotated[int, Field(ge=1, le=100_000)] = 16  # of training rows, by which that is known
    epochs: Passes = 2  # of the training afterwards; 0: none
    lr: LearningRate = 1e-4  # of that training

    def __call__(self, subject: Subject) -> Compressed:
        require_float(subject)
        network, changes = building.merged(subject.loaded.network, subject.loaded.changes)
        layers = _layers(network)
        if not layers:
            raise UnfitError(
                f"low-rank: {type(network).__name__} has no dense layer or 1x1 convolution but for its outputs"
            )
        first = next(subject.batches())
        before = multiply_adds(network, first)
        moments = second_moments(network, layers, islice(subject.batches(), self.batches))
        factors = {name: pair for name, moment in moments.items() if (pair := self._factors(layers[name], moment))}
        if not factors:
            raise UnfitError(
                f"low-rank: with {self.energy:g} of its energy, two factors would multiply as much as the layer, in "
                f"each of {len(layers)}; set low-rank.energy lower"
            )
        change = Factorised({name: len(thin) for name, (thin, _) in factors.items()})
        biases = {name: layers[name].bias for name in factors}
        network = change.apply(network)
        for name, (thin, wide) in factors.items():
            _fill(network.get_submodule(name), thin, wide, biases[name])
        return Compressed(
            network,
            (*changes, change),
            f"{len(factors)} of {len(layers)} layers in two factors, {told(before, multiply_adds(network, first))}",
            recovery(subject, (*changes, change), self.epochs, self.lr),
            begins_there=True,
        )

    def _factors(self, layer: Any, moment: Tensor) -> tuple[Tensor, Tensor] | None:
        """A (r, i) and B (o, r); None where they would save nothing."""
        weight = layer.weight.detach().flatten(1).double()
        outputs, inputs = weight.shape
        directions, values, _ = torch.linalg.svd(weight @ _root(moment), full_matrices=False)
        kept = values.square().cumsum(0) / values.square().sum().clamp(min=1e-300)
        rank = int((kept < self.energy).sum()) + 1
        rank = min(-(-rank // ROUND) * ROUND, len(values))
        if rank * (inputs + outputs) >= inputs * outputs:
            return None
        wide = directions[:, :rank]
        return (wide.T @ weight).float(), wide.float()


def has_factors(layer: Module | None) -> bool:
    """Whether it maps numbers to numbers, everywhere by the same matrix, and as a layer of its own."""
    if type(layer) in (nn.Conv1d, nn.Conv2d, Pointwise):
        convolution: Any = layer
        alone = set(convolution.kernel_size) == {1} and convolution.groups == 1
        return alone and (isinstance(convolution.padding, str) or set(convolution.padding) == {0})
    return type(layer) is nn.Linear


def _layers(network: Module) -> dict[str, Any]:
    """Those that have factors, but for outputs, and for what shares its weights with another."""
    heads = {name.rpartition(".")[0] for name in head_names(network)}
    heads |= {f"body.{name}" for name in getattr(getattr(network, "body", None), "outputs", ())}
    holders: dict[int, int] = {}
    for module in network.modules():
        for weight in module.parameters(recurse=False):
            holders[id(weight)] = holders.get(id(weight), 0) + 1
    return {
        name: module
        for name, module in network.named_modules()
        if has_factors(module) and name not in heads and holders[id(module.weight)] == 1
    }


@torch.no_grad()
def second_moments(network: Module, layers: Mapping[str, Any], batches: Iterable[Batch]) -> dict[str, Tensor]:
    """E x x' (i, i) of what each of the layers is given. Those that are never called, since something else reads their
    weights (torch's attention), are not among them."""
    sums: dict[str, Tensor] = {}

    def adding(name: str) -> Callable[[Module, tuple[Any, ...]], None]:
        def add(layer: Module, given: tuple[Any, ...]) -> None:
            x = given[0].detach()
            if not isinstance(layer, nn.Linear):
                strides: Any = layer.stride
                x = x[(..., *(slice(None, None, stride) for stride in strides))].movedim(1, -1)
            x = x.flatten(0, -2).double()
            sums[name] = sums.get(name, 0) + x.T @ x

        return add

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # which calls no layer
    with ExitStack() as hooks:
        hooks.callback(torch.backends.mha.set_fastpath_enabled, fast)
        for name, layer in layers.items():
            hooks.callback(layer.register_forward_pre_hook(adding(name)).remove)
        for batch in batches:
            network(batch["input"], mask=batch.get("mask"))
    return sums


def _root(moment: Tensor) -> Tensor:
    """L with L L' the moment, and a little beside it, since a number may be zero in every row."""
    mean = moment.diagonal().mean().clamp(min=1e-300)
    return torch.linalg.cholesky(moment / mean + 1e-6 * torch.eye(len(moment), dtype=moment.dtype))


def _factors(layer: Any, rank: int) -> nn.Sequential:
    biased = layer.bias is not None
    if isinstance(layer, nn.Linear):
        return nn.Sequential(
            nn.Linear(layer.in_features, rank, bias=False), nn.Linear(rank, layer.out_features, bias=biased)
        )
    kind: Any = nn.Conv1d if isinstance(layer, nn.Conv1d) else nn.Conv2d
    return nn.Sequential(
        kind(layer.in_channels, rank, 1, layer.stride, bias=False), kind(rank, layer.out_channels, 1, bias=biased)
    )


@torch.no_grad()
def _fill(pair: Any, thin: Tensor, wide: Tensor, bias: Tensor | None) -> None:
    for layer, weight in zip(pair, (thin, wide), strict=True):
        layer.weight.copy_(weight.view_as(layer.weight))
    if bias is not None:
        pair[1].bias.copy_(bias)
    pair.eval()
