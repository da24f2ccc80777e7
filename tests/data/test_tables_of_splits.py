"""Tables that are called after splits: one rule, whoever reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pervade.core.contracts import Domain
from pervade.data.read import tables
from pervade.domains.corpus import Corpus
from pervade.domains.instructions import Instructions
from pervade.domains.preferences import Preferences
from pervade.domains.questions import Questions
from pervade.domains.text import Text

ROWS: dict[type, dict[str, Any]] = {
    Text: {"text": "what a film", "label": "good"},
    Corpus: {"text": "what a film"},
    Instructions: {"prompt": "what is it?", "completion": "a film"},
    Preferences: {"prompt": "what is it?", "chosen": "a film", "rejected": "a book"},
    Questions: {"question": "where?", "context": "he was in Rome", "answers": "Rome"},
}


def _write(folder: Path, *names: str, row: dict[str, Any] | None = None) -> None:
    for number, name in enumerate(names):
        rows = [{"number": str(number), **(row or {"text": "a"})}] * 2
        (folder / name).write_text("".join(json.dumps(each) + "\n" for each in rows))


@pytest.mark.parametrize("kind", ROWS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("names", [("train", "dev"), ("film_train_v2", "film_dev_v2"), ("train_data", "val-v1.1")])
def test_every_reader_of_tables_tells_splits_alike(kind: type[Domain], names: tuple[str, ...], tmp_path: Path) -> None:
    _write(tmp_path, *(f"{name}.jsonl" for name in names), "other.jsonl", row=ROWS[kind])
    (tmp_path / "notes.md").write_text("nothing")
    rows, left_out = kind().read(tmp_path)
    assert sorted(zip(map(str, rows.column("id")), rows.column("split"), strict=True)) == sorted(
        (f"{name}.jsonl#{number}", split)
        for name, split in zip(names, ("train", "validation"), strict=True)
        for number in (1, 2)
    )
    assert {each.source: each.reason for each in left_out} == dict.fromkeys(
        ("notes.md", "other.jsonl"), "called after no split, as others are"
    )


def test_what_says_no_split(tmp_path: Path) -> None:
    _write(tmp_path, "train_station.jsonl", "bus_station.jsonl", "test_of_time.jsonl")
    assert tables.by_split(tmp_path) == ({}, [])


def test_files_that_are_passed_over(tmp_path: Path) -> None:
    _write(tmp_path, "train_labels.csv", "test_labels.csv")
    (tmp_path / "1.png").write_bytes(b"")
    found, beside = tables.by_split(tmp_path, (".png",))
    assert ({each.name: split for each, split in found.items()}, beside) == (
        {"train_labels.csv": "train", "test_labels.csv": "test"},
        [],
    )
