"""Layers that give a row the same digits, whatever other rows are computed with it.

A matrix product of few rows is another routine than one of many, which adds up in another order, and so are
convolutions. Measured on a Zen 4, with MKL and oneDNN as torch brings them, with one thread and with two:

    products      a row's sums are the same among 4, 8, 12 and any larger number of rows, and others among 1, 2, 3, 5,
                  6, 7, 9, 10 and 11: fewer than 16 are filled up
    convolutions  torch computes a single small row itself, and gives others to oneDNN: a single one goes with a copy.
                  Of 1 x 1 oneDNN divides the work by how many rows there are: they are products here

Attention, normalisations and the other convolutions gave each row of one shape the same digits in every batch that was
tried.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

FEWEST = 16  # rows that a product has
SMALL = 20_480  # numbers of a single row up to which torch does not ask oneDNN (ATen/native/Convolution.cpp)


class ByRow(TorchFunctionMode):
    """Inside, on processors, it is so."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.linear:
            return linear(*args, **kwargs)
        if func is F.conv1d or func is F.conv2d:
            return _convolution(func, *args, **kwargs)
        return func(*args, **kwargs)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As `F.linear`, of an input (…, i) of however few rows."""
    rows, width = input.shape[:-1].numel(), input.shape[-1]
    if rows >= FEWEST or input.device.type != "cpu" or not width:
        return F.linear(input, weight, bias)
    filled = input.new_zeros(FEWEST, width)
    filled[:rows] = input.reshape(rows, width)
    return F.linear(filled, weight, bias)[:rows].reshape(*input.shape[:-1], -1)


def _convolution(
    func: Any,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    if input.device.type != "cpu" or input.ndim != weight.ndim:
        return func(input, weight, bias, stride, padding, dilation, groups)
    if groups == 1 and weight[0, 0].numel() == 1 and not _any(padding):
        steps: tuple[int, ...] = (stride,) * (input.ndim - 2) if isinstance(stride, int) else tuple(stride)
        every: Any = (..., *(slice(None, None, step) for step in steps))
        seen = input[every] if max(steps) > 1 else input
        return linear(seen.movedim(1, -1), weight.flatten(1), bias).movedim(-1, 1)
    if len(input) == 1 and input.numel() <= SMALL:
        told: Tensor = func(torch.cat([input, input]), weight, bias, stride, padding, dilation, groups)[:1]
        return told
    return func(input, weight, bias, stride, padding, dilation, groups)


def _any(padding: Any) -> bool:
    return padding not in (0, "valid", "same") if isinstance(padding, (int, str)) else any(padding)
