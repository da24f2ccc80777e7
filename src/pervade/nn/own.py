"""A network from Python, as a model: `pervade.fit("photos/", model=module)`.

It is called with normalised pictures (n, c, h, w), and what it returns, (n, k), is the task's one output. A function of
(inputs, outputs) that builds a network will do as well. No file can hold it, so such a run is resumed and used from
Python alone, with the same module or function.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pervade.core.contracts import Inputs, Model, Observations, Pixels
from pervade.core.errors import ConfigError, SizeError
from pervade.core.types import Output
from pervade.nn.backbone import Backbone
from pervade.nn.modes import evaluating
from pervade.nn.normalise import Normalise
from pervade.nn.pointwise import guard


@dataclass(frozen=True)
class Own(Model):
    module: nn.Module | Callable[[Inputs, Mapping[str, int]], nn.Module]

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        """A copy of the module, which itself stays as it is. Raises ConfigError where it does not take such pictures or
        gives other outputs."""
        made = copy.deepcopy(self.module) if isinstance(self.module, nn.Module) else self.module(inputs, outputs)
        if not isinstance(made, nn.Module):
            raise ConfigError(f"the model's function returned {type(made).__name__}; it must return a torch.nn.Module")
        network = made if isinstance(made, Backbone) else _Network(made, inputs, outputs)
        _try(network, inputs, outputs)
        return network


class _Network(nn.Module):
    def __init__(self, module: nn.Module, inputs: Inputs, outputs: Mapping[str, int]) -> None:
        super().__init__()
        self.normalise = Normalise(inputs.mean, inputs.deviation) if isinstance(inputs, Pixels) else nn.Identity()
        self.module = guard(module)
        self.names = tuple(outputs)

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Output:
        output = self.module(self.normalise(input))
        output = getattr(output, "logits", output)  # as transformers' networks return it
        if isinstance(output, Tensor):
            return {self.names[0]: output}
        if isinstance(output, Mapping):
            return dict(output)
        raise ConfigError(
            f"the network returned {type(output).__name__}; it must return a tensor (n, k), or a dictionary of tensors "
            f"with {', '.join(self.names)}"
        )


def _try(network: nn.Module, inputs: Inputs, outputs: Mapping[str, int]) -> None:
    """One picture in evaluation mode, which changes nothing in the network."""
    if not isinstance(inputs, (Pixels, Observations)):
        raise ConfigError(f"a network from Python takes pictures, not {inputs.called}; name a model instead")
    shape = inputs.shape
    parameter = next(network.parameters(), torch.empty(0))
    picture = torch.zeros(1, *shape, dtype=parameter.dtype, device=parameter.device)
    try:
        with evaluating(network), torch.no_grad():
            output = network(picture)
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:
        given = f"a picture of {' x '.join(map(str, shape))} (channels x height x width)"
        why = f"the network does not take {given}: {str(error).splitlines()[0]}"
        raise SizeError(why, "set -o domain.size and -o domain.channels to what it takes") from None
    for name, size in outputs.items():
        actual = tuple(output[name].shape) if name in output else None
        if actual != (1, size):
            raise ConfigError(
                f"the network gives {name!r} of shape {actual} for one picture, but {(1, size)} is needed here; "
                f"give its last layer {size} outputs"
            )
