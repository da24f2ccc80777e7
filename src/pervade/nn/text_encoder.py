"""A text encoder of the library transformers as a body: tokens and mask in, features out, and nothing beside.

Any encoder that was made to fill in masked words fits: BERT, RoBERTa, DeBERTa, ModernBERT, MiniLM, ELECTRA, ALBERT …
Features are the mean over the text's tokens: for a sentence encoder that is what it was trained for, and a model that
was not loses nothing by it once it is finetuned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pervade.core.contracts import Tokens
from pervade.core.errors import ConfigError, nearest
from pervade.nn.transformer import mean_of_tokens


def longest(config: Mapping[str, Any]) -> int | None:
    """Tokens that a network of this config takes at most; None where it does not say."""
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int) or positions <= 0:
        return None
    # RoBERTa's kind counts positions from behind the padding's number.
    offset = config.get("pad_token_id") or 0
    return positions - offset - 1 if config.get("model_type") in AFTER_PADDING else positions


AFTER_PADDING = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "longformer", "mpnet", "data2vec-text")
# Kinds whose layers all give features of the same tokens, and as many.
LAYERED = ("bert", "distilbert", "electra", "roberta", "xlm-roberta", "camembert", "mpnet", "modernbert", "deberta-v2")


def known_kinds() -> list[str]:
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as KNOWN

    return list(KNOWN)


class TextEncoder(nn.Module):
    """`settings` are those of config.json; `own` is the library's config and a network by code of its own, where the
    model comes with some. Of pooled features those of the last `layers` stand beside one another, of all where
    there are fewer. Raises ConfigError where transformers knows no such encoder, or the texts do not fit it."""

    def __init__(
        self,
        name: str,
        kind: str,
        settings: Mapping[str, Any],
        inputs: Tokens,
        own: tuple[Any, nn.Module] | None = None,
        layers: int = 1,
    ) -> None:
        super().__init__()
        import transformers

        if own is None and kind not in known_kinds():
            raise ConfigError(f"{name} is of the kind {kind!r}, no text encoder; {nearest(kind, known_kinds())}")
        most = longest({"model_type": kind, **settings})
        if most is not None and inputs.length > most:
            raise ConfigError(
                f"{name} takes {most} tokens at most, and domain.length is {inputs.length}; set -o domain.length="
                f"{most} or less"
            )
        config = own[0] if own else transformers.AutoConfig.for_model(kind, **{**settings, "architectures": []})
        if config.vocab_size < inputs.vocabulary:
            raise ConfigError(
                f"{name} knows {config.vocab_size:,} tokens, and the tokenizer has {inputs.vocabulary:,}; they do "
                "not belong together"
            )
        config.dtype = "float32"
        network: Any = own[1] if own else transformers.AutoModel.from_config(config).float()
        if getattr(network, "pooler", None) is not None:
            network.pooler = None  # reads the first token alone, and would never learn here
        self.network = network
        self.pooled = inputs.pooled
        self.layers = min(layers, int(config.num_hidden_layers) + 1) if self.pooled and layers > 1 else 1
        self.width = self.layers * int(config.hidden_size)
        self.separator = inputs.separator if getattr(config, "type_vocab_size", 0) > 1 else None

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        seen = torch.ones_like(tokens) if mask is None else mask.to(tokens.dtype)
        more: dict[str, Any] = {}
        if self.separator is not None:
            ends = (tokens == self.separator).to(tokens.dtype)
            more = {"token_type_ids": (ends.cumsum(1) - ends).clamp(max=1) * seen}
        if self.layers > 1:
            more["output_hidden_states"] = True
        answer = self.network(input_ids=tokens, attention_mask=seen, **more)
        features: Tensor = answer.last_hidden_state
        if self.layers > 1:
            features = torch.cat([*answer.hidden_states[-self.layers : -1], features], -1)
        return mean_of_tokens(features, mask) if self.pooled else features

    def extra_repr(self) -> str:
        """By which cached features are known too (engine/features.py)."""
        return f"layers={self.layers}" if self.layers > 1 else ""

    @property
    def token_embedding(self) -> nn.Module:
        module: nn.Module = self.network.get_input_embeddings()
        return module
