"""Files that a table beside them names (Hugging Face's ImageFolder and AudioFolder).

    metadata.csv            file_name,label            also tsv, json, jsonl, parquet
    train/metadata.csv      likewise, in the folder of each split

Where class folders are there too, they are the labels unless the table says clearly that it has them: many a table
beside class folders tells of the licence, or of the camera. Nothing is opened here but tables.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from pervade.core.errors import DataError
from pervade.core.types import LeftOut
from pervade.data import tables
from pervade.data.split import named
from pervade.data.table_files import Record

METADATA, FILE_NAME = "metadata", "file_name"  # the table, and its column
UNNAMED = "no table names it"
FOLDERS = "the class folders beside it are the labels"


@dataclass(frozen=True)
class Table:
    """`name` is its path inside DATA; `split` is what its folder's name says; `fault` is why it cannot be read."""

    path: Path
    name: str
    split: str | None = None
    records: tuple[Record, ...] = ()
    fault: DataError | None = None

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(name for record in self.records for name in record))


def within(folder: Path) -> list[Path]:
    """The tables called metadata; none where the folder is closed, which its other readers say."""
    try:
        return [
            each
            for each in sorted(folder.iterdir())
            if tables.called(each).lower() == METADATA and tables.is_table(each)
        ]
    except OSError:
        return []


def of_splits(root: Path) -> list[tuple[Path, str]]:
    """Those of the folders that are called as splits are, with the split."""
    folders = [(each, named(each.name)) for each in sorted(root.iterdir()) if each.is_dir()]
    return [(table, split) for folder, split in folders if split is not None for table in within(folder)]


def find(root: Path, content: tables.Content) -> list[Table]:
    """Of the folder, else of each of its split folders, the first table with a column of file names; where there is
    none, the first that cannot be read. Texts are in a table or in files of their own: then there are none."""
    if not isinstance(content, tables.Files):
        return []
    own: list[tuple[Path, str | None]] = [(each, None) for each in within(root)]
    found: dict[Path, Table] = {}
    for path, split in own or of_splits(root):
        known = found.get(path.parent)
        if known is not None and known.fault is None:
            continue
        name = path.relative_to(root).as_posix()
        try:
            table = Table(path, name, split, tuple(content.records(path)))
        except DataError as fault:
            found.setdefault(path.parent, Table(path, name, split, fault=fault))
            continue
        if FILE_NAME in table.columns:
            found[path.parent] = table
    return list(found.values())


def why_not(found: Iterable[Table], wanted: tables.Wanted) -> dict[str, str]:
    """Of each table, by its name, why the class folders beside it are the labels, and not what it says; empty where it
    is the table that counts."""
    reasons = {}
    names = {*tables.LABEL_COLUMNS, *tables.MORE_COLUMNS.get(wanted.target, ())}
    for table in found:
        if table.fault is not None:
            reasons[table.name] = instead(table.fault)
        elif table.split is not None:
            reasons[table.name] = FOLDERS
        elif not _asked(table.columns, wanted.label_column) and names.isdisjoint(map(_plain, table.columns)):
            rest = ", ".join(each for each in table.columns if each != FILE_NAME)
            none = f", since none of its columns ({rest}) is called label or the like; --label-column takes one of them"
            reasons[table.name] = FOLDERS + none if rest else FOLDERS
    return reasons


def instead(fault: DataError) -> str:
    return f"{FOLDERS}, since it cannot be used: {fault}"


def read(
    root: Path, found: Iterable[Table], files: Iterable[Path], content: tables.Content, wanted: tables.Wanted
) -> tuple[list[Record], list[LeftOut]]:
    """Entries as those of tables, with the split of their folder; files that no table names are left out. Raises
    DataError where a table cannot be read."""
    entries: list[Record] = []
    left_out: list[LeftOut] = []
    mentioned: list[Path] = []
    for table in found:
        if table.fault is not None:
            raise table.fault
        records = list(table.records)
        rows, lost = tables.entries_of(records, table.path, content, wanted=wanted, name=table.name, split=table.split)
        entries += rows
        left_out += lost
        mentioned += _mentioned(table, content.suffixes)
    named = [*mentioned, *(Path(each["path"]) for each in entries)]
    return entries, left_out + unnamed(root, files, named, UNNAMED)


def unnamed(root: Path, files: Iterable[Path], named: Iterable[Path], reason: str) -> list[LeftOut]:
    """Those of the `files` in a folder that are none of the `named`."""
    # What is written in a table may be no path at all (too long, half a character): it is asked for before.
    known = {each.resolve() for each in named if os.path.isfile(each)}  # noqa: PTH113
    return [LeftOut(each.relative_to(root).as_posix(), reason) for each in files if each.resolve() not in known]


def _mentioned(table: Table, suffixes: Collection[str]) -> list[Path]:
    """The files that rows name, those that were left out among them: of these the row's own reason is told."""
    cells = [value for record in table.records for value in record.values() if isinstance(value, str)]
    return [table.path.parent / each for each in cells if each.lower().endswith(tuple(suffixes))]


def _asked(columns: Collection[str], label_column: str | None) -> bool:
    """Whether all columns of labels that were asked for are there; several are parted by commas."""
    if label_column is None:
        return False
    return label_column in columns or all(each.strip() in columns for each in label_column.split(","))


def _plain(column: str) -> str:
    return column.strip().lower()
