"""Batches under a budget: every row once, hardly any padding, the same number of batches in every pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from torch import nn

from pervade.core.contracts import Context, Opening
from pervade.core.types import Rows
from pervade.data.rows.sources.by_length import MOST, BudgetSampler, ByLength, cuts
from pervade.domains.text import Text
from pervade.tasks.classify import Classify


@given(
    some.lists(some.integers(1, 60), min_size=1, max_size=80),
    some.integers(1, 200),
    some.integers(1, 10),
    some.integers(1, 3),
    some.sampled_from([0.0, 0.1, 0.5]),
)
def test_every_row_once_and_within_the_budget(
    lengths: list[int], budget: int, batch: int, least: int, loose: float
) -> None:
    sampler = BudgetSampler(np.array(lengths), budget, batch, least, seed=1, loose=loose)
    for epoch in (0, 1):
        batches = sampler.batches(epoch, batch)
        assert sorted(i for each in batches for i in each) == list(range(len(lengths)))
        assert len(batches) == len(sampler.cuts) + 1
        for each in batches:
            longest = max(lengths[i] for i in each)
            # The last batch may have taken up rows that were too few for one of their own.
            assert len(each) * longest <= budget or len(each) < 2 * least or least > 1
            assert len(each) <= MOST * batch + least
            assert len(each) >= min(least, len(lengths))


def test_by_hand() -> None:
    assert cuts([1, 1, 1, 1, 4, 4, 9], budget=8, most=99, least=1) == [4, 6]
    assert cuts([1, 1, 1, 1], budget=99, most=2, least=1) == [2]
    assert cuts([9, 9, 9], budget=9, most=9, least=2) == []  # the third alone is too few, and goes with the others


def test_padding_is_hardly_computed() -> None:
    lengths = np.random.default_rng(0).integers(4, 60, 2000)
    budget = round(32 * lengths.mean())
    batches = BudgetSampler(lengths, budget, 32, 1, 0).batches(3, 32)
    computed = sum(len(each) * lengths[each].max() for each in batches)
    assert computed < 1.03 * lengths.sum()
    assert len(batches) == pytest.approx(2000 / 32, rel=0.1)


def test_rows_of_unlike_length_change_their_company() -> None:
    """As recordings, of which no two are alike: those that always stood together would be known by each other."""
    lengths = np.random.default_rng(0).permutation(np.arange(1000, 3000))
    strict, loose = (BudgetSampler(lengths, 30_000, 16, 1, 0, share) for share in (0.0, 0.1))
    assert sorted(map(sorted, strict.batches(0, 16))) == sorted(map(sorted, strict.batches(1, 16)))
    first, other = ({frozenset(each) for each in loose.batches(epoch, 16)} for epoch in (0, 1))
    assert not first & other
    computed = sum(len(each) * lengths[list(each)].max() for each in first)
    assert computed < 1.1 * lengths.sum()


def test_each_pass_is_drawn_anew_and_repeats() -> None:
    lengths = np.random.default_rng(0).integers(4, 20, 200)
    first, other = (BudgetSampler(lengths, 100, 8, 1, seed) for seed in (0, 0))
    assert first.batches(0, 8) == other.batches(0, 8) != first.batches(1, 8)
    assert first.batches(0, 8) == other.batches(0, 8)


def test_memory_is_tried_on_the_largest_batch_there_is() -> None:
    """Not on as many of the longest rows as a batch has rows: the budget never lets those meet."""
    table = [(" ".join(["word"] * (1 + number % 40)), "ab"[number % 2]) for number in range(120)]
    rows = Rows(
        {"id": [str(i) for i in range(120)], "text": [t for t, _ in table], "target": [each for _, each in table]}
    )
    domain = Text(length=64, num_tokens=300).fit(rows)
    opening = Opening(rows, Classify(), nn.Identity(), Context(domain), batch_size=16, seed=0)
    source = ByLength().open(opening)
    tried = source.rehearsal()
    assert tried is not None
    assert tried["input"].numel() == max(batch["input"].numel() for batch in source)
