"""Causal dilated convolutions of width 2 with gated units, residual and skip connections, as in WaveNet.

van den Oord et al. 2016, arXiv:1609.03499, equation 2 and figure 4. A layer of dilation d makes of what it is given, x,

    z(t) = tanh(a(t)) sigmoid(b(t)),  [a, b](t) = V x(t) + W x(t - d) + condition(t)

and hands x + U z on; what it skips to the end is z as well. With dilations 1, 2, 4 … 512, and again, the last layer
sees 1 + (sum of dilations) samples.

On a processor the matrix products are the smaller part of the time, so this is arranged around memory:

- Time is the slowest axis, (t, n, c) taken as one matrix (t n, c): x(t - d) is then the same matrix from another row
  on, without padding and a convolution's own copies. In bfloat16 torch's conv1d took 15 times as long.
- tanh(a) = 1 - 2 sigmoid(-2 a), and the factor -2 stands in the weights: one sigmoid over [a, b] is all there is. In
  bfloat16 torch's tanh takes ten times as long.
- All layers are one step for autograd, which is told their gradient: sums become part of the products, and of a layer
  its input, the sigmoids and z are kept, each once.

Axis letters: n rows, t samples, f frames of `hop` samples, c channels, l layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function


class Layer(NamedTuple):
    """Weights V and W (2c, c), whose first halves are for -2 a, and U (c, c), None of the last layer."""

    now: Tensor
    before: Tensor
    out: Tensor | None


class Layers(Function):
    """x (t n, c), condition (f, n, l 2c) with the biases in it -> the z of all layers, side by side (t n, l c).

    t is f times the samples of a frame. `weights` are V, W and U of each layer after the other, without the last U;
    `shifts` are n times the dilations: rows of the matrix between a sample and the one before it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, condition: Tensor, shifts: tuple[int, ...], *weights: Tensor) -> Tensor:
        device = x.device.type
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        ctx.kinds = x.dtype, condition.dtype, [weight.dtype for weight in weights]
        with torch.autocast(device, enabled=False):
            x = x.to(kind)
            layers = _layers([weight.to(kind) for weight in weights])
            frames, rows, width = condition.shape
            told = condition.to(kind).view(frames, rows, len(layers), width // len(layers))
            channels = x.shape[1]
            z = x.new_empty(len(x), len(layers) * channels)
            inputs, gates = [x], []
            for number, (layer, shift) in enumerate(zip(layers, shifts, strict=True)):
                s = told[:, None, :, number].expand(-1, len(x) // (frames * rows), -1, -1).reshape(-1, 2 * channels)
                s.addmm_(x, layer.now.t())
                if shift < len(x):
                    s[shift:].addmm_(x[:-shift], layer.before.t())
                s.sigmoid_()
                gates.append(s)
                own = z[:, number * channels : (number + 1) * channels]
                torch.addcmul(s[:, channels:], s[:, :channels], s[:, channels:], value=-2, out=own)
                if layer.out is not None:
                    x = torch.addmm(x, own, layer.out.t())
                    inputs.append(x)
        ctx.save_for_backward(*inputs, *gates, z, *(part for layer in layers for part in layer if part is not None))
        ctx.about = frames, rows, shifts
        return z

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        frames, rows, shifts = ctx.about
        count = len(shifts)
        inputs, gates, z = ctx.saved_tensors[:count], ctx.saved_tensors[count : 2 * count], ctx.saved_tensors[2 * count]
        layers = _layers(ctx.saved_tensors[2 * count + 1 :])
        channels = inputs[0].shape[1]
        gradients: list[Tensor] = []  # of the weights, from the last to the first
        told: list[Tensor] = []
        dx: Tensor | None = None
        with torch.autocast(z.device.type, enabled=False):
            dall = given[0].to(z.dtype)
            # That ds of the first half is -2 times what is computed is made good in what is small.
            scale = z.new_tensor([-2.0, 1.0]).repeat_interleave(channels)
            for number in reversed(range(count)):
                layer, x, s, shift = layers[number], inputs[number], gates[number], shifts[number]
                part = slice(number * channels, (number + 1) * channels)
                dz = dall[:, part]
                if layer.out is not None and dx is not None:
                    gradients.append(dx.t() @ z[:, part])
                    dz = torch.addmm(dz, dx, layer.out)
                ds = torch.empty_like(s)
                torch.mul(dz, s[:, channels:], out=ds[:, :channels])
                torch.addcmul(dz, dz, s[:, :channels], value=-2, out=ds[:, channels:])
                ds = torch.ops.aten.sigmoid_backward(ds, s)
                now, before = layer.now * scale[:, None], layer.before * scale[:, None]
                dx = ds @ now if dx is None else dx.addmm_(ds, now)
                dbefore = torch.zeros_like(before)
                if shift < len(x):
                    dx[:-shift].addmm_(ds[shift:], before)
                    dbefore = (ds[shift:].t() @ x[:-shift]) * scale[:, None]
                gradients += [dbefore, (ds.t() @ x) * scale[:, None]]
                told.append(ds.view(frames, -1, rows, 2 * channels).sum(1) * scale)
        assert dx is not None
        own, conditions, kinds = ctx.kinds
        weights = [gradient.to(kind) for gradient, kind in zip(reversed(gradients), kinds, strict=True)]
        return dx.to(own), torch.cat(told[::-1], dim=-1).to(conditions), None, *weights


def _layers(weights: Sequence[Tensor]) -> list[Layer]:
    """V, W and U of each layer after the other, as they are handed to autograd."""
    padded = [*weights, None]
    return [Layer(padded[i], padded[i + 1], padded[i + 2]) for i in range(0, len(padded), 3)]  # type: ignore[arg-type]


class DilatedLayer(nn.Module):
    """The weights of one layer: V and W (2c, c), and U (c, c) unless it is the last, which hands nothing on."""

    def __init__(self, channels: int, depth: int, last: bool) -> None:
        super().__init__()
        self.now = nn.Parameter(torch.empty(2 * channels, channels))
        self.before = nn.Parameter(torch.empty(2 * channels, channels))
        self.out = None if last else nn.Linear(channels, channels, bias=False)
        with torch.no_grad():
            for weight in (self.now, self.before):
                nn.init.normal_(weight, std=1 / math.sqrt(2 * channels))
                weight[:channels] *= 2  # in front of tanh stands the factor -2
            if self.out is not None:  # so that the sum of all layers is about as large as one of them
                self.out.weight.mul_(1 / math.sqrt(depth))

    def weights(self) -> list[Tensor]:
        return [self.now, self.before, *([] if self.out is None else [self.out.weight])]


class DilatedStack(nn.Module):
    """x (t, n, c), condition (f, n, k) -> sum of what the layers skip (t, n, s). t is a multiple of f."""

    def __init__(self, channels: int, skip: int, dilations: Sequence[int], condition: int) -> None:
        super().__init__()
        self.dilations = tuple(dilations)
        depth = len(self.dilations)
        self.layers = nn.ModuleList(DilatedLayer(channels, depth, number == depth) for number in range(1, depth + 1))
        self.condition = nn.Linear(condition, depth * 2 * channels)
        self.skip = nn.Linear(depth * channels, skip)

    @property
    def receptive_field(self) -> int:
        """Samples that an output depends on, its own among them."""
        return 1 + sum(self.dilations)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        time, rows, channels = x.shape
        shifts = tuple(rows * dilation for dilation in self.dilations)
        weights = [weight for layer in self.layers for weight in layer.weights()]  # type: ignore[operator]
        z: Tensor = Layers.apply(x.reshape(-1, channels), self.condition(condition), shifts, *weights)
        return self.skip(z).view(time, rows, -1)


def dilations(longest: int, stacks: int) -> list[int]:
    """1, 2, 4 … `longest`, as often as there are stacks."""
    return [1 << power for power in range(longest.bit_length())] * stacks
