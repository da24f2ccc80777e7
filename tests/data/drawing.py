"""Pictures that a small network can tell apart, as files for the tests of data and of the command line."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def pixels(colour: int, seed: int, size: int = 20) -> np.ndarray:
    """(size, size, 3) uint8: noise, with one channel brighter."""
    noise = np.random.default_rng((colour, seed)).integers(0, 80, (size, size, 3), dtype=np.uint8)
    noise[:, :, colour % 3] += 150
    return noise


def encoded(array: np.ndarray, kind: str = "PNG", **settings: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format=kind, **settings)
    return buffer.getvalue()


def class_folders(root: Path, classes: Sequence[str] = ("cat", "dog"), count: int = 8) -> Path:
    """`root`/<class>/<number>.png, every file different."""
    for colour, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for seed in range(count):
            (root / name / f"{seed}.png").write_bytes(encoded(pixels(colour, seed)))
    return root
