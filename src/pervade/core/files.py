"""Files that are either whole or not there.

Every write goes to a temporary neighbour, is flushed to the disk, and then takes its place by a rename. A folder is
replaced the same way; where a crash falls between the two renames of a folder, `settle` finishes the swap.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pervade.core.errors import CheckpointError, ResourceError

FORMAT = 1  # of every JSON file written; raised when a reader of the old would misread the new


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


def read_json(path: Path, *keys: str) -> dict[str, Any]:
    """Raises CheckpointError where the file is missing, cut off, lacks one of `keys`, or is from a newer version."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ValueError("it holds no JSON object")
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing; the folder is not a complete run or checkpoint") from None
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); use another checkpoint or train again") from None
    check_format(path, data.get("format"))
    lacking = [key for key in keys if key not in data]
    if lacking:
        raise CheckpointError(f"{path} is damaged (it has no {lacking[0]!r}); use another checkpoint or train again")
    return data


def check_format(path: Path, found: Any) -> None:
    if not isinstance(found, int) or found > FORMAT:
        raise CheckpointError(
            f"{path} has format {found!r}, and this version of Pervade reads up to {FORMAT}; update Pervade to open it"
        )


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
