"""Waveforms as wav files, to be listened to."""

from __future__ import annotations

import io
import itertools
import re
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pervade.core import files

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


def written(answer: Mapping[str, Any], folder: Path, name: str, names: set[str]) -> dict[str, Any]:
    """The answer with its "samples" (t,) at its "rate" written to a file in the folder, which is made where there is
    none: in their place stand "file" and "seconds". The file is called after `name`, and not as one of the `names` that
    were written before."""
    kept = {key: value for key, value in answer.items() if key not in ("samples", "rate")}
    if len(kept) == len(answer):
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^\w-]+", "-", name).strip("-")[:100] or "sound"
    if stem in names:
        stem = next(name for name in (f"{stem}-{n}" for n in itertools.count(2)) if name not in names)
    names.add(stem)
    path = folder / f"{stem}.wav"
    with files.replacing(path) as temporary:
        temporary.write_bytes(wav(answer["samples"], answer["rate"]))
    return {**kept, "file": str(path), "seconds": round(len(answer["samples"]) / answer["rate"], 4)}
