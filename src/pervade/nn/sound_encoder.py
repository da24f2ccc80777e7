"""A sound encoder of the library transformers as a body: waveform and mask in, features out.

    Wav2Vec2, HuBERT, WavLM and their kin   the waveform, to mean 0 and variance 1 where the model wants it so
    AST                                     Kaldi's log-mel bands, of a fixed length
    Whisper's encoder                       its log-mel bands, of 30 seconds

What a model is fed is part of the network (nn/sound_front.py). Features are the mean over the frames that count, or
those of every frame. In evaluation a row does not depend on those beside it: Wav2Vec2, HuBERT, WavLM and UniSpeech keep
padding out by themselves (with nn/convolutions.py); of the others rows of one length go through together.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pervade.core import contracts
from pervade.core.errors import ConfigError, nearest
from pervade.nn.convolutions import Convolutions
from pervade.nn.sound_front import KaldiBank, Waveform, WhisperMel, rate_of

SPECTROGRAM, WHISPER = "audio-spectrogram-transformer", "whisper"
EXACT = ("wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat")  # padding does not reach what counts
WAVEFORM = (*EXACT, "data2vec-audio", "sew", "sew-d", "wav2vec2-conformer")
KINDS = (*WAVEFORM, SPECTROGRAM, WHISPER)


def hears(config: Mapping[str, Any]) -> bool:
    """Whether config.json is of an encoder of sound."""
    return config.get("model_type") in KINDS


class SoundEncoder(nn.Module):
    """(n, 1, t), mask (n, t) -> features (n, d) where `inputs.pooled`, else those of every frame (n, f, d) and the
    frames that count (n, f) bool. `settings` are those of config.json, `preprocessor` of preprocessor_config.json.

    Raises ConfigError where transformers knows no such encoder, or the sound does not fit it.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        settings: Mapping[str, Any],
        preprocessor: Mapping[str, Any],
        inputs: contracts.Waveform,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ConfigError(f"{name} is of the kind {kind!r}, no encoder of sound; {nearest(kind, KINDS)}")
        check_rate(name, preprocessor, inputs)
        self.kind, self.pooled = kind, inputs.pooled
        config = configured(kind, settings)
        self.weighted = bool(settings.get("use_weighted_layer_sum")) and kind != SPECTROGRAM
        # A published classifier on Whisper averages over all 30 seconds, and is none without.
        self.whole = "WhisperForAudioClassification" in (settings.get("architectures") or ())
        if kind == SPECTROGRAM:
            self._build_spectrogram(name, config, preprocessor)
        elif kind == WHISPER:
            self._build_whisper(config, preprocessor)
        else:
            self._build_waveform(config, preprocessor)
        self.width = int(getattr(config, "output_hidden_size", None) or config.hidden_size)
        if self.weighted:  # of what all layers give, as SUPERB does (Yang et al. 2021, arXiv:2105.01051)
            layers = int(config.num_hidden_layers) + 1
            self.layer_weights = nn.Parameter(torch.full((layers,), 1 / layers))
        longest, samples = getattr(self.front, "longest", None), inputs.samples
        if longest is not None and samples is not None and samples > longest:
            seconds = longest / rate_of(preprocessor)
            raise ConfigError(
                f"{name} takes {seconds:g} seconds at most, and recordings are read in pieces of "
                f"{samples / rate_of(preprocessor):g}; set -o domain.seconds={seconds:g} or less"
            )

    def _build_spectrogram(self, name: str, config: Any, preprocessor: Mapping[str, Any]) -> None:
        if not self.pooled:
            raise ConfigError(f"{name} gives one answer for a recording and none for its frames; take a hf:…wav2vec2…")
        from transformers import ASTModel

        told = {"max_length": config.max_length, "num_mel_bins": config.num_mel_bins, **preprocessor}
        with _without_warnings():
            self.front: nn.Module = KaldiBank({**told, "max_length": config.max_length})
        self.network: nn.Module = ASTModel(config).float()
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)  # of its classifier

    def _build_whisper(self, config: Any, preprocessor: Mapping[str, Any]) -> None:
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        self.front = whisper_front(config, preprocessor)
        self.network = WhisperEncoder(config).float()

    def _build_waveform(self, config: Any, preprocessor: Mapping[str, Any]) -> None:
        import transformers

        self.front = Waveform(preprocessor)
        self.masking = (float(config.mask_time_prob), int(config.mask_time_length), int(config.mask_time_min_masks))
        # Times are hidden by us: transformers draws them from numpy's generator, which no saved state holds.
        self.masks = bool(getattr(config, "apply_spec_augment", True)) and config.mask_time_prob > 0
        config.mask_feature_prob = 0.0
        config.apply_spec_augment = self.masks
        if not self.masks:
            config.mask_time_prob = 0.0
        network: Any = transformers.AutoModel.from_config(config).float()
        self.convolutions = [
            Convolutions(network.feature_extractor.conv_layers)
        ]  # a list, so that it is no child twice
        network.feature_extractor = self.convolutions[0]
        self.network = network
        # SEW puts that many frames together.
        self.shortest = self.convolutions[0].shortest(int(getattr(config, "squeeze_factor", 1)))
        self.alone = self.kind not in EXACT or bool(getattr(config, "add_adapter", False))

    def forward(self, wave: Tensor, mask: Tensor | None = None) -> Any:
        features, frames = self.every_frame(wave, mask)
        if not self.pooled:
            return features, features.new_ones(features.shape[:2], dtype=torch.bool) if frames is None else frames
        if self.kind == SPECTROGRAM:
            return features
        return features.mean(1) if frames is None else _mean(features, frames)

    def every_frame(self, wave: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(n, f, d), and the frames that count, None where all do. Of AST the one (n, d) that it gives."""
        if self.kind == SPECTROGRAM:
            pooled: Tensor = self.network(self.front(wave, mask)).pooler_output
            return self.norm(pooled), None
        if self.kind == WHISPER:
            return self._whisper(wave, mask)
        if mask is not None and self.alone and not self.training:
            return self._by_length(wave, mask)
        return self._waveform(wave, mask)

    def _whisper(self, wave: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        features = self._last(self.network(self.front(wave, mask), output_hidden_states=self.weighted))
        if self.whole and self.pooled:
            return features, None
        samples = wave.shape[2] if mask is None else mask.sum(1, keepdim=True)
        step = self.front.longest // features.shape[1]  # type: ignore[operator]
        frames = torch.arange(features.shape[1], device=wave.device)[None] * step < samples
        return features, frames.expand(len(wave), -1)

    def _waveform(self, wave: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        convolutions = self.convolutions[0]
        with torch.autocast(wave.device.type, enabled=False):
            x = self.front(wave, mask)
        shortest = self.shortest
        x = F.pad(x, (0, max(shortest - x.shape[1], 0)))
        more: dict[str, Any] = {}
        lengths = convolutions.counted = None
        if mask is not None:
            # What is shorter than one frame is followed by silence up to there.
            convolutions.counted = mask.sum(1).clamp(min=shortest)
            lengths = convolutions.lengths(convolutions.counted)
            places = torch.arange(x.shape[1], device=x.device)[None]
            more["attention_mask"] = (places < convolutions.counted[:, None]).long()
        if self.masks and self.training:
            more["mask_time_indices"] = hidden_times(len(x), convolutions.lengths(x.shape[1]), lengths, *self.masking)
        if self.weighted:
            more["output_hidden_states"] = True
        try:
            # torch warns of how WavLM hands its two masks over.
            with _without_warnings() if self.kind == "wavlm" else nullcontext():
                features = self._last(self.network(x, **more))
        finally:
            convolutions.counted = None
        if lengths is None:
            return features, None
        # An adapter, and SEW, give fewer frames than the convolutions.
        step = max(round(int(convolutions.lengths(x.shape[1])) / features.shape[1]), 1)
        kept = (lengths + step - 1).div(step, rounding_mode="floor")
        return features, torch.arange(features.shape[1], device=x.device)[None] < kept[:, None]

    def _by_length(self, wave: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of each length by themselves."""
        lengths = mask.sum(1)
        by_row: list[Tensor | None] = [None] * len(wave)
        for length in torch.unique(lengths).tolist():
            rows = (lengths == length).nonzero()[:, 0]
            features, _ = self._waveform(wave[rows, :, : int(length)], None)
            for row, frames in zip(rows.tolist(), features, strict=True):
                by_row[row] = frames
        counts = torch.tensor([len(frames) for frames in by_row if frames is not None], device=wave.device)
        features = nn.utils.rnn.pad_sequence([frames for frames in by_row if frames is not None], batch_first=True)
        return features, torch.arange(features.shape[1], device=wave.device)[None] < counts[:, None]

    def _last(self, output: Any) -> Tensor:
        if not self.weighted:
            last: Tensor = output.last_hidden_state
            return last
        layers = torch.stack(output.hidden_states, 3)
        return layers @ self.layer_weights.softmax(0)


def check_rate(name: str, preprocessor: Mapping[str, Any], inputs: contracts.Waveform) -> None:
    """Raises ConfigError where the sound has another rate than the model was trained with."""
    rate = rate_of(preprocessor)
    if inputs.rate != rate:
        raise ConfigError(
            f"{name} was trained on sound of {rate:,} Hz, and domain.rate is {inputs.rate:,}; set -o domain.rate={rate}"
        )


def configured(kind: str, settings: Mapping[str, Any]) -> Any:
    """The library's config object, in single precision."""
    import transformers

    kept = copy.deepcopy({key: value for key, value in settings.items() if key not in ("architectures", "auto_map")})
    config = transformers.AutoConfig.for_model(kind, **kept)
    config.dtype = "float32"
    return config


def whisper_front(config: Any, preprocessor: Mapping[str, Any]) -> WhisperMel:
    """Its chunk is as long as the network has positions for, two frames a position."""
    settings = dict(preprocessor)
    seconds = 2 * config.max_source_positions * int(settings.get("hop_length", 160)) / rate_of(settings)
    settings["chunk_length"] = seconds
    with _without_warnings():
        return WhisperMel(settings, int(config.num_mel_bins))


def hidden_times(rows: int, frames: int, lengths: Tensor | None, share: float, width: int, least: int) -> Tensor:
    """(n, f) bool: spans of `width` frames, about `share` of each recording in all and at least `least` of them, that
    training hides (Park et al. 2019, arXiv:1904.08779; Baevski et al. 2020). Drawn from torch's generator."""
    device = None if lengths is None else lengths.device
    counted = torch.full((rows, 1), frames, device=device) if lengths is None else lengths[:, None]
    places = torch.arange(frames, device=device)[None]
    wanted = (share * counted / width + torch.rand(1, device=device)).long().clamp(min=least)
    wanted = torch.minimum(wanted, counted.div(width, rounding_mode="floor"))
    most = min(max(int(share * frames / width + 1), least), frames)
    scores = torch.rand(rows, frames, device=device).masked_fill(places > counted - width, -1.0)
    starts = torch.zeros(rows, frames, device=device)
    chosen = (torch.arange(most, device=device)[None] < wanted).to(starts.dtype)
    starts.scatter_(1, scores.topk(most, 1).indices, chosen)
    return F.max_pool1d(F.pad(starts, (width - 1, 0)), width, 1) > 0


def _mean(features: Tensor, frames: Tensor) -> Tensor:
    counted = frames[:, :, None]
    return features.masked_fill(~counted, 0.0).sum(1) / counted.sum(1).clamp(min=1)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """transformers warns of bands so narrow that nothing of the spectrum falls into them, as published models have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
