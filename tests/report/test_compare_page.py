"""compare.html: what it says of a comparison, and that it is one safe file."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pervade.core import files
from pervade.core.words import NUMBER, SHARE
from pervade.evaluate.compare import compare
from pervade.metrics.paired import Difference
from pervade.report import compare as page
from pervade.report import compare_disagree, compare_words
from tests.evaluate.made import ROWS, draw, make
from tests.report.test_report import Reader

HOSTILE = ("<script>alert(1)</script>", 'a "dog"\n| *bold*', "שלום")


def read(path: Path) -> tuple[Reader, str]:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert not reader.open
    return reader, re.sub(r"\s+", " ", "".join(reader.text))


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """Three runs on hostile names, with pictures: b better than a by 9 of 40 rows, c by one."""
    paths = draw(tmp_path / "pictures")
    names = [f"<i>{i}</i>.png" for i in range(ROWS)]
    columns = {"path": paths, "id": names, "hash": [files.sha256(Path(path)) for path in paths]}
    first = make(tmp_path / "<b>a", range(20, 32), labels=HOSTILE, **columns)
    second = make(tmp_path / "b", (20, 21, 40), labels=HOSTILE, recipe={"epochs": 4}, **columns)
    third = make(tmp_path / "c", range(21, 32), labels=HOSTILE, **columns)
    return page.write(compare([first, second, third]), tmp_path / "compare.html")


def test_says_which_is_better_and_how_sure(drawn: Path) -> None:
    _, text = read(drawn)
    assert "“b” is better than “<b>a”; “c” is not shown to differ from “<b>a”." in text
    assert "b is better by 22.5 points than <b>a (95% interval" in text
    assert "A 95% interval is the range" in text
    assert "after Holm for 2 comparisons" in text
    assert "on 40 pictures of the test split" in text


def test_has_every_section(drawn: Path) -> None:
    reader, text = read(drawn)
    assert [link for link in reader.links if link.startswith("#")] == [
        *("#differences", "#classes", "#disagree", "#costs", "#settings", "#rows"),
    ]
    assert "10 that b has right and <b>a wrong, the 8 that <b>a was surest of first:" in text
    assert "1 that <b>a has right and b wrong:" in text
    assert "epochs" in text
    assert "1,234" in text
    assert "Class by class (recall; p after Holm for 3 classes of each model), b is" in text
    assert "differ in being right on only 1 picture" in text


def test_loads_nothing_and_names_are_text(drawn: Path) -> None:
    reader, text = read(drawn)
    assert all(link.startswith(("#", "data:image/")) for link in reader.links)
    assert not reader.handlers
    assert "script" not in reader.tags
    assert "i" not in reader.tags
    assert "<script>alert(1)</script>" in text
    assert len(drawn.read_bytes()) < 1_500_000
    assert drawn.read_text().count("data:image/png;base64,") == 1 + 8 + 1


def test_the_same_comparison_gives_the_same_bytes(tmp_path: Path) -> None:
    runs = [make(tmp_path / "a", (20,)), make(tmp_path / "b", (21,))]
    assert page.build(compare(runs)) == page.build(compare(runs))


def test_what_to_be_careful_of(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a", range(20, 40)), make(tmp_path / "b", test=range(25, 60))
    found = compare([first, second], allow_different_rows=True)
    said = " ".join(compare_words.cautions(found))
    assert "do not have the same test split: 35 in both, 5 only in a" in said
    assert "Only the 35 pictures in common" in said
    assert "Each model is one training" in said


def difference(higher: bool | None, low: float, high: float) -> Difference:
    middle = (low + high) / 2
    return Difference(0.5, 0.5 + middle, middle, low, high, 0.01, 0.01, 100, "bootstrap", higher)


@pytest.mark.parametrize(
    ("higher", "low", "high", "words"),
    [
        (True, 0.1, 0.2, "better than"),
        (True, -0.2, -0.1, "worse than"),
        (False, 0.1, 0.2, "worse than"),
        (False, -0.2, -0.1, "better than"),
        (None, 0.1, 0.2, "higher than"),
        (None, -0.2, -0.1, "lower than"),
        (True, -0.1, 0.2, "not shown to differ from"),
    ],
)
def test_words_know_which_way_is_better(higher: bool | None, low: float, high: float, words: str) -> None:
    assert compare_words.relation(difference(higher, low, high)) == words


def test_numbers_read_as_people_read_them() -> None:
    assert compare_words.amount(SHARE, 0.031, signed=True) == "+3.1 points"
    assert compare_words.amount(SHARE, -0.0001, signed=True) == "0.0 points"
    assert compare_words.amount(NUMBER, -0.0312) == "-0.031"
    assert compare_words.interval(SHARE, -0.012, 0.05) == "-1.2 to 5.0"
    assert [compare_words.probability(p) for p in (0.0001, 0.002, 0.0451, 0.7)] == [
        *("p < 0.001", "p = 0.002", "p = 0.045", "p = 0.70"),
    ]


def test_how_sure_it_was_is_of_what_it_answered(tmp_path: Path) -> None:
    """A threshold, or rare classes, may have another class answered than the likeliest."""
    found = compare([make(tmp_path / "a", (20,)), make(tmp_path / "b", (21,))])
    columns = {
        "row": np.arange(2),
        "prediction": np.array([1, 0]),
        "probabilities": np.array([[0.9, 0.1], [0.8, 0.2]]),
    }
    assert compare_disagree._confidence(replace(found.sides[0], columns=columns)).tolist() == [0.1, 0.8]


def test_what_is_promised_of_one_alone_is_said(tmp_path: Path) -> None:
    promise = {"use": "threshold", "min_recall": {"a": 0.9}}
    first = make(tmp_path / "a", (), recipe={"promises": []})
    second = make(tmp_path / "b", (3,), recipe={"promises": [promise]})
    comparison = compare([first, second])
    assert compare_words.promised(comparison, 1) == (
        "Of the answers of b is promised --min-recall a=0.9, of those of a nothing: figures of answers differ by that "
        "too, and not by the model alone."
    )
    assert "Of the answers of b is promised" in read(page.write(comparison, tmp_path / "compare.html"))[1]
    assert "promises" not in comparison.settings and "promises[0].min_recall.a" in comparison.settings
    third = make(tmp_path / "c", (4,), recipe={"promises": [promise]})
    assert compare_words.promised(compare([second, third]), 1) == ""
