"""Words, and windows of a few words, pooled: what learns most from few texts by random weights.

The embeddings of a text's tokens, and what one layer of convolutions sees in windows of them (Kim 2014,
arXiv:1408.5882), each as mean and maximum over the text, go through one dense layer, while whole words are dropped
(Iyyer et al. 2015, aclanthology.org/P15-1162). A pair's texts are pooled apart, and compared: both, how far they are
from one another, and their product (Conneau et al. 2017, arXiv:1705.02364).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from pervade.core.bounds import Filters, Part, Units, Width
from pervade.core.contracts import Inputs, Model, Tokens, require
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.nn.backbone import Backbone


@register("model")
@dataclass(frozen=True)
class TextCNN(Model):
    reads: ClassVar[str] = "texts"
    width: Width = 128  # numbers of a token
    filters: Filters = 16
    window: Annotated[int, Field(ge=1, le=31)] = 3  # tokens that a filter sees
    units: Units = 64  # of the dense layer
    word_dropout: Part = 0.3  # of whole tokens
    embedding_dropout: Part = 0.3  # of the numbers of those that are left
    dropout: Part = 0.5  # before the dense layer, and behind it

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        """Raises ConfigError where the input is no text, or each token is asked about."""
        read = require(inputs, Tokens, "text-cnn", "for pictures take resnet18, or another of `pervade models`")
        if read.causal or not read.pooled:
            raise ConfigError("text-cnn says one thing of a whole text, and tokens are asked about; take transformer")
        return Backbone(inputs, outputs, _Body(self, read), self.units, self.dropout)


class _Body(nn.Module):
    """Tokens (n, t) and their mask to (n, units)."""

    def __init__(self, spec: TextCNN, inputs: Tokens) -> None:
        super().__init__()
        self.embedding = nn.Embedding(inputs.vocabulary, spec.width)
        nn.init.normal_(self.embedding.weight, std=0.5 / math.sqrt(spec.width))
        self.word_dropout, self.dropout = nn.Dropout1d(spec.word_dropout), nn.Dropout(spec.embedding_dropout)
        self.windows = nn.Conv1d(spec.width, spec.filters, spec.window, padding="same")
        self.separator = inputs.separator
        pooled = 2 * (spec.width + spec.filters) * (1 if self.separator is None else 4)
        self.dense = nn.Sequential(nn.Dropout(spec.dropout), nn.Linear(pooled, spec.units), nn.GELU())

    @property
    def token_embedding(self) -> nn.Module:
        return self.embedding

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        seen = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask
        x = self.dropout(self.word_dropout(self.embedding(tokens))) * seen[:, :, None]
        features = torch.cat([x, self.windows(x.transpose(1, 2)).relu().transpose(1, 2)], 2)
        if self.separator is None:
            pooled = _pooled(features, seen)
        else:
            ends = (tokens == self.separator).int()
            second = ends.cumsum(1) > ends  # what stands behind the first separator
            one, other = _pooled(features, seen & ~second), _pooled(features, seen & second)
            pooled = torch.cat([one, other, (one - other).abs(), one * other], 1)
        dense: Tensor = self.dense(pooled)
        return dense


def _pooled(features: Tensor, there: Tensor) -> Tensor:
    """(n, t, d) to (n, 2 d): mean and maximum over the tokens that are `there` (n, t); 0 where none is."""
    weight = there[:, :, None].to(features.dtype)
    mean = (features * weight).sum(1) / weight.sum(1).clamp(min=1.0)
    most = features.masked_fill(~there[:, :, None], -torch.inf).amax(1)
    return torch.cat([mean, most.masked_fill(most == -torch.inf, 0.0)], 1)
