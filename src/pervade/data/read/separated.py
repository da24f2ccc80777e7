"""The fields of a text whose lines are parted by commas, semicolons, tabs or bars, as programs and people write them:
Excel's first line `sep=;`, lines in front of the table, quotation marks behind a blank, or as letters like others.
"""

from __future__ import annotations

import csv
import io
import itertools
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pervade.core.errors import DataError
from pervade.data.read import account

Lines = list[list[str]]

DELIMITERS = "\t;,|"  # of equals the first: texts hold commas, and a label is seldom parted by a tab
NONE = "\x1f"  # parts nothing, as it is written nowhere: a table of one column
SAMPLE = 1 << 16  # characters that tell what parts the fields
MOST_IN_FRONT = 20  # lines before the table begins
NAMES = {"\t": "tabs", ";": "semicolons", "|": "bars"}


def read(path: Path, text: str) -> Lines:
    """The fields of each line that is not blank. Raises DataError naming the line at fault."""
    csv.field_size_limit(sys.maxsize)  # 131,072 characters, unless said; a document is longer
    sample = (text[:SAMPLE].rpartition("\n")[0] or text[:SAMPLE]) if len(text) > SAMPLE else text
    tabs = ".tsv" in map(str.lower, path.suffixes[-2:])
    declared = _declared_delimiter(sample)
    delimiter = declared or delimiter_of(sample, tabs)
    if declared is not None:
        account.note(f"{path.name}: parted by {NAMES.get(declared, declared)}, as its first line sep= says")
    elif delimiter in NAMES and not tabs:
        account.note(f"{path.name}: parted by {NAMES[delimiter]}")
    rows = _fields(path, text, delimiter, blank=_blank_before_quote(sample, delimiter))[declared is not None :]
    front = _in_front(rows)
    if front:
        lines = f"{front} line{'s' * (front > 1)} of something else ({rows[0][0][:40]!r})"
        account.note(f"{path.name}: the table begins behind {lines}")
    last = next((i for i in range(len(rows), front, -1) if any(map(str.strip, rows[i - 1]))), front)
    if last < len(rows):  # as spreadsheets write rows in which something stood once
        account.note(f"{path.name}: not used: {len(rows) - last:,} empty rows at its end")
    return rows[front:last]


def _declared_delimiter(sample: str) -> str | None:
    """What Excel's first line says that parts the fields."""
    first = sample.lstrip("\r\n").split("\n", 1)[0].rstrip("\r").strip('"')
    return first[4] if first.lower().startswith("sep=") and len(first) == 5 else None


def delimiter_of(sample: str, tabs: bool = False) -> str:
    """What gives most lines the same number of fields, more than one; `tabs` where the file's name says so, if it has
    any."""
    if tabs and "\t" in sample:
        return "\t"
    best, most = "", 0.0
    for delimiter in DELIMITERS:
        share = same_width(sample, delimiter)
        if share > most + 0.02:
            best, most = delimiter, share
    first = next((line for line in sample.splitlines() if line.strip()), "")
    if most < 0.6 and not any(delimiter in first for delimiter in DELIMITERS):
        return NONE  # one name, and lines that hold commas as texts do
    return best or ","


def same_width(sample: str, delimiter: str) -> float:
    """The share of lines with the most frequent number of fields, where that is more than one."""
    try:
        rows = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, skipinitialspace=True)
        widths = Counter(len(row) for row in rows if row)
    except csv.Error:
        return 0.0
    return max((number for width, number in widths.items() if width > 1), default=0) / max(widths.total(), 1)


def _blank_before_quote(sample: str, delimiter: str) -> bool:
    """Whether fields begin with a blank and a quotation mark, which a reader of quotes takes for letters."""
    try:
        rows = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
        return any(field.startswith(' "') for row in itertools.islice(rows, 1000) for field in row)
    except csv.Error:
        return False


def _in_front(rows: Lines) -> int:
    """How many rows stand in front of the table: with one field at most, where nearly all others have as many as each
    other. Where more are written, and are empty, these may be rows as well, unless names stand behind them."""
    extents = [max((i for i, field in enumerate(row, start=1) if field), default=0) for row in rows[:1000]]
    filled = [extent for extent in extents if extent]
    usual, number = Counter(filled).most_common(1)[0] if filled else (0, 0)
    if usual < 2 or number < 0.8 * len(filled):
        return 0
    front = next(i for i, extent in enumerate(extents) if extent > 1)
    if not _may_name(rows[front], rows[front + 1 :]):
        front = next(i for i, row in enumerate(rows) if len(row) > 1)
    return front if front <= MOST_IN_FRONT else 0


def _may_name(first: Sequence[str], rest: Lines) -> bool:
    """Whether the fields are all there, are no numbers, and none of them stands again in its column."""
    repeated = any(row[i : i + 1] == [cell] for row in rest if row != first for i, cell in enumerate(first))
    return all(first) and not repeated and not any(cell[:1].isdecimal() for cell in first)


def _fields(path: Path, text: str, delimiter: str, blank: bool) -> Lines:
    """In tables parted by tabs or bars quotation marks are often letters like others, and a reader of quotes then joins
    a line that begins with one to all that follow. A table is taken for such a one if every line has as many fields,
    and reading its quotes gives other rows than lines, or fails."""
    plain: Lines = []
    if delimiter in "\t|" and '"' in text:
        plain = [line.rstrip("\r").split(delimiter) for line in text.split("\n") if line.strip("\r")]
        plain = plain if len({len(row) for row in plain}) == 1 else []
    try:
        rows = _quoted(path, text, delimiter, blank)
    except DataError:
        if plain:
            return plain
        raise
    return plain if plain and len(rows) != len(plain) else rows


def _quoted(path: Path, text: str, delimiter: str, blank: bool) -> Lines:
    ways: list[dict[str, Any]] = [{"skipinitialspace": blank}, {}] if blank else [{}]
    if '\\"' in text:  # as MySQL and Python write a quotation mark inside of others
        ways.append({"skipinitialspace": blank, "escapechar": "\\", "doublequote": False})
    fault = ""
    for way in ways:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, **way)
        try:
            return [row for row in reader if row]
        except csv.Error as error:
            fault = fault or f"{path}, line {reader.line_num}: {error}; mend the line"
    raise DataError(fault)


def named(path: Path, rows: Sequence[Sequence[str]], names: list[str]) -> tuple[list[str], list[int]]:
    """Names for the columns of `rows` by those that the first line gives, and the places of those that are used: what
    has no name and no value, or only numbers the rows, is none; what has no name is called by its place. Raises
    DataError where two have the same name."""
    kept: list[int] = []
    empty: list[str] = []
    numbering: list[str] = []
    for place, name in enumerate(names):
        cells: list[str] = []
        if not name or name.lower().startswith("unnamed:"):
            cells = [row[place] for row in rows if place < len(row) and row[place].strip()]
            names[place] = f"column {place + 1}"
            counts = len(cells) == len(rows) == len(set(cells)) and all(map(str.isdecimal, cells))
            if not cells or counts:
                (numbering if cells else empty).append(names[place])
                continue
        kept.append(place)
    if empty:
        account.note(f"{path.name}: not used: {', '.join(empty)}, without a name and empty")
    if numbering:
        account.note(f"{path.name}: not used: {', '.join(numbering)}, without a name, which numbers the rows")
    for place in list(kept):
        same = [other for other in kept if names[other] == names[place]]
        if len(same) > 1 and all(row[same[0] : same[0] + 1] == row[same[1] : same[1] + 1] for row in rows):
            account.note(f"{path.name}: not used: column {same[1] + 1}, the same as {names[place]!r} in every row")
            kept.remove(same[1])
        elif len(same) > 1:
            raise DataError(f"{path} has two columns named {names[place]!r}; rename one")
    return names, kept
