"""Small data that can be learnt from in a second, one of each kind, and the settings that keep the training small."""

from __future__ import annotations

import csv
import io
import json
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ONE = ("--epochs", "1", "--workers", "0")


def settings(*pairs: str) -> tuple[str, ...]:
    return tuple(f"-o{each}" for each in pairs)


ENCODER = (
    "--model",
    "transformer",
    "--init",
    "random",
    *ONE,
    *settings("model.width=16", "model.depth=1", "model.heads=2"),
)
WRITER = (
    "--model",
    "gpt",
    *ONE,
    *settings("model.width=16", "model.depth=1", "model.heads=2", "domain.length=32", "domain.num_tokens=300"),
)
PICTURES = ("--model", "reference-cnn", *ONE, *settings("domain.size=16", "model.filters=[4,4,8]", "model.dense=8"))
SOUND = ("--model", "sound-cnn", *ONE, *settings("model.width=8", "model.stages=1", "model.features=16"))
SPEECH = (
    "--model",
    "conformer",
    *ONE,
    *settings("model.width=16", "model.depth=1", "model.heads=2", "model.channels=4", "model.bands=16"),
)
AGENT = ("--steps", "1024", "--workers", "0", *settings("domain.episodes=4"))
MEMORY = (
    *("--algorithm", "dqn", "--steps", "1024"),
    *settings("domain.episodes=4", "source.begin=200", "source.steps=256", "source.every=16", "source.size=1000"),
)

Rows = list[dict[str, Any]]
WORDS = ("the", "film", "was", "so", "very", "plain", "and", "then", "it", "ended")


def texts(count: int = 40) -> Rows:
    rng = np.random.default_rng(0)
    return [
        {"text": f"{' '.join(rng.choice(WORDS, 5))} {('fine', 'dull')[i % 2]} {i}", "label": ("good", "bad")[i % 2]}
        for i in range(count)
    ]


def numbers() -> Rows:
    return [{"text": each["text"], "label": i / 7 + 0.5} for i, each in enumerate(texts())]


def tags() -> Rows:
    return [{"text": each["text"], "labels": ("a", "a|b", "b", "b|c")[i % 4]} for i, each in enumerate(texts())]


def chats() -> Rows:
    return [
        {"messages": [{"role": "user", "content": f"say {i}"}, {"role": "assistant", "content": f"{i} it is"}]}
        for i in range(24)
    ]


def instructions() -> Rows:
    return [{"instruction": f"say {i}", "input": "", "output": f"{i} it is"} for i in range(24)]


def preferences() -> Rows:
    return [{"prompt": f"say {i}", "chosen": f"{i}!", "rejected": f"{i}."} for i in range(24)]


def passages() -> Rows:
    return [
        {
            "question": "Which city is it?",
            "context": f"number {i} went to {('rome', 'oslo')[i % 2]} by train",
            "answers": {"text": [("rome", "oslo")[i % 2]], "answer_start": [f"number {i} went to ".__len__()]},
        }
        for i in range(24)
    ]


def squad() -> dict[str, Any]:
    articles = []
    for i, each in enumerate(passages()):
        answer = {"text": each["answers"]["text"][0], "answer_start": each["answers"]["answer_start"][0]}
        asked = {"id": f"q{i}", "question": each["question"], "answers": [answer], "is_impossible": False}
        articles.append({"title": f"t{i}", "paragraphs": [{"context": each["context"], "qas": [asked]}]})
    return {"version": "1.1", "data": articles}


def picture(number: int, size: int = 20) -> bytes:
    from PIL import Image

    noise = np.random.default_rng(number).integers(0, 80, (size, size, 3), dtype=np.uint8)
    noise[:, :, number % 2] += 150
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


def sound(number: int, seconds: float = 0.25, rate: int = 4000) -> bytes:
    time = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * (300, 1100)[number % 2] * (1 + number / 100) * time)
    noise = np.random.default_rng(number).standard_normal(len(time))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((10_000 * tone + 300 * noise).astype("<i2").tobytes())
    return buffer.getvalue()


def beside(folder: Path, content: Callable[[int], bytes], ending: str, count: int = 16) -> list[str]:
    names = [f"f{i}{ending}" for i in range(count)]
    for i, name in enumerate(names):
        (folder / name).write_bytes(content(i))
    return names


def picture_rows(folder: Path) -> Rows:
    return [
        {"file": name, "label": ("cat", "dog")[i % 2]} for i, name in enumerate(beside(folder, picture, ".png", 20))
    ]


def embedded(folder: Path) -> Rows:
    return [{"image": {"bytes": picture(i), "path": None}, "label": ("cat", "dog")[i % 2]} for i in range(20)]


def sound_rows(folder: Path) -> Rows:
    return [
        {"file": name, "label": ("low", "high")[i % 2], "speaker": "abcd"[i % 4]}
        for i, name in enumerate(beside(folder, sound, ".wav"))
    ]


def transcripts(folder: Path) -> Rows:
    return [
        {"file_name": name, "transcription": ("low", "high")[i % 2]}
        for i, name in enumerate(beside(folder, sound, ".wav", 12))
    ]


def written(rows: Any, ending: str) -> bytes:
    """The rows as a file with this ending has them."""
    if ending in ("csv", "tsv"):
        buffer = io.StringIO()
        columns = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(buffer, columns, delimiter="," if ending == "csv" else "\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return buffer.getvalue().encode("utf-8", "surrogatepass")
    if ending == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), sink)
        return sink.getvalue()
    if ending == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    return json.dumps(rows).encode()


@dataclass(frozen=True)
class Kind:
    """One kind of data in one file: its name, its rows, and the flags that train on it."""

    file: str
    rows: Callable[[Path], Any]
    flags: tuple[str, ...]
    base: str = ""  # a trained run that it goes on from

    @property
    def ending(self) -> str:
        return self.file.rpartition(".")[2]

    def content(self, folder: Path) -> bytes:
        rows = self.rows(folder)
        return rows.encode() if isinstance(rows, str) else written(rows, self.ending)


def _of(rows: Callable[[], Any]) -> Callable[[Path], Any]:
    return lambda folder: rows()


BOOK = "".join(f"Once upon a time there was number {i}. It went away, and {i * i} came.\n" for i in range(300))
TABLES = (
    Kind("texts.csv", _of(texts), ENCODER),
    Kind("texts.tsv", _of(texts), ENCODER),
    Kind("texts.json", _of(texts), ENCODER),
    Kind("texts.jsonl", _of(texts), ENCODER),
    Kind("texts.parquet", _of(texts), ENCODER),
    Kind("numbers.csv", _of(numbers), ENCODER),
    Kind("tags.csv", _of(tags), ENCODER),
    Kind("hidden.csv", _of(texts), ("--task", "fill-mask", *ENCODER)),
    Kind("squad.json", _of(squad), (*ENCODER, "-odomain.length=48", "-odomain.overlap=8")),
    Kind("passages.jsonl", _of(passages), (*ENCODER, "-odomain.length=48", "-odomain.overlap=8")),
    Kind("chats.jsonl", _of(chats), WRITER),
    Kind("instructions.csv", _of(instructions), WRITER),
    Kind("preferences.jsonl", _of(preferences), ("--init", "chats", *ONE), "chats"),
    Kind("book.txt", _of(lambda: BOOK), WRITER),
    Kind("pictures.csv", picture_rows, PICTURES),
    Kind("pictures.parquet", embedded, PICTURES),
    Kind("recordings.csv", sound_rows, SOUND),
    Kind("metadata.csv", transcripts, SPEECH),
)


def class_folders(folder: Path, content: Callable[[int], bytes], ending: str, count: int = 10) -> Path:
    for i, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            (folder / name / f"{number}{ending}").write_bytes(content(2 * number + i))
    return folder


def sentence(number: int) -> bytes:
    return texts()[number % 40]["text"].encode()


FOLDERS: dict[str, tuple[Callable[[int], bytes], str, tuple[str, ...]]] = {
    "photos": (picture, ".png", PICTURES),
    "sounds": (sound, ".wav", SOUND),
    "letters": (sentence, ".txt", ENCODER),
}
