"""From a spectrogram without phases to a sound: the plainest way, which a network that makes sounds must beat.

Griffin & Lim 1984, "Signal Estimation from Modified Short-Time Fourier Transform", with the momentum of Perraudin et
al. 2013, "A Fast Griffin-Lim Algorithm": phases are those of the sound that the last ones gave. Mel bands are turned
into frequencies by the least squares that are nowhere negative.

Axis letters: n rows, t samples, f frames, b bands.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pervade.nn.mel import LogMel

MOMENTUM = 0.99
NONNEGATIVE = 100  # steps of the search for frequencies that give the bands


def griffin_lim(bands: Tensor, layer: LogMel, samples: int, steps: int = 60, seed: int = 0) -> Tensor:
    """Log power of mel bands (n, b, f), as the layer gives it without normalisation -> a sound (n, t)."""
    magnitude = spread(bands.double().exp(), layer.filters.double()).sqrt()
    return from_magnitude(magnitude, layer, samples, steps, seed)


def from_magnitude(magnitude: Tensor, layer: LogMel, samples: int, steps: int = 60, seed: int = 0) -> Tensor:
    """As `griffin_lim`, of what the Fourier transform's magnitudes are (n, size / 2 + 1, f)."""
    random = torch.Generator().manual_seed(seed)
    angles = 2 * torch.pi * torch.rand(magnitude.shape, generator=random, dtype=torch.float64).to(magnitude.device)
    target = magnitude.double()
    estimate = torch.polar(target, angles)
    last = torch.zeros_like(estimate)
    for _ in range(steps):
        made = transform(_inverse(estimate, layer, samples), layer, target.shape[2])
        ahead = made + MOMENTUM * (made - last)
        last = made
        estimate = target * ahead / ahead.abs().clamp(min=1e-12)
    return _inverse(estimate, layer, samples).float()


def spread(power: Tensor, filters: Tensor) -> Tensor:
    """Power, or amplitude, of the bands (n, b, f) -> of the frequencies (n, size / 2 + 1, f), none negative: by
    multiplicative steps (Lee & Seung 2001), which leave no such value."""
    weights = filters.sum(0).clamp(min=1e-12)[:, None]
    estimate = (filters.t() @ (power / filters.sum(1).clamp(min=1e-12)[:, None])) / weights
    for _ in range(NONNEGATIVE):
        estimate = estimate * (filters.t() @ power) / (filters.t() @ (filters @ estimate)).clamp(min=1e-12)
    return estimate


def transform(wave: Tensor, layer: LogMel, frames: int) -> Tensor:
    """(n, t) -> (n, size / 2 + 1, f), framed as the layer does it."""
    window = layer.window.double()
    spectrum = torch.stft(
        wave, layer.size, layer.hop, len(window), window, center=True, pad_mode="constant", return_complex=True
    )
    return spectrum[:, :, :frames]


def _inverse(spectrum: Tensor, layer: LogMel, samples: int) -> Tensor:
    """The sound (n, t) whose transform is nearest. The layer leaves out the last frame, which is mostly silence."""
    window = layer.window.double()
    whole = torch.nn.functional.pad(spectrum, (0, max(1 + samples // layer.hop - spectrum.shape[2], 0)))
    return torch.istft(whole, layer.size, layer.hop, len(window), window, center=True, length=samples)
