"""Layouts that people have their data in, each made small, with what is right to read of it.

`python -m tests.layouts.table` writes docs/layouts.md from this list; test_layouts.py reads every one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

WORDS = {
    "good": "what a lovely film, well acted and warm from its first minute",
    "bad": "what a waste of an evening, dull and badly acted to its end",
}


@dataclass(frozen=True)
class Layout:
    """`make` puts it into a folder and returns DATA; what is read of it: the task, how many rows, which targets, and of
    the splits that it gives itself the rows (None: drawn by chance)."""

    what: str
    kind: str  # of what: the heading in the table
    make: Callable[[Path], Path]
    task: str
    rows: int
    targets: Any = None  # the set of targets of all rows; None: not looked at
    splits: dict[str, int] | None = None
    flags: dict[str, Any] = field(default_factory=dict)
    groups: int | None = None
    left_out: int | None = 0


LAYOUTS: list[Layout] = []


def layout(what: str, kind: str, task: str, rows: int, targets: Any = None, **more: Any) -> Any:
    """Puts what makes it into the list."""

    def keep(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
        LAYOUTS.append(Layout(what, kind, make, task, rows, targets, **more))
        return make

    return keep


# what they are made of


def picture(path: Path, number: int) -> None:
    from PIL import Image

    rng = np.random.default_rng(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(path)


def sound(path: Path, number: int, seconds: float = 0.25) -> None:
    import soundfile

    rng = np.random.default_rng(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * rng.standard_normal(int(8000 * seconds)), 8000)


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def separated(rows: Sequence[Sequence[Any]], delimiter: str = ",") -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def reviews(count: int = 20) -> list[tuple[str, str]]:
    """Texts and their classes, good and bad by turns."""
    labels = list(WORDS)
    return [(f"{WORDS[labels[i % 2]]}, number {i}", labels[i % 2]) for i in range(count)]


def records(count: int = 20) -> list[dict[str, Any]]:
    return [{"text": text, "label": label} for text, label in reviews(count)]


def folders(root: Path, names: Sequence[str], each: int, make: Callable[[Path, int], None], suffix: str) -> Path:
    for place, name in enumerate(names):
        for i in range(each):
            make(root / name / f"{i}{suffix}", 100 * place + i)
    return root


CLASSES = {"cats", "dogs"}
IMAGE, AUDIO, TEXT = "image-classification", "audio-classification", "text-classification"


def table(name: str, data: bytes | str, encoding: str = "utf-8") -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        path = root / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode(encoding))
        return path

    return make


def text(what: str, name: str, data: bytes | str, rows: int = 20, targets: Any = frozenset(WORDS), **more: Any) -> None:
    task, encoding = more.pop("task", TEXT), more.pop("encoding", "utf-8")
    layout(what, more.pop("kind", "texts"), task, rows, None if targets is None else set(targets), **more)(
        table(name, data, encoding)
    )


HEAD = [("text", "label")]
