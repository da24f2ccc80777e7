"""Perceptrons of one shape side by side, one for every output, computed as one.

A policy and its value learn better apart than on shared layers where layers are small (Andrychowicz et al. 2021, "What
matters in on-policy reinforcement learning?"), and two small networks cost twice the calls of one. So the layers of all
are kept stacked and multiplied at once; and in training they are one step of autograd, with their gradient written out.
What that was worth to a step of PPO (64 rows, 2 x 64 units, one thread) stands in docs/results.md.

Axis letters: n rows, d features, m networks, u units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pervade.core.types import Output

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "elu": torch.nn.functional.elu,
}


def _numpy_elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0.0)))


PLAIN: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0.0),
    "elu": _numpy_elu,
}


class Twin(nn.Module):
    """(n, d) -> {name: (n, size)}. `separate`: a body for each output; otherwise one for all.

    Weights are orthogonal with gain sqrt(2), those of heads with the gain that `gains` names, 1 unless named
    (Engstrom et al. 2020, "Implementation matters in deep policy gradients").
    """

    def __init__(
        self,
        inputs: int,
        outputs: Mapping[str, int],
        units: Sequence[int],
        activation: str = "tanh",
        separate: bool = True,
        gains: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.names, self.activation = tuple(outputs), activation
        self.bodies = len(self.names) if separate else 1
        self.units = tuple(units)
        sizes = [inputs, *units]
        self.weight = nn.ParameterList()
        self.bias = nn.ParameterList()
        for number, (before, after) in enumerate(pairwise(sizes)):
            drawn = [nn.init.orthogonal_(torch.empty(after, before), math.sqrt(2)) for _ in range(self.bodies)]
            # The first layer sees the same input in all, so it is one wide layer (m u, d); others are (m, u, u).
            whole = torch.cat(drawn) if number == 0 else torch.stack([each.T.contiguous() for each in drawn])
            self.weight.append(nn.Parameter(whole))
            shape = (self.bodies * after,) if number == 0 else (self.bodies, 1, after)
            self.bias.append(nn.Parameter(torch.zeros(shape)))
        self.head = nn.ModuleDict({name: nn.Linear(sizes[-1], size) for name, size in outputs.items()})
        for name, head in self.head.items():
            nn.init.orthogonal_(cast(nn.Linear, head).weight, (gains or {}).get(name, 1.0))
            nn.init.zeros_(cast(nn.Linear, head).bias)

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Output:
        # Elsewhere what everybody's tools can follow: exporters, compilers, second derivatives.
        if self.training and not torch.is_autocast_enabled(input.device.type):
            heads = [part for head in self.head.values() for part in (head.weight, head.bias)]
            # torch's lists of parameters take microseconds to go through, which is much of such a step.
            weights = [*self.weight._parameters.values(), *self.bias._parameters.values(), *heads]
            found = _Together.apply(input, self.bodies, self.units, self.activation, len(self.names), *weights)
            return dict(zip(self.names, found, strict=True))
        act = ACTIVATIONS[self.activation]
        hidden = act(torch.nn.functional.linear(input, self.weight[0], self.bias[0]))
        hidden = hidden.view(len(input), self.bodies, self.units[0]).transpose(0, 1)
        for weight, bias in zip(list(self.weight)[1:], list(self.bias)[1:], strict=True):
            hidden = act(torch.baddbmm(bias, hidden, weight))
        apart = hidden.unbind(0) if self.bodies > 1 else [hidden[0]] * len(self.names)
        return {name: self.head[name](each) for name, each in zip(self.names, apart, strict=True)}

    def views(self) -> list[tuple[np.ndarray, ...]]:
        """The weights as arrays that share their memory, so that they are those of now: what `plain` computes with."""
        first = self.weight[0].detach().numpy().reshape(self.bodies, self.units[0], -1)
        layers = [(first.transpose(0, 2, 1), self.bias[0].detach().numpy().reshape(self.bodies, 1, self.units[0]))]
        for weight, bias in zip(list(self.weight)[1:], list(self.bias)[1:], strict=True):
            layers.append((weight.detach().numpy(), bias.detach().numpy()))
        heads = [cast(nn.Linear, each) for each in self.head.values()]
        return [*layers, *((each.weight.detach().numpy().T, each.bias.detach().numpy()) for each in heads)]

    def plain(
        self, views: Sequence[tuple[np.ndarray, ...]], x: np.ndarray, names: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """Some outputs of (n, d), without torch, whose calls cost more than such layers do."""
        act, found = PLAIN[self.activation], {}
        body: dict[int, np.ndarray] = {}
        for name in names:
            place = self.names.index(name)
            which = place if self.bodies > 1 else 0
            if which not in body:
                hidden = x
                for weight, bias in views[: len(self.units)]:
                    hidden = act(hidden @ weight[which] + bias[which])
                body[which] = hidden
            weight, bias = views[len(self.units) + place]
            found[name] = body[which] @ weight + bias
        return found


class _Together(torch.autograd.Function):
    """All layers and heads of a `Twin` as one function. torch's tanh takes 18 microseconds for 64 x 128 numbers where
    numpy's takes 2, so on a processor that one is called."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, bodies: int, units: tuple[int, ...], activation: str, outputs: int, *weights: Tensor
    ) -> tuple[Tensor, ...]:
        depth = len(units)
        matrices, biases, heads = weights[:depth], weights[depth : 2 * depth], weights[2 * depth :]
        hidden = [_act(torch.addmm(biases[0], x, matrices[0].t()), activation)]
        for weight, bias in zip(matrices[1:], biases[1:], strict=True):
            inside = hidden[-1].view(len(x), bodies, -1).transpose(0, 1) if len(hidden) == 1 else hidden[-1]
            hidden.append(_act(torch.baddbmm(bias, inside, weight), activation))
        last = hidden[-1] if depth > 1 else hidden[0].view(len(x), bodies, -1).transpose(0, 1)
        found = []
        for number in range(outputs):
            weight, bias = heads[2 * number], heads[2 * number + 1]
            found.append(torch.addmm(bias, last[number if bodies > 1 else 0], weight.t()))
        ctx.save_for_backward(x, *hidden, *matrices, *heads[::2])
        ctx.layout = bodies, depth, activation
        return tuple(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        bodies, depth, activation = ctx.layout
        saved = ctx.saved_tensors
        x, hidden = saved[0], saved[1 : 1 + depth]
        matrices, heads = saved[1 + depth : 1 + 2 * depth], saved[1 + 2 * depth :]
        rows = len(x)
        split = hidden[0].view(rows, bodies, -1).transpose(0, 1)
        last = hidden[-1] if depth > 1 else split
        back = torch.empty_like(last) if bodies > 1 else torch.zeros_like(last)
        of_heads: list[Tensor] = []
        for number, gradient in enumerate(gradients):
            which = number if bodies > 1 else 0
            of_heads += [gradient.t() @ last[which], gradient.sum(0)]
            if bodies > 1:
                torch.mm(gradient, heads[number], out=back[which])
            else:
                back[0].addmm_(gradient, heads[number])
        of_matrices: list[Tensor] = [torch.empty(0)] * depth
        of_biases: list[Tensor] = [torch.empty(0)] * depth
        for level in range(depth - 1, 0, -1):
            back = _slope(back, hidden[level], activation)
            inside = hidden[level - 1] if level > 1 else split
            of_matrices[level] = torch.bmm(inside.transpose(1, 2), back)
            of_biases[level] = back.sum(1, keepdim=True)
            back = torch.bmm(back, matrices[level].transpose(1, 2))
        first = _slope(back.transpose(0, 1).reshape(rows, -1), hidden[0], activation)
        of_matrices[0], of_biases[0] = first.t() @ x, first.sum(0)
        of_x = first @ matrices[0] if ctx.needs_input_grad[0] else None
        return of_x, None, None, None, None, *of_matrices, *of_biases, *of_heads


def _act(x: Tensor, activation: str) -> Tensor:
    if x.device.type == "cpu":
        return torch.from_numpy(PLAIN[activation](x.numpy()))
    return ACTIVATIONS[activation](x)


def _slope(gradient: Tensor, value: Tensor, activation: str) -> Tensor:
    """The gradient before an activation, from that after it and the activation's value."""
    if activation == "tanh":
        return torch.ops.aten.tanh_backward(gradient, value)
    if activation == "relu":
        return torch.ops.aten.threshold_backward(gradient, value, 0)
    return torch.where(value > 0, gradient, gradient * (value + 1))
