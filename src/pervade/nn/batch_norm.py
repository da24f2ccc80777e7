"""Batch normalisation over the rows of all ranks, on any backend, so that two ranks learn what one learns.

    over_ranks(network)      every batch normalisation inside it, in place; weights keep their names

Each rank normalises its share of a batch by the mean and the variance of the whole batch (Ioffe and Szegedy 2015,
arXiv:1502.03167), however unequal the shares. Backward sends the two sums that connect the rows around as well, so the
gradients, once summed over the ranks, are those of one rank. What travels is a few numbers a channel, in double
precision: then the result depends on the number of ranks by the rounding inside one rank alone.

torch's own SyncBatchNorm refuses tensors that are not on a GPU, and is a class of its own, which layers derived from
batch normalisation (timm's, fused with what follows) are not.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode


def over_ranks(network: nn.Module) -> nn.Module:
    """Makes every batch normalisation in `network` look at all ranks while it trains; returns `network`.

    Every rank must then run the same layers equally often. Evaluation is as it was.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm) and not isinstance(module, (_Shared, nn.SyncBatchNorm)):
            cls: Any = type(module)
            module.__class__ = _shared(cls)
    return network


def remarks(network: nn.Module, rows: int, still: Iterable[nn.Module]) -> list[str]:
    """What to know before training where so many rows go through the network at once, and modules in `still` stay in
    evaluation mode: of one row alone, batch normalisation has no others to take a mean and a variance over."""
    apart = {layer for module in still for layer in module.modules()}
    if rows > 1 or not any(isinstance(layer, _BatchNorm) and layer not in apart for layer in network.modules()):
        return []
    return [
        "one row at a time: batch normalisation takes mean and variance from each row alone, so the network learns by "
        "other numbers than it is measured by, and may come out poor; take --batch-size 8 or more (and leave "
        "-o micro_batch out), --freeze, or a --model without it, such as vit-tiny"
    ]


def lacks_rows(error: BaseException) -> bool:
    """Whether torch refuses to normalise what has one value a channel, of which the variance is none."""
    return isinstance(error, ValueError) and "more than 1 value per channel" in str(error)


class _Shared:
    """Put before a class of batch normalisation: whatever that class does beside normalising it goes on doing."""

    training: bool

    def forward(self, input: Tensor) -> Tensor:
        # Asked of the module: without running statistics F.batch_norm is told to "train" in evaluation too, where
        # ranks look at different rows, or only one looks at any.
        if not self.training:
            return super().forward(input)  # type: ignore[misc]
        with _Sums():
            return super().forward(input)  # type: ignore[misc]


@functools.cache
def _shared(cls: Any) -> Any:
    return type(cls.__name__, (_Shared, cls), {"__module__": cls.__module__})


class _Sums(TorchFunctionMode):
    """While it lasts `F.batch_norm`, in which every class of batch normalisation ends, counts the rows of all ranks."""

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        return (batch_norm if func is F.batch_norm else func)(*args, **(kwargs or {}))


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`F.batch_norm` of `input` (n, c, ...) with the statistics of all ranks' rows where `training`.

    Running statistics move as torch's do: by the unbiased variance.
    """
    if not training:
        return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    count, mean, variance = _statistics(input)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * (count / max(count - 1, 1))).to(running_var.dtype), momentum)
    kind = torch.float32 if weight is None else weight.dtype
    # With ones and zeros instead of None there is one way through the kernels; their gradients go nowhere.
    weight = torch.ones_like(mean, dtype=kind) if weight is None else weight
    bias = torch.zeros_like(mean, dtype=kind) if bias is None else bias
    out: Tensor = _Normalise.apply(input, weight, bias, mean.to(kind), variance.to(kind), count, eps)
    return out


@torch.no_grad()
def _statistics(input: Tensor) -> tuple[float, Tensor, Tensor]:
    """How many values a channel has over all ranks, their mean (c,) and biased variance (c,), both fp64."""
    count = input.numel() / input.shape[1]
    # Running statistics of single precision, unused, make the kernel give its own in single precision for a bf16 input.
    unused = input.new_zeros(input.shape[1], dtype=torch.promote_types(input.dtype, torch.float32))
    moments = torch.batch_norm_update_stats(input, unused, unused.clone(), 0.0)
    mean, variance = (moment.double() for moment in moments)
    sums = torch.cat([mean * count, (variance + mean * mean) * count, mean.new_tensor([count])])
    dist.all_reduce(sums)
    total = float(sums[-1])
    mean, square = (sums[:-1] / total).chunk(2)
    return total, mean, (square - mean * mean).clamp_min_(0.0)


class _Normalise(torch.autograd.Function):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias, where mean and variance hang on the x of all ranks."""

    @staticmethod
    def forward(
        context: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        count: float,
        eps: float,
    ) -> Tensor:
        context.save_for_backward(input, weight, mean, variance)
        context.count, context.eps = count, eps
        return F.batch_norm(input, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        input, weight, mean, variance = context.saved_tensors
        # With mean and variance held still: dy * weight / deviation, and this rank's sums of dy * normalised and of dy.
        direct, scaled, plain = torch.ops.aten.native_batch_norm_backward(
            gradients[0], input, weight, mean, variance, None, None, False, context.eps, [True, True, True]
        )
        # Through them: - (mean(dy) + normalised * mean(dy * normalised)) * weight / deviation, means over all ranks.
        sums = torch.cat([scaled, plain]).double()
        dist.all_reduce(sums)
        slope, level = (sums / context.count).chunk(2)
        deviation = (variance.double() + context.eps).sqrt()
        slope = slope * weight / deviation**2
        level = level * weight / deviation - slope * mean
        shape = [1, -1] + [1] * (input.ndim - 2)
        direct.addcmul_(input, slope.to(mean.dtype).view(shape), value=-1).sub_(level.to(mean.dtype).view(shape))
        return direct, scaled, plain, None, None, None, None
