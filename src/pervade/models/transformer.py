"""A small transformer encoder of our own for text, from random weights; its tokenizer is learnt with it.

Reads both ways; features are the mean over the text's tokens, or those of every token where a task asks about each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from pervade.core.bounds import Blocks, Heads, Part, Width
from pervade.core.contracts import Inputs, Model, Tokens, require
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.nn import filler, transformer
from pervade.nn.backbone import Backbone


@register(
    "model",
    variants={
        "transformer-tiny": {"width": 128, "depth": 2, "heads": 4},
        "transformer-small": {"width": 256, "depth": 4, "heads": 4},
        "transformer-base": {"width": 512, "depth": 8, "heads": 8},
    },
)
@dataclass(frozen=True)
class Transformer(Model):
    reads: ClassVar[str] = "texts"
    width: Width = 256
    depth: Blocks = 4  # blocks
    heads: Heads = 4  # of attention; each has width / heads numbers
    dropout: Part = 0.1

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        """Raises ConfigError where the input is no text or the heads do not share the width out evenly."""
        read = require(inputs, Tokens, "transformer", "for pictures take vit, or another of `pervade models`")
        if read.causal:
            raise ConfigError("transformer sees the tokens that are to be foretold; to write text take gpt")
        if self.width % (2 * self.heads):
            raise ConfigError(
                f"model.width {self.width} must be a multiple of 2 x model.heads ({2 * self.heads}): rotary positions "
                "turn pairs of numbers"
            )
        body = _Body(self, read)
        if filler.asked_of(read, outputs):
            return filler.Filler(read, body, self.width, self.dropout)
        return Backbone(inputs, outputs, body, self.width, self.dropout)


class _Body(nn.Module):
    def __init__(self, spec: Transformer, inputs: Tokens) -> None:
        super().__init__()
        self.pooled = inputs.pooled
        self.encoder = transformer.Transformer(
            inputs.vocabulary, inputs.length, spec.width, spec.depth, spec.heads, False, spec.dropout
        )

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        features: Tensor = self.encoder(tokens, mask)
        return transformer.mean_of_tokens(features, mask) if self.pooled else features

    @property
    def token_embedding(self) -> nn.Module:
        return self.encoder.embedding
