"""predictions/<checkpoint>@<split>.parquet: the one file that every figure comes from.

A row's line holds "row" (its number in data.json), "id", "group" (what bootstrap resamples) and what the task adds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pervade.core import files
from pervade.core.errors import CheckpointError, ContractError
from pervade.core.types import Rows, Table

MOST_VALUES = 1 << 30  # in a file of predictions, which repeats one value in no space at all; of 4 bytes, at most


def pool(path: Path, parts: list[Path], rows: Rows, about: dict[str, Any]) -> Path:
    """One predictions file of several that share out the rows among them (the folds of a cross-validation).

    Raises CheckpointError where a row is missing or stands twice.
    """
    tables = [read_columns(part, part.parent.parent) for part in parts]
    numbers = np.concatenate([np.asarray(table.get("row", ()), np.int64) for table in tables])
    if sorted(numbers) != sorted(rows.number):
        raise CheckpointError(f"{parts[0]} and the other folds' do not hold each row once; evaluate each fold again")
    # A column may be that of a promise, which not every fold can keep.
    shared = set.intersection(*map(set, tables)) - {"id", "group"}
    kept = [{name: values for name, values in table.items() if name in shared} for table in tables]
    write_columns(path, complete(concatenate(kept), rows), about)
    return path


def complete(table: Table, rows: Rows) -> Table:
    """Adds id and group, in the order of the rows. Raises ContractError unless every row stands there just once."""
    expected = np.asarray(rows.number, dtype=np.int64)
    numbers = np.asarray(table["row"], dtype=np.int64)
    unique, times = np.unique(numbers, return_counts=True)
    if (times > 1).any():
        raise ContractError(f"row {unique[times > 1][0]} was predicted {times.max()} times; a row may stand once only")
    if set(unique.tolist()) != set(expected.tolist()):
        missing = sorted(set(expected.tolist()) ^ set(unique.tolist()))
        raise ContractError(f"{len(missing)} rows are missing or unknown among the predictions, first row {missing[0]}")
    place = {row: index for index, row in enumerate(numbers.tolist())}
    order = np.array([place[row] for row in expected.tolist()])
    columns: Table = {name: in_order(values, order) for name, values in table.items()}
    return {"row": columns.pop("row"), "id": list(rows.column("id")), "group": groups(rows), **columns}


def groups(rows: Rows) -> np.ndarray:
    """(n,) int64, equal where rows belong together; without groups each row is one of its own."""
    names = rows.column("group") if "group" in rows else rows.column("id")
    return np.unique(np.asarray(names, dtype=object).astype(str), return_inverse=True)[1].astype(np.int64)


def arrays(table: Table) -> Table:
    """As arrays; lists of lists (text, spans) have no shape of their own and stay as they are."""
    ragged = {name for name, values in table.items() if isinstance(values, list) and isinstance(values[0], list)}
    return {name: values if name in ragged else np.asarray(values) for name, values in table.items()}


def in_order(values: Any, order: np.ndarray) -> Any:
    return values[order] if isinstance(values, np.ndarray) else [values[i] for i in order]


def write_columns(path: Path, table: Table, about: dict[str, Any]) -> None:
    """A predictions file of columns that are complete already."""
    arrow = to_arrow(table).replace_schema_metadata({"pervade": json.dumps({"format": files.FORMAT, **about})})
    with files.replacing(path) as temporary:
        pq.write_table(arrow, temporary)


def to_arrow(table: Table) -> pa.Table:
    """Columns to Arrow; a matrix (n, d) becomes lists of length d, and one of bytes (a picture a row) d bytes each."""
    columns = {}
    for name, values in table.items():
        array = _on_processor(values)
        if isinstance(array, np.ndarray) and array.ndim == 2 and array.dtype == np.uint8 and array.size:
            kind, buffer = pa.binary(array.shape[1]), pa.py_buffer(np.ascontiguousarray(array))
            columns[name] = pa.FixedSizeBinaryArray.from_buffers(kind, len(array), [None, buffer])
        elif isinstance(array, np.ndarray) and array.ndim == 2:
            flat = pa.array(np.ascontiguousarray(array).reshape(-1))
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, array.shape[1])
        else:
            columns[name] = pa.array(array)
    return pa.table(columns)


def _on_processor(values: Any) -> Any:
    """A tensor as an array, all else as it is; torch need not be there."""
    return values.detach().cpu().numpy() if hasattr(values, "detach") else values


def concatenate(tables: list[Table]) -> Table:
    if not tables:
        raise ContractError("no rows to predict")
    out: Table = {}
    for name in tables[0]:
        values = [_on_processor(part[name]) for part in tables]
        if all(isinstance(part, np.ndarray) for part in values):
            out[name] = np.concatenate(values)
        else:
            out[name] = [item for part in values for item in part]
    return out


def read_columns(path: Path, inside: Path | None = None) -> dict[str, Any]:
    """The columns of a predictions file: numbers as arrays, fixed lists and bytes as matrices, the rest as lists.
    Raises CheckpointError where it is damaged, or, by a link, does not lie in the folder `inside`."""
    if inside is not None and not path.resolve().is_relative_to(inside.resolve()):
        raise CheckpointError(f"{path} leads out of {inside}; put the file itself there")
    return _columns(_read_table(path))


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The columns of a predictions file and what was written about them, of one and the same file."""
    table = _read_table(path)
    return _columns(table), _about(path, table.schema)


def _read_table(path: Path) -> pa.Table:
    try:
        with files.open_regular(path) as file, pq.ParquetFile(file, thrift_string_size_limit=files.SETTINGS) as opened:
            groups = [opened.metadata.row_group(i) for i in range(opened.metadata.num_row_groups)]
            space = [max(opened.schema.column(j).length // 4, 1) for j in range(len(opened.schema))]  # 0 but of bytes
            values = sum(group.column(j).num_values * times for group in groups for j, times in enumerate(space))
            if values > MOST_VALUES or sum(group.total_byte_size for group in groups) > files.ROWS:
                raise OSError(f"it would unpack to {values:,} values, and at most {MOST_VALUES:,} in 4 GiB are read")
            return opened.read()
    except (OSError, pa.ArrowException) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); write it again with `pervade evaluate`") from None


def _columns(table: pa.Table) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if pa.types.is_fixed_size_list(column.type):
            out[name] = _numbers(column.flatten()).reshape(len(column), column.type.list_size)
        elif pa.types.is_fixed_size_binary(column.type) and len(column) and column.type.byte_width:
            width, end = column.type.byte_width, column.offset + len(column)
            out[name] = np.frombuffer(column.buffers()[1], np.uint8, end * width).reshape(-1, width)[column.offset :]
        elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type):
            out[name] = _numbers(column)
        else:
            out[name] = column.to_pylist()
    return out


def _numbers(column: pa.Array) -> np.ndarray:
    if column.null_count or pa.types.is_boolean(column.type):
        return column.to_numpy(zero_copy_only=False)
    return np.from_dlpack(column)  # a view; `to_numpy` would import pandas where it is installed, which takes 0.2 s


def read_about(path: Path) -> dict[str, Any]:
    """What was written about the predictions: checkpoint, split, precision, labels."""
    try:
        with files.open_regular(path) as file:
            schema = pq.read_schema(file)
    except (OSError, pa.ArrowException) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); write it again with `pervade evaluate`") from None
    return _about(path, schema)


def _about(path: Path, schema: pa.Schema) -> dict[str, Any]:
    try:
        about = files.parse_json((schema.metadata or {}).get(b"pervade", b"{}").decode())
        if not isinstance(about, dict):
            raise ValueError("it does not say what made it")
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be read ({error}); write it again with `pervade evaluate`") from None
    files.check_format(path, about.get("format"))
    return about
