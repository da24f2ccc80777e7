"""Targets of all kinds, from the cell of a table to the batch; and every spelling of several labels that people use."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pervade.core.errors import DataError
from pervade.core.types import LeftOut, Rows
from pervade.data.read import spellings, targets
from pervade.data.rows import split
from pervade.domains.image import Image
from pervade.recipes.image import recognises
from tests.data.drawing import class_folders

FILES = ["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"]
WANTED = [["cat", "dark"], ["cat"], [], ["dog", "dark"]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "photos", count=2)


def read(path: Path, target: str, **more: Any) -> tuple[list[Any], list[LeftOut]]:
    rows, left_out = Image(target=target, **more).read(path)  # type: ignore[arg-type]
    return list(rows.column("target")), left_out


def csv(folder: Path, cells: list[str], head: str = "image,label") -> Path:
    path = folder / "t.csv"
    path.write_text(head + "\n" + "".join(f'{file},"{cell}"\n' for file, cell in zip(FILES, cells, strict=False)))
    return path


def cells(*values: Any) -> list[tuple[str, Any]]:
    return [(f"row {number}", value) for number, value in enumerate(values, start=1)]


# several labels


@pytest.mark.parametrize(
    "values",
    [
        ["cat|dark", "cat", "", "dog|dark"],
        ["cat; dark", "cat;", " ", "dog ;dark"],
        ["cat, dark", "cat", "", "dog,dark,"],
        ["['cat', 'dark']", "['cat']", "[]", "['dog', 'dark']"],
        ["[cat, dark]", "cat", "", "[dog,dark]"],
    ],
)
def test_every_spelling_of_lists(values: list[str], folder: Path) -> None:
    assert read(csv(folder, values), "labels") == (WANTED, [])


def test_lists_of_json_and_parquet(folder: Path) -> None:
    records = [{"image": file, "tags": each} for file, each in zip(FILES, WANTED, strict=True)]
    (folder / "t.json").write_text(json.dumps(records))
    pq.write_table(pa.table({"image": FILES, "tags": [*WANTED[:2], None, WANTED[3]]}), folder / "t.parquet")
    for name in ("t.json", "t.parquet"):
        assert read(folder / name, "labels") == (WANTED, [])
        assert recognises(folder / name) == "image-multi-label-classification"


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("True", "false"), ("YES", "no"), ("1.0", "0.0")])
def test_columns_of_0_and_1(yes: str, no: str, folder: Path) -> None:
    labels = ("cat", "dark", "dog")
    lines = [
        ",".join([file, *(yes if label in has else no for label in labels)])
        for file, has in zip(FILES, WANTED, strict=True)
    ]
    (folder / "t.csv").write_text("image,cat,dark,dog\n" + "\n".join(lines))
    assert [sorted(each) for each in read(folder / "t.csv", "labels")[0]] == [sorted(each) for each in WANTED]
    assert recognises(folder / "t.csv") == "image-multi-label-classification"
    some = read(folder / "t.csv", "labels", label_column="dark, dog")[0]
    assert some == [["dark"], [], [], ["dark", "dog"]]
    (folder / "t.csv").write_text("image,cat,dark,dog\n" + "\n".join([*lines, "cat/0.png,1,,0"]))
    left_out = read(folder / "t.csv", "labels")[1]
    assert [(each.source, each.reason) for each in left_out] == [("t.csv, row 5", "its dark is '', neither 0 nor 1")]


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (("a|b", "a, b"), r"several spellings: row 1 parts its labels by \| \('a\|b'\), row 2 by commas \('a, b'\)"),
        (("a;b", "a", "a|c"), r"several spellings: row 3 parts its labels by \| .*row 1 by ;.*domain.separator"),
        (("['a', 'b']", "a|b"), r"several spellings: row 2 parts its labels by \| .*row 1 by lists"),
        ((["a", "b"], "a,b"), r"several spellings: row 2 parts its labels by commas .*row 1 by lists"),
        (("a|b", "a b"), "row 2: column 'label' holds 'a b', but 'a' and 'b' are labels of their own in other rows"),
        (("a|b", "a/b"), "row 2: .*holds 'a/b'"),
        (("polar bear", "brown bear"), "row 1: column 'label' holds 'polar bear', which may be one label or several"),
        (("['a' 'b']",), r"row 1: .*has no commas between its labels"),
        (([{"a": 1}],), "row 1: a label is a name or a number, not a dict"),
    ],
)
def test_labels_in_several_spellings_are_refused(values: tuple, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        spellings.labels(cells(*values), "label")


def test_spaces_part_labels_where_words_come_again() -> None:
    found = spellings.labels(cells("haze clear", "clear", "", "haze", "haze  water", "water"), "label")
    assert found == [["haze", "clear"], ["clear"], [], ["haze"], ["haze", "water"], ["water"]]


def test_a_separator_that_is_given_ends_all_doubt() -> None:
    assert spellings.labels(cells("Smith, John|a b", "a", "b"), "label", "|") == [["Smith, John", "a b"], ["a"], ["b"]]
    assert spellings.labels(cells("polar bear", "brown bear"), "label", " ") == [["polar", "bear"], ["brown", "bear"]]
    assert spellings.labels(cells("polar bear", "brown bear"), "label", "|") == [["polar bear"], ["brown bear"]]


def test_a_slip_in_a_column_of_0_and_1_is_named(folder: Path) -> None:
    rows = [(f"row {i}", "0") for i in range(30)]
    with pytest.raises(DataError, match="row x: column 'cat' holds 0 or 1, but here '1O'; mend it"):
        spellings.is_flag([*rows, ("row x", "1O")], "cat")
    assert (spellings.is_flag(rows, "cat"), spellings.is_flag(cells("a", "b"), "note")) == (True, False)


@given(st.lists(st.lists(st.sampled_from(["ant", "bee", "cow"]), unique=True), min_size=1), st.sampled_from("|;,"))
def test_what_was_joined_is_parted(rows: list[list[str]], separator: str) -> None:
    assert spellings.labels(cells(*(separator.join(each) for each in rows)), "label") == rows


# numbers


def test_numbers_and_what_is_none(folder: Path) -> None:
    found, left_out = read(csv(folder, ["1.5", "", "inf", "-2e3"], "image,score"), "number")
    assert found == [1.5, -2000.0]
    assert [each.reason for each in left_out] == ["it has no score", "its score 'inf' is no finite number"]
    assert spellings.numbers(cells("1e200", "4", "5", "6"), "x")[0] == "its x '1e200' is beyond 1e+30"
    assert spellings.numbers(cells("3,5", "4", "-0,25"), "x") == [3.5, 4.0, -0.25]
    assert spellings.numbers(cells(3, 2.5, float("nan"), True, 1), "x")[:3] == [3.0, 2.5, "it has no x"]


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (("cat", "dog"), "row 1: column 'x' holds 'cat', which is no number; .*--label-column, or learn classes"),
        (("3,5", "4.5"), r"writes numbers in two ways: '3,5' \(row 1\), '4.5' \(row 2\); write 3.5 in every row"),
        (("1,234", "12,500"), "row 1: .*'1,234', which may be a thousand or a decimal; write 1234 or 1.234"),
    ],
)
def test_columns_that_hold_no_numbers(values: tuple, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        spellings.numbers(cells(*values), "x")


def test_folders_called_by_numbers(tmp_path: Path) -> None:
    ages = class_folders(tmp_path / "ages", ("7", "12.5"), count=2)
    assert recognises(ages) == "image-classification"
    assert sorted(read(ages, "class")[0]) == ["12.5", "12.5", "7", "7"]
    assert sorted(read(ages, "number")[0]) == [7.0, 7.0, 12.5, 12.5]
    assert sorted(read(ages, "labels")[0]) == [["12.5"], ["12.5"], ["7"], ["7"]]
    class_folders(ages, ("old",), count=1)
    with pytest.raises(DataError, match=r"ages.old.* is no number"):
        read(ages, "number")


# columns by name


def test_columns_asked_for_by_name(folder: Path) -> None:
    path = folder / "t.csv"
    lines = [f"{file},{file},{file.split('/')[0]},{i / 2}\n" for i, file in enumerate(FILES)]
    path.write_text("image,copy,kind,size\n" + "".join(lines))
    assert read(path, "class", label_column="kind")[0] == ["cat", "cat", "dog", "dog"]
    assert read(path, "number", label_column="size", file_column="copy")[0] == [0.0, 0.5, 1.0, 1.5]
    assert recognises(path, "size") == "image-regression"
    assert recognises(path, "kind") == "image-classification"
    for wrong in ({"label_column": "knd"}, {"file_column": "copi"}):
        with pytest.raises(DataError, match=r"has no column '(knd|copi)'; did you mean '(kind|copy)'\?"):
            read(path, "class", **wrong)


# detection


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["cat", "dog", "cat"], "class"),
        (["a|b", "a", "b|c"], "labels"),
        (["a, b", "a", "b", "a, b, c", "c"], "labels"),
        (["Paris, France", "Rome, Italy", "Lyon, France"], "class"),
        (["hot dog", "dog", "cat"], "class"),
        (["haze clear", "clear", "haze", "haze water", "water", "clear water"], "labels"),
        (["['a']", "['a', 'b']"], "labels"),
        ([["a"], None], "labels"),
        (["0.5", "1", "2"], "number"),
        (["3,5", "4,25", "8"], "number"),
        ([1.0, 0.0, 1.0], "class"),
        ([True, False], "class"),
        (["007", "0.5"], "class"),
        ([*map(str, range(0, 300, 7))], "number"),  # years, counts: more than 20, with gaps
        ([*range(100)] * 3, "class"),  # a hundred classes, each as often as the others
        (["1,2", "3", "1,2,3", "2"], "labels"),
        ([], "class"),
        ([None, ""], "class"),
    ],
)
def test_what_a_column_seems_to_hold(values: list, found: str) -> None:
    assert spellings.kind(values) == found


def test_detection_leaves_faults_to_the_reader(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('image,label\n"a')
    for source in (tmp_path / "t.csv", tmp_path / "gone", tmp_path, tmp_path / ("x" * 300), ["a.png"]):
        assert recognises(source) == "image-classification"


# from the training split to the batch


def test_learn_encode_and_stack() -> None:
    classes = targets.learn("class", ["b", "a", "b", "10", "9"])
    assert (classes.labels, classes.counts, classes.rows) == (("9", "10", "a", "b"), (1, 1, 1, 2), 5)
    assert targets.encode("class", "a", classes, "") == 2
    with pytest.raises(DataError, match="row 7: the class 'bb' never stands in the training split"):
        targets.encode("class", "bb", classes, "row 7")
    assert targets.encode("identity", "stranger", classes, "") == -1

    several = targets.learn("labels", WANTED)
    assert (several.labels, several.counts, several.rows) == (("cat", "dark", "dog"), (2, 2, 1), 4)
    encoded = [targets.encode("labels", each, several, "") for each in WANTED]
    batch = targets.stack("labels", encoded)
    assert batch.dtype == torch.float32
    assert batch.tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 1]]

    numbers = targets.learn("number", [1.0, 3.0, 5.0])
    assert numbers.scale == (3.0, pytest.approx(math.sqrt(8 / 3)))
    assert targets.learn("number", [2.0, 2.0]).scale == (2.0, 1.0)
    for kind, value in (("class", ["a"]), ("labels", "a"), ("number", "a")):
        with pytest.raises(DataError, match=r"goes with domain\.target="):
            targets.learn(kind, [value])  # type: ignore[arg-type]


@given(st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=30, unique=True), st.integers(0, 3))
def test_numbers_come_back_as_they_were(whole: list[int], decimals: int) -> None:
    """Through 32 bits, as long as they have no more than five figures below their spread."""
    values = [each / 10**decimals for each in whole]
    learnt = targets.learn("number", values)
    stacked = targets.stack("number", [targets.encode("number", each, learnt, "") for each in values])
    again = targets.decode_numbers(stacked.numpy(), learnt.scale, rounded=True)
    assert np.abs(again - values).max() <= 2e-5 * learnt.scale[1]


# splitting


def test_splits_of_labels_and_numbers() -> None:
    several = [["a"], ["a", "b"], ["a", "c"], []] * 25 + [["rare"]]
    rows = Rows({"id": [str(i) for i in range(101)], "target": several})
    drawn, _ = split.assign(rows, validation=0.2, test=0.2, seed=0)
    for name in ("validation", "test"):
        there = drawn.where("split", name)
        assert 18 <= len(there) <= 22
        assert {label for each in there.column("target") for label in each} == {"a", "b", "c"}
    assert ["rare"] in drawn.where("split", "train").column("target")
    numbers = Rows({"id": [str(i) for i in range(100)], "target": [i / 7 for i in range(100)]})
    drawn, _ = split.assign(numbers, validation=0.2, test=0.2, seed=0)
    assert [list(drawn.column("split")).count(name) for name in ("train", "validation", "test")] == [60, 20, 20]


def test_splits_with_different_classes_are_named_both_ways() -> None:
    def rows(*pairs: tuple[Any, str]) -> Rows:
        return Rows(
            {"id": [str(i) for i in range(len(pairs))], "target": [t for t, _ in pairs], "split": [s for _, s in pairs]}
        )

    with pytest.raises(
        DataError, match=r"class 'newt' stands in the validation split \(2\) but never in train, which has 'a', 'b'"
    ):
        split.refuse_unseen(rows(("a", "train"), ("b", "train"), ("newt", "validation"), ("a", "test")))
    with pytest.raises(DataError, match="class 'c' stands in the test split"):
        split.refuse_unseen(rows((["a", "b"], "train"), (["a", "c"], "test")))
    whole = rows(("a", "train"), ("b", "train"), ("a", "test"), ("a", "validation"))
    split.refuse_unseen(whole)
    assert split.gaps(whole) == [
        "in train but not in validation: 'b'; the checkpoint is chosen without it",
        "in train but not in test: 'b'; nothing will be measured of it",
    ]
    assert not split.gaps(rows(("a", "train"), ("b", "test")))  # divided by person on purpose
