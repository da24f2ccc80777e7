"""The only inference loop. It writes predictions/<checkpoint>@<split>.parquet, once; every figure comes from that file.

A row's line holds "row" (its number in data.json), "id", "group" (what bootstrap resamples) and what the task adds.
Evaluation, prediction of new files, export and serving run this same path: `transform` without randomness, fp32.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.nn import Module

from pervade.core import deadline, files
from pervade.core.contracts import Context, Domain, Sampler, Task
from pervade.core.errors import CheckpointError, ContractError
from pervade.core.types import Batch, Rows, Table
from pervade.data.loader import Loader
from pervade.data.sources.by_length import by_size
from pervade.engine import ranks
from pervade.engine.batches import cut, to_device
from pervade.nn.modes import evaluating

MOST_READ = 1 << 26  # units (samples of sound) of the rows that are read together, as far as rows say their "size"
MOST_VALUES = 1 << 30  # in a file of predictions, which repeats one value in no space at all
MOST_AT_ONCE = 1 << 23  # numbers a channel that go through the network together
GRACE = 0.3  # seconds for rows in which time is not looked at: one row of a few seconds is measured, or many quick ones
GROWING = 4  # times as many rows as before are the next ones in time, at most,
WORTH = 0.125  # of the time that is left: what is lost when time ends within them
CERTAIN = 0.7  # of it: where all that is left takes no more, it is done in one go


def tables(
    network: Module,
    domain: Domain,
    task: Task,
    rows: Rows,
    *,
    decision: Mapping[str, Any] | None = None,
    batch_size: int = 64,
    workers: int = 1,
    watch: Callable[[], None] = lambda: None,
) -> Iterator[Table]:
    """What the task says of every row, a table a batch; where rows have a "size" they come in its order. Leaves the
    network's modes alone. `watch` is called before each batch, and may end it all by raising."""
    device = next(network.parameters()).device
    context = Context(domain, decision=decision or {})
    with judging(network):
        # Sampling in `infer` draws from torch's generator: seeded here, so that predictions repeat.
        torch.manual_seed(0)
        rows = rows.select(by_size(rows)) if "size" in rows else rows  # rows of like length need little padding
        sampler = Sized(rows.column("size")) if "size" in rows else None
        loader = Loader(rows, domain, batch_size, seed=0, training=False, sampler=sampler, workers=workers)
        for batch in (piece for whole in loader for piece in _pieces(whole, batch_size)):
            watch()
            with torch.inference_mode():
                batch = to_device(batch, device)
                output = task.infer(network, batch, context)
                table = task.predictions(output, batch, context)
                # A batch whose rows all came whole does not number their parts, and the next one may: -1 until all are
                # together (`_whole`).
                yield table if "part" in table else {**table, "part": torch.full_like(batch["row"], -1)}


class Sized(Sampler):
    """Rows in their order, as many at once as are asked for and no more units together than are read at once."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = sizes

    def batches(self, epoch: int, batch_size: int) -> list[list[int]]:
        found: list[list[int]] = []
        units = 0
        for place, size in enumerate(self.sizes):
            if not found or len(found[-1]) == batch_size or units + size > MOST_READ:
                found.append([])
                units = 0
            found[-1].append(place)
            units += size
        return found


def _pieces(batch: Batch, rows: int) -> Iterator[Batch]:
    """A row may come in many windows, or long ones, which need not go through the network at once."""
    given = batch["input"]
    width = given.shape[-1] if isinstance(given, torch.Tensor) and given.ndim < 4 else 1
    yield from cut(batch, max(min(rows, MOST_AT_ONCE // max(width, 1)), 1))


@contextmanager
def judging(network: Module) -> Iterator[None]:
    """Inside, the network is in evaluation mode; afterwards its modes, and torch's random state, are what they were, so
    that training does not notice."""
    with evaluating(network), torch.random.fork_rng(devices=[]):
        yield


def _whole(tables: list[Table], task: Task, domain: Domain) -> Table:
    """All batches' rows, each once."""
    table = concatenate(tables)
    parts = np.asarray(table["part"])
    if (parts < 0).all():
        del table["part"]
    else:
        table["part"] = np.maximum(parts, 0)
    return task.reduce(table, domain)


def predict_table(network: Module, domain: Domain, task: Task, rows: Rows, **settings: Any) -> Table:
    """All rows at once, reduced, in their order: what `write_predictions` writes, in memory."""
    table = _whole(list(tables(network, domain, task, rows, **settings)), task, domain)
    if "size" not in rows:
        return table
    place = {row: index for index, row in enumerate(np.asarray(table["row"]).tolist())}
    order = np.array([place[int(number)] for number in rows.number])
    return {name: _take(values, order) for name, values in table.items()}


def tables_in_time(
    network: Module, domain: Domain, task: Task, rows: Rows, until: float, **settings: Any
) -> Iterator[Table]:
    """As `tables`, of as many rows, drawn by chance, as there is time for until `until` (time.monotonic): one, then
    more, by what the last ones took. Rows are there whole or not at all."""
    order = np.random.default_rng(0).permutation(len(rows)).tolist()
    done, number, until = 0, min(1, len(rows)), max(until, time.monotonic() + GRACE)
    while number:
        begun = time.monotonic()
        some = tables(network, domain, task, rows.select(order[done : done + number]), **settings)
        found: list[Table] | None = deadline.done_by(until if done else None, partial(list, some))
        if found is None:
            return
        yield from found
        done, now = done + number, time.monotonic()
        affordable = max(until - now, 0.0) * number / max(now - begun, 1e-9)  # a clock may be coarse
        if len(rows) - done <= CERTAIN * affordable:
            number = len(rows) - done
        else:
            number = min(max(int(WORTH * affordable), 1), GROWING * number, len(rows) - done) if now < until else 0


def write_predictions(
    path: Path,
    network: Module,
    domain: Domain,
    task: Task,
    rows: Rows,
    *,
    about: dict[str, Any],
    decision: Mapping[str, Any] | None = None,
    batch_size: int = 64,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
    until: float | None = None,
) -> Rows:
    """Predicts every row, or those that there is time for `until` then (see `tables_in_time`), and writes the file.
    Returns the rows in it. Several ranks share the rows and leave one file.

    Raises ContractError where a row is missing or stands twice.
    """
    world, rank = ranks.world(), ranks.rank()
    own = rows if world == 1 else rows.select(range(rank, len(rows), world))
    with _shards(path) as folder:
        settings: dict[str, Any] = {"decision": decision, "batch_size": batch_size, "workers": workers}
        if until is None:
            parts = tables(network, domain, task, own, **settings)
        else:
            parts = tables_in_time(network, domain, task, own, until, **settings)
        _write_shard(folder / f"shard-{rank}", parts, progress, len(own))
        ranks.wait()
        if rank == 0:
            shards = [folder / f"shard-{each}" for each in range(world)]
            table = _whole([read_columns(each) for each in shards if each.exists()], task, domain)
            if until is not None:
                found = set(np.asarray(table["row"]).tolist())
                rows = rows.select([place for place, number in enumerate(rows.number) if number in found])
            write_columns(path, complete(table, rows), about)
        ranks.wait()
    return rows


@contextmanager
def _shards(path: Path) -> Iterator[Path]:
    """A folder for what each rank predicts. Two evaluations at once have one each."""
    with ExitStack() as stack:
        folder = Path()
        if ranks.rank() == 0:
            with files.writing(path):
                folder = stack.enter_context(files.temporary(path))
        yield Path(ranks.same_text(str(folder)))


def pool(path: Path, parts: list[Path], rows: Rows, about: dict[str, Any]) -> Path:
    """One predictions file of several that share out the rows among them (the folds of a cross-validation).

    Raises CheckpointError where a row is missing or stands twice.
    """
    tables = [read_columns(part, part.parent.parent) for part in parts]
    found = np.concatenate([np.asarray(table.get("row", ()), np.int64) for table in tables])
    if sorted(found) != sorted(rows.number):
        raise CheckpointError(f"{parts[0]} and the other folds' do not hold each row once; evaluate each fold again")
    kept = [{name: values for name, values in each.items() if name not in ("id", "group")} for each in tables]
    write_columns(path, complete(concatenate(kept), rows), about)
    return path


def _write_shard(path: Path, parts: Iterator[Table], progress: Callable[[int, int], None], total: int) -> None:
    writer: pq.ParquetWriter | None = None
    done: set[int] = set()
    try:
        for part in parts:
            table = to_arrow(part)
            with files.writing(path):
                writer = writer or pq.ParquetWriter(path, table.schema)
                writer.write_table(table.select(writer.schema.names))
            done.update(int(row) for row in part["row"])
            progress(len(done), total)
    finally:
        if writer is not None:
            with files.writing(path):
                writer.close()


def complete(table: Table, rows: Rows) -> Table:
    """Adds id and group, in the order of the rows. Raises ContractError unless every row stands there just once."""
    expected = np.asarray(rows.number, dtype=np.int64)
    found = np.asarray(table["row"], dtype=np.int64)
    unique, times = np.unique(found, return_counts=True)
    if (times > 1).any():
        raise ContractError(f"row {unique[times > 1][0]} was predicted {times.max()} times; a row may stand once only")
    if set(unique.tolist()) != set(expected.tolist()):
        missing = sorted(set(expected.tolist()) ^ set(unique.tolist()))
        raise ContractError(f"{len(missing)} rows are missing or unknown among the predictions, first row {missing[0]}")
    place = {row: index for index, row in enumerate(found.tolist())}
    order = np.array([place[row] for row in expected.tolist()])
    columns: Table = {name: _take(values, order) for name, values in table.items()}
    return {"row": columns.pop("row"), "id": list(rows.column("id")), "group": groups(rows), **columns}


def groups(rows: Rows) -> np.ndarray:
    """(n,) int64, equal where rows belong together; without groups each row is one of its own."""
    names = rows.column("group") if "group" in rows else rows.column("id")
    return np.unique(np.asarray(names, dtype=object).astype(str), return_inverse=True)[1].astype(np.int64)


def _take(values: Any, order: np.ndarray) -> Any:
    return values[order] if isinstance(values, np.ndarray) else [values[i] for i in order]


def write_columns(path: Path, table: Table, about: dict[str, Any]) -> None:
    """A predictions file of columns that are complete already."""
    arrow = to_arrow(table).replace_schema_metadata({"pervade": json.dumps({"format": files.FORMAT, **about})})
    with files.replacing(path) as temporary:
        pq.write_table(arrow, temporary)


def to_arrow(table: Table) -> pa.Table:
    """Columns to Arrow; a matrix (n, d) becomes lists of length d."""
    columns = {}
    for name, values in table.items():
        array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values
        if isinstance(array, np.ndarray) and array.ndim == 2:
            flat = pa.array(np.ascontiguousarray(array).reshape(-1))
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, array.shape[1])
        else:
            columns[name] = pa.array(array)
    return pa.table(columns)


def concatenate(tables: list[Table]) -> Table:
    if not tables:
        raise ContractError("no rows to predict")
    out: Table = {}
    for name in tables[0]:
        values = [each[name].cpu().numpy() if isinstance(each[name], torch.Tensor) else each[name] for each in tables]
        if all(isinstance(each, np.ndarray) for each in values):
            out[name] = np.concatenate(values)
        else:
            out[name] = [item for each in values for item in each]
    return out


def read_columns(path: Path, inside: Path | None = None) -> dict[str, Any]:
    """The columns of a predictions file: numbers as arrays, fixed lists as matrices, the rest as lists. Raises
    CheckpointError where it is damaged, or, by a link, does not lie in the folder `inside`."""
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
            values = sum(each.column(j).num_values for each in groups for j in range(each.num_columns))
            if values > MOST_VALUES or sum(each.total_byte_size for each in groups) > files.ROWS:
                raise OSError(f"it would unpack to {values:,} values, and at most {MOST_VALUES:,} in 4 GiB are read")
            return opened.read()
    except (OSError, pa.ArrowException) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); write it again with `pervade evaluate`") from None


def _columns(table: pa.Table) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if pa.types.is_fixed_size_list(column.type):
            out[name] = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)
        elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type):
            out[name] = column.to_numpy(zero_copy_only=False)
        else:
            out[name] = column.to_pylist()
    return out


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
