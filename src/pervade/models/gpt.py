"""A language model of our own: a causal transformer whose output weights are its embedding.

Pre-norm with RMSNorm, rotary positions, SwiGLU, no biases (nn/transformer.py); the embedding is tied to the output
(Press & Wolf 2017, arXiv:1608.05859).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from pervade.core.bounds import Blocks, Heads, Part, Width
from pervade.core.contracts import Inputs, Model, Tokens
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Output
from pervade.nn.backbone import Backbone
from pervade.nn.key_values import KeyValues
from pervade.nn.transformer import Transformer


@register(
    "model",
    variants={
        "gpt-tiny": {"width": 256, "depth": 6, "heads": 4},
        "gpt-small": {"width": 512, "depth": 8, "heads": 8},
        "gpt-base": {"width": 768, "depth": 12, "heads": 12},
    },
)
@dataclass(frozen=True)
class GPT(Model):
    reads: ClassVar[str] = "texts"
    width: Width = 256
    depth: Blocks = 6  # blocks
    heads: Heads = 4  # of attention; each has width / heads numbers
    dropout: Part = 0.0

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        """Raises ConfigError where the input is no running text, or the heads do not share the width out evenly."""
        if not isinstance(inputs, Tokens) or dict(outputs) != {"logits": inputs.vocabulary}:
            raise ConfigError(
                "gpt writes text: it goes with --task text-generation; to classify texts take transformer"
            )
        if self.width % (2 * self.heads):
            raise ConfigError(
                f"model.width {self.width} must be a multiple of 2 x model.heads ({2 * self.heads}): rotary positions "
                "turn pairs of numbers"
            )
        return LanguageModel(self, inputs)


class LanguageModel(Backbone):
    """Tokens (n, t) to "logits" (n, t, vocabulary): of what comes after each. No mask: padding stands at the end, where
    nothing before it looks. With `caches` the tokens are those that follow what was read into them."""

    def __init__(self, spec: GPT, inputs: Tokens) -> None:
        body = Transformer(inputs.vocabulary, inputs.length, spec.width, spec.depth, spec.heads, True, spec.dropout)
        super().__init__(inputs, {}, body, spec.width)
        self.longest = inputs.length

    def memory(self, rows: int, positions: int) -> KeyValues:
        """For so many texts, which are read side by side, with room for so many tokens of each."""
        body: Transformer = self.body  # type: ignore[assignment]
        return body.memory(rows, positions)

    def caches(self, rows: int = 1) -> list[KeyValues]:
        """For so many texts, all layers' in one."""
        return [self.memory(rows, self.longest)]

    def forward(self, input: Tensor, mask: Tensor | None = None, caches: list[KeyValues] | None = None) -> Output:
        features = self.body(input, None, caches[0] if caches else None)
        return {"logits": F.linear(features, self.body.embedding.weight)}  # type: ignore[union-attr,arg-type]
