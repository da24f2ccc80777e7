"""Fragments of texts: what stays, what moves, and what is exchanged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pervade.core.errors import ConfigError
from pervade.testing import check_spec
from pervade.train.augment.fragments import Fragments

START, END, PADDING = 2, 3, 0
LENGTHS = (30, 1, 12)


def batch() -> dict[str, Any]:
    """Row i holds the numbers 100 i + 100, 100 i + 101, … between its marks."""
    tokens = torch.full((len(LENGTHS), max(LENGTHS) + 2), PADDING)
    for row, length in enumerate(LENGTHS):
        inside = 100 * (row + 1) + torch.arange(length)
        tokens[row, : length + 2] = torch.tensor([START, *inside.tolist(), END])
    return {"row": torch.arange(3), "input": tokens, "mask": tokens != PADDING, "target": torch.tensor([0, 1, 0])}


def texts(made: dict[str, Any]) -> list[list[int]]:
    assert torch.equal(made["mask"], made["input"] != PADDING), "what is filled up is at the end"
    assert bool((made["mask"].long().diff(dim=1) <= 0).all())
    return [row[own].tolist() for row, own in zip(made["input"], made["mask"], strict=True)]


@pytest.mark.parametrize("seed", range(10))
def test_a_fragment_is_a_run_between_the_marks(seed: int) -> None:
    given = batch()
    made = Fragments(shortest=0.3, exchanged=0.0)(given, np.random.default_rng(seed))
    for row, (text, length) in enumerate(zip(texts(made), LENGTHS, strict=True)):
        start, *inside, end = text
        assert (start, end) == (START, END) and round(0.3 * length) <= len(inside) <= length
        assert inside == list(range(inside[0], inside[0] + len(inside))) and inside[0] // 100 == row + 1
    assert torch.equal(given["input"], batch()["input"]) and torch.equal(made["target"], given["target"])


def test_any_length_and_any_place_comes_up() -> None:
    runs = [texts(Fragments(0.5, 0.0)(batch(), np.random.default_rng(seed)))[0][1:-1] for seed in range(300)]
    assert {len(run) for run in runs} == set(range(15, 31))
    assert min(run[0] for run in runs) == 100 and max(run[-1] for run in runs) == 129


def test_as_many_are_exchanged_as_was_asked_for() -> None:
    """A row of 30 holds 30 of the 43 numbers that are drawn from, so that 13/43 of what is exchanged is seen."""
    strange = 0
    for seed in range(200):
        text = texts(Fragments(1.0, 0.5)(batch(), np.random.default_rng(seed)))[0]
        assert (text[0], text[-1], len(text)) == (START, END, 32)
        strange += sum(token // 100 != 1 for token in text[1:-1])
    assert strange / 6000 == pytest.approx(0.5 * 13 / 43, abs=0.02)


def test_the_marks_between_two_texts_stay() -> None:
    tokens = torch.tensor([[START, 10, 11, 12, END, 13, END], [START, 20, END, 21, 22, 23, END]])
    for seed in range(20):
        made = Fragments(0.2, 1.0)(
            {"row": torch.arange(2), "input": tokens, "mask": torch.ones_like(tokens).bool()},
            np.random.default_rng(seed),
        )
        for text in texts(made):
            assert text[0] == START and text.count(END) == 2 and text[-1] == END


def test_randomness_is_the_generators() -> None:
    before = torch.get_rng_state()
    one, same, other = (Fragments()(batch(), np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert texts(one) == texts(same) != texts(other)
    assert torch.equal(torch.get_rng_state(), before)
    check_spec(Fragments())


def test_one_row_stays_as_it_is() -> None:
    """Nothing tells its marks from its words."""
    alone = {name: value[:1] for name, value in batch().items()}
    assert Fragments()(alone, np.random.default_rng(0)) is alone


def test_what_is_no_text_to_be_judged_as_a_whole_is_refused() -> None:
    pixels = {**batch(), "input": torch.zeros(3, 3, 4, 4)}
    of_tokens = {**batch(), "target": torch.zeros(3, 32, dtype=torch.int64)}
    for given in (pixels, of_tokens, {**batch(), "inside": batch()["mask"]}):
        with pytest.raises(ConfigError, match="judged as a whole, and this input is none; leave it out"):
            Fragments()(given, np.random.default_rng(0))
