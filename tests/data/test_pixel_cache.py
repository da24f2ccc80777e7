"""The cache of decoded pixels: keyed by content, built once, bounded, and never in the way."""

from __future__ import annotations

import logging
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pervade.core.errors import ConfigError, DataError
from pervade.core.types import Rows
from pervade.data.rows import cache
from pervade.domains.image import Image
from tests.data.drawing import class_folders, encoded, pixels

DOMAIN = Image(size=16)


@pytest.fixture(autouse=True)
def fresh() -> None:
    cache.warn.cache_clear()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "photos", count=4)


def prepare(folder: Path, domain: Image = DOMAIN) -> Rows:
    return domain.prepare(domain.read(folder)[0], lambda done, total: None)[0]


def entries(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if each.is_dir())


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are decoded."""
    seen: list[str] = []
    original = Image._decode
    monkeypatch.setattr(Image, "_decode", lambda self, path: seen.append(path) or original(self, path))
    return seen


def test_pixels_are_those_of_the_files(photos: Path) -> None:
    rows = prepare(photos)
    for row in rows:
        assert np.array_equal(row["pixels"], DOMAIN._decode(row["path"]))
        bare = {name: value for name, value in row.items() if name != "pixels"}
        domain = DOMAIN.fit(rows)
        assert np.array_equal(domain.transform(row, None)[0]["input"], domain.transform(bare, None)[0]["input"])


def test_second_time_nothing_is_decoded(photos: Path, cache_folder: Path, decodings: list[str]) -> None:
    first = prepare(photos)
    assert len(decodings) == 8
    second = prepare(photos)
    assert len(decodings) == 8
    assert len(entries(cache_folder)) == 1
    assert all(np.array_equal(a["pixels"], b["pixels"]) for a, b in zip(first, second, strict=True))


def test_key_is_the_content(photos: Path, tmp_path: Path, decodings: list[str]) -> None:
    prepare(photos)
    photos.rename(tmp_path / "elsewhere")
    prepare(tmp_path / "elsewhere")  # other names, same bytes
    assert len(decodings) == 8
    path = tmp_path / "elsewhere" / "cat" / "0.png"
    path.write_bytes(encoded(pixels(1, 77)))
    rows = prepare(tmp_path / "elsewhere")
    assert len(decodings) == 16
    assert np.array_equal(rows[0]["pixels"], DOMAIN._decode(str(path)))
    prepare(tmp_path / "elsewhere", Image(size=12))  # another transform
    assert len(decodings) == 16 + 1 + 8


def test_copies_are_kept_once(photos: Path, decodings: list[str]) -> None:
    (photos / "cat" / "copy.png").write_bytes((photos / "cat" / "0.png").read_bytes())
    rows = prepare(photos)
    assert len(rows) == 9
    assert len(decodings) == 8


def test_reasons_are_kept(photos: Path, decodings: list[str]) -> None:
    (photos / "cat" / "bad.png").write_bytes(b"no picture")
    for _ in range(2):
        rows, left_out = DOMAIN.prepare(DOMAIN.read(photos)[0], lambda done, total: None)
        assert len(rows) == 8
        assert [(each.source, each.reason[:20]) for each in left_out] == [("cat/bad.png", "this is not a pictur")]
    assert len(decodings) == 9


def decode(photos: Path, told: Any) -> None:
    """Says how many pictures this process decoded, and the sum of all pixels."""
    made, original = [], Image._decode
    Image._decode = lambda self, path: made.append(path) or original(self, path)  # type: ignore[method-assign]
    domain = Image(size=16)
    rows, _ = domain.read(photos)
    rows, _ = domain.prepare(rows, lambda done, total: None)
    told.put((len(made), sum(int(row["pixels"].sum()) for row in rows)))


def test_two_processes_build_it_once(photos: Path, cache_folder: Path) -> None:
    start = multiprocessing.get_context("fork")  # which has torch loaded already
    told_by: Any = start.Queue()
    processes = [start.Process(target=decode, args=(photos, told_by)) for _ in range(2)]
    for process in processes:
        process.start()
    told = [told_by.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(made for made, _ in told) == [0, 8]
    assert told[0][1] == told[1][1]
    assert len(entries(cache_folder)) == 1


def test_bounded_and_the_longest_unused_goes_first(
    photos: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = prepare(photos)  # 8 pictures of 18 x 18
    (oldest,) = entries(cache_folder)
    monkeypatch.setenv("PERVADE_CACHE_GB", str(25_000 / 1e9))
    for seed in range(3):
        (photos / "cat" / "0.png").write_bytes(encoded(pixels(0, 100 + seed)))
        prepare(photos)
        assert sum(file.stat().st_size for file in cache_folder.glob("*/*")) <= 25_000
    assert oldest not in entries(cache_folder)
    assert kept[1]["pixels"].sum() > 0  # whoever still reads an entry that went keeps its pages


def test_over_the_limit_works_and_says_so(
    photos: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PERVADE_CACHE_GB", "0.000001")
    (photos / "cat" / "bad.png").write_bytes(b"no picture")
    for _ in range(2):
        rows = prepare(photos)
        assert len(rows) == 8
        assert "pixels" not in rows
    assert DOMAIN.fit(rows).transform(rows[0], None)[0]["input"].shape == (16, 16, 3)
    assert [each.levelno for each in caplog.records] == [logging.WARNING]  # once in a process
    assert "files are decoded anew each time" in caplog.text
    assert "raise PERVADE_CACHE_GB" in caplog.text
    monkeypatch.setenv("PERVADE_CACHE_GB", "1")  # more room: now it is built
    assert "pixels" in prepare(photos)


def test_folder_that_cannot_be_written(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "file"))
    rows = prepare(photos)
    assert len(rows) == 8
    assert "pixels" not in rows
    assert "the cache cannot be used" in caplog.text
    assert "set PERVADE_CACHE" in caplog.text


@pytest.mark.parametrize("text", ["many", "nan", "inf"])
def test_limit_that_is_no_number(text: str, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERVADE_CACHE_GB", text)
    with pytest.raises(ConfigError, match=f"PERVADE_CACHE_GB is '{text}'; give a number of gigabytes, such as 20"):
        prepare(photos)


@pytest.mark.parametrize(
    ("name", "keep"), [("index.json", 30), ("pixels.bin", 30), ("index.json", 0), ("pixels.bin", -1)]
)
def test_damaged_entry_is_built_again(name: str, keep: int, photos: Path, cache_folder: Path) -> None:
    first = [row["pixels"].copy() for row in prepare(photos)]
    path = cache_folder / entries(cache_folder)[0] / name
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:keep] if keep >= 0 else bytes(len(content)))  # -1: garbage of the same length
    again = prepare(photos)
    assert all(np.array_equal(a, b["pixels"]) for a, b in zip(first, again, strict=True))


def test_what_a_killed_process_left_is_removed(photos: Path, cache_folder: Path) -> None:
    cache_folder.mkdir(parents=True)
    (cache_folder / ".0123456789abcdef.4711.tmp").mkdir()
    prepare(photos)
    assert len(entries(cache_folder)) == 1
    assert not list(cache_folder.glob(".*.tmp"))


def test_disk_that_fails_between_is_no_fault_of_the_picture(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self, path):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Image, "_decode", fail)
        with pytest.raises(DataError, match=r"/\d\.png could be opened but not a second time \(Input/output error\)"):
            prepare(photos)
    assert len(prepare(photos)) == 8
