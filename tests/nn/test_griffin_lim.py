"""Sounds from spectrograms without phases."""

from __future__ import annotations

import numpy as np
import torch

from pervade.nn.griffin_lim import from_magnitude, griffin_lim, transform
from pervade.nn.mel import LogMel

RATE = 8000


def tone(frequency: float, seconds: float = 0.5) -> torch.Tensor:
    return 0.5 * torch.sin(2 * torch.pi * frequency * torch.arange(round(RATE * seconds)) / RATE)[None]


def convergence(wave: torch.Tensor, magnitude: torch.Tensor, layer: LogMel) -> float:
    """How far the magnitudes of a sound (n, t) are from those that were asked for, relative: 0 is none."""
    made = transform(wave.double(), layer, magnitude.shape[2]).abs()
    return float((made - magnitude).norm() / magnitude.norm())


def pitch(wave: torch.Tensor) -> float:
    spectrum = np.abs(np.fft.rfft(wave[0].numpy() * np.hanning(wave.shape[1])))
    return float(spectrum.argmax() * RATE / wave.shape[1])


def test_a_tone_keeps_its_pitch() -> None:
    """64 bands are half a semitone apart at 440 Hz and coarser above; the pitch comes back within a band."""
    layer = LogMel(RATE, 64, normalise="none")
    for frequency in (440.0, 1000.0):
        bands, _ = layer(tone(frequency)[None])
        made = griffin_lim(bands, layer, RATE // 2)
        assert made.shape == (1, RATE // 2)
        assert abs(pitch(made) - frequency) < 40
        again, _ = layer(made[None])
        heard = bands > bands.max() - 7  # 30 dB below the loudest
        assert (again - bands)[heard].abs().median() < 0.5


def test_more_steps_come_nearer() -> None:
    """Of magnitudes that some sound has, sixty steps leave a tenth of their norm, where random phases leave half."""
    layer = LogMel(RATE, 64, window=0.032, hop=0.008, normalise="none")
    random = torch.Generator().manual_seed(0)
    wave = (
        tone(300) * torch.linspace(0, 1, RATE // 2) + 0.3 * tone(1200) + 0.01 * torch.randn(1, 4000, generator=random)
    )
    window = layer.window
    frames = -(-wave.shape[1] // layer.hop)
    magnitude = torch.stft(wave, layer.size, layer.hop, len(window), window, pad_mode="constant", return_complex=True)
    magnitude = magnitude[:, :, :frames].abs().double()
    assert convergence(wave, magnitude, layer) < 1e-6
    left = [convergence(from_magnitude(magnitude, layer, wave.shape[1], steps), magnitude, layer) for steps in (0, 60)]
    assert left[1] < 0.1 < 0.3 < left[0]
