"""Pictures that lie inside a file of rows: a parquet table, the Arrow files that the library datasets keeps, or arrays
(data/read/arrays.py).

A row's "path" is then a place in such a file, `FILE#COLUMN#NUMBER`, and goes wherever the path of a file of its own
does. Bytes are read when they are asked for: of a parquet file a row group at a time, the last few of which are kept;
Arrow files are mapped into memory. A column holds bytes, or what the Hugging Face Hub writes: {"bytes": …, "path": …}.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import json
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pervade.core import files
from pervade.data.read import arrays

if TYPE_CHECKING:
    import pyarrow as pa

KEPT = 2  # row groups of one file that stay in memory; files of photos have about 100 rows in each
OPEN = 8  # files that stay open
_FILE = re.compile(r"\.(?:parquet|arrow|npz)#", re.IGNORECASE)


class Place(NamedTuple):
    """The row `number`, from 0, of `column` in `file`."""

    file: str
    column: str
    number: int

    def __str__(self) -> str:
        return f"{self.file}#{self.column}#{self.number}"


def place(path: str) -> Place | None:
    """What a path says of a place inside a file; None for the path of a file."""
    before, _, number = path.rpartition("#")
    end = max((match.end() for match in _FILE.finditer(before, 1)), default=0)
    return Place(before[: end - 1], before[end:], int(number)) if end and number.isdecimal() else None


def read(path: str) -> bytes:
    """The bytes of a file, or of a place in one. Raises OSError."""
    where = place(path)
    if where is None:
        return Path(path).read_bytes()
    status = os.stat(where.file)  # noqa: PTH116
    rows = _open(where.file, status.st_mtime_ns, status.st_size)
    try:
        data = _bytes(rows.value(where.column, where.number))
    except (KeyError, IndexError, ValueError) as error:  # pyarrow's errors are among these
        raise OSError(f"{where.file} has no row {where.number} in a column {where.column!r}: {error}") from None
    if data is None:
        raise OSError(f"{where.file}, row {where.number} holds no bytes in the column {where.column!r}")
    return data


def sha256(path: str) -> str:
    """The digest of what `read` gives. Raises OSError."""
    return files.sha256(Path(path)) if place(path) is None else hashlib.sha256(read(path)).hexdigest()


def missing(paths: Iterable[str]) -> list[str]:
    """The files, each once, that are not there: those of the paths, or those that their places are in."""
    holding = dict.fromkeys(where.file if (where := place(path)) else path for path in paths)
    return [file for file in holding if not os.path.isfile(file)]  # noqa: PTH113


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold pictures."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and holds_bytes(field.type) for field in kind)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)


def records(file: Path) -> list[dict[str, Any]]:
    """The rows of a parquet table by column; a place, or the name beside it, stands where bytes would.

    Numbers of named classes (the Hub's ClassLabel) become the names. Raises OSError, ValueError (all of pyarrow's).
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as table:
        schema = table.schema_arrow
        inside = [field.name for field in schema if holds_bytes(field.type)]
        rest = [field.name for field in schema if field.name not in inside]
        made: list[dict[str, Any]] = [{} for _ in range(table.metadata.num_rows)]
        columns = {name: table.read([name]).column(name).to_pylist() for name in rest}
        columns |= {name: _places(table, str(file), name) for name in inside}
        columns = named(columns, class_names(schema))
    for field in schema:
        for record, value in zip(made, columns[field.name], strict=True):
            record[field.name] = value
    return made


def named(columns: dict[str, list[Any]], names: dict[str, Sequence[str]]) -> dict[str, list[Any]]:
    """Columns with the names of classes in place of their numbers; -1, the Hub's "not known", becomes None."""

    def name(value: Any, class_list: Sequence[str]) -> Any:
        if isinstance(value, list):
            return [name(item, class_list) for item in value]
        if isinstance(value, int):
            return class_list[value] if 0 <= value < len(class_list) else None
        return value

    return {
        column: [name(value, names[column]) for value in values] if column in names else values
        for column, values in columns.items()
    }


def class_names(schema: pa.Schema) -> dict[str, Sequence[str]]:
    """Names of classes by column, where the library datasets left a note of them in the file."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        kinds = {
            column: feature.get("feature", feature) for column, feature in features.items() if isinstance(feature, dict)
        }
        return {
            column: [str(name) for name in kind["names"]]
            for column, kind in kinds.items()
            if isinstance(kind, dict) and kind.get("_type") == "ClassLabel" and kind.get("names")
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}  # no such note, or not one of theirs: numbers stay numbers


def _places(table: Any, file: str, column: str) -> list[str | None]:
    """A place for every row with bytes, else the file's name that stands beside them."""
    import pyarrow as pa

    kind = table.schema_arrow.field(column).type
    struct = pa.types.is_struct(kind)
    leaf = f"{column}.bytes" if struct else column
    filled: list[bool] = []
    for number in range(table.num_row_groups):
        group = table.metadata.row_group(number)
        chunk = next(group.column(i) for i in range(group.num_columns) if group.column(i).path_in_schema == leaf)
        statistics = chunk.statistics
        if statistics is not None and statistics.has_null_count and statistics.null_count == 0:
            filled += [True] * group.num_rows
        else:
            values = table.read_row_group(number, columns=[leaf]).column(column)
            filled += [_bytes(value.as_py()) is not None for value in values]
    names: list[Any] = [None] * len(filled)
    if struct and any(field.name == "path" for field in kind) and not all(filled):
        names = [cell and cell.get("path") for cell in table.read([f"{column}.path"]).column(column).to_pylist()]
    return [
        str(Place(file, column, number)) if there else name
        for number, (there, name) in enumerate(zip(filled, names, strict=True))
    ]


def _bytes(value: Any) -> bytes | None:
    data = value.get("bytes") if isinstance(value, dict) else value
    return data if isinstance(data, bytes) else None


class _Parquet:
    def __init__(self, file: str) -> None:
        import pyarrow.parquet as pq

        self.table = pq.ParquetFile(file)
        groups = range(self.table.num_row_groups)
        self.starts = [0, *accumulate(self.table.metadata.row_group(number).num_rows for number in groups)]
        self.kept: OrderedDict[tuple[str, int], Any] = OrderedDict()
        self.lock = threading.Lock()  # pyarrow's reader is for one thread at a time

    def value(self, column: str, number: int) -> Any:
        group = bisect.bisect_right(self.starts, number) - 1
        with self.lock:
            values = self.kept.pop((column, group), None)
            if values is None:
                values = self.table.read_row_group(group, columns=[column]).column(column)
            self.kept[column, group] = values
            if len(self.kept) > KEPT:
                self.kept.popitem(last=False)
        return values[number - self.starts[group]].as_py()


class _Arrow:
    def __init__(self, file: str) -> None:
        import pyarrow as pa

        self.table = pa.ipc.open_stream(pa.memory_map(file)).read_all()

    def value(self, column: str, number: int) -> Any:
        return self.table.column(column)[number].as_py()


KINDS: dict[str, type[_Arrow | _Parquet | arrays.Arrays]] = {".arrow": _Arrow, arrays.SUFFIX: arrays.Arrays}


@functools.lru_cache(OPEN)
def _open(file: str, changed: int, size: int) -> _Arrow | _Parquet | arrays.Arrays:
    """`changed` and `size` make a file that was written anew another one."""
    try:
        return KINDS.get(Path(file).suffix.lower(), _Parquet)(file)
    except ValueError as error:
        raise OSError(f"{file} cannot be read: {str(error).splitlines()[0]}") from None


def rows_of_arrow(file: str) -> int:
    """How many rows an Arrow file holds. Raises OSError."""
    import pyarrow as pa

    try:
        with pa.memory_map(file) as source:
            return sum(batch.num_rows for batch in pa.ipc.open_stream(source))
    except ValueError as error:
        raise OSError(f"{file} cannot be read: {str(error).splitlines()[0]}") from None
