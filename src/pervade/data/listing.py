"""What lies at DATA: class folders, split folders, or a table with a column of files and a column of labels.

Readers return rows with "id" (the path inside DATA, with slashes), "path", and where they know them "target", "split"
and "group". Nothing is opened here but tables.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from pervade.core.errors import DataError, nearest
from pervade.core.types import LeftOut, Rows
from pervade.data.split import NAMES as SPLITS

TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
LABEL_COLUMNS = ("label", "labels", "class", "target", "category", "y")
GROUP_COLUMNS = ("group", "subject", "patient", "person", "speaker")


def read(
    source: str | Path, suffixes: Collection[str], file_columns: Sequence[str], what: str
) -> tuple[Rows, list[LeftOut]]:
    """Rows of `what` ("picture"), files ending in `suffixes`; tables name them in one of `file_columns`.

    Raises DataError where the path is not there or holds nothing of the kind.
    """
    path = Path(source)
    if not path.exists():
        raise DataError(f"{path} is not there; give a folder of {what}s, or a table ({', '.join(TABLES)})")
    if path.is_file():
        if path.suffix.lower() not in TABLES:
            raise DataError(
                f"{path} is a single file; training needs a folder with one folder of {what}s for each class, "
                f"or a table ({', '.join(TABLES)}) with a column of files and a column of labels"
            )
        return _finish(*_table(path, path.parent, file_columns, what), path, what)
    tables = [each for each in sorted(path.iterdir()) if each.suffix.lower() in TABLES and _split(each.stem)]
    if tables:
        entries, left_out = [], []
        for table in tables:
            found, lost = _table(table, path, file_columns, what)
            entries += [{**entry, "split": _split(table.stem)} for entry in found]
            left_out += lost
        return _finish(entries, left_out, path, what)
    return _finish(*_folder(path, suffixes), path, what)


def _finish(
    entries: list[dict[str, Any]], left_out: list[LeftOut], path: Path, what: str
) -> tuple[Rows, list[LeftOut]]:
    if not entries:
        reason = f"; {left_out[0].source}: {left_out[0].reason}" if left_out else ""
        raise DataError(f"{path} holds no {what} that can be used{reason}")
    columns = ["id", "path", *(c for c in ("target", "split", "group") if any(c in entry for entry in entries))]
    for column in columns:
        without = [entry["id"] for entry in entries if column not in entry]
        if without:
            raise DataError(f"{path}: {without[0]} has no {column}, but others have; give every row one, or none")
    return Rows({column: [entry[column] for entry in entries] for column in columns}), left_out


def _split(name: str) -> str | None:
    return SPLITS.get(name.lower())


# folders


def _folder(root: Path, suffixes: Collection[str]) -> tuple[list[dict[str, Any]], list[LeftOut]]:
    files, left_out = walk(root, suffixes)
    names = {file.relative_to(root).parts[0] for file in files}
    by_split = bool(names) and all(_split(name) and (root / name).is_dir() for name in names)
    depth = 1 if by_split else 0
    entries = []
    for file in files:
        parts = file.relative_to(root).parts
        entry: dict[str, Any] = {"id": "/".join(parts), "path": str(file)}
        if len(parts) <= depth + 1:
            left_out.append(LeftOut(entry["id"], "it lies beside the class folders, not in one"))
            continue
        entry["target"] = parts[depth]
        if by_split:
            entry["split"] = _split(parts[0])
        entries.append(entry)
    if not entries and files:
        raise DataError(
            f"{root} holds {len(files)} pictures but no class folders; "
            "put the pictures of each class into a folder with the class's name"
        )
    return entries, left_out


def walk(root: Path, suffixes: Collection[str]) -> tuple[list[Path], list[LeftOut]]:
    """Every file below `root` with one of the suffixes, sorted; and what is left out, with the reason."""
    files: list[Path] = []
    left_out: list[LeftOut] = []
    seen: set[str] = set()
    for folder, below, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            left_out.append(LeftOut(_inside(Path(folder), root), "a link that leads back to a folder already read"))
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder) / name
            if name.startswith("."):
                continue
            try:
                name.encode("utf-8")
            except UnicodeEncodeError:
                left_out.append(LeftOut(_inside(file, root), "its name is not valid UTF-8; rename it"))
                continue
            if file.suffix.lower() not in suffixes:
                left_out.append(LeftOut(_inside(file, root), f"files ending in {file.suffix!r} are not read"))
            elif not file.is_file():
                left_out.append(LeftOut(_inside(file, root), "a link that loops or leads nowhere"))
            else:
                files.append(file)
    return files, left_out


def _inside(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix().encode("utf-8", "backslashreplace").decode("utf-8")


# tables


def _table(
    path: Path, root: Path, file_columns: Sequence[str], what: str
) -> tuple[list[dict[str, Any]], list[LeftOut]]:
    records = read_records(path)
    if not records:
        raise DataError(f"{path} has no rows")
    columns = list(records[0])
    files = _find(columns, file_columns) or _column_of_files(records, path.parent)
    if files is None:
        raise DataError(
            f"{path} has no column of {what} files; its columns are {', '.join(columns)}; "
            f"name one of them {' or '.join(file_columns[:3])}"
        )
    label = _find(columns, LABEL_COLUMNS)
    if label is None:
        others = [column for column in columns if column != files and not _split(column)]
        if len(others) != 1:
            raise DataError(
                f"{path} has no column of labels; its columns are {', '.join(columns)}; name one of them label"
            )
        label = others[0]
    split, group = _find(columns, ("split", "subset", "fold")), _find(columns, GROUP_COLUMNS)
    entries, left_out = [], []
    for number, record in enumerate(records, start=1):
        where = f"{path.name}, row {number}"
        name, target = record.get(files), record.get(label)
        if name in (None, "") or target in (None, ""):
            left_out.append(LeftOut(where, f"no {files if name in (None, '') else label}"))
            continue
        file = path.parent / str(name)
        if not file.is_file():
            left_out.append(LeftOut(where, f"the file {name} is not there"))
            continue
        entry: dict[str, Any] = {"id": f"{name}#{number}", "path": str(file), "target": str(target)}
        if split is not None:
            entry["split"] = _split(str(record.get(split)))
            if entry["split"] is None:
                raise DataError(
                    f"{where}: unknown split {record.get(split)!r}; {nearest(str(record.get(split)), SPLITS)}"
                )
        if group is not None:
            entry["group"] = str(record.get(group))
        entries.append(entry)
    return entries, left_out


def _find(columns: Sequence[str], names: Sequence[str]) -> str | None:
    lower = {column.lower(): column for column in columns}
    return next((lower[name] for name in names if name in lower), None)


def _column_of_files(records: list[dict[str, Any]], folder: Path) -> str | None:
    """The first column whose first values are files that exist."""
    sample = records[:5]
    for column in sample[0]:
        if all(record.get(column) and (folder / str(record[column])).is_file() for record in sample):
            return column
    return None


def read_records(path: Path) -> list[dict[str, Any]]:
    """Rows of a csv, tsv, jsonl or parquet file. Raises DataError naming the line at fault."""
    try:
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq

            return list(pq.read_table(path).to_pylist())
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if path.suffix.lower() == ".jsonl":
        return _json_lines(path, text)
    reader = csv.DictReader(text.splitlines(keepends=True), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    try:
        records = list(reader)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from None
    for number, record in enumerate(records, start=1):
        if None in record:
            raise DataError(f"{path}, row {number} has more fields than the first line has names")
    return records


def _json_lines(path: Path, text: str) -> list[dict[str, Any]]:
    records = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number} is not JSON ({error})") from None
        if not isinstance(record, dict):
            raise DataError(f"{path}, line {number} is not a JSON object")
        records.append(record)
    return records
