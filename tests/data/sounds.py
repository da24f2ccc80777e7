"""Sounds made for tests: tones, and files of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def tone(hertz: float, seconds: float = 0.5, rate: int = 8000, loud: float = 0.5) -> np.ndarray:
    """(t,) float32."""
    time = np.arange(round(seconds * rate)) / rate
    return (loud * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def write(path: Path, wave: np.ndarray, rate: int = 8000, kind: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, subtype=kind)
    return path


def speakers(folder: Path, names: tuple[str, ...] = ("anna", "ben", "cleo"), count: int = 4) -> Path:
    """Files LABEL_SPEAKER_NUMBER.wav of two labels: a low tone and a high one, at each speaker's own pitch."""
    rng = np.random.default_rng(0)
    for place, name in enumerate(names):
        for label, hertz in (("low", 300), ("high", 1500)):
            for number in range(count):
                wave = tone(hertz * (1 + 0.05 * place), 0.2 + 0.02 * number)
                write(folder / f"{label}_{name}_{number}.wav", wave + 0.01 * rng.standard_normal(len(wave)))
    return folder


def strongest(wave: np.ndarray, rate: int) -> float:
    """The frequency in hertz that is strongest."""
    spectrum = np.abs(np.fft.rfft(wave.astype(np.float64) * np.hanning(len(wave))))
    return float(np.argmax(spectrum) * rate / len(wave))
