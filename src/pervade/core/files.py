"""Files that are either whole or not there, and the one way in which stored ones are read.

Every write goes to a temporary neighbour, is flushed to the disk, and then takes its place by a rename. A folder is
replaced the same way; where a crash falls between the two renames of a folder, `settle` finishes the swap. A temporary
neighbour is locked by the process that writes it; where nobody holds it, it is a dead one's and is removed.

A run may come from a stranger. So what is read is a regular file (a pipe would wait for ever, a device never end), has
a size and a depth that are bounded, and its JSON holds finite numbers and each key once (core/plain_yaml.py: YAML).
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import math
import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

from pervade.core.errors import CheckpointError, PervadeError, ResourceError

T = TypeVar("T")
FORMAT = 1  # of every JSON file written; raised when a reader of the old would misread the new
# Bytes that are read at most: of settings and figures; of what holds a line or an entry for every row or step.
SETTINGS, ROWS = 64 << 20, 4 << 30
LOCK = ".lock"
DEPTH = 100  # lists and objects inside one another
DIGITS = 40  # of a whole number: numpy's generators have states of 128 bits
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ATTEMPTS = 40  # times that a folder is read anew because it was replaced meanwhile


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Inside, a disk that is full, or a folder that cannot be written, is a ResourceError that names `path`."""
    try:
        yield
    except (OSError, ResourceError) as error:
        fault = error if isinstance(error, OSError) else error.__cause__  # of a file inside what is written
        if not isinstance(fault, OSError):
            raise
        full = fault.errno in FULL or fault.errno is None  # safetensors gives no number
        there = "what was there before is unchanged; " if os.path.exists(path) else ""  # noqa: PTH110  (never raises)
        remedy = "free some space or choose another folder" if full else "choose a folder that can be written"
        raise ResourceError(f"cannot write {path}: {fault.strerror or fault}; {there}{remedy}") from fault


@contextlib.contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[bool]:
    """Holds a lock file, which stays behind, for this process; a dead one holds none. Gives whether it is held: without
    `wait` not where another process has it. Raises OSError where it cannot be made or locked."""
    from filelock import FileLock, Timeout  # takes 0.04 s

    lock = FileLock(path)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextlib.contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """A path to write, in a folder beside `path` that goes on leaving, and so do those that dead processes left for
    `path`. The folder is locked while its process lives, so that no other one removes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        _remove_left(left)
    while True:
        folder = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        folder.mkdir()
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            with contextlib.suppress(FileNotFoundError):  # somebody who cleans up came first
                held = stack.enter_context(locked(folder / LOCK))
            if folder.exists() and held:
                yield folder / path.name
                return


def _remove_left(folder: Path) -> None:
    """Removes what a process that is gone left half written; what a living one holds stays."""
    with contextlib.suppress(OSError), locked(folder / LOCK) as held:  # not ours to remove, or no locks
        if held:
            remove(folder)


def remove(path: Path) -> None:
    """A file or a folder, where it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def clean(folder: Path) -> None:
    """Removes what dead processes left half written or half replaced in a run. The caller holds the run's lock; the
    runs in its `members` have locks of their own."""
    for parent, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(parent, name)
            if name.startswith(".") and name.endswith(".tmp"):
                _remove_left(path)
            elif name.startswith(".") and name.endswith((".new", ".old")):
                settle(path.with_name(name[1:].rpartition(".")[0]))
                shutil.rmtree(path, ignore_errors=True)
        folders[:] = [name for name in folders if not name.startswith(".") and name != "members"]


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path to write; on leaving it becomes `path`. A fault leaves what was there before.

    Raises ResourceError where the disk is full or the folder cannot be written.
    """
    with writing(path), temporary(path) as work:
        yield work
        _sync(work)
        work.replace(path)
        _sync(path.parent)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """As `replacing`, for a folder of files; one writer at a time. It is read through `steady`, or after `settle`."""
    new = path.with_name(f".{path.name}.new")
    with writing(path), temporary(path) as work:
        settle(path)
        shutil.rmtree(new, ignore_errors=True)  # left by a crash after it was whole and before `path` went
        work.mkdir()
        yield work
        for file in work.iterdir():
            _sync(file)
        _sync(work)
        work.rename(new)
        _swap(path, new)


def settle(path: Path) -> None:
    """Finishes a swap of `path` that a crash cut in two: a complete new folder wins, else the old one comes back.

    Where `path` is there nothing is touched, so that a reader does not disturb a process that is writing just now.
    """
    new, old = path.with_name(f".{path.name}.new"), path.with_name(f".{path.name}.old")
    for other in (new, old):
        if not path.exists() and other.exists():
            _take_place(other, path)


def steady(folder: Path, read: Callable[[], T]) -> T:
    """What `read` finds in a folder that another process may be replacing: where it was replaced in between, it is read
    again. Raises what `read` does, CheckpointError where that never comes to rest."""
    for attempt in range(ATTEMPTS):
        before = None
        try:
            settle(folder)
            before = _which(folder)
            value = read()
        except (PervadeError, OSError):
            # Where it is not there at all, it may be between two renames of somebody whose folder we may not settle.
            if _which(folder) == before and (before is not None or attempt >= 2):
                raise
        else:
            if _which(folder) == before:
                return value
        time.sleep(0.002 * attempt)
    raise CheckpointError(f"{folder} is replaced by another process again and again; try again when that has ended")


def _which(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from the one that takes its place; None where there is none."""
    try:
        stat = folder.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns


def _swap(path: Path, new: Path) -> None:
    old = path.with_name(f".{path.name}.old")
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
    _take_place(new, path)
    _sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def _take_place(folder: Path, path: Path) -> None:
    try:
        folder.rename(path)
    except OSError:
        if not path.exists():  # else somebody has settled it at the same moment
            raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        # Bytes of a file's name that are no UTF-8 become \udcXX, which JSON reads back as what it was.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, data: dict[str, Any], indent: int | None = 1) -> None:
    """Writes `{"format": FORMAT, **data}`. Not-a-number is refused: JSON has no such thing."""
    write_text(path, json.dumps({"format": FORMAT, **data}, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


def open_regular(path: Path) -> BufferedReader:
    """A regular file, opened to be read. Raises OSError, at once, where it cannot be, or the path leads to anything
    else: a pipe would wait for ever, a device never end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a path with a zero byte
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is a folder, a pipe or a device, and not a file", str(path))


def read_bytes(path: Path, most: int = SETTINGS, error: type[PervadeError] = CheckpointError) -> bytes:
    """The whole of a regular file. Raises `error` where there is none, or it has more than `most` bytes."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, most) + 1)
    except FileNotFoundError:
        incomplete = "; the folder is not a complete run or checkpoint" if error is CheckpointError else ""
        raise error(f"{path} is missing{incomplete}") from None
    except OSError as fault:
        raise error(f"{path} cannot be read ({fault.strerror or fault}); put the file itself there") from None
    if len(data) > most:
        raise error(f"{path} has {max(size, len(data)):,} bytes, and at most {most:,} of such a file are read")
    return data


def read_text(
    path: Path, most: int = SETTINGS, error: type[PervadeError] = CheckpointError, remedy: str | None = None
) -> str:
    """As `read_bytes`, of a text in UTF-8."""
    try:
        return read_bytes(path, most, error).decode("utf-8")
    except UnicodeDecodeError as fault:
        raise error(f"{path} is damaged (it is not UTF-8: byte {fault.start:,}); {remedy or _ANOTHER}") from None


def parse_json(text: str, foreign: bool = False) -> Any:
    """Raises ValueError where it is no JSON, is nested too deeply, or holds a number that is not finite, one of too
    many digits, or a key twice. What others wrote (`foreign`) may hold infinities, and a key twice."""
    strict: dict[str, Any] = {"parse_float": _finite, "parse_constant": _no_number, "object_pairs_hook": _once}
    try:
        value = json.loads(text, parse_int=_whole, **({} if foreign else strict))
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if text.count("[") + text.count("{") > DEPTH:  # else it cannot be deeper than that
        level = [value]
        for _ in range(DEPTH):
            level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, (dict, list))]
        if level:
            raise ValueError(_TOO_DEEP)
    return value


_ANOTHER = "use another checkpoint or train again"
_TOO_DEEP = f"its lists and objects lie more than {DEPTH} deep in one another"


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


def _whole(text: str) -> int:
    return int(text) if len(text) <= DIGITS else _no_number(text)


def _no_number(text: str) -> Any:
    raise ValueError(f"{text[:DIGITS]} is not a number that it can hold")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands twice")
    return value


def read_json(path: Path, *keys: str, most: int = SETTINGS, remedy: str | None = None) -> dict[str, Any]:
    """Raises CheckpointError where the file is missing, cut off, lacks one of `keys`, or is from a newer version; of a
    damaged one with the `remedy` where it is another than for a checkpoint."""
    another = remedy or _ANOTHER
    try:
        data = parse_json(read_text(path, most, remedy=remedy))
        if not isinstance(data, dict):
            raise ValueError("it holds no JSON object")
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged ({error}); {another}") from None
    check_format(path, data.get("format"), another)
    lacking = [key for key in keys if key not in data]
    if lacking:
        raise CheckpointError(f"{path} is damaged (it has no {lacking[0]!r}); {another}")
    from pervade.core import contents  # which takes time, and needs nothing of this file

    contents.check(path, data, remedy)
    return data


def check_format(path: Path, given: Any, remedy: str = _ANOTHER) -> None:
    if type(given) is not int or given < 1:  # a bool is an int to Python
        raise CheckpointError(
            f"{path} is damaged (its format is {repr(given)[:DIGITS]}, not a number from 1); {remedy}"
        )
    if given > FORMAT:
        raise CheckpointError(
            f"{path} has format {given!r}, and this version of Pervade reads up to {FORMAT}; update Pervade to open it"
        )


def sha256(path: Path) -> str:
    """Raises OSError."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
