"""Batches from a table of rows, in an order that depends on (seed, epoch) alone.

Each example's randomness comes from (seed, epoch, row), and with a sampler from its place as well, so neither the order
nor the number of workers changes a batch. The state is two numbers, and going on from it skips nothing: the order is
made anew and read from its place.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

import numpy as np
import torch

from pervade.core import seed as seeds
from pervade.core.contracts import Augment, Domain, Opening, Sampler, Source
from pervade.core.contracts.capabilities import FilledUp
from pervade.core.errors import ConfigError
from pervade.core.types import Batch, Example, Rows

REHEARSED = 5  # passes in which the largest batch is sought, where a sampler draws them


class Passes(Source):
    """A source whose state is which pass it is in, and how many of its batches are over."""

    epoch = position = 0

    def trial(self) -> Iterator[Batch]:
        other = copy.copy(self)
        while len(other):
            yield from other

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.position = state["epoch"], state["position"]


class Loader(Passes):
    """A Source over rows. `training` turns on shuffling and the randomness of `transform`.

    In training a pass is cut into batches of nearly equal size (they differ by one row at most), so that no last batch
    of a single row upsets batch normalisation. With several ranks each takes its share of every batch; what `augment`
    does to a share mixes rows of that share, and so is not what it would do to the whole batch.

    Raises ConfigError where a batch has fewer rows than there are ranks.
    """

    def __init__(
        self,
        rows: Rows,
        domain: Domain,
        batch_size: int,
        seed: int,
        *,
        training: bool = True,
        sampler: Sampler | None = None,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
        augment: Sequence[Augment] = (),
    ) -> None:
        smallest = len(rows) // math.ceil(len(rows) / batch_size) if len(rows) else world
        if sampler is None and smallest < world:
            raise ConfigError(
                f"{world} processes cannot share a batch of {smallest} rows; raise --batch-size or start fewer"
            )
        self.rows, self.domain, self.batch_size, self.seed = rows, domain, batch_size, seed
        self.training, self.sampler, self.workers = training, sampler, workers
        self.rank, self.world, self.augment = rank, world, augment

    @classmethod
    def opened(cls, opening: Opening, rows: Rows, sampler: Sampler | None = None) -> Self:
        """Over `rows`, as a source was opened."""
        return cls(
            rows,
            opening.context.domain,
            opening.batch_size,
            opening.seed,
            sampler=sampler,
            workers=opening.workers,
            rank=opening.rank,
            world=opening.world,
            augment=opening.augment,
        )

    def __len__(self) -> int:
        if self.sampler is not None:
            return len(self.sampler.batches(self.epoch, self.batch_size))
        return math.ceil(len(self.rows) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        plan = self._plan()
        for batch in self._ahead(plan[self.position :]):
            self.position += 1
            yield batch
        self.epoch += 1
        self.position = 0

    def _plan(self) -> Sequence[Sequence[int]]:
        """Positions of the rows of every batch of this epoch."""
        if self.sampler is not None:
            return self.sampler.batches(self.epoch, self.batch_size)
        if not len(self.rows):
            return []
        order = np.arange(len(self.rows))
        if not self.training:
            starts = range(0, len(order), self.batch_size)
            return [order[i : i + self.batch_size].tolist() for i in starts]
        order = seeds.generator(self.seed, self.epoch).permutation(order)
        return [part.tolist() for part in np.array_split(order, len(self))]

    def _ahead(self, plan: Sequence[Sequence[int]]) -> Iterator[Batch]:
        """Batches in order; `workers` threads prepare the next ones meanwhile (decoding and resizing let go of the
        interpreter's lock)."""
        start, epoch = self.position, self.epoch
        if self.workers == 0:
            for number, indices in enumerate(plan, start):
                yield self._augmented(indices, epoch, number)
            return
        with ThreadPoolExecutor(self.workers, thread_name_prefix="loader") as pool:
            waiting: deque[Future[Batch]] = deque()
            try:
                for number, indices in enumerate(plan, start):
                    waiting.append(pool.submit(self._augmented, indices, epoch, number))
                    if len(waiting) > self.workers + 1:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _augmented(self, indices: Sequence[int], epoch: int, number: int) -> Batch:
        batch = self._batch(indices, epoch, number)
        for place, augment in enumerate(self.augment if self.training else ()):
            batch = augment(batch, seeds.generator(self.seed, epoch, number, self.rank, place))
        return batch

    def _batch(self, indices: Sequence[int], epoch: int, number: int = 0) -> Batch:
        return self._collated(self._examples(indices, epoch, number))

    def _examples(self, indices: Sequence[int], epoch: int, number: int) -> list[tuple[int, list[Example]]]:
        """Of each row its number and its examples."""
        made = []
        for place in range(self.rank, len(indices), self.world):
            row = self.rows[int(indices[place])]
            # A sampler may draw a row several times in a pass, and each time it is to look different.
            turn = () if self.sampler is None else (number, place)
            rng = seeds.generator(self.seed, epoch, row["row"], *turn) if self.training else None
            made.append((row["row"], self.domain.transform(row, rng)))
        return made

    def _collated(self, made: Sequence[tuple[int, list[Example]]]) -> Batch:
        parts = [part for _, examples in made for part in range(len(examples))]
        batch = self.domain.collate([example for _, examples in made for example in examples])
        batch["row"] = torch.tensor([number for number, examples in made for _ in examples], dtype=torch.int64)
        if any(parts):
            batch["part"] = torch.tensor(parts, dtype=torch.int64)
        return batch

    def rehearsal(self) -> Batch | None:
        """The largest batch there will be, as far as rows have a "size", and as the first passes tell; else any."""
        if not len(self.rows):
            return None
        if self.sampler is not None:
            sizes = self.rows.column("size") if "size" in self.rows else [1] * len(self.rows)
            drawn = (self.sampler.batches(number, self.batch_size) for number in range(REHEARSED))
            batches = [batch for batches_of_pass in drawn for batch in batches_of_pass]
            return self._batch(max(batches, key=lambda batch: len(batch) * max(sizes[i] for i in batch)), 0)
        order: Sequence[int] = range(len(self.rows))
        if "size" in self.rows:
            order = np.argsort(self.rows.column("size"))[::-1].tolist()
        return self._batch(order[: self.batch_size], 0)


class Alike(Loader):
    """One that trains nothing, whose batches come in pieces ("alike"), each of rows whose examples have one shape, or
    are filled up to one that hangs on the row alone: no row is filled up for the sake of another."""

    def _batch(self, indices: Sequence[int], epoch: int, number: int = 0) -> Batch:
        groups: dict[Any, list[tuple[int, list[Example]]]] = {}
        fills = self.domain if isinstance(self.domain, FilledUp) else None
        for row, examples in self._examples(indices, epoch, number):
            groups.setdefault(shape(self.domain, examples), []).append((row, examples))
        batches = {of: self._collated(group) for of, group in groups.items()}
        return {"alike": [batch if fills is None else fills.filled(batch, of) for of, batch in batches.items()]}


def shape(domain: Domain, examples: Sequence[Example]) -> tuple[Any, ...]:
    """Of all that the examples of a row hold; of a list its length, since what it holds may differ."""
    return domain.shape(examples) if isinstance(domain, FilledUp) else tuple(map(_shape, examples))


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple((name, _shape(one)) for name, one in value.items())
    return len(value) if isinstance(value, list | tuple) else getattr(value, "shape", ())
