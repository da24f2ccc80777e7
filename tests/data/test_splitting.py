"""What splitting promises, for any rows."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pervade.core.errors import DataError
from pervade.core.types import Rows
from pervade.data.read import account
from pervade.data.rows import folds, split
from pervade.data.rows.split import assign
from pervade.domains.image import Image

labels = st.sampled_from(["cat", "dog", "newt"])
lines = st.lists(
    st.tuples(labels, st.integers(0, 30), st.integers(0, 30), st.sampled_from(["train", "validation", "test"])),
    min_size=1,
    max_size=80,
)


def rows_of(lines, *, hashes: bool = True, groups: bool = True, splits: bool = False) -> Rows:
    columns = {"id": [str(i) for i in range(len(lines))], "target": [line[0] for line in lines]}
    if hashes:
        columns["hash"] = [f"hash {line[1]}" for line in lines]
    if groups:
        columns["group"] = [f"group {line[2]}" for line in lines]
    if splits:
        columns["split"] = [line[3] for line in lines]
    return Rows(columns)


@settings(deadline=None)
@given(lines, st.integers(0, 9), st.booleans(), st.booleans())
def test_units_stay_together_and_nothing_is_lost(lines, seed: int, hashes: bool, groups: bool) -> None:
    rows, left_out = assign(rows_of(lines, hashes=hashes, groups=groups), validation=0.2, test=0.2, seed=seed)
    assert not left_out
    assert list(rows.column("id")) == [str(i) for i in range(len(lines))]
    for column in ("hash", "group"):
        if column in rows:
            homes: dict[str, set[str]] = {}
            for key, home in zip(rows.column(column), rows.column("split"), strict=True):
                homes.setdefault(key, set()).add(home)
            assert all(len(each) == 1 for each in homes.values())


@settings(deadline=None)
@given(lines, st.integers(0, 9), st.booleans(), st.booleans())
def test_every_class_trains(lines, seed: int, hashes: bool, groups: bool) -> None:
    rows, _ = assign(rows_of(lines, hashes=hashes, groups=groups), validation=0.45, test=0.45, seed=seed)
    trained = {t for t, s in zip(rows.column("target"), rows.column("split"), strict=True) if s == "train"}
    assert trained == set(rows.column("target"))


def test_a_column_that_is_not_there_is_named_beside_those_that_are() -> None:
    rows = Rows({"id": ["a"], "target": ["x"]})
    with pytest.raises(DataError, match=r"no column 'targt'; did you mean 'target'\?"):
        rows.column("targt")
    with pytest.raises(DataError, match="no column 'speaker'; allowed: id, target"):
        rows.where("speaker", "x")


@settings(deadline=None)
@given(
    st.lists(labels, min_size=1, max_size=120),
    st.integers(0, 9),
    st.floats(0.0, 0.4),
    st.floats(0.0, 0.4),
)
def test_classes_have_the_same_shares(targets, seed: int, validation: float, test: float) -> None:
    rows = Rows({"id": [str(i) for i in range(len(targets))], "target": targets})
    rows, _ = assign(rows, validation=validation, test=test, seed=seed)
    counts = Counter(zip(rows.column("target"), rows.column("split"), strict=True))
    for label, total in Counter(targets).items():
        for name, share in (("validation", validation), ("test", test)):
            assert abs(counts[label, name] - share * total) <= 1
            if share and total >= 3:
                assert counts[label, name] >= 1


@settings(deadline=None)
@given(lines, st.integers(0, 9))
def test_same_seed_same_split(lines, seed: int) -> None:
    once, again = (assign(rows_of(lines), validation=0.2, test=0.2, seed=seed)[0] for _ in range(2))
    assert once.column("split") == again.column("split")


def test_another_seed_is_another_split() -> None:
    rows = Rows({"id": [str(i) for i in range(100)], "target": ["cat"] * 100})
    drawn = [assign(rows, validation=0.2, test=0.2, seed=seed)[0].column("split") for seed in range(3)]
    assert drawn[0] != drawn[1] != drawn[2]


@settings(deadline=None)
@given(lines, st.integers(0, 9), st.booleans(), st.booleans())
def test_given_splits_are_kept_but_for_what_belongs_to_others(lines, seed: int, hashes: bool, groups: bool) -> None:
    given_rows = rows_of(lines, hashes=hashes, groups=groups, splits=True)
    try:
        rows, left_out = assign(given_rows, validation=0.2, test=0.2, seed=seed)
    except DataError as error:
        wanted = "nothing is left to train on" if any(line[3] == "train" for line in lines) else "but no train split"
        assert wanted in str(error)
        return
    assert len(rows) + len(left_out) == len(lines)
    before = dict(zip(given_rows.column("id"), given_rows.column("split"), strict=True))
    there = {before[name] for name in rows.column("id")}  # a split whose rows all were copies is gone, and drawn anew
    for name, home in zip(rows.column("id"), rows.column("split"), strict=True):
        # What is missing is drawn from the training rows; all else stays.
        assert home == before[name] or (before[name] == "train" and home not in there)
    for column in ("hash", "group"):
        homes: dict[str, set[str]] = {}
        for key, home in zip(rows.columns.get(column, ()), rows.column("split"), strict=column in rows):
            homes.setdefault(key, set()).add(home)
        assert all(len(each) == 1 for each in homes.values())


def test_copies_stay_nearest_to_the_final_figures() -> None:
    rows = Rows({"id": list("abcd"), "hash": ["x", "x", "x", "y"], "split": ["train", "validation", "test", "train"]})
    rows, left_out = assign(rows, validation=0.1, test=0.1, seed=0)
    assert list(rows.column("id")) == ["c", "d"]
    assert [(each.source, each.reason) for each in left_out] == [
        ("a", "the same as c in the test split, so not used for train"),
        ("b", "the same as c in the test split, so not used for validation"),
    ]


def test_groups_stay_nearest_to_the_final_figures() -> None:
    """f is the same picture as b, which is of the group of a: it is of that group as well."""
    rows = Rows(
        {
            "id": list("abcdefg"),
            "group": ["x", "x", "y", "y", "z", "w", "w"],
            "hash": ["1", "2", "3", "4", "5", "2", "6"],
            "split": ["test", "train", "train", "validation", "train", "train", "train"],
        }
    )
    with account.gathered() as notes:
        rows, left_out = assign(rows, validation=0.1, test=0.1, seed=0)
    assert "splits: 4 rows left out, whose group stands in another of them (--group-by none)" in notes
    assert list(rows.column("id")) == ["a", "d", "e"]
    assert [(each.source, each.reason) for each in left_out] == [
        ("b", "of the same group as a in the test split, so not used for train"),
        ("c", "of the same group as d in the validation split, so not used for train"),
        ("f", "bound by groups and copies to a in the test split, so not used for train"),
        ("g", "bound by groups and copies to a in the test split, so not used for train"),
    ]


def test_known_people_of_a_given_split_stay() -> None:
    """Who is known from training may be what is asked; that the figures flatter is told."""
    names = ["ann", "ann", "bob", "ann", "bob"]
    rows = Rows({"id": list("abcde"), "target": names, "group": names, "split": [*["train"] * 3, "test", "test"]})
    rows = rows.with_columns(hash=["1", "2", "3", "2", "5"])
    rows, left_out = assign(rows, validation=0, test=0, seed=0)
    assert [each.source for each in left_out] == ["b"]
    assert split.gaps(rows) == [
        "2 of 2 people in test are in train as well; figures on them are too kind for people who were never trained on"
    ]


def test_nothing_left_to_train_on() -> None:
    rows = Rows({"id": ["a", "b"], "group": ["x", "x"], "split": ["train", "test"]})
    with pytest.raises(
        DataError, match=r"nothing is left to train on.*the first, a: of the same group as b in the test"
    ):
        assign(rows, validation=0.2, test=0.2, seed=0)


def test_numbers_are_one_stratum() -> None:
    """A measured target (regression) has no classes to balance."""
    rows = Rows({"id": [str(i) for i in range(40)], "target": [i / 7 for i in range(40)]})
    rows, _ = assign(rows, validation=0.25, test=0.25, seed=0)
    assert Counter(rows.column("split")) == {"train": 20, "validation": 10, "test": 10}


@pytest.mark.parametrize("name", ["dev", "val", "valid", "validation", "Val", "DEV", "eval", "Evaluation", "val_set"])
def test_one_split_has_many_names(name: str) -> None:
    assert split.named(name) == "validation"


def test_a_class_with_one_row_is_left_out() -> None:
    """Of every kind of data, and listed; numbers and several labels are no such classes."""
    rows, left_out = split.without_single(Rows({"id": list("abcde"), "target": ["x", "x", "y", "z", "z"]}))
    assert list(rows.column("id")) == ["a", "b", "d", "e"]
    assert [(each.source, each.reason) for each in left_out] == [
        ("c", "the only row of class 'y', and it takes two: one to learn from and one to measure")
    ]
    for targets in ([0.5, 1.5], [["x"], ["x", "y"]]):
        assert split.without_single(Rows({"id": ["a", "b"], "target": targets}))[1] == []
    assert len(split.without_single(Rows({"id": ["a", "b"]}))[0]) == 2


def test_contradictions_are_said_and_stand_in_one_split() -> None:
    """Of 40 contents 30 have both labels; the same label twice is none."""
    hashes = [f"h{i % 40}" for i in range(80)]
    rows = Rows(
        {
            "id": [f"r{i}" for i in range(80)],
            "hash": hashes,
            "target": ["good" if i < 40 or i >= 70 else "bad" for i in range(80)],
        }
    )
    with account.gathered() as notes:
        split.note_contradictions(rows)
    assert len(notes) == 1
    assert notes[0].startswith(
        "contradictions: 30 times the same content has different labels (r0 is 'good' but r40 is 'bad'; r1 is"
    )
    assert "; and 25 more); each stays whole" in notes[0]
    rows, _ = assign(rows, validation=0.2, test=0.2, seed=0)
    assert len(set(zip(hashes, rows.column("split"), strict=True))) == 40
    with account.gathered() as notes:
        split.note_contradictions(Rows({"id": ["a", "b"], "hash": ["x", "x"], "target": [["p", "q"], ["q", "p"]]}))
        split.note_contradictions(Rows({"id": ["a", "b"], "hash": ["x", "x"], "target": [0.1, 0.2]}))
    assert notes == []


def test_a_person_in_several_classes_is_one_group(tmp_path: Path) -> None:
    """Everybody has pictures of either class, named alike in both: a/7_anna.png, b/7_anna.png."""
    people = [f"p{i}" for i in range(10)]
    for label in ("a", "b"):
        for number, name in enumerate(people):
            (tmp_path / label).mkdir(exist_ok=True)
            (tmp_path / label / f"{number}_{name}.png").write_bytes(b"\x89PNG")
    for pattern, groups in (("_(.+)[.]", people), ("^(\\d)_", list("0123456789")), ("^([ab])/", ["a", "b"])):
        rows, left_out = Image(group_pattern=pattern).read(tmp_path)
        assert sorted(set(rows.column("group"))) == groups
        assert left_out == []
        if len(groups) == 10:
            rows, _ = assign(rows, validation=0.2, test=0.2, seed=0)
            homes = set(zip(rows.column("group"), rows.column("split"), strict=True))
            assert len(homes) == 10
            assert Counter(rows.column("split")) == {"train": 12, "validation": 4, "test": 4}
            divided, _ = folds.assign(rows.with_columns(split=["train"] * 20), 5, seed=0)
            assert len(set(zip(divided.column("group"), divided.column("fold"), strict=True))) == 10


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=40))
def test_units_are_the_connected_parts(pairs) -> None:
    """Against the plain definition: merge until nothing changes."""
    rows = Rows(
        {"id": [str(i) for i in range(len(pairs))], "group": [a for a, _ in pairs], "hash": [b for _, b in pairs]}
    )
    expected = [{i} for i in range(len(pairs))]
    for _ in range(int(math.log2(len(pairs) + 1)) + len(pairs)):
        merged: list[set[int]] = []
        for each in expected:
            near = [
                m
                for m in merged
                if any(pairs[i][0] == pairs[j][0] or pairs[i][1] == pairs[j][1] for i in each for j in m)
            ]
            merged = [m for m in merged if m not in near] + [each.union(*near)]
        if len(merged) == len(expected):
            break
        expected = merged
    found = split.units(rows, range(len(pairs)))
    assert sorted(map(sorted, found)) == sorted(map(sorted, expected))
