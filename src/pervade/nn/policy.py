"""A network that acts: what it has seen of observations and rewards, a network for its outputs, and how to ask it fast.

Its first layer takes observations in natural units: bytes of pictures become 0-1, numbers are normalised by what was
seen so far. Both go with the weights, so an exported or attacked policy starts from what the environment gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pervade.core.types import Output
from pervade.nn.running import Running
from pervade.nn.stacked_perceptrons import StackedPerceptrons, Weights


class PolicyNetwork(nn.Module):
    """`network` gives every output but "log_deviation" (d,), which is a weight of its own, the same for all
    observations, as in Schulman et al. 2017."""

    def __init__(
        self, network: nn.Module, shape: Sequence[int], outputs: Mapping[str, int], normalise: bool, deviation: float
    ) -> None:
        super().__init__()
        self.network = network
        self.observations = Running(shape) if normalise else None
        self.returns = Running(())
        size = outputs.get("log_deviation")
        self.log_deviation = None if size is None else nn.Parameter(torch.full((size,), float(np.log(deviation))))
        self._views: Weights | None = None
        self._seen: tuple[np.ndarray, np.ndarray] | None = None

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Output:
        output: Output = self.network(self.units(input))
        if self.log_deviation is not None:
            output["log_deviation"] = self.log_deviation.repeat(input.shape[0], 1)
        return output

    @property
    def by_numpy(self) -> StackedPerceptrons | None:
        """The network below where numpy computes it, which is as if it had no weights but these."""
        alone = isinstance(self.network, StackedPerceptrons) and self.log_deviation is None
        return self.network if alone and next(self.parameters()).device.type == "cpu" else None  # type: ignore[return-value]

    def units(self, input: Tensor) -> Tensor:
        """Observations as the network below sees them."""
        x = input * (1 / 255) if input.dtype == torch.uint8 else input
        return x if self.observations is None else self.observations(x)

    def observe(self, observations: np.ndarray) -> None:
        """Takes note of observations (n, …), after which normalisation is another."""
        if self.observations is not None:
            self.observations.update(observations)
            self._seen = None

    @property
    def quick(self) -> bool:
        """Whether `respond` gives some outputs without computing all."""
        return self._views is not None

    def begin(self) -> None:
        """To be called before `respond`, after anything changed the weights' memory (a move, a loaded state)."""
        stacked = isinstance(self.network, StackedPerceptrons) and next(self.parameters()).device.type == "cpu"
        self._views = self.network.views() if stacked else None  # type: ignore[operator]
        self._seen = None

    def respond(self, observations: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The outputs named, of (n, …) observations as they come from the environment, without gradients."""
        if self._views is None:
            return answer(self, observations, names)
        x = observations
        if self.observations is not None:
            if self._seen is None:
                seen = self.observations
                self._seen = seen.mean.numpy(), seen.deviation.numpy()
            mean, deviation = self._seen
            x = np.clip((x - mean) / deviation, -self.observations.clip, self.observations.clip)
        wanted = [name for name in names if name != "log_deviation"]
        output = self.network.plain(self._views, x, wanted)  # type: ignore[operator]
        if self.log_deviation is not None and "log_deviation" in names:
            output["log_deviation"] = self.log_deviation.detach().numpy()
        return output


def responder(network: nn.Module) -> Callable[[np.ndarray, Sequence[str]], dict[str, np.ndarray]]:
    """How to ask a network fast, with its weights of now: in its own way where it has one."""
    if isinstance(network, PolicyNetwork):
        network.begin()
        return network.respond
    return lambda observations, names: answer(network, observations, names)


def answer(network: nn.Module, observations: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """As `PolicyNetwork.respond`, of any network, by torch."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        output = network(torch.from_numpy(np.ascontiguousarray(observations)).to(device))
    return {name: output[name].detach().float().cpu().numpy() for name in names}
