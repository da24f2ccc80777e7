"""Tables of files and labels: csv, tsv, json, jsonl, parquet.

Columns are found by name; in a table without a line of names by content: the files are those that exist, a column of
nothing but split names is the split, and the one that is left is the label.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pervade.core.errors import DataError, nearest
from pervade.core.types import LeftOut
from pervade.data.split import NAMES as SPLITS

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
LABEL_COLUMNS = ("label", "labels", "class", "target", "category", "y")
SPLIT_COLUMNS = ("split", "subset", "fold")
GROUP_COLUMNS = ("group", "subject", "patient", "person", "speaker")
LONGEST_NAME = 200  # characters of a value that are shown in a message

Record = dict[str, Any]


def is_table(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def read(path: Path, file_columns: Sequence[str], what: str) -> tuple[list[Record], list[LeftOut]]:
    """Entries with "id", "path", "target", and "split" and "group" where there are such columns; file names are
    relative to the table's folder. Rows without file or label are left out.

    Raises DataError where the table cannot be read or its columns cannot be told apart.
    """
    records = read_records(path)
    columns = list(dict.fromkeys(name for record in records for name in record))
    files = _column_of_files(path, records, columns, file_columns, what)
    split, group = _named(columns, SPLIT_COLUMNS), _named(columns, GROUP_COLUMNS)
    if split is None and columns == _numbered(len(columns)):
        split = next((each for each in columns if all(_split(record.get(each)) for record in records)), None)
    label = _column_of_labels(path, columns, {files, split, group})
    entries, left_out = [], []
    for number, record in enumerate(records, start=1):
        where = f"{path.name}, row {number}"
        name, target = _text(record.get(files), where, files), _text(record.get(label), where, label)
        if name is None or target is None:
            left_out.append(LeftOut(where, f"it has no {files if name is None else label}"))
            continue
        file = _existing(path.parent, str(record[files])) or _existing(path.parent, name)
        if file is None:
            left_out.append(LeftOut(where, f"the file {name[:LONGEST_NAME]!r} is not there"))
            continue
        entry: Record = {"id": f"{path.name}#{number} {name}", "path": str(file), "target": target}
        if split is not None:
            entry["split"] = _split(record.get(split))
            if entry["split"] is None:
                value = str(record.get(split) or "")
                raise DataError(
                    f"{path}, row {number}: unknown split {value!r} in column {split!r}; {nearest(value, SPLITS)}"
                )
        if group is not None:
            # A row without a group depends on no other row, so it is a group of its own.
            entry["group"] = _text(record.get(group), where, group) or entry["id"]
        entries.append(entry)
    return entries, left_out


def _column_of_files(path: Path, records: list[Record], columns: Sequence[str], names: Sequence[str], what: str) -> str:
    """By name, else the first column whose first values are files that exist."""
    sample = records[:5]
    found = _named(columns, names)
    if found is None:
        for column in columns:
            if all(_existing(path.parent, str(record.get(column) or "")) for record in sample):
                return column
        raise DataError(
            f"{path} has no column of {what} files; its columns are {', '.join(columns)}; "
            f"name one of them {' or '.join(names[:3])}"
        )
    value = next((record[found] for record in records if record.get(found) is not None), "")
    if not isinstance(value, str):
        raise DataError(
            f"{path}: column {found!r} holds {what}s or other values ({type(value).__name__}), not the names of files; "
            f"write each {what} to a file, and its name into the table"
        )
    return found


def _column_of_labels(path: Path, columns: Sequence[str], taken: set[str | None]) -> str:
    """The column called label; else the only one with a like name; else the only one that is left."""
    rest = [column for column in columns if column not in taken]
    for candidates in (
        [column for column in rest if column.strip().lower() == LABEL_COLUMNS[0]],
        [column for column in rest if column.strip().lower() in LABEL_COLUMNS],
        rest,
    ):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise DataError(
                f"{path} has several columns that may hold labels ({', '.join(candidates)}); name one label"
            )
    raise DataError(f"{path} has no column of labels; its columns are {', '.join(columns)}; name one of them label")


def _named(columns: Sequence[str], names: Sequence[str]) -> str | None:
    lower = {column.strip().lower(): column for column in columns}
    return next((lower[name] for name in names if name in lower), None)


def _existing(folder: Path, name: str) -> Path | None:
    # os.path.isfile, because Path.is_file raises at names that are too long.
    return folder / name if name and os.path.isfile(folder / name) else None  # noqa: PTH113


def _split(value: Any) -> str | None:
    return SPLITS.get(value.strip().lower()) if isinstance(value, str) else None


def _text(value: Any, where: str, column: str) -> str | None:
    """A name or label as text; None where there is none. A whole number that pandas made 3.0 is 3."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, (str, int, float)):
        raise DataError(f"{where}: column {column!r} holds a {type(value).__name__}, not one name or number")
    text = unicodedata.normalize("NFC", str(value).strip())
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise DataError(
            f"{where}: column {column!r} holds half a character ({text!r}), which no file could hold; mend it"
        )
    return text or None


def read_records(path: Path) -> list[Record]:
    """The rows of a table, by column. Raises DataError naming the line at fault, or where there are none."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            import pyarrow.parquet as pq

            records = list(pq.read_table(path).to_pylist())
        else:
            text = path.read_bytes().decode("utf-8-sig")
            if suffix == ".json":
                records = _json(path, text)
            elif suffix == ".jsonl":
                records = _json_lines(path, text)
            else:
                records = _separated(path, text, "\t" if suffix == ".tsv" else None)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except (OSError, ValueError, NotImplementedError) as error:  # pyarrow's errors are among these
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}; write it again") from None
    if not records:
        raise DataError(f"{path} has no rows; give one for each file")
    return records


def _separated(path: Path, text: str, delimiter: str | None) -> list[Record]:
    """Fields parted by commas, or by whatever parts the first line: spreadsheets write semicolons in half of Europe."""
    first = text.partition("\n")[0]
    delimiter = delimiter or max(",;\t|", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [row for row in reader if any(field.strip() for field in row)]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}; mend the line") from None
    if not rows:
        return []
    names = [name.strip() for name in rows[0]]
    if any(_existing(path.parent, field) for field in rows[0]):
        names = _numbered(len(rows[0]))
    else:
        rows = rows[1:]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"{path} has two columns named {twice[0]!r}; rename one")
    for number, row in enumerate(rows, start=1):
        if any(row[len(names) :]):
            raise DataError(
                f"{path}, row {number} has {len(row)} fields, and the first line only {len(names)}; "
                f"put fields that hold {delimiter!r} between quotes"
            )
    return [dict(zip(names, row, strict=False)) for row in rows]


def _numbered(count: int) -> list[str]:
    """Names for the columns of a table that has none."""
    return [f"column {number}" for number in range(1, count + 1)]


def _json(path: Path, text: str) -> list[Record]:
    try:
        records = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({error}); write it again") from None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise DataError(f"{path} is not a list of objects; write one object for each file, all in one list")
    return records


def _json_lines(path: Path, text: str) -> list[Record]:
    records = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number} is not JSON ({error}); mend the line") from None
        if not isinstance(record, dict):
            raise DataError(f"{path}, line {number} is not a JSON object; write one object a line")
        records.append(record)
    return records
