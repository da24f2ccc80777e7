"""What tables say of the division of their rows is obeyed by every reader."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pervade.core.errors import DataError
from pervade.core.types import LeftOut, Rows
from pervade.data.read import account, division, tables
from pervade.data.rows import folds, split
from pervade.domains.corpus import Corpus
from pervade.domains.image import Image
from pervade.domains.instructions import Instructions
from pervade.domains.masked import Masked
from pervade.domains.preferences import Preferences
from pervade.domains.questions import Questions
from pervade.domains.text import Text, looks_like_text
from pervade.domains.text import contents as texts
from pervade.domains.transcripts import Transcripts

Cells = dict[str, Any]


def test_what_must_stay_together_becomes_a_group() -> None:
    """By its own group or by the same bytes, one through the other."""
    rows = Rows({"id": list("abcde"), "group": ["x", "x", "y", "z", "w"], "hash": ["1", "2", "2", "3", "4"]})
    bound = list(split.bound(rows).column("group"))
    assert bound[0] == bound[1] == bound[2] and len(set(bound)) == 3
    alone = rows.with_columns(group=list("abcde"), hash=list("12345"))
    assert split.bound(alone) is alone


def picture(folder: Path, i: int) -> Cells:
    (folder / f"{i}.png").write_bytes(b"\x89PNG")
    return {"image": f"{i}.png", "label": "ab"[i % 2]}


def sound(folder: Path, i: int) -> Cells:
    (folder / f"{i}.wav").write_bytes(b"RIFF")
    return {"file_name": f"{i}.wav", "transcription": f"word {i}"}


def question(folder: Path, i: int) -> Cells:
    return {"question": f"where did {i} go?", "context": f"{i} went to Rome by ship", "answers": "Rome"}


# Of every kind of data that is read from tables: the domain, and what a row holds beside what divides it.
READERS: list[tuple[Any, Callable[[Path, int], Cells]]] = [
    (Text(), lambda _, i: {"text": f"the text {i} of many", "label": "ab"[i % 2]}),
    (Image(), picture),
    (Transcripts(), sound),
    (Questions(), question),
    (Corpus(), lambda _, i: {"text": f"the text {i} of many"}),
    (Masked(), lambda _, i: {"text": f"the text {i} of many"}),
    (Instructions(), lambda _, i: {"prompt": f"what is {i}?", "completion": f"{i} it is"}),
    (Preferences(), lambda _, i: {"prompt": f"what is {i}?", "chosen": f"{i}", "rejected": "no"}),
]
every_reader = pytest.mark.parametrize(("domain", "row"), READERS, ids=[type(each).__name__ for each, _ in READERS])


def write(path: Path, row: Callable[[Path, int], Cells], first: int = 0, **columns: Sequence[Any]) -> Path:
    number = len(next(iter(columns.values())))
    lines = [
        {**row(path.parent, first + i), **{name: values[i] for name, values in columns.items()}} for i in range(number)
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return path


def divided(domain: Any, source: Path) -> tuple[list[str], list[LeftOut], list[str]]:
    """Of each row its split, with what was left out, and the account."""
    with account.gathered() as notes:
        rows, left_out = domain.read(source)
        rows, more = split.assign(rows, validation=0.2, test=0.2, seed=0)
    return list(rows.column("split")), [*left_out, *more], notes


@every_reader
def test_given_splits_are_obeyed(domain: Any, row: Callable[[Path, int], Cells], tmp_path: Path) -> None:
    names = ["test"] * 8 + ["Eval"] * 2 + ["TRAIN"] * 6
    found, left_out, notes = divided(domain, write(tmp_path / "a.csv", row, split=names))
    assert found == ["test"] * 8 + ["validation"] * 2 + ["train"] * 6
    assert not left_out
    assert "splits: column 'split': 8 test, 2 validation (Eval), 6 train (--split-column)" in notes


@every_reader
def test_given_groups_are_not_divided(domain: Any, row: Callable[[Path, int], Cells], tmp_path: Path) -> None:
    """Three people, each with rows of either class."""
    who = ["anna", "anna", "ben", "ben", "cleo", "cleo"] * 4
    for column in ("speaker", "client_id", "group", "patient_id"):
        rows, _ = domain.read(write(tmp_path / "a.csv", row, **{column: who}))
        rows, _ = split.assign(rows, validation=0.3, test=0.3, seed=1)
        assert len(set(zip(who, rows.column("split"), strict=True))) == 3
        assert set(rows.column("split")) == {"train", "validation", "test"}


@every_reader
def test_true_and_false(domain: Any, row: Callable[[Path, int], Cells], tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv", row, is_valid=["True", "False", "1", "0", "no", "false"], is_test=[0, 0, 0, 0, 1, 0]
    )
    found, _, notes = divided(domain, path)
    assert found == ["validation", "train", "validation", "train", "test", "train"]
    assert "splits: column 'is_valid' and 'is_test': 3 train, 2 validation, 1 test (--split-column)" in notes


@every_reader
def test_a_column_of_folds_is_no_split(domain: Any, row: Callable[[Path, int], Cells], tmp_path: Path) -> None:
    numbers = [1, 2, 10, "3.0"] * 5
    path = write(tmp_path / "a.csv", row, fold=numbers)
    with account.gathered() as notes:
        rows, _ = domain.read(path)
    assert "split" not in rows
    assert list(rows.column("fold_given")) == ["1", "2", "10", "3"] * 5
    assert any(
        each.startswith("folds: column 'fold', 4 of them (1, 2, 3, 10); used by --folds column") for each in notes
    )
    told: list[str] = []
    members, _ = folds.assign_given(rows, told.extend)
    assert told == ["fold-1", "fold-2", "fold-3", "fold-10"]
    assert list(members.column("fold")) == [1, 2, 4, 3] * 5
    # As groups, where that is asked for.
    rows, _ = type(domain)(group_column="fold").read(path)
    assert list(rows.column("group"))[:4] == ["1", "2", "10", "3"]
    assert "fold_given" not in rows


@every_reader
def test_a_column_of_splits_in_files_of_splits(domain: Any, row: Callable[[Path, int], Cells], tmp_path: Path) -> None:
    """The row is in the split nearest to the test; an empty cell says nothing that the file does not."""
    write(tmp_path / "train.csv", row, split=["train", "train", "val", "test", ""])
    write(tmp_path / "test.csv", row, first=10, split=["train", "test", "", "test", "test"])
    rows, left_out = domain.read(tmp_path)
    assert [each for each in left_out if "split" in each.reason] == []
    found = dict(zip(rows.column("id"), rows.column("split"), strict=True))
    by_file = {name: [each for key, each in found.items() if key.startswith(name)] for name in ("train", "test")}
    assert by_file["train"] == ["train", "train", "validation", "test", "train"]
    assert by_file["test"] == ["test"] * 5


@every_reader
def test_without_training_rows_it_is_refused(domain: Any, row: Callable[[Path, int], Cells], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="test and validation but no train split"):
        divided(domain, write(tmp_path / "a.csv", row, split=["test", "validation", "test"]))


@every_reader
def test_empty_cells_are_left_out(domain: Any, row: Callable[[Path, int], Cells], tmp_path: Path) -> None:
    names = ["train", "", "test", "train", " ", "validation", "train"]
    found, left_out, _ = divided(domain, write(tmp_path / "a.csv", row, split=names))
    assert Counter(found) == {"train": 3, "test": 1, "validation": 1}
    assert [each.reason for each in left_out] == ["its split is empty, so it is not known whether it trains"] * 2


@every_reader
def test_numbers_that_name_no_split_are_refused(domain: Any, row: Callable[[Path, int], Cells], tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", row, split=[0, 0, 0, 1, 2])
    with pytest.raises(DataError, match=r"holds numbers \(3 rows of 0, 1 rows of 1, 1 rows of 2\).*write train, valid"):
        divided(domain, path)
    found, _, _ = divided(type(domain)(split_column="none"), path)
    assert set(found) == {"train", "validation", "test"}


@every_reader
def test_a_slip_is_refused(domain: Any, row: Callable[[Path, int], Cells], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2: unknown split 'tset' in column 'split'; did you mean 'test'"):
        divided(domain, write(tmp_path / "a.csv", row, split=["train", "tset", "test"]))


def test_what_is_asked_for() -> None:
    for flag, column in (("--split-column", {"split_column": "parts"}), ("--group-by", {"group_column": "parts"})):
        with pytest.raises(DataError, match=rf"no column 'parts'; did you mean 'part'.* \({flag}\)"):
            columns_of([{"part": "train", "text": "a"}], **column)
    found = columns_of([{"part": "train", "split": "a"}, {"part": "test", "split": "b"}], split_column="part")
    assert found.split == ("part",)


def columns_of(records: list[Cells], **asked: str) -> Any:
    return division.columns("a.csv", records, list(records[0]), **asked)


def test_columns_that_may_be_something_else() -> None:
    """A set may be a set of anything, and what is the same everywhere groups nothing."""
    assert columns_of([{"set": "tennis"}, {"set": "chess"}]).split == ()
    assert columns_of([{"set": "train"}, {"set": "chess"}]).split == ("set",)
    assert columns_of([{"partition": "0"}, {"partition": "2"}]).split == ("partition",)
    assert columns_of([{"fold": "train"}, {"fold": "test"}]).split == ("fold",)
    assert columns_of([{"is_training": 1}, {"is_training": 0}]).split == ("is_training",)
    both = columns_of([{"split": "train", "fold": 1}, {"split": "test", "fold": 2}])
    assert (both.split, both.fold) == (("split",), "fold")


def test_one_group_of_all_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", READERS[0][1], speaker=["anna"] * 10)
    found, _, notes = divided(Text(), path)
    assert set(found) == {"train"}
    assert "groups: all rows are of one (anna), which no split divides (--group-by none)" in notes
    found, _, _ = divided(Text(group_column="none"), path)
    assert set(found) == {"train", "validation", "test"}


def test_what_may_be_groups_is_said() -> None:
    rows = [{"text": f"a text {i}", "label": "ab"[i % 2], "author": f"x{i // 3}"} for i in range(6)]
    with account.gathered() as notes:
        tables.entries_of(rows, "a.csv", texts())
    told = "groups: none; column 'author' has 2 values, which stand in 6 rows; it would keep the rows of each in one"
    assert f"{told} split (--group-by author)" in notes


@pytest.mark.slow
def test_a_hub_table_of_one_split_keeps_its_own(tmp_path: Path) -> None:
    """The Hub's library calls a table without splits "train"."""
    pytest.importorskip("datasets")
    rows = [{"text": f"the text {i}", "label": "ab"[i % 2], "split": "test" if i < 4 else "train"} for i in range(10)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    found, _, _ = divided(Text(), f"hf://{tmp_path}")  # type: ignore[arg-type]
    assert Counter(found)["test"] == 4


# running text in files


def files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"what stands in {name}", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("train/a.txt", "test/b.txt", "LICENSE.txt"), {"train/a.txt": "train", "test/b.txt": "test"}),
        (("wiki_train/a.txt", "wiki_test/b.txt"), {"wiki_train/a.txt": "train", "wiki_test/b.txt": "test"}),
        (("Training Set/a.txt", "val/b.txt"), {"Training Set/a.txt": "train", "val/b.txt": "validation"}),
        (
            ("ptb.train.txt", "ptb.valid.txt", "ptb.test.txt"),
            {"ptb.train.txt": "train", "ptb.valid.txt": "validation", "ptb.test.txt": "test"},
        ),
        (("a#train.txt", "a#test.txt"), {"a#train.txt": "train", "a#test.txt": "test"}),
    ],
)
def test_splits_of_running_text(names: tuple[str, ...], wanted: dict[str, str], tmp_path: Path) -> None:
    rows, left_out = Corpus().read(files(tmp_path, *names))
    assert dict(zip(rows.column("id"), rows.column("split"), strict=True)) == wanted
    assert [each.source for each in left_out] == [name for name in names if name not in wanted]


def test_texts_about_tests_are_texts(tmp_path: Path) -> None:
    with account.gathered() as notes:
        rows, _ = Corpus().read(files(tmp_path, "library/a.txt", "test/b.txt"))
    assert len(rows) == 2
    assert "split" not in rows
    assert any("none is train" in each for each in notes)
    with pytest.raises(DataError, match="has test but no train split"):
        divided(Corpus(), files(tmp_path / "alone", "test/b.txt", "test/c.txt"))


def test_a_split_that_the_first_row_of_json_lines_lacks(tmp_path: Path) -> None:
    rows = [{"text": "the first"}, {"text": "the second", "split": "train"}, {"text": "the third", "split": "test"}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found, left_out = Corpus().read(tmp_path / "t.jsonl")
    assert list(found.column("split")) == ["train", "test"]
    assert [each.source for each in left_out] == ["t.jsonl#1"]


def test_a_column_that_the_first_row_of_json_lines_lacks(tmp_path: Path) -> None:
    rows = [{"label": str(i % 2), **({"said": f"row {i} of the table"} if i else {})} for i in range(9)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert looks_like_text(tmp_path / "t.jsonl")
    found, _ = Text(text_column="said").read(tmp_path / "t.jsonl")
    assert list(found.column("text")) == [f"row {i} of the table" for i in range(1, 9)]


@pytest.mark.parametrize("domain", [Corpus(), Instructions()])
def test_a_table_beside_those_called_after_splits_is_left_out(domain: Any, tmp_path: Path) -> None:
    row = json.dumps({"text": "a text"} if isinstance(domain, Corpus) else {"prompt": "what?", "completion": "it"})
    for name in ("train", "extra", "test"):
        (tmp_path / f"{name}.jsonl").write_text(row)
    rows, left_out = domain.read(tmp_path)
    assert sorted(rows.column("split")) == ["test", "train"]
    assert left_out == [LeftOut("extra.jsonl", "called after no split, as others are")]


# folds that the data name


def rows_of(**columns: list[Any]) -> Rows:
    number = len(next(iter(columns.values())))
    return Rows({"id": [str(i) for i in range(number)], **columns})


def test_a_given_test_stays_aside_of_given_folds() -> None:
    rows = rows_of(
        fold_given=["1", "2", None, "1", "2", None], split=["train", "train", "test", "train", "train", "train"]
    )
    found, left_out = folds.assign_given(rows, lambda names: None)
    assert list(found.column("fold")) == [1, 2, 0, 1, 2]
    assert [(each.source, each.reason) for each in left_out] == [("5", "it is in no fold")]


def test_what_given_folds_may_not_be() -> None:
    with pytest.raises(DataError, match="it names none"):
        folds.assign_given(rows_of(target=["a", "b"]), print)
    with pytest.raises(DataError, match="would train 1 times"):
        folds.assign_given(rows_of(fold_given=["1", "1"]), print)
    with pytest.raises(DataError, match="group 'x' stands in the folds '1' and '2'"):
        folds.assign_given(rows_of(fold_given=["1", "2"], group=["x", "x"]), print)
    with pytest.raises(DataError, match="all rows of class 'b' are in one of the 2 folds"):
        folds.assign_given(rows_of(fold_given=["1", "2", "2"], target=["a", "a", "b"]), print)


def test_copies_in_two_given_folds() -> None:
    found, left_out = folds.assign_given(rows_of(fold_given=["1", "2", "2"], hash=["x", "x", "y"]), lambda names: None)
    assert list(found.column("id")) == ["0", "2"]
    assert left_out[0].reason == "the same as 0 of the fold '1', so not used for '2'"
    # Where all folds hold the same there would be none.
    with account.gathered() as notes:
        found, left_out = folds.assign_given(
            rows_of(fold_given=["1", "1", "2", "2"], hash=list("xyxy")), lambda n: None
        )
    assert list(found.column("fold")) == [1, 1, 2, 2]
    assert left_out == []
    assert notes[0].startswith("copies: 2 of 4 rows stand in another fold too")
