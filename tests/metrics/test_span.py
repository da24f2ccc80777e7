"""The official scripts' figures, by numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pervade.metrics.estimate import estimate
from pervade.metrics.span import characters, score, span_metrics, words


@pytest.mark.parametrize(
    ("said", "right", "exact", "f1"),
    [
        ("The Broncos!", ["Denver Broncos", "broncos"], 1, 1),  # the best of several
        ("Denver Broncos", ["Broncos"], 0, 2 / 3),
        ("in the year 1066", ["1066"], 0, 0.5),  # articles do not count
        ("cat cat", ["cat"], 0, 2 / 3),  # a word is shared as often as it stands in both
        ("", [], 1, 1),
        ("", ["cat"], 0, 0),
        ("cat", [], 0, 0),
        ("...", ["the"], 1, 1),  # nothing is left of either
        ("the", [], 1, 1),
        ("a", ["the", "cat"], 0, 0),  # of the right ones only those count of which something is left
    ],
)
def test_words(said: str, right: list[str], exact: float, f1: float) -> None:
    assert score(said, right, by_character=False) == (exact, pytest.approx(f1))


@pytest.mark.parametrize(
    ("said", "right", "exact", "f1"),
    [
        ("《红楼梦》", ["红楼梦"], 1, 1),
        ("曹雪芹写的", ["曹雪芹"], 0, 2 * 3 / 8),
        ("北上京", ["北京"], 0, 2 * 1 / 5),  # the longest run, not the shared characters
        ("1996年", ["1996 年"], 1, 1),
        ("NASA局", ["nasa"], 0, 2 / 3),  # other words are whole
    ],
)
def test_characters(said: str, right: list[str], exact: float, f1: float) -> None:
    assert score(said, right, by_character=True) == (exact, pytest.approx(f1))


def test_what_is_split() -> None:
    assert words("A man, an owl; the U.S.A.'s 3.5%") == ["man", "owl", "usas", "35"]
    assert characters("在3.5米——高") == ["在", "3.5", "米", "—", "—", "高"]


def test_figures_are_means_over_rows_with_intervals() -> None:
    columns = {
        "prediction": ["cat", "dog", "", "cow"],
        "target": [["cat"], ["big dog"], [], []],
        "group": np.array([0, 0, 1, 1]),
    }
    found = estimate(span_metrics(False, True), columns)
    assert found["exact_match"].value == 0.5
    assert found["f1"].value == pytest.approx((1 + 2 / 3 + 1 + 0) / 4)
    assert found["f1[answerable]"].value == pytest.approx(5 / 6)
    assert found["f1[unanswerable]"].value == 0.5
    assert "within the two groups" in found["exact_match"].method
