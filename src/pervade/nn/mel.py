"""From waveform to log-mel bands as a layer, so that what is explained, attacked and exported starts from the waveform.

Frames are centred `hop` seconds apart, with silence before the beginning and after the end, and what the mask leaves
out counts as silence: a recording gives the same frames alone and padded in a batch.

Axis letters: n rows, t samples, f frames, b bands.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

FLOOR = 1e-8  # power of a band that counts as silence, -80 dB of a full-scale tone
STILL = 1e-3  # deviation of a band, in logarithms, below which it is taken for constant

Normalisation = Literal["none", "mean", "bands", "level"]
SPAN = 50.0  # decibels below the loudest band that "level" still tells from silence


class LogMel(nn.Module):
    """(n, 1, t) in -1..1, mask (n, t) -> log power (n, b, f), and the frames that count (n, f), None where there was no
    mask. f is t / (rate x hop), rounded up.

    `normalise` "mean" takes each band's mean over the recording away, which takes microphone and room with it (Furui
    1981, "Cepstral analysis technique for automatic speaker verification"); "bands" divides by the band's deviation
    too. "level" counts from the recording's loudest band of any frame, calls what is more than 50 dB below it silence,
    and takes the mean over all that is louder away: neither how loud a recording is, nor how quiet the room, nor how
    much silence stands around it, changes what is seen, while the spectrum of the whole is kept.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self,
        rate: int,
        bands: int = 64,
        window: float = 0.025,
        hop: float = 0.010,
        low: float = 20.0,
        high: float | None = None,
        normalise: Normalisation = "bands",
    ) -> None:
        super().__init__()
        self.hop = max(round(rate * hop), 1)
        length = max(round(rate * window), 2)
        self.size = 1 << (length - 1).bit_length()
        self.normalise = normalise
        self.register_buffer("window", torch.hann_window(length), persistent=False)
        filters = mel_filters(rate, self.size, bands, low, rate / 2 if high is None else high)
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)

    def forward(self, wave: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        with torch.autocast(wave.device.type, enabled=False):
            x = wave.float()[:, 0]
            if mask is not None:
                x = x * mask
            power = self.power(x)
            bands = (self.filters @ power).clamp(min=FLOOR).log()
            frames = None if mask is None else frame_mask(mask, self.hop)
            return self._normalised(bands, frames), frames

    def power(self, x: Tensor) -> Tensor:
        """(n, t) -> (n, size / 2 + 1, f)."""
        spectrum = torch.stft(
            x,
            self.size,
            self.hop,
            self.window.numel(),
            self.window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        frames = rounded_up(x.shape[1], self.hop)
        parts = torch.view_as_real(spectrum[:, :, :frames])
        return parts.square().sum(-1)

    def _normalised(self, bands: Tensor, frames: Tensor | None) -> Tensor:
        if self.normalise == "none":
            return bands if frames is None else bands * frames[:, None]
        if self.normalise == "level":
            return _level(bands, frames)
        counted = torch.ones_like(bands[:, :1]) if frames is None else frames[:, None].to(bands.dtype)
        total = counted.sum(2, keepdim=True).clamp(min=1)
        centred = (bands - (bands * counted).sum(2, keepdim=True) / total) * counted
        if self.normalise == "mean":
            return centred
        variance = centred.square().sum(2, keepdim=True) / total
        return centred / (variance + STILL**2).sqrt()


def _level(bands: Tensor, frames: Tensor | None) -> Tensor:
    """In units of a quarter of the span. What is beyond the mask stays at 0, the mean."""
    decibels = bands * (10 / math.log(10))
    if frames is not None:
        decibels = decibels.masked_fill(~frames[:, None], 10 * math.log10(FLOOR))
    decibels = (decibels - decibels.amax((1, 2), keepdim=True)).clamp(min=-SPAN)
    heard = (decibels.amax(1, keepdim=True) > -0.6 * SPAN).to(decibels.dtype)
    mean = (decibels * heard).sum((1, 2), keepdim=True) / (heard.sum((1, 2), keepdim=True) * bands.shape[1])
    level = (decibels - mean) * (4 / SPAN)
    return level if frames is None else level * frames[:, None]


def rounded_up(samples: int, hop: int) -> int:
    """samples / hop. Not -(-samples // hop): ONNX divides whole numbers towards 0."""
    return (samples + hop - 1) // hop


def frame_mask(mask: Tensor, hop: int) -> Tensor:
    """(n, t) bool -> (n, f): frames whose middle lies in the recording, which stands at the beginning of its row."""
    samples = mask.sum(1, keepdim=True)
    frames = rounded_up(mask.shape[1], hop)
    return torch.arange(frames, device=mask.device)[None] * hop < samples


def mel_filters(rate: int, size: int, bands: int, low: float, high: float) -> np.ndarray:
    """(b, size / 2 + 1) float32: triangles evenly spaced in mel, 2595 log10(1 + Hz / 700) (O'Shaughnessy 1987), each as
    wide as its neighbours' middles are apart, and never narrower than a frequency of the spectrum, so that none is
    empty."""
    frequencies = np.linspace(0, rate / 2, size // 2 + 1)
    places = _hertz(np.linspace(_mel(low), _mel(high), bands + 2))
    step = rate / size
    left = np.minimum(places[:-2], places[1:-1] - step)[:, None]
    right = np.maximum(places[2:], places[1:-1] + step)[:, None]
    middle = places[1:-1][:, None]
    rising = (frequencies - left) / (middle - left)
    falling = (right - frequencies) / (right - middle)
    return np.asarray(np.maximum(np.minimum(rising, falling), 0.0).astype(np.float32))


def _mel(hertz: float) -> float:
    return 2595.0 * math.log10(1.0 + hertz / 700.0)


def _hertz(mel: np.ndarray) -> np.ndarray:
    return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))
