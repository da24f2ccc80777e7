"""Files that are either whole or not there, and the one way in which stored ones are read.

Every write goes to a temporary neighbour, is flushed to the disk, and then takes its place by a rename. A folder is
replaced the same way; where a crash falls between the two renames of a folder, `settle` finishes the swap.

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
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from pervade.core.errors import CheckpointError, PervadeError, ResourceError

FORMAT = 1  # of every JSON file written; raised when a reader of the old would misread the new
# Bytes that are read at most: of settings and figures; of what holds a line or an entry for every row or step.
SETTINGS, ROWS = 64 << 20, 4 << 30
DEPTH = 100  # lists and objects inside one another
DIGITS = 40  # of a whole number: numpy's generators have states of 128 bits


@contextlib.contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"cannot write {path}: {error.strerror or error}; nothing saved before was lost. "
            "Free some space or choose another folder, then resume"
        ) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path to write; on leaving it becomes `path`. A fault leaves what was there before.

    Raises ResourceError where the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _said(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """As `replacing`, for a folder of files; one writer at a time. `settle(path)` must be called before it is read."""
    new = path.with_name(f".{path.name}.new")
    work = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _said(path):
            for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            work.mkdir(parents=True)
            settle(path)
            shutil.rmtree(new, ignore_errors=True)  # left by a crash after it was whole and before `path` went
            yield work
            for file in work.iterdir():
                _sync(file)
            _sync(work)
            work.rename(new)
            _swap(path, new)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def settle(path: Path) -> None:
    """Finishes a swap of `path` that a crash cut in two: a complete new folder wins, else the old one comes back.

    Where `path` is there nothing is touched, so that a reader does not disturb a process that is writing just now.
    """
    new, old = path.with_name(f".{path.name}.new"), path.with_name(f".{path.name}.old")
    for other in (new, old):
        if not path.exists() and other.exists():
            _take_place(other, path)


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
    except FileNotFoundError:
        if not path.exists():  # else a reader has settled it at the same moment
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


def read_text(path: Path, most: int = SETTINGS, error: type[PervadeError] = CheckpointError) -> str:
    """As `read_bytes`, of a text in UTF-8."""
    try:
        return read_bytes(path, most, error).decode("utf-8")
    except UnicodeDecodeError as fault:
        raise error(f"{path} is damaged (it is not UTF-8: byte {fault.start:,}); {_ANOTHER}") from None


def parse_json(text: str) -> Any:
    """Raises ValueError where it is no JSON, is nested too deeply, or holds a number that is not finite, one of too
    many digits, or a key twice."""
    try:
        value = json.loads(
            text, parse_float=_finite, parse_int=_whole, parse_constant=_no_number, object_pairs_hook=_once
        )
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if text.count("[") + text.count("{") > DEPTH:  # else it cannot be deeper than that
        level = [value]
        for _ in range(DEPTH):
            level = [inner for each in level for inner in _inside(each) if isinstance(inner, (dict, list))]
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


def read_json(path: Path, *keys: str, most: int = SETTINGS) -> dict[str, Any]:
    """Raises CheckpointError where the file is missing, cut off, lacks one of `keys`, or is from a newer version."""
    try:
        data = parse_json(read_text(path, most))
        if not isinstance(data, dict):
            raise ValueError("it holds no JSON object")
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged ({error}); {_ANOTHER}") from None
    check_format(path, data.get("format"))
    lacking = [key for key in keys if key not in data]
    if lacking:
        raise CheckpointError(f"{path} is damaged (it has no {lacking[0]!r}); {_ANOTHER}")
    return data


def check_format(path: Path, found: Any) -> None:
    if type(found) is not int or found < 1:  # a bool is an int to Python
        raise CheckpointError(
            f"{path} is damaged (its format is {repr(found)[:DIGITS]}, not a number from 1); {_ANOTHER}"
        )
    if found > FORMAT:
        raise CheckpointError(
            f"{path} has format {found!r}, and this version of Pervade reads up to {FORMAT}; update Pervade to open it"
        )


def sha256(path: Path) -> str:
    """Raises OSError."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
