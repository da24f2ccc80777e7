"""Drawing every class as often: its shares, that a pass repeats, and that no row is left out for good."""

from __future__ import annotations

from collections import Counter

import pytest

from pervade.core.errors import ConfigError, DataError
from pervade.core.types import Rows
from pervade.data.rows.samplers.class_balanced import ClassBalanced

TARGET = ["common"] * 30 + ["rare"] * 3 + ["middling"] * 12


def rows(target: list) -> Rows:
    return Rows({"id": [str(i) for i in range(len(target))], "target": target})


def drawn(length: str, epoch: int, seed: int = 0, batch_size: int = 8) -> list[list[int]]:
    return ClassBalanced(length).over(rows(TARGET), seed).batches(epoch, batch_size)


@pytest.mark.parametrize(("length", "each"), [("data", 15), ("rarest", 3)])
def test_every_class_comes_as_often(length: str, each: int) -> None:
    for epoch in range(4):
        batches = drawn(length, epoch)
        counts = Counter(TARGET[place] for batch in batches for place in batch)
        assert counts == dict.fromkeys(("common", "rare", "middling"), each)
        assert len(batches) == -(-3 * each // 8)
        assert max(map(len, batches)) - min(map(len, batches)) <= 1


@pytest.mark.parametrize("length", ["data", "rarest"])
def test_a_pass_repeats_and_the_next_is_another(length: str) -> None:
    sampler = ClassBalanced(length).over(rows(TARGET), seed=3)
    first, second = sampler.batches(0, 8), sampler.batches(1, 8)
    assert first == sampler.batches(0, 8) == drawn(length, 0, seed=3)
    assert first != second
    assert first != drawn(length, 0, seed=4)


def test_common_rows_all_come_before_one_comes_again() -> None:
    """Thirty rows, fifteen a pass: each comes once in two passes; three a pass: once in ten."""
    for length, passes in (("data", 2), ("rarest", 10)):
        batches = [batch for epoch in range(passes, 2 * passes) for batch in drawn(length, epoch)]
        common = Counter(place for batch in batches for place in batch if TARGET[place] == "common")
        assert common == dict.fromkeys(range(30), 1)


def test_a_rare_row_comes_about_as_often_as_any_other_of_its_class() -> None:
    rare = Counter(place for batch in drawn("data", 0) for place in batch if TARGET[place] == "rare")
    assert rare == dict.fromkeys(range(30, 33), 5)


def test_what_cannot_be_drawn_so() -> None:
    with pytest.raises(DataError, match="a row has several labels"):
        ClassBalanced().over(rows([["a"], ["a", "b"]]), 0)
    with pytest.raises(DataError, match="there are 1 classes, and it takes two"):
        ClassBalanced().over(rows(["a", "a"]), 0)
    with pytest.raises(ConfigError, match="8 processes cannot share a batch of 3 rows"):
        ClassBalanced("rarest").over(rows(["a"] * 9 + ["b"] * 3), 0, world=8).batches(0, 4)
