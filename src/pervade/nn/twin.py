"""Perceptrons of one shape side by side, one for every output, computed as one.

A policy and its value learn better apart than on shared layers where layers are small (Andrychowicz et al. 2021, "What
matters in on-policy reinforcement learning?"), and two small networks cost twice the calls of one. So the layers of all
are kept stacked and multiplied at once.

Axis letters: n rows, d features, m networks, u units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pervade.core.types import Output

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "elu": torch.nn.functional.elu}


def _numpy_elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0.0)))


PLAIN = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0.0), "elu": _numpy_elu}


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
        for number, (before, after) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            drawn = [nn.init.orthogonal_(torch.empty(after, before), math.sqrt(2)) for _ in range(self.bodies)]
            # The first layer sees the same input in all, so it is one wide layer (m u, d); others are (m, u, u).
            whole = torch.cat(drawn) if number == 0 else torch.stack([each.T.contiguous() for each in drawn])
            self.weight.append(nn.Parameter(whole))
            shape = (self.bodies * after,) if number == 0 else (self.bodies, 1, after)
            self.bias.append(nn.Parameter(torch.zeros(shape)))
        self.head = nn.ModuleDict({name: nn.Linear(sizes[-1], size) for name, size in outputs.items()})
        for name, head in self.head.items():
            nn.init.orthogonal_(head.weight, (gains or {}).get(name, 1.0))
            nn.init.zeros_(head.bias)

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Output:
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
        return [*layers, *((h.weight.detach().numpy().T, h.bias.detach().numpy()) for h in self.head.values())]  # type: ignore[union-attr]

    def plain(self, views: Sequence[tuple[np.ndarray, ...]], x: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
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
