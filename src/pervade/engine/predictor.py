"""The only inference loop: a network, and rows or what is asked of it, give tables, answers, and the predictions file.

Evaluation, prediction of new files, export and serving run this same path: `transform` without randomness, fp32.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
from torch.nn import Module

from pervade.core import deadline, files, seed
from pervade.core.contracts import Canvas, Context, Domain, Sampler, Task
from pervade.core.contracts.abilities import JudgesAll
from pervade.core.types import Batch, Rows, Table
from pervade.data.rows.loader import Alike, Loader
from pervade.data.rows.sources.by_length import by_size
from pervade.engine import predictions, promises, ranks
from pervade.engine.batches import cut, to_device
from pervade.nn.by_row import ByRow
from pervade.nn.modes import evaluating

if TYPE_CHECKING:
    from pervade.engine.checkpoint import Loaded

MOST_READ = 1 << 26  # units (samples of sound) of the rows that are read together, as far as rows say their "size"
MOST_AT_ONCE = 1 << 23  # numbers a channel that go through the network together
GRACE = 0.3  # seconds for rows in which time is not looked at: one row of a few seconds is measured, or many quick ones
GROWING = 4  # times as many rows as before are the next ones in time, at most,
WORTH = 0.125  # of the time that is left: what is lost when time ends within them
CERTAIN = 0.7  # of it: where all that is left takes no more, it is done in one go


@dataclass(frozen=True)
class Predictor:
    """`network`, whose modes are left alone, asked what `task` asks of rows of `domain`, on the network's device."""

    network: Module
    domain: Domain
    task: Task
    decision: Mapping[str, Any] | None = None  # None: nothing is decided yet
    batch_size: int = 64
    workers: int = 1
    targets: bool = True  # whether rows hold what is right; not those that are to be answered
    watch: Callable[[], None] = lambda: None  # called before each batch, and may end it all by raising
    members: Mapping[str, Any] = field(default_factory=dict)  # as of `Context`
    train: Rows | None = None  # what was learnt from, where the task `JudgesAll`
    figures: frozenset[str] | None = None  # as of `Context`
    by_row: bool = False  # whether what is said of a row may hang on no other row, to the last digit; takes longer

    @classmethod
    def of(cls, loaded: Loaded, **settings: Any) -> Predictor:
        about = {"members": loaded.members, **settings}
        return cls(loaded.network, loaded.domain, loaded.task, loaded.decision, **about)

    @property
    def context(self) -> Context:
        decided = self.decision is not None
        told: dict[str, Any] = {"decision": self.decision or {}, "targets": self.targets, "decided": decided}
        told |= {"figures": self.figures, "device": next(self.network.parameters()).device}
        return Context(self.domain, members=self.members, **told)

    def tables(self, rows: Rows) -> Iterator[Table]:
        """What the task says of every row, a table a batch; where rows have a "size" they come in its order."""
        device = next(self.network.parameters()).device
        context, inputs = self._context_there(), self.domain.inputs()
        painted = math.prod(inputs.shape[1:]) if isinstance(inputs, Canvas) else 1
        with undisturbed(self.network):
            # Sampling in `infer` draws from torch's generator: seeded here, so that predictions repeat.
            torch.manual_seed(0)
            rows = rows.select(by_size(rows)) if "size" in rows else rows  # rows of like length need little padding
            sampler = Sized(rows.column("size")) if "size" in rows else None
            settings: dict[str, Any] = {"sampler": sampler, "workers": self.workers}
            load, computing = (Alike, ByRow) if self.by_row else (Loader, nullcontext)
            loader = load(rows, self.domain, self.batch_size, seed=0, training=False, **settings)
            whole = (batch for loaded in loader for batch in loaded.get("alike", (loaded,)))
            for batch in (piece for some in whole for piece in _pieces(some, self.batch_size, painted)):
                self.watch()
                with torch.inference_mode(), computing():
                    batch = to_device(batch, device)
                    output = self.task.infer(self.network, batch, context)
                    table = self.task.predictions(output, batch, context)
                    # A batch whose rows all came whole does not number their parts, and the next one may: -1 until all
                    # are together (`_whole`).
                    yield table if "part" in table else {**table, "part": torch.full_like(batch["row"], -1)}

    def tables_in_time(self, rows: Rows, until: float) -> Iterator[Table]:
        """As `tables`, of as many rows, drawn by chance, as there is time for until `until` (time.monotonic): one, then
        more, by what the last ones took. Rows are there whole or not at all."""
        order = np.random.default_rng(0).permutation(len(rows)).tolist()
        done, number, until = 0, min(1, len(rows)), max(until, time.monotonic() + GRACE)
        while number:
            begun = time.monotonic()
            some = self.tables(rows.select(order[done : done + number]))
            tables: list[Table] | None = deadline.done_by(until if done else None, partial(list, some))
            if tables is None:
                return
            yield from tables
            done, now = done + number, time.monotonic()
            affordable = max(until - now, 0.0) * number / max(now - begun, 1e-9)  # a clock may be coarse
            if len(rows) - done <= CERTAIN * affordable:
                number = len(rows) - done
            else:
                number = min(max(int(WORTH * affordable), 1), GROWING * number, len(rows) - done) if now < until else 0

    def table(self, rows: Rows) -> Table:
        """All rows at once, reduced, in their order: what `write` writes, in memory."""
        table = self._whole(list(self.tables(rows)))
        if "size" in rows:
            place = {row: index for index, row in enumerate(np.asarray(table["row"]).tolist())}
            order = np.array([place[int(number)] for number in rows.number])
            table = {name: predictions.in_order(values, order) for name, values in table.items()}
        return self._judged(table, rows)

    def write(
        self,
        path: Path,
        rows: Rows,
        about: dict[str, Any],
        progress: Callable[[int, int], None] = lambda done, total: None,
        until: float | None = None,
        judged_by: float | None = None,
    ) -> Written:
        """Predicts every row, or those that there is time for `until` then (see `tables_in_time`), and writes the
        predictions file; what is known once all rows are there is in it where it was done by `judged_by`. Several ranks
        share the rows and leave one file.

        Raises ContractError where a row is missing or stands twice.
        """
        world, rank, told = ranks.world(), ranks.rank(), True
        own = rows if world == 1 else rows.select(range(rank, len(rows), world))
        with _shards(path) as folder:
            parts = self.tables(own) if until is None else self.tables_in_time(own, until)
            _write_shard(folder / f"shard-{rank}", parts, progress, len(own))
            ranks.wait()
            if rank == 0:
                shards = [folder / f"shard-{number}" for number in range(world)]
                table = self._whole([predictions.read_columns(shard) for shard in shards if shard.exists()])
                if until is not None:
                    numbers = set(np.asarray(table["row"]).tolist())
                    rows = rows.select([place for place, number in enumerate(rows.number) if number in numbers])
                table = predictions.complete(table, rows)
                judged = deadline.done_by(judged_by, lambda: self._judged(table, rows))
                told = judged is not None
                predictions.write_columns(path, table if judged is None else judged, about)
            ranks.wait()
        return Written(rows, told)

    def _judged(self, table: Table, rows: Rows) -> Table:
        """With what is known once all rows are there."""
        if self.train is None or not isinstance(self.task, JudgesAll):
            return table
        with undisturbed(self.network), torch.inference_mode():
            return self.task.judged(table, rows, self.train, self._context_there())

    def _context_there(self) -> Context:
        """The context, whose members are where the network is."""
        context = self.context
        for member in self.members.values():
            member.network.to(context.device)
        return context

    def _whole(self, tables: list[Table]) -> Table:
        """All batches' rows, each once, as what is promised has them."""
        table = predictions.concatenate(tables)
        parts = np.asarray(table["part"])
        if (parts < 0).all():
            del table["part"]
        else:
            table["part"] = np.maximum(parts, 0)
        return promises.keep(self.task.reduce(table, self.domain), self.decision or {}, self.domain)


class Written(NamedTuple):
    rows: Rows  # that are in the file, as the first rank knows them
    judged: bool  # off: there was no time for what is known once all are there


class Sized(Sampler):
    """Rows in their order, as many at once as are asked for and no more units together than are read at once."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = sizes

    def batches(self, epoch: int, batch_size: int) -> list[list[int]]:
        batches: list[list[int]] = []
        units = 0
        for place, size in enumerate(self.sizes):
            if not batches or len(batches[-1]) == batch_size or units + size > MOST_READ:
                batches.append([])
                units = 0
            batches[-1].append(place)
            units += size
        return batches


def _pieces(batch: Batch, rows: int, painted: int) -> Iterator[Batch]:
    """A row may come in many windows, or long ones, which need not go through the network at once. `painted`: pixels of
    a picture that is made of it."""
    given = batch["input"]
    width = given.shape[-1] if isinstance(given, torch.Tensor) and given.ndim < 4 else painted
    yield from cut(batch, max(min(rows, MOST_AT_ONCE // max(width, 1)), 1))


@contextmanager
def undisturbed(network: Module) -> Iterator[None]:
    """Inside, the network is in evaluation mode; afterwards its modes, and torch's random state, are what they were, so
    that training does not notice."""
    with evaluating(network), seed.kept():
        yield


@contextmanager
def _shards(path: Path) -> Iterator[Path]:
    """A folder for what each rank predicts. Two evaluations at once have one each."""
    with ExitStack() as stack:
        folder = Path()
        if ranks.rank() == 0:
            with files.writing(path):
                folder = stack.enter_context(files.temporary(path))
                folder.mkdir()
        yield Path(ranks.same_text(str(folder)))


def _write_shard(path: Path, parts: Iterator[Table], progress: Callable[[int, int], None], total: int) -> None:
    writer: pq.ParquetWriter | None = None
    done: set[int] = set()
    try:
        for part in parts:
            table = predictions.to_arrow(part)
            with files.writing(path):
                writer = writer or pq.ParquetWriter(path, table.schema)
                writer.write_table(table.select(writer.schema.names))
            done.update(int(row) for row in part["row"])
            progress(len(done), total)
    finally:
        if writer is not None:
            with files.writing(path):
                writer.close()
