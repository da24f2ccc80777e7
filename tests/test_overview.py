"""What is said of the data before anything is learnt, word for word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pervade.core.run import RunDirectory
from pervade.core.types import LeftOut, Rows
from pervade.data.rows import folds
from pervade.domains.image import Image
from pervade.domains.sound import Sound
from pervade.domains.text import Text
from pervade.domains.transcripts import Transcripts
from pervade.run.overview import held_out, keep, keep_common, kept, left_out, overview


def made(splits: str, target: list[Any]) -> Rows:
    names = {"t": "train", "v": "validation", "e": "test"}
    ids = [str(number) for number in range(len(splits))]
    return Rows({"id": ids, "split": [names[each] for each in splits], "target": target})


def test_classes_and_splits() -> None:
    rows = made("ttttve", ["10", "2", "cat", "dog", "2", "10"])
    assert overview(rows, Image()) == [
        "data: 6 pictures of 4 classes (2, 10, cat and dog): 4 train, 1 validation, 1 test"
    ]
    rows = made("t" * 7, list("abcdefg"))
    assert overview(rows, Sound()) == ["data: 7 recordings of 7 classes (a, b, c, d, e and 2 more): 7 train"]
    rows = made("tte", [["red"], [], ["blue", "red"]])
    assert overview(rows, Text()) == ["data: 3 texts of 2 labels (blue and red): 2 train, 1 test"]
    rows = made("tte", ["anna", "anna", "ben"])
    assert "2 people or things (anna and ben)" in overview(rows, Image(target="identity"))[0]


def test_few_groups_are_named_by_split() -> None:
    rows = made("tttveve", list("abababa")).with_columns(group=["ada", "ben", "ada", "cy", "dan", "cy", "dan"])
    assert overview(rows, Sound())[1:] == [
        "speakers: train: ada and ben; validation: cy; test: dan",
        "of so few speakers each is dear: -o validation=0 learns from cy too",
    ]
    assert overview(rows, Sound(group_column="site"))[1].startswith("sites: ")
    own = rows.with_columns(group=[str(number) for number in range(7)])  # every row for itself
    assert len(overview(own, Sound())) == 1


def test_what_is_no_class() -> None:
    assert overview(made("te", [1.5, 2.0]), Image()) == ["data: 2 pictures: 1 train, 1 test"]
    assert overview(made("te", ["a b", "c"]), Transcripts()) == ["data: 2 recordings: 1 train, 1 test"]


def test_folds_of_groups() -> None:
    """Which group is held out, and how many rows that is: "10 test" alone would say that nothing trains."""
    groups = ["anna"] * 4 + ["ben"] * 3 + ["cid"] * 3
    rows = Rows({"id": [str(i) for i in range(10)], "target": list("ababababab"), "group": groups})
    rows, _ = folds.assign_groups(rows, lambda names: None)
    assert overview(rows, Sound()) == [
        "data: 10 recordings of 2 classes (a and b)",
        "folds: 3 speakers, each held out once, to measure the model of all the others: anna (4 recordings), ben (3 "
        "recordings) and cid (3 recordings)",
    ]
    member = folds.member(rows, 2, validation=0.0, seed=0)
    assert held_out(member, Sound()) == "3 recordings held out; of the others 7 train"


def test_folds_by_number() -> None:
    rows = Rows({"id": [str(i) for i in range(9)], "target": list("ababababa")})
    rows, _ = folds.assign(rows, 2, seed=0)
    told = overview(rows, Image())
    assert told[1] == "folds: 2 of 4 to 5 pictures, each held out once, to measure the model of all the others"


def test_left_out_is_one_a_line() -> None:
    assert left_out([]) == []
    found = [LeftOut(f"{i}.png", "it is empty") for i in range(4)]
    assert left_out(found[:1]) == ["left out of the data: 1", "  - 0.png: it is empty"]
    assert left_out(found, most=2)[-2:] == [
        "  - 1.png: it is empty",
        "  and 2 more, all listed in data.json and in the report",
    ]


def test_of_runs_inside_a_run_what_all_noticed_is_kept(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    keep(run.member("fold-1"), ["2 are silent", "in the test split 1 is odd"])
    keep(run.member("fold-2"), ["2 are silent"])
    keep_common(run, ["fold-1", "fold-2"])
    assert kept(run) == ["2 are silent"]
    keep(run.member("fold-3"), [])
    assert not run.member("fold-3").remarks.exists() and kept(run.member("fold-3")) == []
