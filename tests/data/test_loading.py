"""Batches depend on (seed, epoch) alone, and a loader that goes on skips nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pervade.core.contracts import Domain
from pervade.core.errors import ConfigError
from pervade.core.types import Rows
from pervade.data.rows.loader import Loader


@dataclass(frozen=True)
class Numbers(Domain):
    """The row's own number, and one drawn at random."""

    windows: int = 1

    def transform(self, row, rng):
        drawn = 0.0 if rng is None else rng.random()
        return [{"input": np.array([row["row"], drawn])} for _ in range(self.windows)]

    def collate(self, examples):
        return {"input": torch.from_numpy(np.stack([each["input"] for each in examples]))}


def loader(count: int = 23, batch_size: int = 5, seed: int = 0, domain: Domain = Numbers(), **more) -> Loader:
    rows = Rows({"id": [str(i) for i in range(count)]})
    return Loader(rows, domain, batch_size, seed, **more)


def passes(source: Loader, count: int = 1) -> list[list[list[float]]]:
    return [batch["input"].tolist() for _ in range(count) for batch in source]


def numbers(batches: list[list[list[float]]]) -> list[int]:
    return [int(row[0]) for batch in batches for row in batch]


def test_workers_do_not_change_a_batch() -> None:
    alone = passes(loader(), 3)
    assert all(passes(loader(workers=workers), 3) == alone for workers in (1, 3))


def test_order_depends_on_seed_and_epoch() -> None:
    source = loader()
    first, second = passes(source), passes(source)
    assert first != second
    assert sorted(numbers(first)) == sorted(numbers(second)) == list(range(23))
    assert passes(loader(), 2) == first + second
    assert passes(loader(seed=1)) != first


def test_randomness_belongs_to_the_row() -> None:
    """However the batches are cut, a row is augmented alike in the same epoch."""
    drawn = [{int(row[0]): row[1] for batch in passes(loader(batch_size=size)) for row in batch} for size in (3, 23)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0].values())) == 23


def test_without_training_in_order_and_without_randomness() -> None:
    batches = passes(loader(training=False, workers=2), 2)
    assert numbers(batches) == [*range(23), *range(23)]
    assert all(row[1] == 0.0 for batch in batches for row in batch)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 20))
def test_batches_are_of_nearly_equal_size(count: int, batch_size: int) -> None:
    source = loader(count, batch_size)
    sizes = [len(batch) for batch in passes(source)]
    assert len(sizes) == len(source)
    assert sum(sizes) == count
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("done", [0, 1, 4, 5, 7])
def test_goes_on_with_the_very_next_batch(done: int, workers: int) -> None:
    whole = passes(loader(), 3)
    source = loader(workers=workers)
    seen, state = [], source.state_dict()
    while len(seen) < done:
        for batch in source:
            seen.append(batch["input"].tolist())
            state = source.state_dict()
            if len(seen) == done:
                break
    other = loader(workers=workers)
    other.load_state_dict(state)
    # A state taken at the last batch of a pass has nothing left of it; the next pass begins where iterating ends.
    rest = passes(other, 4)
    assert (seen + rest)[: len(whole)] == whole


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_every_batch(world: int) -> None:
    whole = passes(loader())
    shares = [passes(loader(rank=rank, world=world)) for rank in range(world)]
    for number, batch in enumerate(whole):
        joined = [row for share in shares for row in share[number]]
        assert sorted(joined) == sorted(batch)


def test_ranks_that_would_have_nothing_to_do() -> None:
    with pytest.raises(ConfigError, match="4 processes cannot share a batch of 2 rows; raise --batch-size or start"):
        loader(8, 3, world=4)
    loader(0, 3, world=4)


def test_sampler_makes_the_batches() -> None:
    class Pairs:
        def batches(self, epoch, batch_size):
            return [[epoch, 5], [6, 7]]

    source = loader(sampler=Pairs())
    assert len(source) == 2
    assert numbers(passes(source, 2)) == [0, 5, 6, 7, 1, 5, 6, 7]


def test_rows_keep_their_numbers() -> None:
    rows = Rows({"id": list("abcdef")}).select([1, 3, 5])
    batches = list(Loader(rows, Numbers(), 2, 0, training=False))
    assert [batch["row"].tolist() for batch in batches] == [[1, 3], [5]]


def test_windows_of_a_row_are_numbered() -> None:
    (batch,) = loader(2, 2, domain=Numbers(windows=3), training=False)
    assert batch["row"].tolist() == [0, 0, 0, 1, 1, 1]
    assert batch["part"].tolist() == [0, 1, 2, 0, 1, 2]


def test_rehearsal_takes_the_largest_and_leaves_no_trace() -> None:
    rows = Rows({"id": list("abcdef"), "size": [3, 9, 1, 7, 2, 8]})
    source = Loader(rows, Numbers(), 3, 0)
    assert source.rehearsal()["row"].tolist() == [1, 5, 3]
    assert source.state_dict() == {"epoch": 0, "position": 0}
    assert loader(0).rehearsal() is None
    assert passes(loader(0)) == []


def test_fault_in_a_worker_comes_through() -> None:
    class Broken(Numbers):
        def transform(self, row, rng):
            raise RuntimeError(f"row {row['row']}")

    with pytest.raises(RuntimeError, match="row"):
        passes(loader(domain=Broken(), workers=2))
