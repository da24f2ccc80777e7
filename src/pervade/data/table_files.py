"""The rows of a table in a file, by column: csv, tsv, json, jsonl, parquet."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

from pervade.core.errors import DataError
from pervade.data import embedded

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")

Record = dict[str, Any]


def read(path: Path) -> list[Record]:
    """The rows of a table, by column. Raises DataError naming the line at fault, or where there are none."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            records = embedded.records(path)
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
    if any(existing(path.parent, field) for field in rows[0]):
        names = numbered(len(rows[0]))
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


def numbered(count: int) -> list[str]:
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


def existing(folder: Path, name: str) -> Path | None:
    """The file of this name in the folder, or the place inside a file (data/embedded.py), if it is there."""
    if embedded.place(name):
        return Path(name)
    # os.path.isfile, because Path.is_file raises at names that are too long.
    return folder / name if name and os.path.isfile(folder / name) else None  # noqa: PTH113
