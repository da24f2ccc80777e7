"""Files that a table beside them names.

    metadata.csv            file_name,label            Hugging Face's ImageFolder and AudioFolder; also tsv, parquet …
    train/metadata.csv      likewise, in the folder of each split
    labels.csv, meta/x.csv  any other table whose rows are files that are there: of ESC-50, UrbanSound8K, Kaggle
    images.txt              lists of CUB-200 (data/read/published.py)

Where class folders are there too, they are the labels unless metadata says clearly that it has them: many a table
beside class folders tells of the licence, or of the camera. Nothing is opened here but tables.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pervade.core.errors import DataError
from pervade.core.types import LeftOut
from pervade.data.read import account, beside, named_files, published, table_files, tables
from pervade.data.read.class_folders import splits_of
from pervade.data.read.columns import first_named
from pervade.data.read.table_files import Record
from pervade.data.sound import pieces

METADATA, FILE_NAME = "metadata", "file_name"  # the table, and its column
FOLDERS_OF_TABLES = re.compile(r"meta|annotation|label|csv|ground[_-]?truth|split", re.IGNORECASE)
# Kaggle's, of made-up answers.
NO_DATA = ("sample_submission", "samplesubmission", "sample", "submission", "gender_submission")
UNNAMED = "no table names it"
FOLDERS = "the class folders beside it are the labels"


@dataclass(frozen=True)
class Table:
    """`name` is its path inside DATA; `split` is what its folder's name says; `fault` is why it cannot be read; it is
    `other` where it is not called as a table of files is."""

    path: Path
    name: str
    split: str | None = None
    records: tuple[Record, ...] = ()
    fault: DataError | None = None
    other: bool = False

    @property
    def columns(self) -> list[str]:
        return table_files.columns_of(self.records)


def within(folder: Path) -> list[Path]:
    """The tables called metadata; none where the folder is closed, which its other readers say."""
    return [path for path in _tables(folder) if tables.bare_name(path).lower() == METADATA]


def _tables(folder: Path) -> list[Path]:
    try:
        return [path for path in sorted(folder.iterdir()) if tables.is_table(path)]
    except OSError:
        return []


def of_splits(root: Path) -> list[tuple[Path, str]]:
    """Those of the folders that are called as splits are, with the split."""
    splits = splits_of([folder.name for folder in sorted(root.iterdir()) if folder.is_dir()])
    listed = []
    for name, split in sorted(splits.items()):
        alone = _tables(root / name)
        listed += [(table, split) for table in within(root / name) or alone * (len(alone) == 1)]
    return listed


def find(root: Path, content: tables.Content) -> list[Table]:
    """Of the folder, else of each of its split folders, the first table called metadata with a column of file names;
    where there is none, the first that cannot be read. Else lists, or another table, whose files are there. Texts are
    in a table or in files of their own: then there are none."""
    if not isinstance(content, tables.Files):
        return []
    own: list[tuple[Path, str | None]] = [(path, None) for path in within(root)]
    table_of: dict[Path, Table] = {}
    for path, split in own or of_splits(root):
        earlier = table_of.get(path.parent)
        if earlier is not None and earlier.fault is None:
            continue
        name = path.relative_to(root).as_posix()
        try:
            table = Table(path, name, split, tuple(content.records(path)))
        except DataError as fault:
            table_of.setdefault(path.parent, Table(path, name, split, fault=fault))
            continue
        if FILE_NAME in table.columns or _files_there(table, root, content):
            table_of[path.parent] = table
    return list(table_of.values()) or _lists(root, content) or _others(root, content)


def _lists(root: Path, content: tables.Files) -> list[Table]:
    for folder in (root, *(path.parent for path in sorted(root.glob(f"*/{published.IMAGES}")))):
        path = folder / published.IMAGES
        records = published.lists(folder)
        if records:
            return [Table(path, path.relative_to(root).as_posix(), records=tuple(records))]
    track_rows = beside.tracks(root, content.suffixes) if isinstance(content, pieces.Recordings) else []
    if track_rows:
        account.note(f"label tracks: the .txt beside each recording (start, end and label), {len(track_rows):,} lines")
        return [Table(root / "label tracks", "label tracks", records=tuple(track_rows))]
    path, rows = published.attributes(root) or (root, [])
    return [Table(path, path.relative_to(root).as_posix(), records=tuple(rows))] if rows else []


def _others(root: Path, content: tables.Files) -> list[Table]:
    """The one table that names most files, of those that name any, or why none of several is taken."""
    below = [folder for folder in sorted(root.iterdir()) if folder.is_dir() and FOLDERS_OF_TABLES.search(folder.name)]
    folders = [root, *below]
    tables_there: list[tuple[bool, int, Table]] = []
    for path in (path for folder in folders for path in sorted(folder.iterdir()) if tables.is_table(path)):
        name = path.relative_to(root).as_posix()
        if path.stem.lower() in (METADATA, *NO_DATA):
            continue
        try:
            table = Table(path, name, records=tuple(content.records(path)), other=True)
        except DataError:  # a table of something else, which is listed with what is left out
            continue
        count = _files_there(table, root, content)
        if count:
            tables_there.append((first_named(table.columns, tables.LABEL_COLUMNS) is not None, count, table))
    labelled = {tables.bare_name(table.path): table for has_labels, _, table in tables_there if has_labels}
    splits = splits_of(labelled)
    if "train" in splits.values() and len(splits) > 1:
        return [replace(labelled[name], split=split) for name, split in sorted(splits.items())]
    best = [rated for rated in tables_there if rated[:2] == max(tables_there, key=lambda rated: rated[:2])[:2]]
    if len(best) < 2:
        return [rated[2] for rated in best]
    counted = ", ".join(f"{table.name} ({count:,})" for _, count, table in best)
    fault = DataError(f"{root} has several tables that name {content.what}s: {counted}; give one of them in its place")
    return [Table(best[0][2].path, best[0][2].name, fault=fault, other=True)]


def _files_there(table: Table, root: Path, content: tables.Files) -> int:
    """How many of its first rows, evenly spaced, are files that are there."""
    records = list(table.records)
    below = named_files.Below(table.path.parent, content.suffixes, root)
    column = content.file_column or named_files.column(
        records, table.columns, below, content.names, tables.LABEL_COLUMNS
    )
    return 0 if column is None else named_files.share(named_files.spaced(records, column), below)[0]


def why_not(listed: Iterable[Table], wanted: tables.Wanted) -> dict[str, str]:
    """Of each table, by its name, why the class folders beside it are the labels, and not what it says; empty where it
    is the table that counts."""
    reasons = {}
    names = {*tables.LABEL_COLUMNS, *tables.MORE_COLUMNS.get(wanted.target, ())}
    for table in listed:
        if table.fault is not None:
            reasons[table.name] = instead(table.fault)
        elif table.split is not None:
            reasons[table.name] = FOLDERS
        elif table.other and not _asked(table.columns, wanted.label_column):
            reasons[table.name] = f"{FOLDERS}; --label-column takes one of its own ({', '.join(table.columns)})"
        elif not _asked(table.columns, wanted.label_column) and first_named(table.columns, names) is None:
            rest = ", ".join(column for column in table.columns if column != FILE_NAME)
            none = f", since none of its columns ({rest}) is called label or the like; --label-column takes one of them"
            reasons[table.name] = FOLDERS + none if rest else FOLDERS
    return reasons


def instead(fault: DataError) -> str:
    return f"{FOLDERS}, since it cannot be used: {fault}"


def read(
    root: Path, listed: Iterable[Table], files: Iterable[Path], content: tables.Content, wanted: tables.Wanted
) -> tuple[list[Record], list[LeftOut]]:
    """Entries as those of tables, with the split of their folder; files that no table names are left out. Raises
    DataError where a table cannot be read."""
    if isinstance(content, tables.Files):
        content = replace(content, root=root)
    entries: list[Record] = []
    left_out: list[LeftOut] = []
    mentioned: list[Path] = []
    for table in listed:
        if table.fault is not None:
            raise table.fault
        records = list(table.records)
        rows, lost = tables.entries_of(records, table.path, content, wanted=wanted, name=table.name, split=table.split)
        entries += rows
        left_out += lost
        mentioned += _mentioned(table, content.suffixes)
    named = [*mentioned, *(Path(entry["path"]) for entry in entries)]
    return entries, left_out + unnamed(root, files, named, UNNAMED)


def unnamed(root: Path, files: Iterable[Path], named: Iterable[Path], reason: str) -> list[LeftOut]:
    """Those of the `files` in a folder that are none of the `named`."""
    # What is written in a table may be no path at all (too long, half a character): it is asked for before.
    there = {path.resolve() for path in named if os.path.isfile(path)}  # noqa: PTH113
    return [LeftOut(path.relative_to(root).as_posix(), reason) for path in files if path.resolve() not in there]


def _mentioned(table: Table, suffixes: Collection[str]) -> list[Path]:
    """The files that rows name, those that were left out among them: of these the row's own reason is told."""
    cells = [value for record in table.records for value in record.values() if isinstance(value, str)]
    return [table.path.parent / cell for cell in cells if cell.lower().endswith(tuple(suffixes))]


def _asked(columns: Collection[str], label_column: str | None) -> bool:
    """Whether all columns of labels that were asked for are there; several are parted by commas."""
    if label_column is None:
        return False
    return label_column in columns or all(column.strip() in columns for column in label_column.split(","))
