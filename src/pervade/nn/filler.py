"""What fills in hidden words: an encoder, and for each hidden token the features turned into a guess of the token.

BERT's head (Devlin et al. 2019, arXiv:1810.04805): a dense layer, GELU, normalisation, and the token embedding as
output weights, with a bias for each token. It is computed at the hidden places alone, which are a few in a hundred.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from pervade.core.contracts import Tokens
from pervade.core.types import Output
from pervade.nn.backbone import Backbone

# Where published networks keep the same layers: BERT and its kin, RoBERTa's, DistilBERT's.
NAMES = {
    "cls.predictions.transform.dense.": "fill.dense.",
    "cls.predictions.transform.LayerNorm.": "fill.norm.",
    "cls.predictions.bias": "fill.bias",
    "lm_head.dense.": "fill.dense.",
    "lm_head.layer_norm.": "fill.norm.",
    "lm_head.bias": "fill.bias",
    "vocab_transform.": "fill.dense.",
    "vocab_layer_norm.": "fill.norm.",
    "vocab_projector.bias": "fill.bias",
}


def asked_of(inputs: Tokens, outputs: Mapping[str, int]) -> bool:
    """Whether what is asked of an encoder is tokens, at their places."""
    return not inputs.pooled and dict(outputs) == {"logits": inputs.vocabulary}


def renamed(name: str) -> str:
    """Our name of a published weight of this head; any other name as it is.

    >>> renamed("cls.predictions.transform.dense.weight"), renamed("embeddings.weight")
    ('fill.dense.weight', 'embeddings.weight')
    """
    for theirs, ours in NAMES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


class Filler(Backbone):
    """Tokens (n, t), their mask and the places (n, k) that are `asked` to "logits" (n, k, vocabulary); (n, t,
    vocabulary) where no places are given. `body` has `token_embedding`."""

    def __init__(self, inputs: Tokens, body: nn.Module, width: int, dropout: float = 0.0) -> None:
        super().__init__(inputs, {}, body, width, dropout)
        weights = self._tokens()
        self.fill = _Fill(width, weights.shape[1], weights.shape[0])

    def _tokens(self) -> Tensor:
        weights: Any = self.embedding.weight
        return weights

    def forward(self, input: Tensor, mask: Tensor | None = None, asked: Tensor | None = None) -> Output:
        features = self.features(input, mask)
        if asked is not None:
            features = features.gather(1, asked[:, :, None].expand(-1, -1, features.shape[2]))
        return {"logits": self.fill(features, self._tokens())}


class _Fill(nn.Module):
    def __init__(self, width: int, embedding: int, vocabulary: int) -> None:
        super().__init__()
        self.dense, self.norm = nn.Linear(width, embedding), nn.LayerNorm(embedding, eps=1e-12)  # as BERT has it
        self.bias = nn.Parameter(self.norm.bias.new_zeros(vocabulary))

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        return F.linear(self.norm(F.gelu(self.dense(features))), tokens, self.bias)
