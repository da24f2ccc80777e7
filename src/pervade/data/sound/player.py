"""Waveforms as wav files, to be listened to."""

from __future__ import annotations

import io
import wave
from typing import Any

import numpy as np

from pervade.core.types import Media

SECONDS = 6.0  # of a recording that a page plays at most, so that it stays small


def wav(samples: np.ndarray, rate: int) -> bytes:
    """16 bits, one channel, of (t,) in -1..1; what lies beyond is cut off."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.rint(np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def media(samples: np.ndarray, rate: int, caption: str = "") -> tuple[Media, dict[str, Any]]:
    """(t,) in -1..1 as a file to be written, and its "seconds"."""
    return Media("wav", wav(samples, rate), caption), {"seconds": round(len(samples) / rate, 4)}
