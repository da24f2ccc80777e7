"""The shape that networks of this project share: input -> body -> features (n, d) -> one head an output.

    pixels (n, c, h, w)   -> normalise -> body(pixels)          -> features (n, d)
    tokens (n, t), mask   ->              body(tokens, mask)    -> features (n, d), or (n, t, d) of every token

Freezing, layer-wise rates and cached features work on any network of this shape, wherever its body comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from pervade.core.contracts import Inputs, Pixels
from pervade.core.errors import ConfigError
from pervade.core.types import Linear, Output
from pervade.nn.normalise import Normalise
from pervade.nn.pointwise import guard
from pervade.nn.stages import stages


@runtime_checkable
class ShowsFeatures(Protocol):
    """A network whose last layers are linear."""

    def linear_features(self, input: Any, mask: Tensor | None = None) -> Any:
        """What these layers are given, (n, d): an array, or a sparse matrix."""
        ...


@runtime_checkable
class LinearAtTheEnd(ShowsFeatures, Protocol):
    """One whose last layers can be given their weights."""

    def set_head(self, name: str, fitted: Linear) -> None:
        """Of the output `name`."""
        ...


class Backbone(nn.Module):
    """`body` maps normalised pixels, or tokens and their mask, to features of `width`; every output has a linear head
    of its own.

    An input of numbers with two axes is taken for features already computed, so that a head can be trained on them
    alone (tokens are whole numbers).
    """

    def __init__(
        self, inputs: Inputs, outputs: Mapping[str, int], body: nn.Module, width: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.normalise = Normalise(inputs.mean, inputs.deviation) if isinstance(inputs, Pixels) else None
        self.body = guard(body)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.ModuleDict({name: nn.Linear(width, size) for name, size in outputs.items()})

    def features(self, input: Tensor, mask: Tensor | None = None) -> Tensor:
        features: Tensor = self.body(input, mask) if self.normalise is None else self.body(self.normalise(input))
        return features

    def at_the_heads(self, input: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the heads are given: the features, which the input may be already."""
        return input if input.ndim == 2 and input.is_floating_point() else self.features(input, mask)

    @torch.no_grad()
    def linear_features(self, input: Tensor, mask: Tensor | None = None) -> Any:
        return self.at_the_heads(input, mask).cpu().numpy()

    @torch.no_grad()
    def set_head(self, name: str, fitted: Linear) -> None:
        self.head[name].load_state_dict({part: torch.from_numpy(getattr(fitted, part)) for part in ("weight", "bias")})

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Output:
        features = self.dropout(self.at_the_heads(input, mask))
        return {name: head(features) for name, head in self.head.items()}

    @property
    def embedding(self) -> nn.Module:
        """The layer that makes numbers of tokens. Raises ConfigError where the network reads none."""
        module = getattr(self.body, "token_embedding", None)
        if not isinstance(module, nn.Module):
            raise ConfigError(f"{type(self.body).__name__} has no embeddings of tokens; take a network that reads text")
        return module

    def embed(self, tokens: Tensor) -> Tensor:
        """(n, t) to (n, t, e): what the network makes of each token before it looks at others."""
        embedded: Tensor = self.embedding(tokens)
        return embedded

    def forward_embedded(self, embedded: Tensor, tokens: Tensor, mask: Tensor | None = None, **more: Any) -> Output:
        """As `forward` of the tokens, with `embedded` (n, t, e) in place of what `embed` makes of them."""
        hook = self.embedding.register_forward_hook(lambda layer, given, made: embedded)
        try:
            output: Output = self(tokens, mask=mask, **more)
        finally:
            hook.remove()
        return output

    def stages(self) -> Sequence[nn.Module]:
        """The body in pieces, from the input on: what gradual unfreezing and layer-wise rates count in."""
        return stages(self.body)


def mark_rows(network: nn.Module) -> None:
    """Marks weights whose rows have nothing to do with one another, each a token's or a class's: an optimiser that
    treats matrices as a whole leaves these alone (`row_by_row`)."""
    heads = list(network.head.values()) if isinstance(network, Backbone) else []
    for module in (*heads, *(module for module in network.modules() if isinstance(module, nn.Embedding))):
        setattr(module.weight, "row_by_row", True)  # noqa: B010  (torch's types know no marks)


def known(network: nn.Module, what: str) -> Backbone:
    """The network, if it has a body and a head, which `what` needs. Raises ConfigError where it is not known to."""
    if not isinstance(network, Backbone):
        raise ConfigError(
            f"{what} needs a network with a body and a head, and {type(network).__name__} is not known to have them; "
            "build it as a pervade.nn.backbone.Backbone, or leave the setting away"
        )
    return network
