"""A causal language model of the library transformers: tokens in, scores of the token after each out.

GPT-2, Llama, Mistral, Qwen, Gemma, OLMo, Pythia, Mamba … : whatever `AutoModelForCausalLM` builds from a config alone,
as long as no token sees those after it, which is tried once. Padding stands at the end, where no token before it looks,
so no mask is needed.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pervade.core.contracts import Tokens
from pervade.core.errors import ConfigError, nearest
from pervade.core.types import Output
from pervade.nn.backbone import Backbone
from pervade.nn.modes import evaluating

LIMITS = ("max_position_embeddings", "max_seq_len")  # what configs call the number of tokens that they take at most
# What networks call what they remember of a text: the first name is today's, the others those of older versions, and
# of code that comes with a model.
CACHES = ("cache", "past_key_values", "cache_params", "state")


def known_kinds() -> list[str]:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as KNOWN

    return list(KNOWN)


def writes(config: Mapping[str, Any]) -> bool:
    """Whether config.json is of a network that writes. Encoders are among the kinds too, as the decoders that some were
    made into, and only `is_decoder` says so."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

    kind = config.get("model_type")
    return kind in known_kinds() and (kind not in MASKED or bool(config.get("is_decoder")))


def configured(name: str, config: Mapping[str, Any]) -> Any:
    """The library's config object of a config.json. Raises ConfigError where it is of no causal language model."""
    import transformers

    kind = str(config.get("model_type"))
    if not writes(config):
        what = "a network that fills in words, not one that writes on" if kind in known_kinds() else "no causal one"
        raise ConfigError(
            f"text-generation needs a causal language model, and {name} is of the kind {kind!r}, {what}; "
            f"{nearest(kind, (name for name in known_kinds() if writes({'model_type': name})))}"
        )
    settings = {key: value for key, value in config.items() if key != "model_type"}
    return transformers.AutoConfig.for_model(kind, **{**settings, "architectures": []})


def longest(config: Any) -> int | None:
    """Tokens that a network of this config object takes at most; None where it does not say."""
    text = config.get_text_config(decoder=True)
    limits = (getattr(text, name, None) for name in LIMITS)
    return next((int(limit) for limit in limits if isinstance(limit, int) and limit > 0), None)


class Cache:
    """What the network remembers of the tokens that it read, by the network's own means; `length` counts them. A
    network that remembers nothing reads all tokens again, which gives the same, slowly."""

    def __init__(self) -> None:
        self.length = 0
        self.value: Any = None
        self.tokens: Tensor | None = None


class Decoder(nn.Module):
    """The network with its output layer, which belongs to it: most have it tied to their embedding."""

    def __init__(self, network: nn.Module, vocabulary: int) -> None:
        super().__init__()
        self.network, self.vocabulary = network, vocabulary

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the layers that turn features into scores, which adapters leave alone."""
        last = self.network.get_output_embeddings()  # type: ignore[operator]
        return tuple(name for name, module in self.named_modules() if module is last)

    @property
    def token_embedding(self) -> nn.Module:
        module: nn.Module = self.network.get_input_embeddings()  # type: ignore[operator]
        return module

    def forward(self, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        """Scores (n, t, vocabulary). Where tables are rounded up, those of no token are cut off."""
        if cache is None:
            logits: Tensor = self.network(input_ids=tokens, use_cache=False).logits
        else:
            logits = self._remembering(tokens, cache)
        return logits[..., : self.vocabulary]

    def _remembering(self, tokens: Tensor, cache: Cache) -> Tensor:
        new = tokens.shape[1]
        if cache.tokens is not None:
            tokens = torch.cat([cache.tokens, tokens], 1)
        accepted = inspect.signature(self.network.forward).parameters
        name = next((name for name in CACHES if name in accepted), None)
        known = {name: cache.value} if name is not None and cache.value is not None else {}
        output = self.network(input_ids=tokens, use_cache=True, **known)
        caches = (getattr(output, field, None) for field in CACHES) if name is not None else ()
        cache.value = next((cached for cached in caches if cached is not None), None)
        cache.tokens = tokens if cache.value is None else None
        cache.length += new
        logits: Tensor = output.logits
        return logits[:, -new:]


class DecoderLanguageModel(Backbone):
    """Tokens (n, t) to "logits" (n, t, vocabulary): of what comes after each. With `caches` the tokens are those that
    follow what was read into them. `config` is the library's object, `network` what was built of it.

    Raises ConfigError where the text does not fit the network, or a token of it sees those after it.
    """

    def __init__(self, name: str, config: Any, network: nn.Module, inputs: Tokens) -> None:
        text = config.get_text_config(decoder=True)
        most = longest(config)
        if most is not None and inputs.length > most:
            raise ConfigError(
                f"{name} takes {most:,} tokens at most, and domain.length is {inputs.length:,}; set "
                f"-o domain.length={most} or less"
            )
        if text.vocab_size < inputs.vocabulary:
            raise ConfigError(
                f"{name} knows {text.vocab_size:,} tokens, and the tokenizer has {inputs.vocabulary:,}; they do not "
                "belong together"
            )
        super().__init__(inputs, {}, Decoder(network, inputs.vocabulary), int(text.hidden_size))
        self.name, self.most = name, most
        self.longest = inputs.length
        self._try()

    @torch.no_grad()
    def _try(self) -> None:
        if any(weight.is_meta for weight in self.parameters()):
            return
        with evaluating(self):
            one, other = self.body(torch.tensor([[0, 1, 2, 3], [0, 1, 2, 4]]))[:, :-1]
        if not torch.allclose(one, other, rtol=1e-3, atol=1e-4):
            raise ConfigError(
                f"{self.name} is no causal language model: its tokens see those that come after them, so it would "
                "learn to copy; take another model"
            )

    def caches(self) -> list[Cache]:
        """For one text."""
        return [Cache()]

    def forward(self, input: Tensor, mask: Tensor | None = None, caches: list[Cache] | None = None) -> Output:
        """Raises ConfigError where the text is longer than the network has positions."""
        read = (caches[0].length if caches else 0) + input.shape[1]
        if self.most is not None and read > self.most:
            raise ConfigError(
                f"{self.name} takes {self.most:,} tokens at most, and this text has {read:,}; cut it, or set "
                f"-o domain.length={self.most} or less"
            )
        return {"logits": self.body(input, caches[0] if caches else None)}
