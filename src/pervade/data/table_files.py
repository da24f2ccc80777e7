"""The rows of a table in a file, by column: csv, tsv, json, jsonl, parquet."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pervade.core.errors import DataError
from pervade.data import embedded

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")

Record = dict[str, Any]


Lines = Sequence[Sequence[str]]


def numbered(count: int) -> list[str]:
    """Names for the columns of a table that has none."""
    return [f"column {number}" for number in range(1, count + 1)]


def read(
    path: Path,
    has_names: Callable[[Lines], bool] | None = None,
    encoding: str | None = None,
    named: Callable[[Lines], list[str]] = lambda rows: numbered(len(rows[0])),
) -> list[Record]:
    """The rows of a table, by column. Raises DataError naming the line at fault, or where there are none.

    `encoding` is as in `decode`; `has_names` says whether the first line of a csv or tsv file names its columns (unless
    given: where none of its fields is a file that is there); `named` gives names where it does not.
    """
    suffix = path.suffix.lower()
    has_names = has_names or (lambda rows: not any(existing(path.parent, field) for field in rows[0]))
    try:
        if suffix == ".parquet":
            records = embedded.records(path)
        else:
            text = decode(path.read_bytes(), path, encoding)
            if suffix == ".json":
                records = _json(path, text)
            elif suffix == ".jsonl":
                records = _json_lines(path, text)
            else:
                records = _separated(path, text, "\t" if suffix == ".tsv" else None, has_names, named)
    except (OSError, ValueError, NotImplementedError) as error:  # pyarrow's errors are among these
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}; write it again") from None
    if not records:
        raise DataError(f"{path} has no rows; give one for each file")
    return records


def decode(data: bytes, path: Path, encoding: str | None = None) -> str:
    """The text of a file: UTF-8, unless whoever asks has a setting for it (`encoding`).

    Raises DataError naming the first byte that is not in the encoding, and one that fits.
    """
    plain = encoding is None or encoding.lower() in ("utf-8", "utf8")
    try:
        return data.decode("utf-8-sig" if plain else str(encoding))
    except UnicodeDecodeError as error:
        fits = detected(data)
        seems = f", it looks like {fits}" if fits else ""
        setting = f", or set -o domain.encoding={fits}" if fits and encoding is not None else ""
        name = "UTF-8" if plain else encoding
        raise DataError(f"{path} is not {name} (byte {error.start}){seems}; save it as UTF-8{setting}") from None


def detected(data: bytes) -> str | None:
    """The encoding that a file that is not UTF-8 seems to be in; None where nothing is likely."""
    from charset_normalizer import from_bytes

    best = from_bytes(data[:200_000]).best()
    return None if best is None or best.encoding in ("ascii", "utf_8") else str(best.encoding)


def _separated(
    path: Path,
    text: str,
    delimiter: str | None,
    has_names: Callable[[Lines], bool],
    named: Callable[[Lines], list[str]],
) -> list[Record]:
    """Fields parted by commas, or by whatever parts the first line: spreadsheets write semicolons in half of Europe."""
    first = text.partition("\n")[0]
    delimiter = delimiter or max(",;\t|", key=first.count)
    rows = _fields(path, text, delimiter)
    if not rows:
        return []
    if has_names(rows):
        names, rows = [name.strip() for name in rows[0]], rows[1:]
    else:
        names = named(rows)
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


def _fields(path: Path, text: str, delimiter: str) -> list[list[str]]:
    """In tables parted by tabs quotation marks are often letters like others, and a reader of quotes then joins a line
    that begins with one to all that follow. A table is taken for such a one if every line has as many fields, and
    reading its quotes gives other rows than lines, or fails."""
    plain: list[list[str]] = []
    if delimiter == "\t" and '"' in text:
        plain = [line.rstrip("\r").split(delimiter) for line in text.split("\n") if line.strip()]
        plain = plain if len({len(row) for row in plain}) == 1 else []
    try:
        rows = _quoted(path, text, delimiter)
    except DataError:
        if plain:
            return plain
        raise
    return plain if plain and len(rows) != len(plain) else rows


def _quoted(path: Path, text: str, delimiter: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [row for row in reader if any(field.strip() for field in row)]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}; mend the line") from None


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
