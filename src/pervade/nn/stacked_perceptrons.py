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


def _elu(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    out[...] = np.where(x > 0, x, np.expm1(np.minimum(x, 0.0)))
    return out


# Of numbers that nobody needs afterwards: each into `out`, which may be the very same.
PLAIN: dict[str, Callable[..., np.ndarray]] = {
    "tanh": np.tanh,
    "relu": lambda x, out: np.maximum(x, 0.0, out=out),
    "elu": _elu,
}

Weights = list[tuple[np.ndarray, np.ndarray]]  # of every layer, then of every head: a matrix and a bias


class StackedPerceptrons(nn.Module):
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
        self._views: tuple[list[int], Weights] = [], []
        self.bodies = len(self.names) if separate else 1
        self.units = tuple(units)
        sizes = [inputs, *units]
        self.weight = nn.ParameterList()
        self.bias = nn.ParameterList()
        for number, (before, after) in enumerate(pairwise(sizes)):
            drawn = torch.empty(self.bodies, after, before)
            for body in range(self.bodies):
                drawn[body].copy_(nn.init.orthogonal_(torch.empty(after, before), math.sqrt(2)))
            # The first layer sees the same input in all, so it is one wide layer (m u, d); others are (m, u, u).
            self.weight.append(nn.Parameter(drawn.flatten(0, 1) if number == 0 else drawn.mT.contiguous()))
            shape = (self.bodies * after,) if number == 0 else (self.bodies, 1, after)
            self.bias.append(nn.Parameter(torch.zeros(shape)))
        self.head = nn.ModuleDict({name: nn.Linear(sizes[-1], size) for name, size in outputs.items()})
        for name, head in self.head.items():
            nn.init.orthogonal_(cast(nn.Linear, head).weight, (gains or {}).get(name, 1.0))
            nn.init.zeros_(cast(nn.Linear, head).bias)

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Output:
        # Elsewhere what everybody's tools can follow: exporters, compilers, second derivatives.
        if self.training and input.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
            if not torch.is_grad_enabled():
                _, answers = _through(input.detach().numpy(), self.views(), self.activation)
                return {name: torch.from_numpy(answer) for name, answer in zip(self.names, answers, strict=True)}
            values = _StackedFunction.apply(input, self.views(), self.activation, *self._weights())
            return dict(zip(self.names, values, strict=True))
        act = ACTIVATIONS[self.activation]
        hidden = act(torch.nn.functional.linear(input, self.weight[0], self.bias[0]))
        hidden = hidden.view(len(input), self.bodies, self.units[0]).transpose(0, 1)
        for weight, bias in zip(list(self.weight)[1:], list(self.bias)[1:], strict=True):
            hidden = act(torch.baddbmm(bias, hidden, weight))
        apart = hidden.unbind(0) if self.bodies > 1 else [hidden[0]] * len(self.names)
        return {name: self.head[name](body) for name, body in zip(self.names, apart, strict=True)}

    def _weights(self) -> list[Tensor]:
        """Matrix and bias of every layer and of every head, in turn."""
        # torch's lists of parameters take microseconds to go through, which is much of such a step.
        layers = zip(self.weight._parameters.values(), self.bias._parameters.values(), strict=True)
        heads = [(head._parameters["weight"], head._parameters["bias"]) for head in self.head._modules.values()]
        return [part for pair in (*layers, *heads) for part in pair if part is not None]

    def views(self) -> Weights:
        """The weights as arrays that share their memory, so that they are those of now: layers (m, before, after) and
        (m, 1, after), heads (u, size) and (size,)."""
        weights = self._weights()
        places = [weight.data_ptr() for weight in weights]
        if places != self._views[0]:
            arrays = [weight.detach().numpy() for weight in weights]
            first = arrays[0].reshape(self.bodies, self.units[0], -1).transpose(0, 2, 1)
            views: Weights = [(first, arrays[1].reshape(self.bodies, 1, self.units[0]))]
            for number in range(1, len(self.units)):
                views.append((arrays[2 * number], arrays[2 * number + 1]))
            for number in range(len(self.units), len(arrays) // 2):
                views.append((arrays[2 * number].T, arrays[2 * number + 1]))
            self._views = places, views
        return self._views[1]

    def trace(self, x: np.ndarray) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
        """The outputs of (n, d), and what `descend` needs of the way there."""
        inside, answers = _through(x, self.views(), self.activation)
        return dict(zip(self.names, answers, strict=True)), inside

    def descend(self, x: np.ndarray, inside: list[np.ndarray], gradients: Mapping[str, np.ndarray]) -> None:
        """Leaves the gradient in the weights, from those of all outputs, as autograd would."""
        back = [gradients[name] for name in self.names]
        of_weights, _ = _back(x, inside, back, self.views(), self.activation)
        for weight, gradient in zip(self._weights(), of_weights, strict=True):
            weight.grad = torch.from_numpy(gradient)

    def plain(self, views: Weights, x: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Some outputs of (n, d), without torch, whose calls cost more than such layers do."""
        act, output, depth = PLAIN[self.activation], {}, len(self.units)
        body: dict[int, np.ndarray] = {}
        for name in names:
            place = self.names.index(name)
            which = place if self.bodies > 1 else 0
            if which not in body:
                hidden = x
                for weight, bias in views[:depth]:
                    hidden = hidden @ weight[which]
                    hidden += bias[which]
                    act(hidden, out=hidden)
                body[which] = hidden
            weight, bias = views[depth + place]
            output[name] = body[which] @ weight + bias
        return output


def _through(x: np.ndarray, views: Weights, activation: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What every layer (m, n, u) and every head (n, size) makes of (n, d)."""
    act, hidden = PLAIN[activation], x
    inside: list[np.ndarray] = []
    answers: list[np.ndarray] = []
    for weight, bias in views:
        if weight.ndim == 3:
            hidden = np.matmul(hidden, weight)
            hidden += bias
            inside.append(act(hidden, out=hidden))
        else:
            answer = hidden[len(answers) if len(hidden) > 1 else 0] @ weight
            answer += bias
            answers.append(answer)
    return inside, answers


class _StackedFunction(torch.autograd.Function):
    """All layers and heads of a `StackedPerceptrons` as one function, computed by numpy: forward and backward of 32
    rows through 64 and 64 units take it a seventh of what torch's calls do, though both multiply equally fast."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, views: Weights, activation: str, *weights: Tensor) -> tuple[Tensor, ...]:
        inside, answers = _through(x.detach().numpy(), views, activation)
        ctx.save_for_backward(x, *weights)  # so that torch sees to it that they are what they were
        ctx.kept = views, activation, inside
        return tuple(map(torch.from_numpy, answers))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        views, activation, inside = ctx.kept
        x = ctx.saved_tensors[0].detach().numpy()
        of_weights, back = _back(x, inside, [gradient.numpy() for gradient in gradients], views, activation)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = torch.from_numpy(np.matmul(back, views[0][0].transpose(0, 2, 1)).sum(0))
        return of_x, None, None, *map(torch.from_numpy, of_weights)


def _back(
    x: np.ndarray, inside: list[np.ndarray], gradients: list[np.ndarray], views: Weights, activation: str
) -> tuple[list[np.ndarray], np.ndarray]:
    """From the gradients of all heads those of the weights, in the order of `StackedPerceptrons._weights`, and that of
    what the first layer gave before its activation (m, n, u)."""
    depth, last, bodies = len(inside), inside[-1], len(inside[-1])
    back = np.empty_like(last) if bodies > 1 or len(gradients) == 1 else np.zeros_like(last)
    of_heads: list[np.ndarray] = []
    for number, gradient in enumerate(gradients):
        which = number if bodies > 1 else 0
        of_heads += [gradient.T @ last[which], gradient.sum(0)]
        if bodies > 1 or len(gradients) == 1:
            np.matmul(gradient, views[depth + number][0].T, out=back[which])
        else:
            back[0] += gradient @ views[depth + number][0].T
    of_layers: list[np.ndarray] = []
    for level in range(depth - 1, -1, -1):
        _slope(back, inside[level], activation)
        if level == 0:  # one wide layer: (m u, d) and (m u,)
            of_weight = np.matmul(back.transpose(0, 2, 1), x).reshape(-1, x.shape[1])
            of_layers[:0] = [of_weight, back.sum(1).reshape(-1)]
        else:
            of_layers[:0] = [np.matmul(inside[level - 1].transpose(0, 2, 1), back), back.sum(1, keepdims=True)]
            back = np.matmul(back, views[level][0].transpose(0, 2, 1))
    return of_layers + of_heads, back


def _slope(gradient: np.ndarray, value: np.ndarray, activation: str) -> None:
    """Makes of the gradient after an activation that before it, by the activation's value."""
    if activation == "tanh":
        slope = value * value
        np.subtract(1.0, slope, out=slope)
    elif activation == "relu":
        slope = np.sign(value)
    else:
        slope = np.minimum(value, 0.0) + 1.0
    gradient *= slope
