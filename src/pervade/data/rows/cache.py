"""What is made once and read again by every later epoch and run: decoded pictures and recordings, tokens of running
text (data/text/corpus.py), features of a frozen body (engine/features.py).

An entry is a folder of files under a key made of all that it depends on (the content, SHA-256 of every file, and the
transform), so a changed picture or setting is another entry. Two processes that need the same one build it once: the
second waits on a lock. Each file's length and a digest of it stand beside it (SEAL); an entry that is not what was
written is built again. All entries together are bounded; those longest unused go first.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np

from pervade.core import files
from pervade.core.errors import CheckpointError, ConfigError, DataError, ResourceError
from pervade.core.terminal import visible
from pervade.data.read import embedded

VERSION = 3  # of the layout below
SEAL = "whole.json"
PIECES, PIECE = 256, 1 << 16  # of a large file so many pieces of so many bytes are looked at, spread over all of it
T = TypeVar("T")
R = TypeVar("R")


def folder() -> Path:
    """$PERVADE_CACHE, or the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pervade"
    return Path(os.environ.get("PERVADE_CACHE") or default) / "decoded"


def features() -> Path:
    """The folder of features beside it, an entry a file."""
    return folder().with_name("features")


def limit() -> int:
    """Bytes that the two may take together: $PERVADE_CACHE_GB in gigabytes, 20 unless set."""
    text = os.environ.get("PERVADE_CACHE_GB", "20")
    try:
        return max(int(float(text) * 1e9), 0)
    except (ValueError, OverflowError):
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
    """SHA-256 of every file, or of the bytes at a place in one (data/read/embedded.py); None where it cannot be
    read."""

    def digest(path: str) -> str | None:
        try:
            return embedded.sha256(path)
        except OSError:
            return None

    out: list[str | None] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for digest_of_file in _ordered(pool, digest, paths):
            out.append(digest_of_file)
            progress(len(out), len(paths))
    return out


def decoded(
    paths: Sequence[str],
    hashes: Sequence[str],
    make: Callable[[str], np.ndarray | str],
    transform: dict[str, Any],
    progress: Callable[[int, int], None],
) -> tuple[list[np.ndarray | None], list[str | None], list[tuple[int, ...]]]:
    """For every path its pixels, or the reason why there are none, and their shape. `make` maps a path to pixels or
    that reason.

    Pixels are None as well, without a reason, where they do not fit under the limit or the cache cannot be written;
    then the caller decodes each time, and a warning has said so.
    """
    first: dict[str, str] = {}  # in the order of the rows
    for path, digest in zip(paths, hashes, strict=True):
        first.setdefault(digest, path)
    unique = sorted(first)
    sources = [first[digest] for digest in unique]
    entry = {digest: number for number, digest in enumerate(unique)}
    try:
        pictures, unique_reasons, shapes = _open_or_build(
            unique, sources, [entry[e] for e in first], make, transform, progress
        )
    except (OSError, ResourceError) as error:
        warn(f"files are decoded anew each time, because the cache cannot be used: {error}; set PERVADE_CACHE")
        pictures, (unique_reasons, shapes) = None, _tried_all(sources, make, progress)
    where = [entry[digest] for digest in hashes]
    reasons = [unique_reasons[i] for i in where]
    pixels = [None if pictures is None or unique_reasons[i] else pictures[i] for i in where]
    return pixels, reasons, [shapes[i] for i in where]


def tried(path: str, decode: Callable[[str], T], fault: type[Exception], again: bool = False) -> T | str:
    """What `decode` makes of a file, or, in one line, why nothing: its `fault`, or that the file cannot be opened.
    `again`: it could be before, and the reason would be kept with the content. That the disk failed now must not be, so
    it raises DataError."""
    try:
        return decode(path)
    except fault as error:
        return str(error)
    except OSError as error:
        reason = error.strerror or error
        if again:
            raise DataError(f"{path} could be opened but not a second time ({reason}); try again") from None
        return f"the file cannot be opened ({reason})"


def _tried_all(
    paths: Sequence[str], make: Callable[[str], np.ndarray | str], progress: Callable[[int, int], None]
) -> tuple[list[str | None], list[tuple[int, ...]]]:
    reasons: list[str | None] = []
    shapes: list[tuple[int, ...]] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for made in _ordered(pool, make, paths):
            reasons.append(made if isinstance(made, str) else None)
            shapes.append(() if isinstance(made, str) else made.shape)
            progress(len(reasons), len(paths))
    return reasons, shapes


def _open_or_build(
    unique: Sequence[str],
    sources: Sequence[str],
    order: Sequence[int],
    make: Callable[[str], np.ndarray | str],
    transform: dict[str, Any],
    progress: Callable[[int, int], None],
) -> tuple[Pictures | None, list[str | None], list[tuple[int, ...]]]:
    """The entry of these contents, built unless it is there and whole. Raises OSError, ResourceError."""
    key = hashlib.sha256(json.dumps([VERSION, transform, unique], sort_keys=True).encode()).hexdigest()[:32]
    place = folder() / key
    index, pictures = entry(place, _open, lambda work: _build(work, sources, order, make, progress))
    if pictures is None and limit():
        warn(
            f"files are decoded anew each time: decoded they take {index['needed'] / 1e9:.1f} GB, and the cache may "
            f"take {room(place.parent) / 1e9:.1f} GB; raise PERVADE_CACHE_GB or free some space in {folder()}"
        )
    return pictures, index["reasons"], [tuple(shape) for _, *shape in index["places"]]


def _open(place: Path) -> tuple[dict[str, Any], Pictures | None] | None:
    """The index and the pixels (None where they did not fit); nothing where there is room for them now."""
    index = files.read_json(place / "index.json", "whole", "needed", "places", "reasons", most=files.ROWS)
    if not index["whole"]:
        return None if index["needed"] <= room(place.parent) else (index, None)
    return index, Pictures(place / "pixels.bin", [tuple(extent) for extent in index["places"]])


def entry(place: Path, read: Callable[[Path], T | None], build: Callable[[Path], None]) -> T:
    """What `read` makes of the entry (nothing: it must be built anew), which `build` fills where it is not there, or is
    not what was written. Raises OSError, ResourceError where the cache cannot be used."""
    with locked(place.name):
        files.settle(place)
        content = read(place) if _is_whole(place) else None
        if content is None:
            files.remove(place)
            with files.replacing_folder(place) as work:
                build(work)
                seal = {file.name: _fingerprint(file) for file in work.iterdir()}
                files.write_json(work / SEAL, {"files": seal}, indent=None)
            content = read(place)
            if content is None:
                raise OSError(f"{place} cannot be read back")
        with suppress(OSError):  # a cache that may only be read
            os.utime(place)
    evict(keep=place)
    return content


def _is_whole(place: Path) -> bool:
    try:
        seal = files.read_json(place / SEAL, "files")["files"]
        return bool(seal == {file.name: _fingerprint(file) for file in place.iterdir() if file.name != SEAL})
    except (CheckpointError, OSError):
        return False


def _fingerprint(path: Path) -> list[int | str]:
    """Bytes, and a digest: of all of them, or of pieces that lie all over a large file."""
    size, digest = path.stat().st_size, hashlib.sha256()
    with files.open_regular(path) as file:
        if size <= PIECES * PIECE:
            return [size, hashlib.file_digest(file, "sha256").hexdigest()]
        for number in range(PIECES):
            file.seek(number * (size - PIECE) // (PIECES - 1))
            digest.update(file.read(PIECE))
    return [size, digest.hexdigest()]


def room(path: Path) -> int:
    """Bytes that one entry may take. A tenth of the free disk is left to others: checkpoints must be saved as well."""
    return min(limit(), int(0.9 * shutil.disk_usage(path).free))


def _build(
    work: Path,
    paths: Sequence[str],
    order: Sequence[int],
    make: Callable[[str], np.ndarray | str],
    progress: Callable[[int, int], None],
) -> None:
    """Reads the paths in the `order` of the rows, so that a file of rows is gone through from front to back once."""
    places: list[tuple[int, int, int, int]] = [(0, 0, 0, 0)] * len(paths)
    reasons: list[str | None] = [None] * len(paths)
    end, most = 0, room(work)
    with (work / "pixels.bin").open("wb") as file, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        made_in_order = _ordered(pool, make, (paths[number] for number in order))
        for done, (number, made) in enumerate(zip(order, made_in_order, strict=True), start=1):
            if isinstance(made, str):
                reasons[number] = made
            else:
                height, width, channels = made.shape
                places[number] = (end, height, width, channels)
                end += made.size
                if end <= most:
                    file.write(np.ascontiguousarray(made).data)
            progress(done, len(paths))
        if end > most:
            file.truncate(0)
    index = {"places": places, "reasons": reasons, "whole": end <= most, "needed": end}
    files.write_json(work / "index.json", index, indent=None)


def _ordered(pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`map` in order that keeps only a few results waiting: a whole data set of pixels need not fit into memory."""
    rest = iter(items)
    waiting = [pool.submit(function, item) for item in islice(rest, 64)]
    while waiting:
        done = waiting.pop(0)
        yield done.result()
        waiting += [pool.submit(function, item) for item in islice(rest, 1)]


def evict(keep: Path) -> None:
    """Removes whole entries, the longest unused first, until the rest is under the limit, and what a killed process
    left half built. A process that still maps an entry keeps its pages: the file goes when the last reader closes it.
    """
    for place in (folder(), features()):
        for left in [*place.glob(".*.tmp"), *place.glob(".*.new"), *place.glob(".*.old")]:
            _remove(left)
    entries = [entry for entry in folder().glob("[!.]*") if entry.is_dir()] + list(features().glob("[!.]*"))
    sizes = {entry: _size(entry) for entry in entries}
    total = sum(size for size, _ in sizes.values())
    for entry in sorted(entries, key=lambda entry: sizes[entry][1]):
        if total <= limit():
            break
        if entry != keep:
            _remove(entry)
            total -= sizes[entry][0]


def _size(entry: Path) -> tuple[int, float]:
    """Bytes, and when it was used last; nothing where another process has just removed it."""
    try:
        within = list(entry.iterdir()) if entry.is_dir() else [entry]
        return sum(file.stat().st_size for file in within), entry.stat().st_mtime
    except FileNotFoundError:
        return 0, 0.0


def _remove(entry: Path) -> None:
    with locked(entry.name.lstrip(".").partition(".")[0], wait=False) as held:
        if not held:  # somebody is at work there
            return
        with suppress(OSError):
            files.remove(entry)


def locked(key: str, wait: bool = True) -> AbstractContextManager[bool]:
    """Holds the entry's lock; without `wait` gives False where another process has it."""
    folder().mkdir(parents=True, exist_ok=True)
    return files.locked(folder() / f"{key}.lock", wait)


@functools.cache
def warn(text: str) -> None:
    """Once in a process; where nobody set up logging, on standard error."""
    logging.getLogger(__name__).warning(visible(text))
