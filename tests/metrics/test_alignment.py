"""What was said beside what was written: the fewest changes, checked against a definition that is too slow to use."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from pervade.metrics import transcription


def distance(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """Levenshtein's, as it is defined."""

    @cache
    def of(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        return min(of(i - 1, j) + 1, of(i, j - 1) + 1, of(i - 1, j - 1) + (one[i - 1] != other[j - 1]))

    return of(len(one), len(other))


def test_the_fewest_changes_lead_from_one_to_the_other() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        true, said = (tuple(generator.choice(list("abc"), generator.integers(0, 9)).tolist()) for _ in range(2))
        steps = transcription.align(true, said)
        assert tuple(step.true for step in steps if step.true) == true
        assert tuple(step.said for step in steps if step.said) == said
        assert sum(step.kind != "right" for step in steps) == distance(true, said)


@pytest.mark.parametrize(
    ("true", "said", "kinds"),
    [
        ("one two", "one two", ["right", "right"]),
        ("one two three", "one three", ["right", "missed", "right"]),
        ("one", "one more", ["right", "added"]),
        ("recognise speech", "wreck a nice speech", ["added", "added", "swapped", "right"]),
        ("", "what", ["added"]),
        ("what", "", ["missed"]),
    ],
)
def test_by_hand(true: str, said: str, kinds: list[str]) -> None:
    assert [step.kind for step in transcription.align(true.split(), said.split())] == kinds


def test_writing_without_spaces_is_compared_by_signs() -> None:
    assert transcription.has_words(["the cat sat on the mat", "yes"])
    assert not transcription.has_words(["今天天气很好我们一起去公园散步吧", "他昨天晚上没有来参加我们的聚会"])
    assert transcription.units("很好 吧", words=False) == ["很", "好", "吧"]
