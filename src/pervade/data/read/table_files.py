"""The rows of a table in a file, by column: csv, tsv, json, jsonl, parquet, xlsx; packed as .gz, or alone in a .zip; or
a text file whose lines are all parted alike.

Of a workbook `FILE.xlsx#SHEET` is one sheet. Whoever looks at a table to see what it is reads it whole, since what a
column is, its last row may tell; so the last tables are kept until `forget`.
"""

from __future__ import annotations

import functools
import gzip
import io
import itertools
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pervade.core import memory
from pervade.core.errors import DataError
from pervade.data.read import account, arrays, columns, embedded, json_tables, separated, workbooks
from pervade.data.read.encodings import FLAG, decode_with_name, head, marked
from pervade.data.text import labelled_lines

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".xlsx", ".gz", ".zip", arrays.SUFFIX)
PACKED = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")  # what .gz and .zip may hold
SPLIT_ENDINGS = (".train", ".valid", ".test")  # of fastText's files: cooking.train
PERHAPS = (".txt", ".text", "", ".label", *SPLIT_ENDINGS)  # endings of files that may be tables
ENDS = tuple(".!?…”’»。！？")  # of sentences
MOST_WORDS = 3  # of a label
KEPT = 3  # tables that stay in memory
LARGEST = 1 << 33  # bytes that a packed table may hold

Record = dict[str, Any]
Lines = Sequence[Sequence[str]]


@dataclass
class _Table:
    """What a file holds: `rows` with names or without, what was noted in reading them, and the encoding, where it has
    one, and which were `asked` for; `records` are rows by the names that were given to them so far."""

    rows: list[Any]
    encoding: str | None
    asked: str = "utf-8"
    notes: list[str] = field(default_factory=list)
    records: dict[tuple[str, ...], tuple[list[Record], list[str]]] = field(default_factory=dict)


_kept: dict[tuple[Any, ...], _Table] = {}


def forget() -> None:
    """Lets go of the tables that are kept."""
    _kept.clear()


def numbered(count: int) -> list[str]:
    """Names for the columns of a table that has none."""
    return [f"column {number}" for number in range(1, count + 1)]


def columns_of(records: Sequence[Record]) -> list[str]:
    """The columns of all rows: of JSON any may lack some."""
    return list(dict.fromkeys(itertools.chain.from_iterable(records)))


def ending(path: Path) -> str:
    """ ".csv" of a.csv and of a.csv.gz, ".xlsx" of a.xlsx#Sheet2, ".zip"; empty where the name is no table's."""
    name = re.sub(r"(\.xlsx)#.*", r"\1", path.name.lower())
    bare = name.removesuffix(".gz")
    suffix = os.path.splitext(bare)[1]  # noqa: PTH122
    return suffix if suffix in (PACKED if bare != name else SUFFIXES) and suffix != ".gz" else ""


def bare_name(path: Path) -> str:
    """What a table is called, without what says of which kind it is: "train" of train.csv.gz."""
    if not ending(path):
        return path.name if path.suffix.lower() in SPLIT_ENDINGS else path.stem
    return re.sub(r"(\.xlsx#.*|\.\w+\.gz|\.\w+)$", "", path.name, flags=re.IGNORECASE)


def is_table(path: Path) -> bool:
    """Whether a file is there that is a table by its name; a .zip where one of the names in it is a table's."""
    if not ending(path) or not os.path.isfile(workbooks.place(path)[0]):  # noqa: PTH113
        return False
    return ending(path) != ".zip" or len(_packed(str(path), path.stat().st_mtime_ns)[1]) == 1


def holds_table(path: Path) -> bool:
    """Whether a file is a table, by its name, or, of a text file, by its lines: all are parted alike, by tabs; or by
    something else, and one of two columns holds few different values."""
    if is_table(path):
        return True
    if path.suffix.lower() not in PERHAPS or not os.path.isfile(path):  # noqa: PTH113
        return False
    sample = head(path, separated.SAMPLE)
    lines = [line for line in sample.splitlines() if line.strip()]
    if len(lines) < 3 or "\0" in sample:
        return False
    if labelled_lines.kind(lines) is not None:
        return True
    if separated.same_width(sample, "\t") > 0.95:  # running text may begin its paragraphs with one
        return 2 * sum(line.startswith("\t") for line in lines) < len(lines)
    for delimiter in ";,|":
        cells = [line.split(delimiter) for line in lines]
        if all(len(row) == 2 for row in cells):
            return any(_may_be_labels([row[i].strip() for row in cells]) for i in (0, 1))
    return False


def _may_be_labels(cells: Sequence[str]) -> bool:
    """Whether few values come again and again, and none of them is a part of a sentence.

    >>> _may_be_labels(["good", "bad"] * 3), _may_be_labels(["he said.", "nobody knew."] * 3)
    (True, False)
    """
    values = set(cells)
    if not 1 < len(values) <= columns.FEW or 2 * len(values) > len(cells):
        return False
    bare = [value.strip('"') for value in values if value.count('"') != 1]
    return len(bare) == len(values) and not any(
        len(value.split()) > MOST_WORDS or value.endswith(ENDS) for value in bare
    )


def read(path: Path, has_names: Callable[[Lines], bool] | None = None, encoding: str | None = None) -> list[Record]:
    """The rows of a table, by column; of one without a line of names by "column 1", "column 2" … Nobody may change
    them. Raises DataError naming the line at fault, or where there are none.

    `encoding` is as in `encodings.decode_with_name`; `has_names` says whether the first line names its columns
    (unless given: where none of its fields is a file that is there, and no more than half are numbers).
    """
    has_names = has_names or (lambda rows: _has_names(path.parent, rows[0]))
    table = _table(path, encoding)
    records, notes = _named(path, table, has_names) if table.rows else ([], [])
    for line in (*table.notes, *notes):
        account.note(line)
    if not records:
        raise DataError(f"{path} has no rows, only names of columns or nothing at all; add some")
    return records


def _named(path: Path, table: _Table, has_names: Callable[[Lines], bool]) -> tuple[list[Record], list[str]]:
    """The rows by column, and what was noted in naming these."""
    if isinstance(table.rows[0], dict):
        return table.rows, []
    if not all(isinstance(cell, str) for cell in table.rows[0]):  # of JSON
        table.rows = [["" if cell is None else str(cell) for cell in row] for row in table.rows]
    named = has_names(table.rows)
    names = [str(cell).strip() for cell in table.rows[0]] if named else numbered(max(map(len, table.rows)))
    if tuple(names) not in table.records:
        with account.gathered() as notes:
            made = _by_name(path, table.rows[1:] if named else table.rows, tuple(names) if named else (), list(names))
        table.records[tuple(names)] = made, notes
    return table.records[tuple(names)]


def _has_names(folder: Path, first: Sequence[str]) -> bool:
    numbers = sum(re.fullmatch(r"\s*[-+]?\d*[.,]?\d+\s*", cell) is not None for cell in first)
    return 2 * numbers <= len(first) and not any(existing(folder, cell) for cell in first)


def _by_name(path: Path, rows: list[Any], line_of_names: tuple[str, ...], names: list[str]) -> list[Record]:
    if not line_of_names:
        account.note(f"{path.name}: no line of names; its columns are called column 1 to column {len(names)}")
        return [dict(zip(names, row, strict=False)) for row in rows]
    repeated = sum(row[0] == line_of_names[0] and tuple(map(str.strip, row)) == line_of_names for row in rows if row)
    if repeated:
        account.note(f"{path.name}: not used: {repeated:,} lines that are the line of names again")
        rows = [row for row in rows if tuple(map(str.strip, row)) != line_of_names]
    names, used = separated.named(path, rows, names)
    for number, row in enumerate(rows, start=1):
        if any(row[len(names) :]):
            raise DataError(
                f"{path}, row {number} has {len(row)} fields, and the first line only {len(names)}; "
                "put fields that hold what parts them between quotes"
            )
    if len(used) == len(names) or used == list(range(len(used))):
        return [dict(zip(names[: len(used)], row, strict=False)) for row in rows]
    pairs = [(place, names[place]) for place in used]
    return [{name: row[place] for place, name in pairs if place < len(row)} for row in rows]


def _table(path: Path, encoding: str | None) -> _Table:
    """What the file holds, from what is kept if it did not change since."""
    file, _ = workbooks.place(path)
    try:
        status = os.stat(file)  # noqa: PTH116
        key = (str(path), status.st_mtime_ns, status.st_size)
        table = _kept.get(key)
        asked = encoding or "utf-8"
        if table is None or (table.encoding not in (None, asked.partition(",")[0].strip()) and table.asked != asked):
            with account.gathered() as notes:
                table = _opened(path, encoding)
            table.notes, table.asked = notes, asked
            for oldest in [old_key for old_key in _kept if old_key != key][: max(len(_kept) + 1 - KEPT, 0)]:
                del _kept[oldest]
            _kept[key] = table
    except (OSError, ValueError, NotImplementedError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        # pyarrow's are among these
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}; write it again") from None
    return table


def _opened(path: Path, encoding: str | None) -> _Table:
    kind = ending(path)
    if kind == ".parquet":
        return _Table(list(embedded.records(path)), None)
    if kind == arrays.SUFFIX:
        return _Table(arrays.records(path), None)
    if kind == ".xlsx":
        return _Table(workbooks.rows(path), None)
    if kind == ".zip":
        kind, data = _unzipped(path)
    elif path.name.lower().endswith(".gz"):
        with gzip.open(path) as file:
            data = _bounded(path, file)
    else:
        data = path.read_bytes()
    text, encoding_used = decode_with_name(data, path, encoding)
    if encoding_used not in ("utf-8", "utf-8-sig"):
        why = ", as its byte order mark says" if marked(data) else ""
        account.note(f"{path.name}: in {encoding_used}{why}", "" if why else f"{FLAG} ENCODING")
    if kind in (".json", ".jsonl", ".ndjson"):
        rows: list[Any] = json_tables.read(path, text, lines=kind != ".json")
    else:
        rows = (None if kind else labelled_lines.records(path, text)) or separated.read(path, text)
    return _Table(rows, None if marked(data) else encoding_used)


def _bounded(path: Path, file: IO[bytes] | gzip.GzipFile) -> bytes:
    """What is packed. Raises DataError where it is more than may be held: a small file may unpack to any size."""
    most = min(LARGEST, memory.available() // 2)
    held = io.BytesIO()
    while chunk := file.read(1 << 20):
        held.write(chunk)
        if held.tell() > most:
            raise DataError(f"{path} unpacks to more than {most / 1e9:.3g} GB; unpack it and give a part of it")
    return held.getvalue()


@functools.lru_cache(64)
def _packed(file: str, changed: int) -> tuple[list[str], list[str]]:
    """The names in an archive, and which of them are tables'; none where it is no archive. `changed` makes a file that
    was written anew another one."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
    except (OSError, ValueError, zipfile.BadZipFile):  # whoever reads it is told what is wrong
        return [], []
    return names, [name for name in names if ending(Path(name)) in PACKED and not name.lower().endswith(".gz")]


def _unzipped(path: Path) -> tuple[str, bytes]:
    """The kind and the bytes of the one table in an archive. Raises DataError where there is none, or several."""
    try:
        with zipfile.ZipFile(path) as archive:
            names, inside = _packed(str(path), path.stat().st_mtime_ns)
            if len(inside) == 1:
                account.note(f"{path.name}: {inside[0]} in it, the one table among {len(names):,} files")
                with archive.open(inside[0]) as file:
                    return ending(Path(inside[0])), _bounded(path, file)
    except (zipfile.BadZipFile, RuntimeError) as error:  # RuntimeError: it is locked by a password
        raise DataError(f"{path} cannot be unpacked ({error}); unpack it and give what it holds") from None
    held = f"{len(inside)} tables ({', '.join(inside[:5])})" if inside else f"{len(names):,} files and no table"
    raise DataError(f"{path} holds {held}; unpack it, and give the folder or the table that is meant")


def existing(folder: Path | None, name: str) -> Path | None:
    """The file of this name in the folder, or the place inside a file (data/read/embedded.py), if it is there. Without
    a folder the name must be in full."""
    if embedded.place(name):
        return Path(name)
    if not name or (folder is None and not os.path.isabs(name)):  # noqa: PTH117
        return None
    there = os.path.join(folder or "", name)  # noqa: PTH118  (most are not there, and a Path takes longer than looking)
    # os.path.isfile, because Path.is_file raises at names that are too long.
    return Path(there) if os.path.isfile(there) else None  # noqa: PTH113
