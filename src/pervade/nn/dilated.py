"""Causal dilated convolutions of width 2 with gated units, residual and skip connections, as in WaveNet.

van den Oord et al. 2016, arXiv:1609.03499, equation 2 and figure 4. A layer of dilation d makes of what it is given, x,

    z(t) = tanh(a(t)) sigmoid(b(t)),  [a, b](t) = V x(t) + W x(t - d) + condition(t)

and hands x + U z on; what it skips to the end is z as well. With dilations 1, 2, 4 … 512, and again, the last layer sees
1 + (sum of dilations) samples.

On a processor the matrix products are the smaller part of the time, so this is arranged around memory:

- Time is the slowest axis, (t, n, c) taken as one matrix (t n, c): x(t - d) is then the same matrix from another row on,
  and no padding and no convolution's own copies are made. torch's conv1d took 15 times as long here.
- tanh(a) = 1 - 2 sigmoid(-2 a), and the factor -2 stands in the weights: one sigmoid over [a, b] is all there is, and in
  bfloat16, where torch's tanh is ten times as slow as its sigmoid, that is half of a step.
- Of a layer its input and the sigmoids are kept for the backward pass, and z, which the skip connections need.

Axis letters: n rows, t samples, f frames of `hop` samples, c channels, l layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F


class Gate(Function):
    """x (t n, c), weights V and W (2c, c), condition (f, n, 2c) with the bias in it -> z (t n, c), where t = f hop.

    `shift` is n times the dilation: rows of the matrix between a sample and the one before it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, now: Tensor, before: Tensor, condition: Tensor, shift: int) -> Tensor:
        kind = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        ctx.kinds = now.dtype, condition.dtype
        with torch.autocast(x.device.type, enabled=False):
            x, now, before = x.to(kind), now.to(kind), before.to(kind)
            frames, rows, width = condition.shape
            hop = len(x) // (frames * rows)
            s = condition.to(kind)[:, None].expand(-1, hop, -1, -1).reshape(-1, width)
            s.addmm_(x, now.t())
            if shift < len(x):
                s[shift:].addmm_(x[:-shift], before.t())
            s.sigmoid_()
        ctx.save_for_backward(x, now, before, s)
        ctx.about = frames, rows, shift
        return product(s)

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        x, now, before, s = ctx.saved_tensors
        frames, rows, shift = ctx.about
        with torch.autocast(x.device.type, enabled=False):
            dz = given[0].to(s.dtype)
            first, second = s.chunk(2, dim=1)
            half = first.shape[1]
            # That dz / ds of the first half is -2 times what is computed here is made good in what is small.
            ds = torch.empty_like(s)
            torch.mul(dz, second, out=ds[:, :half])
            torch.addcmul(dz, dz, first, value=-2, out=ds[:, half:])
            ds = torch.ops.aten.sigmoid_backward(ds, s)
            scale = s.new_tensor([-2.0, 1.0]).repeat_interleave(half)
            dx = ds @ (now * scale[:, None])
            dnow, dbefore = ds.t() @ x, torch.zeros_like(before)
            if shift < len(x):
                dx[:-shift].addmm_(ds[shift:], before * scale[:, None])
                dbefore = ds[shift:].t() @ x[:-shift]
            dcondition = ds.view(frames, -1, rows, s.shape[1]).sum(1) * scale
            dnow, dbefore = dnow * scale[:, None], dbefore * scale[:, None]
        weights, told = ctx.kinds
        return dx, dnow.to(weights), dbefore.to(weights), dcondition.to(told), None


def product(s: Tensor) -> Tensor:
    """tanh(a) sigmoid(b) of s = sigmoid([-2 a, b]) (…, 2c)."""
    first, second = s.chunk(2, dim=-1)
    return torch.addcmul(second, first, second, value=-2)


class DilatedLayer(nn.Module):
    """One layer. Parameters: V and W (2c, c), and U (c, c) unless it is the last, which hands nothing on; biases and
    the condition come from outside."""

    def __init__(self, channels: int, dilation: int, depth: int, last: bool) -> None:
        super().__init__()
        self.dilation = dilation
        self.now = nn.Parameter(torch.empty(2 * channels, channels))
        self.before = nn.Parameter(torch.empty(2 * channels, channels))
        self.out = None if last else nn.Linear(channels, channels, bias=False)
        with torch.no_grad():
            for weight in (self.now, self.before):
                nn.init.normal_(weight, std=1 / math.sqrt(2 * channels))
                weight[:channels] *= 2  # in front of tanh stands the factor -2
            if self.out is not None:  # so that the sum of all layers is about as large as one of them
                self.out.weight.mul_(1 / math.sqrt(depth))

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """x (t n, c), condition (f, n, 2c) -> what the next layer gets, and z."""
        z: Tensor = Gate.apply(x, self.now, self.before, condition, condition.shape[1] * self.dilation)
        return x if self.out is None else torch.addmm(x, z, self.out.weight.t()), z


class DilatedStack(nn.Module):
    """x (t, n, c), condition (f, n, k) -> sum of what the layers skip (t, n, s). t is a multiple of f."""

    def __init__(self, channels: int, skip: int, dilations: Sequence[int], condition: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            DilatedLayer(channels, each, len(dilations), number == len(dilations))
            for number, each in enumerate(dilations, start=1)
        )
        self.condition = nn.Linear(condition, len(dilations) * 2 * channels)
        self.skip = nn.Linear(len(dilations) * channels, skip)

    @property
    def receptive_field(self) -> int:
        """Samples that an output depends on, its own among them."""
        return 1 + sum(int(layer.dilation) for layer in self.layers)  # type: ignore[arg-type]

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        time, rows, channels = x.shape
        conditions = self.condition(condition).split(2 * channels, dim=-1)
        x = x.reshape(-1, channels)
        found = []
        for number, layer in enumerate(self.layers):
            x, z = layer(x, conditions[number])
            found.append(z)
        return F.linear(torch.cat(found, dim=1), self.skip.weight, self.skip.bias).view(time, rows, -1)


def dilations(longest: int, stacks: int) -> list[int]:
    """1, 2, 4 … `longest`, as often as there are stacks."""
    return [1 << power for power in range(longest.bit_length())] * stacks
