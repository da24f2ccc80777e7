"""Whisper as it writes: an encoder of 30 seconds of sound, and a decoder that puts out tokens one after the other
(Radford et al. 2022, arXiv:2212.04356).

    waveform (n, 1, t), mask (n, t), tokens (n, l) -> the scores of the token after each (n, l, v)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pervade.core.contracts import Waveform
from pervade.core.errors import ConfigError
from pervade.core.types import Output
from pervade.nn.backbone import Backbone
from pervade.nn.sound_encoder import WHISPER, check_rate, configured, whisper_front


class _Whisper(nn.Module):
    """The names of the encoder's weights are those that they have where Whisper only listens."""

    def __init__(self, config: Any, preprocessor: Mapping[str, Any]) -> None:
        super().__init__()
        from transformers.models.whisper.modeling_whisper import WhisperDecoder, WhisperEncoder

        self.front = whisper_front(config, preprocessor)
        self.network = WhisperEncoder(config).float()
        self.decoder = WhisperDecoder(config).float()

    def heard(self, wave: Tensor, mask: Tensor | None) -> Tensor:
        states: Tensor = self.network(self.front(wave, mask)).last_hidden_state
        return states

    def scores(self, tokens: Tensor, heard: Tensor, cache: Any = None, remember: bool = False) -> tuple[Tensor, Any]:
        output = self.decoder(input_ids=tokens, encoder_hidden_states=heard, cache=cache, use_cache=remember)
        return output.last_hidden_state @ self.decoder.embed_tokens.weight.T, output.cache if remember else None


class SpeechWriter(Backbone):
    """`vocabulary` is the tokenizer's size. Raises ConfigError where the model is none that writes, or sound
    or tokens do not fit it."""

    def __init__(
        self,
        name: str,
        kind: str,
        settings: Mapping[str, Any],
        preprocessor: Mapping[str, Any],
        inputs: Waveform,
        vocabulary: int,
    ) -> None:
        if kind != WHISPER:
            raise ConfigError(
                f"{name} is of the kind {kind!r}; of those that write token by token only whisper is known"
            )
        check_rate(name, preprocessor, inputs)
        config = configured(kind, settings)
        if config.vocab_size < vocabulary:
            raise ConfigError(
                f"{name} knows {config.vocab_size:,} tokens, and the tokenizer has {vocabulary:,}; they do "
                "not belong together"
            )
        super().__init__(inputs, {}, _Whisper(config, preprocessor), int(config.d_model))
        self.vocabulary, self.most = vocabulary, int(config.max_target_positions)

    def forward(self, input: Tensor, mask: Tensor | None = None, tokens: Tensor | None = None) -> Output:
        """Without tokens, the "frames" that were heard."""
        body: Any = self.body
        heard = body.heard(input, mask)
        if tokens is None:
            return {"frames": heard.new_ones(heard.shape[:2], dtype=torch.bool)}
        return {"logits": body.scores(tokens, heard)[0][..., : self.vocabulary]}

    @torch.no_grad()
    def write(
        self,
        input: Tensor,
        mask: Tensor | None,
        prompt: Sequence[int],
        end: int,
        never: Sequence[int] = (),
        not_first: Sequence[int] = (),
    ) -> list[list[int]]:
        """The likeliest token after each, from `prompt` on to `end`, which is left out; as many as fit at most. Tokens
        in `never` are not written, those in `not_first` not at the beginning."""
        body: Any = self.body
        heard, cache = body.heard(input, mask), None
        tokens = torch.tensor([list(prompt)] * len(input), device=input.device)
        barred = torch.zeros(self.vocabulary, device=input.device)
        barred[list(never)] = -torch.inf
        first = barred.clone()
        first[list(not_first)] = -torch.inf
        written: list[list[int]] = [[] for _ in range(len(input))]
        over = [False] * len(input)
        for place in range(self.most - len(prompt)):
            scores, cache = body.scores(tokens, heard, cache, remember=True)
            chosen = (scores[:, -1, : self.vocabulary].float() + (barred if place else first)).argmax(1)
            for row, token in enumerate(chosen.tolist()):
                over[row] = over[row] or token == end
                if not over[row]:
                    written[row].append(token)
            if all(over):
                break
            tokens = chosen[:, None]
        return written
