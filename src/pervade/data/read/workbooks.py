"""Sheets of .xlsx workbooks as rows of cells, by openpyxl. `FILE.xlsx#SHEET` names one sheet."""

from __future__ import annotations

import contextlib
import re
import zipfile
from pathlib import Path
from shlex import quote
from typing import Any

from pervade.core import memory
from pervade.core.errors import DataError, nearest
from pervade.data.read import account

LARGEST = 1 << 32  # bytes that a workbook may unpack to
MUCH = 10  # times as many rows as others, and a sheet is the one that is meant
MOST_CELLS = 100_000_000  # of a sheet; 6 columns of as many rows as a sheet may have are 6 millions


def place(path: Path) -> tuple[Path, str | None]:
    """The file, and the sheet that is named behind it."""
    match = re.fullmatch(r"(.+\.xlsx)#(.+)", path.name, re.IGNORECASE)
    return (path.with_name(match[1]), match[2]) if match else (path, None)


def rows(path: Path) -> list[list[str]]:
    """The cells of a sheet that is named, or of the only one that holds a table, else the first that has any; rows and
    columns that are empty are none.

    Raises DataError where there is no such sheet, several hold tables, the file is no workbook, or openpyxl is missing.
    """
    file, asked = place(path)
    try:
        import openpyxl
    except ImportError:
        raise DataError(
            f"{file} is a workbook, and reading these takes openpyxl: pip install 'pervade[files]'; or save it as csv"
        ) from None
    try:
        with zipfile.ZipFile(file) as packed:
            size = sum(member.file_size for member in packed.infolist())
        if size > LARGEST:
            raise DataError(f"{file} unpacks to {size / 1e9:.3g} GB; save a part of it, as csv")
        with contextlib.closing(openpyxl.load_workbook(file, read_only=True, data_only=True)) as book:
            return _sheet(book, file, asked)
    except DataError:
        raise
    except Exception as error:  # it raises almost anything at files that are none, or are cut off
        if memory.ran_out(error):
            raise
        raise DataError(f"{file} is no workbook that can be read ({error}); save it again, or as csv") from None


def _sheet(book: Any, file: Path, asked: str | None) -> list[list[str]]:
    sheets = {sheet.title: sheet for sheet in book.worksheets}
    if asked is not None and asked not in sheets:
        raise DataError(f"{file} has no sheet {asked!r}; {nearest(asked, sheets)}")
    filled = {name: rows for name in ([asked] if asked else sheets) if (rows := _cells(sheets[name], file))}
    # Notes and sums stand on sheets with few rows, or with one cell in most.
    tables = {
        name: rows for name, rows in filled.items() if 2 * sum(len(row) - row.count("") > 1 for row in rows) > len(rows)
    }
    most = max(map(len, tables.values()), default=0)
    chosen = [name for name, rows in tables.items() if MUCH * len(rows) > most and len(rows) > 1] or list(filled)[:1]
    if len(chosen) > 1:
        described = ", ".join(f"{name!r} with {len(tables[name]):,} rows" for name in chosen)
        raise DataError(
            f"{file} has several sheets that hold tables ({described}); say which: {quote(f'{file}#{chosen[0]}')}"
        )
    for name in chosen:
        others = [sheet for sheet in sheets if sheet != name]
        beside = f"; not read: {', '.join(others)}" if others else ""
        account.note(f"{file.name}: sheet {name!r}{beside}", f"{file.name}#SHEET" if others else "")
    return filled[chosen[0]] if chosen else []


def _cells(sheet: Any, file: Path) -> list[list[str]]:
    sheet.reset_dimensions()  # what the file says of them may be far too much
    rows: list[list[str]] = []
    width = empty = 0
    for number, row in enumerate(sheet.iter_rows(values_only=True)):
        last = max((i for i, cell in enumerate(row, start=1) if cell not in (None, "")), default=0)
        width = max(width, last)
        if max(number, width * (len(rows) + empty)) > MOST_CELLS:
            raise DataError(
                f"{file}, sheet {sheet.title!r} has more than {MOST_CELLS:,} cells; save a part of it, as csv"
            )
        if last:
            rows += [[]] * (empty if rows else 0)  # rows without a value keep the places of those below
            rows.append([_text(cell) for cell in row[:last]])
        empty = 0 if last else empty + 1
    return _trimmed(rows)


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def _trimmed(rows: list[list[str]]) -> list[list[str]]:
    """Without columns at either side that are empty in every row."""
    first = min((next(i for i, cell in enumerate(row) if cell) for row in rows if row), default=0)
    last = max(map(len, rows), default=0)
    return [(row + [""] * (last - len(row)))[first:] for row in rows]
