"""Letters as tones, one frequency each: what a transcript is learnt from in tests."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.data.sounds import write

RATE = 2000
LETTERS = "abcd"
TONE, PAUSE = (0.08, 0.12), (0.05, 0.10)  # seconds, from and to


def said(text: str, rng: np.random.Generator, rate: int = RATE) -> np.ndarray:
    """(t,): a pause and a tone for each letter, and a pause for each blank."""
    parts = []
    for letter in text:
        parts.append(np.zeros(round(rng.uniform(*PAUSE) * rate)))
        time = np.arange(round(rng.uniform(*TONE) * rate)) / rate
        loud = 0.0 if letter == " " else 0.3
        parts.append(loud * np.sin(2 * np.pi * (200 + 200 * LETTERS.find(letter)) * time))
    wave = np.concatenate([*parts, np.zeros(rate // 20)])
    return (wave + 0.003 * rng.standard_normal(len(wave))).astype(np.float32)


def table(folder: Path, rows: Sequence[Sequence[str]], columns: Sequence[str] = ("file_name", "transcription")) -> Path:
    path = folder / "metadata.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def spoken(folder: Path, count: int = 80, longest: int = 4) -> Path:
    """A folder of recordings of one to `longest` letters, with metadata.csv."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        text = "".join(rng.choice(list(LETTERS), rng.integers(1, longest + 1)))
        write(folder / f"{number}.wav", said(text, rng), RATE)
        rows.append((f"{number}.wav", text))
    table(folder, rows)
    return folder
