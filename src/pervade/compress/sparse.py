"""Single weights at zero, for study: the network computes as much as before, and is no faster here.

"unstructured": of each layer the smallest (Han et al. 2015, arXiv:1506.02626). "2:4": of each four inputs in a row the
two smallest, the one pattern that has kernels, on NVIDIA's cards (Mishra et al. 2021, arXiv:2104.08378).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import Module, Parameter
from torch.nn.modules.conv import _ConvNd

from pervade.compress.int8 import require_float
from pervade.core.bounds import LearningRate, Passes
from pervade.core.contracts import Change, Compressed, Compressor, Subject
from pervade.core.errors import ConfigError, UnfitError
from pervade.core.registry import register
from pervade.engine import building
from pervade.engine.recovery import recovery
from pervade.weights.transplant import head_names


@register("change", name="zeros-kept")
@dataclass(frozen=True)
class ZerosKept(Change):
    """Weights of these layers that are zero get no gradient, so that by an optimiser which takes each weight for itself
    they stay zero. Which these are the weights themselves say."""

    layers: tuple[str, ...] = ()

    def apply(self, network: Module) -> Module:
        """Raises ConfigError where there is no such layer, or none that has a weight."""
        modules = dict(network.named_modules())
        for name in self.layers:
            weight = getattr(modules.get(name), "weight", None)
            if not isinstance(weight, Parameter):
                raise ConfigError(f"zeros-kept: the network has no layer {name!r} with a weight")
            if weight.requires_grad:
                weight.register_hook(_where_not_zero(weight))
        return network


def _where_not_zero(weight: Parameter) -> Callable[[Tensor], Tensor]:
    return lambda gradient: gradient * (weight.detach() != 0)


@register("compress")
@dataclass(frozen=True)
class Sparse(Compressor):
    pattern: Literal["unstructured", "2:4"] = "unstructured"
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5  # of the weights, that is zero; 2:4 is 0.5
    epochs: Passes = 2  # of the training afterwards; 0: none
    lr: LearningRate = 1e-4  # of that training

    def __post_init__(self) -> None:
        if self.pattern == "2:4" and self.share != 0.5:
            raise ConfigError(f"sparse.share is {self.share:g}, and of the pattern 2:4 it is 0.5; take unstructured")

    def __call__(self, subject: Subject) -> Compressed:
        require_float(subject)
        network, changes = building.merged(subject.loaded.network, subject.loaded.changes)
        heads = {name.rpartition(".")[0] for name in head_names(network)}
        layers: dict[str, Any] = {
            name: module
            for name, module in network.named_modules()
            if isinstance(module, (_ConvNd, nn.Linear)) and name not in heads
        }
        if not layers:
            raise UnfitError(f"sparse: {type(network).__name__} has no dense layer or convolution but for its outputs")
        zeros = 0
        for layer in layers.values():
            with torch.no_grad():
                layer.weight[gone := self._gone(layer.weight)] = 0.0
            zeros += int(gone.sum())
        total = sum(layer.weight.numel() for layer in layers.values())
        change = ZerosKept(tuple(layers))
        return Compressed(
            change.apply(network),
            (*changes, change),
            f"{zeros:,} of {total:,} weights in {len(layers)} layers are zero ({self.pattern}); this makes nothing "
            "faster or smaller here, since zeros are multiplied by like other numbers",
            recovery(subject, (*changes, change), self.epochs, self.lr),
            begins_there=True,
        )

    def _gone(self, weight: Tensor) -> Tensor:
        size = weight.detach().abs()
        if self.pattern == "unstructured":
            gone = torch.zeros(size.numel(), dtype=torch.bool)
            gone[size.flatten().argsort(stable=True)[: round(self.share * size.numel())]] = True
            return gone.view_as(size)
        rows = size.flatten(1)
        fours = rows[:, : rows.shape[1] // 4 * 4].unflatten(1, (-1, 4))
        smallest = torch.zeros_like(fours, dtype=torch.bool)
        smallest.scatter_(2, fours.argsort(dim=2, stable=True)[:, :, :2], True)
        gone = torch.zeros_like(rows, dtype=torch.bool)  # what is left of a row that no four divides stays
        gone[:, : smallest.shape[1] * 4] = smallest.flatten(1)
        return gone.view_as(size)
