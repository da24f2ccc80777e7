"""A cache of decoded pictures: one file of bytes, memory-mapped, so that every later epoch and run reads pixels.

The key is the content (SHA-256 of every file) and the transform, so a changed picture or setting is another cache.
Two processes that need the same one build it once: the second waits on a lock. The folder is bounded; the entries
longest unused go first.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np

from pervade.core import files
from pervade.core.errors import ConfigError

VERSION = 1  # of the layout below
T, R = TypeVar("T"), TypeVar("R")


def folder() -> Path:
    """$PERVADE_CACHE, or the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pervade"
    return Path(os.environ.get("PERVADE_CACHE") or default) / "decoded"


def limit() -> int:
    """Bytes that the cache may take: $PERVADE_CACHE_GB in gigabytes, 20 unless set."""
    text = os.environ.get("PERVADE_CACHE_GB", "20")
    try:
        return int(float(text) * 1e9)
    except ValueError:
        raise ConfigError(f"PERVADE_CACHE_GB is {text!r}; give a number of gigabytes, such as 20") from None


class Pictures(Sequence[np.ndarray]):
    """Arrays (h, w, c) uint8 of uneven size, read from one memory-mapped file."""

    def __init__(self, path: Path, places: Sequence[tuple[int, int, int, int]]) -> None:
        self.path, self.places = path, places
        self.bytes = np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else np.empty(0, np.uint8)

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[np.ndarray]: ...

    def __getitem__(self, index: int | slice) -> np.ndarray | Sequence[np.ndarray]:
        if isinstance(index, slice):
            return Pictures(self.path, self.places[index])
        start, height, width, channels = self.places[index]
        return self.bytes[start : start + height * width * channels].reshape(height, width, channels)


def hash_files(paths: Sequence[str], progress: Callable[[int, int], None]) -> list[str | None]:
    """SHA-256 of every file, None where it cannot be read."""

    def digest(path: str) -> str | None:
        try:
            return files.sha256(Path(path))
        except OSError:
            return None

    out: list[str | None] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for each in _ordered(pool, digest, paths):
            out.append(each)
            progress(len(out), len(paths))
    return out


def decoded(
    paths: Sequence[str],
    hashes: Sequence[str],
    make: Callable[[str], np.ndarray | str],
    transform: dict[str, Any],
    progress: Callable[[int, int], None],
) -> tuple[list[np.ndarray | None], list[str | None]]:
    """For every path its pixels, or the reason why there are none. `make` maps a path to pixels or that reason.

    Pixels are None as well, without a reason, where they do not fit under the limit; then the caller decodes each time.
    """
    first: dict[str, str] = {}
    for path, digest in zip(paths, hashes, strict=True):
        first.setdefault(digest, path)
    unique = sorted(first)
    key = hashlib.sha256(json.dumps([VERSION, transform, unique], sort_keys=True).encode()).hexdigest()[:32]
    place = folder() / key
    place.parent.mkdir(parents=True, exist_ok=True)
    with _locked(place.with_suffix(".lock")):
        files.settle(place)
        if not place.exists():
            with files.replacing_folder(place) as work:
                _build(work, [first[digest] for digest in unique], make, progress)
            _evict(keep=place)
        os.utime(place)
        index = files.read_json(place / "index.json")
    entry = dict(zip(unique, range(len(unique)), strict=True))
    pictures = Pictures(place / "pixels.bin", [tuple(each) for each in index["places"]])
    where = [entry[digest] for digest in hashes]
    reasons = [index["reasons"][i] for i in where]
    held = len(pictures) > 0 and index["whole"]
    pixels = [pictures[i] if held and reason is None else None for i, reason in zip(where, reasons, strict=True)]
    return pixels, reasons


def _build(
    work: Path, paths: Sequence[str], make: Callable[[str], np.ndarray | str], progress: Callable[[int, int], None]
) -> None:
    places: list[tuple[int, int, int, int]] = []
    reasons: list[str | None] = []
    end, whole, most = 0, True, limit()
    with (work / "pixels.bin").open("wb") as file, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for made in _ordered(pool, make, paths):
            if isinstance(made, str):
                places.append((0, 0, 0, 0))
                reasons.append(made)
            else:
                height, width, channels = made.shape
                places.append((end, height, width, channels))
                reasons.append(None)
                end += made.size
                whole = whole and end <= most
                if whole:
                    file.write(np.ascontiguousarray(made).data)
            progress(len(reasons), len(paths))
        if not whole:
            file.truncate(0)
    files.write_json(work / "index.json", {"places": places, "reasons": reasons, "whole": whole}, indent=None)


def _ordered(pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`map` in order that keeps only a few results waiting: a whole data set of pixels need not fit into memory."""
    rest = iter(items)
    waiting = [pool.submit(function, item) for item in islice(rest, 64)]
    while waiting:
        done = waiting.pop(0)
        yield done.result()
        waiting += [pool.submit(function, item) for item in islice(rest, 1)]


def _evict(keep: Path) -> None:
    """Removes whole entries, the longest unused first, until the rest is under the limit. A process that still maps
    one keeps its pages: the file goes when the last reader closes it."""
    import shutil

    entries = [each for each in folder().iterdir() if each.is_dir() and not each.name.startswith(".")]
    sizes = {each: sum(file.stat().st_size for file in each.iterdir()) for each in entries}
    total = sum(sizes.values())
    for entry in sorted(entries, key=lambda each: each.stat().st_mtime):
        if total <= limit():
            break
        if entry != keep:
            shutil.rmtree(entry, ignore_errors=True)
            total -= sizes[entry]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
