"""Single files that cannot be used are left out and listed with the reason; the rest trains. Unless asked to fail."""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path

import pytest

from tests.cli.small import SMALL
from tests.data.drawing import encoded, pixels


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_claims(width: int, height: int) -> bytes:
    """A few hundred bytes that say they are a picture of this size."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")


def gif_that_claims(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + encoded(pixels(0, 0), "GIF")[10:]


BAD = {
    "empty.jpg": (b"", "the file is empty (0 bytes)"),
    "cut.png": (encoded(pixels(0, 99))[:300], "damaged or cut off"),
    "cut.jpg": (encoded(pixels(0, 98), "JPEG")[:400], "damaged or cut off"),
    "words.jpg": (b"Dear reader, this is a letter.", "this is not a picture"),
    "bomb.png": (png_that_claims(60_000, 60_000), "would fill the memory"),
    "large.png": (png_that_claims(13_400, 13_400), "would fill the memory"),
    "bomb.gif": (gif_that_claims(60_000, 60_000), "would fill the memory"),
    "notes.txt": (b"hello", "files ending in '.txt' are not read"),
    "script.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "this is not a picture"),
}


@pytest.fixture
def with_bad_files(photos: Path) -> Path:
    for name, (content, _) in BAD.items():
        (photos / "cat" / name).write_bytes(content)
    (photos / "cat" / "loop.jpg").symlink_to("loop.jpg")
    (photos / "cat" / "nowhere.jpg").symlink_to("gone.jpg")
    (photos / "cat" / "again").symlink_to(photos)
    os.mkfifo(photos / "cat" / "pipe.jpg")
    return photos


REASONS = {f"cat/{name}": reason for name, (_, reason) in BAD.items()} | {
    "cat/loop.jpg": "a link that loops or leads nowhere",
    "cat/nowhere.jpg": "a link that loops or leads nowhere",
    "cat/again": "a link to ., which is read already",
    "cat/pipe.jpg": "it is neither a file nor a folder",
}


def test_left_out_and_listed(pervade, with_bad_files: Path, workplace: Path) -> None:
    outcome = pervade("train", with_bad_files, *SMALL, "--name", "one")
    assert outcome.status == 0, outcome.err
    stored = json.loads((workplace / "runs" / "one" / "data.json").read_text())
    reasons = {each["source"]: each["reason"] for each in stored["left_out"]}
    assert reasons.keys() == REASONS.keys()
    for name, reason in REASONS.items():
        assert reason in reasons[name]
    assert stored["rows"] == 16
    lines = outcome.err.splitlines()
    first = lines.index(f"left out of the data: {len(REASONS)}")
    assert all(line.startswith("  - cat/") for line in lines[first + 1 : first + 6])
    assert lines[first + 6] == f"  and {len(REASONS) - 5} more, all listed in data.json and in the report"


@pytest.mark.parametrize("name", ["empty.jpg", "words.jpg", "notes.txt"])
def test_refused_where_asked(name: str, pervade, photos: Path) -> None:
    content, reason = BAD[name]
    (photos / "cat" / name).write_bytes(content)
    outcome = pervade("train", photos, *SMALL, "--on-bad-file", "fail")
    outcome.refuses(f"cat/{name}: {reason}", "mend or remove it, or leave such files out with --on-bad-file leave-out")


def test_predict_names_them_and_goes_on(pervade, run: Path, with_bad_files: Path) -> None:
    outcome = pervade("predict", run, with_bad_files, "--json")
    assert outcome.status == 0
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    errors = {row["input"]: row["error"] for row in rows if row["error"]}
    assert errors.keys() == {str(with_bad_files / name) for name in REASONS}
    assert len(rows) - len(errors) == 16


def test_predict_of_nothing_but_bad_files(pervade, run: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"")
    outcome = pervade("predict", run, tmp_path / "bad.jpg")
    assert outcome.status == 2
    why, nothing = outcome.err.splitlines()[-2:]
    assert why == f"left out: '{tmp_path / 'bad.jpg'}': the file is empty (0 bytes)"
    assert nothing == f"nothing is predicted: {run} reads pictures, and none of what was given can be used"


def test_same_bytes_never_in_two_splits(pervade, photos: Path, workplace: Path) -> None:
    """Copies of a picture are drawn together; where given splits share one, the test split keeps it."""
    for split in ("train", "val", "test"):
        for name in ("cat", "dog"):
            (photos / "sorted" / split / name).mkdir(parents=True)
    for name in ("cat", "dog"):
        for seed in range(8):
            split = ("train", "train", "val", "test")[seed % 4]
            content = (photos / name / f"{seed}.png").read_bytes()
            (photos / "sorted" / split / name / f"{seed}.png").write_bytes(content)
    twin = photos / "sorted" / "train" / "cat" / "twin.png"
    twin.write_bytes((photos / "cat" / "3.png").read_bytes())
    assert pervade("train", photos / "sorted", *SMALL, "--name", "one").status == 0
    stored = json.loads((workplace / "runs" / "one" / "data.json").read_text())
    reason = "the same as test/cat/3.png in the test split, so not used for train"
    assert stored["left_out"] == [{"source": "train/cat/twin.png", "reason": reason}]
    splits: dict[str, set[str]] = {}
    for digest, split in zip(stored["columns"]["hash"], stored["columns"]["split"], strict=True):
        splits.setdefault(digest, set()).add(split)
    assert all(len(each) == 1 for each in splits.values())


def test_a_class_of_which_nothing_can_be_read(pervade, photos: Path, workplace: Path) -> None:
    """It is no class, and the others are learnt."""
    (photos / "owl").mkdir()
    (photos / "owl" / "empty.jpg").write_bytes(b"")
    assert pervade("train", photos, *SMALL, "--name", "one").status == 0
    stored = json.loads((workplace / "runs" / "one" / "data.json").read_text())
    assert stored["left_out"] == [{"source": "owl/empty.jpg", "reason": "the file is empty (0 bytes)"}]
    assert set(stored["columns"]["target"]) == {"cat", "dog"}
