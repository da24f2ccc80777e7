"""What published sound models are fed, as layers: the waveform goes in, so that what is explained, attacked and
exported starts from it. Each gives the numbers that the feature extractor of transformers gives, and needs neither it
nor torchaudio.

`settings` are those of preprocessor_config.json. Axis letters: n rows, t samples, f frames, b bands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RATE = 16_000  # Hz, where a model does not say
SILENT = 1e-7  # added to the variance of a waveform


def rate_of(settings: Mapping[str, Any]) -> int:
    """Samples a second that a model was trained with."""
    return int(settings.get("sampling_rate") or RATE)


class Waveform(nn.Module):
    """(n, 1, t), mask (n, t) -> (n, t): each recording by itself to mean 0 and variance 1, where the model wants it so
    (`do_normalize`). What the mask leaves out is 0 and does not count."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.normalised = bool(settings.get("do_normalize", True))

    def forward(self, wave: Tensor, mask: Tensor | None = None) -> Tensor:
        x = wave[:, 0].to(torch.promote_types(wave.dtype, torch.float32))
        if not self.normalised:
            return x if mask is None else x * mask
        if mask is None:
            variance, mean = torch.var_mean(x, 1, correction=0, keepdim=True)
            return (x - mean) / (variance + SILENT).sqrt()
        count = mask.sum(1, keepdim=True).clamp(min=1)
        centred = (x - (x * mask).sum(1, keepdim=True) / count) * mask
        return centred / (centred.square().sum(1, keepdim=True) / count + SILENT).sqrt()


class KaldiBank(nn.Module):
    """(n, 1, t), mask (n, t) -> (n, f, b): log-mel bands as Kaldi computes them, in windows of 25 ms each 10 ms, cut or
    filled with zeros to the f that the Audio Spectrogram Transformer takes (Gong et al. 2021, arXiv:2104.01778).

    Of a window its mean is taken away, then 0.97 of the sample before each; then come Hann window and spectrum. All of
    it is linear, so it is one matrix.
    """

    LENGTH, HOP, SIZE = 400, 160, 512  # samples of a window, between two, and of the spectrum
    FLOOR = 1.192092955078125e-07  # power of a band that counts as silence: the smallest step of single precision at 1

    matrix: Tensor
    filters: Tensor

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        from transformers.audio_utils import mel_filter_bank

        rate = rate_of(settings)
        self.frames, bands = int(settings.get("max_length", 1024)), int(settings.get("num_mel_bins", 128))
        self.mean, self.deviation = 0.0, 0.5
        if settings.get("do_normalize", True):
            self.mean, self.deviation = float(settings.get("mean", -4.2677393)), float(settings.get("std", 4.5689974))
        filters = mel_filter_bank(
            self.SIZE // 2 + 1, bands, 20, rate // 2, rate, None, "kaldi", triangularize_in_mel_space=True
        )
        self.register_buffer("filters", torch.from_numpy(filters).float(), persistent=False)
        self.register_buffer("matrix", self._matrix(), persistent=False)

    @classmethod
    def _matrix(cls) -> Tensor:
        """(window, 2 x frequencies): real parts, then imaginary ones."""
        x = torch.eye(cls.LENGTH, dtype=torch.float64)
        x = x - x.mean(1, keepdim=True)
        x = torch.cat([x[:, :1] * 0.03, x[:, 1:] - 0.97 * x[:, :-1]], 1)
        spectrum = torch.fft.rfft(x * torch.hann_window(cls.LENGTH, periodic=False, dtype=torch.float64), cls.SIZE)
        return torch.cat([spectrum.real, spectrum.imag], 1).float()

    @property
    def longest(self) -> int:
        """Samples that it takes at most."""
        return self.LENGTH + (self.frames - 1) * self.HOP

    def forward(self, wave: Tensor, mask: Tensor | None = None) -> Tensor:
        with torch.autocast(wave.device.type, enabled=False):
            x = wave.float()[:, 0, : self.longest]
            x = F.pad(x, (0, max(self.LENGTH - x.shape[1], 0)))
            real, imaginary = (x.unfold(1, self.LENGTH, self.HOP) @ self.matrix).chunk(2, 2)
            bands = ((real.square() + imaginary.square()) @ self.filters).clamp(min=self.FLOOR).log()
            if mask is not None:
                bands = bands * self._counted(mask, bands.shape[1])
            bands = F.pad(bands, (0, 0, 0, self.frames - bands.shape[1]))
            return (bands - self.mean) / (2 * self.deviation)

    def _counted(self, mask: Tensor, frames: int) -> Tensor:
        """(n, f, 1): windows that lie in the recording; of one shorter than a window, the first."""
        windows = (mask.sum(1, keepdim=True) - self.LENGTH).div(self.HOP, rounding_mode="floor").clamp(min=0)
        return (torch.arange(frames, device=mask.device)[None] <= windows)[:, :, None]


class WhisperMel(nn.Module):
    """(n, 1, t), mask (n, t) -> (n, b, f): log-mel bands of exactly `chunk_length` seconds, cut there or filled with
    silence, no more than 8 decades below the recording's loudest (Radford et al. 2022, arXiv:2212.04356)."""

    window: Tensor
    filters: Tensor

    def __init__(self, settings: Mapping[str, Any], bands: int) -> None:
        super().__init__()
        from transformers.audio_utils import mel_filter_bank

        rate = rate_of(settings)
        self.size, self.hop = int(settings.get("n_fft", 400)), int(settings.get("hop_length", 160))
        self.longest = round(settings.get("chunk_length", 30) * rate)
        filters = mel_filter_bank(self.size // 2 + 1, bands, 0.0, 8000.0, rate, "slaney", "slaney")
        self.register_buffer("filters", torch.from_numpy(filters).float().T.contiguous(), persistent=False)
        self.register_buffer("window", torch.hann_window(self.size), persistent=False)

    @property
    def frames(self) -> int:
        return self.longest // self.hop

    def forward(self, wave: Tensor, mask: Tensor | None = None) -> Tensor:
        with torch.autocast(wave.device.type, enabled=False):
            x = wave.float()[:, 0]
            x = (x if mask is None else x * mask)[:, : self.longest]
            # Of what follows the recording two windows are computed, and the rest is as silent as the last of them.
            heard = min(math.ceil(x.shape[1] / self.hop) * self.hop + 2 * self.size, self.longest)
            x = F.pad(x, (0, heard - x.shape[1]))
            spectrum = torch.stft(x, self.size, self.hop, window=self.window, return_complex=True)
            power = torch.view_as_real(spectrum[:, :, : heard // self.hop]).square().sum(3)
            bands = (self.filters @ power).clamp(min=1e-10).log10()
            bands = F.pad(bands, (0, self.frames - bands.shape[2]), value=-10.0)
            return (torch.maximum(bands, bands.amax((1, 2), keepdim=True) - 8.0) + 4.0) / 4.0
