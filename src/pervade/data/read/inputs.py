"""What `predict` is given: names of files, folders and tables, texts, seeds, labels, in Python from anywhere.

An input stands for rows in their order, or for the reason why it cannot be used: each in its place, so that answers
can be laid beside what was asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pervade.core.contracts import Domain
from pervade.core.contracts.capabilities import Conversational
from pervade.core.errors import DataError
from pervade.core.types import LeftOut, Rows
from pervade.data.read import account, listing, tables
from pervade.data.text import texts

IN_A_FOLDER = "a table inside a folder, whose files are answered already; give the table itself for those it names"
Entry = dict[str, Any]
ReadTable = Callable[[Path], Iterable[Entry | LeftOut]]


def entries(domain: Domain, inputs: Any) -> Iterator[Entry | LeftOut]:
    """What the inputs stand for, one after the other; `inputs` may be a single one, or anything to be gone through
    once. Raises DataError where it is a table with columns (pandas), of which nobody said which."""
    turns = isinstance(domain, Conversational)  # messages of a conversation are lists and dicts
    for number, item in enumerate(_several(inputs, turns), start=1):
        why = _fault(item, turns)
        if why is not None:
            yield LeftOut(f"input {number}", why)
            continue
        given: Any = item if isinstance(item, (list, tuple, dict)) else str(item)
        given = os.fsdecode(item) if isinstance(item, os.PathLike) else given
        try:
            yield from domain.asked(given, number)
        except DataError as error:
            yield LeftOut(_shown(given), str(error))
        except OSError as error:
            yield LeftOut(_shown(given), f"it cannot be opened ({error.strerror or error})")


def in_place(
    asked: Sequence[Entry | LeftOut], kept: Rows, unreadable: Sequence[LeftOut]
) -> Iterator[tuple[int, LeftOut | None]]:
    """For each of what was found its position among the rows that were `kept` of the entries, or why it has none. The
    others are `unreadable`, in their order."""
    position = {int(number): place for place, number in enumerate(kept.number)}
    faults, number = iter(unreadable), 0
    for entry in asked:
        if isinstance(entry, LeftOut):
            yield -1, entry
            continue
        yield (position[number], None) if number in position else (-1, next(faults))
        number += 1


def files(given: str, content: tables.Content) -> list[Entry | LeftOut]:
    """The files that an input names, is a folder of, or is a table of. In a folder a table names what lies there
    anyway, so it is left out."""
    what = content.what
    if not given:  # which `Path` takes for the current folder, and nobody meant
        return [LeftOut(given, f"an empty name is no file; give {what}s or folders of {what}s")]
    entries = held(given, content.suffixes, lambda path: tables.unlabelled(path, content), inside=False)
    if entries is None:
        return [LeftOut(_shown(given), f"it is not there; give {what}s or folders of {what}s")]
    return entries or [LeftOut(_shown(given), f"it is an empty folder; give {what}s or folders of {what}s")]


def held(
    given: str,
    suffixes: Collection[str],
    table: ReadTable,
    inside: bool = True,
    is_table: Callable[[Path], bool] = tables.is_table,
) -> list[Entry | LeftOut] | None:
    """What lies at a path: the file ("path"), the rows of a table, or of a folder all files with one of the `suffixes`,
    and its tables where they are read `inside` it. None where there is no such path."""
    path = Path(given)
    if is_table(path) or (given.lower().endswith(".zip") and os.path.isfile(given)):  # noqa: PTH113
        return _rows_of(path, table)
    if os.path.isdir(given):  # noqa: PTH112  (Path.is_dir raises where a text is too long for a name)
        return [entry for file in _walked(path, suffixes) for entry in _inside(file, table, inside, is_table)]
    return [{"id": given, "path": given}] if os.path.isfile(given) else None  # noqa: PTH113


def opened(entries: Sequence[Entry | LeftOut], encoding: str, lines: bool) -> Iterator[Entry | LeftOut]:
    """Text files among them as their "text", one at a time; as a text for each of their `lines`, if so."""
    for entry in entries:
        if isinstance(entry, LeftOut) or "path" not in entry:
            yield entry
            continue
        try:
            text = texts.read_file(Path(entry["path"]), encoding)
        except OSError as error:
            yield LeftOut(entry["id"], f"the file cannot be opened ({error.strerror or error})")
        except DataError as error:
            yield LeftOut(entry["id"], str(error).removeprefix(f"{entry['path']} "))
        else:
            there = text.rstrip().replace("\r\n", "\n").split("\n")  # one at least
            if lines:
                yield from ({"id": f"{entry['id']}#{n}", "text": line} for n, line in enumerate(there, start=1))
                continue
            if len(entries) == 1 and len(there) > 1:
                account.note(f"{entry['id']}: 1 text of {len(there):,} lines", "--lines makes each line a text")
            yield {"id": entry["id"], "text": text}


def _walked(root: Path, suffixes: Collection[str]) -> list[Path | LeftOut]:
    """Everything below a folder in the order in which it is walked: files before folders, by name."""
    paths, lost = listing.walk(root, suffixes)
    placed: list[tuple[Path, Path | LeftOut]] = [(path, path) for path in paths]
    for left_out in lost:
        if left_out.source.endswith("/"):  # an empty folder inside, of which nothing is asked
            continue
        path = root / left_out.source
        placed.append((path, path if tables.is_table(path) else LeftOut.of(path, left_out.reason)))
    placed.sort(key=lambda pair: [(1, part) for part in pair[0].parts[:-1]] + [(0, pair[0].name)])
    return [path for _, path in placed]


def _inside(
    file: Path | LeftOut, table: ReadTable, inside: bool, is_table: Callable[[Path], bool]
) -> list[Entry | LeftOut]:
    if isinstance(file, LeftOut):
        return [file]
    if not is_table(file):
        return [{"id": str(file), "path": str(file)}]
    return _rows_of(file, table) if inside else [LeftOut(str(file), IN_A_FOLDER)]


def _rows_of(path: Path, table: ReadTable) -> list[Entry | LeftOut]:
    try:
        return list(table(path))
    except DataError as error:
        return [LeftOut(listing.shown(path), str(error).removeprefix(f"{path} ").removeprefix(f"{path}: "))]


def _several(inputs: Any, turns: bool) -> Iterable[Any]:
    """The inputs one by one; dicts alone are the messages of one conversation, where the model takes turns."""
    if hasattr(inputs, "columns") and hasattr(inputs, "iloc"):
        raise DataError(f"a table with the columns {', '.join(map(str, inputs.columns))} is given; give one of them")
    if isinstance(inputs, np.ndarray) and inputs.ndim == 0:
        return [inputs.item()]
    whole = isinstance(inputs, (str, bytes, bytearray, os.PathLike, Mapping))
    if whole or not isinstance(inputs, Iterable):
        return [inputs]
    if turns and isinstance(inputs, (list, tuple)) and inputs and all(isinstance(item, Mapping) for item in inputs):
        return [list(inputs)]
    return inputs


def _fault(given: Any, turns: bool) -> str | None:
    """Why something that is no text, name or number cannot be asked about."""
    if tables.missing(given):
        return "it is missing"
    if isinstance(given, (bytes, bytearray, memoryview)):
        return "it is bytes; decode them to a text, or write them to a file and give its name"
    if isinstance(given, (str, os.PathLike, int, float, np.number)) or (
        turns and isinstance(given, (list, tuple, dict))
    ):
        return None
    return f"it is a {type(given).__name__}; give a text, or the name of a file"


def _shown(given: Any) -> str:
    return listing.shown(given) if isinstance(given, str) else "a conversation"
