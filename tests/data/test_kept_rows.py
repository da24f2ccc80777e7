"""Tables that are read by the same columns, with all of their rows, and rows that are not taken for columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pervade.core.errors import DataError
from pervade.core.types import Rows
from pervade.data.read import account, json_tables, listing, separated, table_files, targets
from pervade.data.read.tables import Wanted
from pervade.data.text.texts import Texts
from pervade.domains.text import Text
from pervade.run import measuring

WORDS = [f"a text about the number {i} of many" for i in range(12)]


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_all_splits_are_read_by_the_columns_of_the_training_split(tmp_path: Path) -> None:
    """By itself the table of the test would give its text another column, or its label."""
    write(tmp_path / "train.csv", ["title,text,label", *(f"head {i},{word},{i % 2}" for i, word in enumerate(WORDS))])
    write(tmp_path / "test.csv", ["text,label", *(f"{word} here,{i % 2}" for i, word in enumerate(WORDS))])
    with pytest.raises(DataError, match=r"test.csv has no column 'title', by which the training split is read"):
        listing.read(tmp_path, Texts())
    write(tmp_path / "train.csv", ["text,price,weight", *(f"{word},{i}.5," for i, word in enumerate(WORDS))])
    write(tmp_path / "test.csv", ["text,price,weight", *(f"{w} here,{i}.5,{i}.25" for i, w in enumerate(WORDS))])
    rows, _ = listing.read(tmp_path, Texts(), Wanted("number", "price"))
    assert rows.where("split", "test").column("target") == [i + 0.5 for i in range(12)]
    write(tmp_path / "train.csv", ["text,sort,weight", *(f"{word},{'ab'[i % 2]}," for i, word in enumerate(WORDS))])
    write(
        tmp_path / "test.csv", ["text,sort,weight", *(f"{w} here,{'ab'[i % 2]},{i % 3}" for i, w in enumerate(WORDS))]
    )
    rows, _ = listing.read(tmp_path, Texts())
    assert rows.where("split", "test").column("target") == ["a", "b"] * 6


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_a_row_without_a_value_keeps_its_place(name: str, tmp_path: Path) -> None:
    between = "," if name == "a.csv" else "\t"
    path = write(
        tmp_path / name, [between.join(each) for each in (("text", "label"), ("a", "x"), ("", ""), ("b", "y"))]
    )
    assert [each["text"] for each in table_files.read(path)] == ["a", "", "b"]


def test_rows_of_a_sheet_keep_their_places(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="workbooks take openpyxl")
    book = openpyxl.Workbook()
    for row in ([None, None], ["text", "label"], ["a", "x"], [None, None], ["b", "y"], [None, " "[:0]]):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    assert [each["text"] for each in table_files.read(tmp_path / "a.xlsx")] == ["a", "", "b"]


@pytest.mark.parametrize(
    ("lines", "front"),
    [
        (["great film,", *(f"film {i},{['neg', 'pos'][i % 2]}" for i in range(20))], 0),  # a text without a label
        (["A report", "text,label", *["bad film,neg", "fine film,pos"] * 10], 1),
        (["A report,", ",", "text,label", *["bad film,neg", "fine film,pos"] * 10], 2),  # as Excel fills it up
    ],
)
def test_what_stands_in_front_of_a_table(lines: list[str], front: int) -> None:
    assert len(separated.read(Path("a.csv"), "\n".join(lines))) == len(lines) - front


@pytest.mark.parametrize("indent", [None, 1])
def test_objects_of_the_same_keys_are_rows(indent: int | None) -> None:
    own: list[dict[str, Any]] = [{"text": "good", "label": "x"}, {"text": "bad", "label": "y"}]
    found = json.dumps({"doc_a": own[0], "doc_b": own[1]}, indent=indent)
    assert json_tables.read(Path("a.json"), found, lines=False) == own
    turned = json.dumps({"text": {"a": "good", "b": "bad"}, "label": {"a": "x", "b": "y"}}, indent=indent)
    assert json_tables.read(Path("a.json"), turned, lines=False) == own
    splits = json.dumps({"train": own, "test": own}, indent=indent)
    with pytest.raises(DataError, match=r"a.json holds several lists of objects \(train, test\); write each"):
        json_tables.read(Path("a.json"), splits, lines=False)


def test_a_name_of_digits_is_one_name_to_a_model_as_well() -> None:
    assert targets.named("01", ("1", "2")) is None
    assert targets.named("1.0", ("01", "1")) == "1"
    learnt = targets.Learnt(("1", "2"), (3, 3), 6)
    with pytest.raises(DataError, match="the class '01' never stands in the training split"):
        targets.encode("class", "01", learnt, "row 1")
    assert targets.encode("class", "1.0", learnt, "row 1") == 0


def test_only_columns_that_are_not_there_are_let_go(tmp_path: Path) -> None:
    """Without its column of texts a model of other texts would have been measured on the notes."""
    lines = ["text,note,verdict", *(f"{word},{word} as well,{'ab'[i % 2]}" for i, word in enumerate(WORDS))]
    domain = Text(text_column="note", label_column="label")
    with account.gathered() as notes:
        rows, _ = measuring._read_rows(domain, {}, write(tmp_path / "a.csv", lines))
    assert rows.column("text")[0] == f"{WORDS[0]} as well"
    assert "what the run was trained with (--label-column label) does not fit these data, and is left out" in notes
    with pytest.raises(DataError, match="has no column 'label'"):
        measuring._read_rows(domain, {"label_column": "label"}, tmp_path / "a.csv")


def test_a_model_of_texts_reads_the_columns_that_it_learnt_from(tmp_path: Path) -> None:
    """By themselves the two columns of the new table would be a pair, and of its rows the title would be read, too."""
    write(tmp_path / "train.csv", ["note,verdict", *(f"{word},{'ab'[i % 2]}" for i, word in enumerate(WORDS))])
    rows, _ = Text(num_tokens=300).read(tmp_path / "train.csv")
    fitted = Text(num_tokens=300).fit(Text().prepare(rows, lambda done, total: None)[0])
    assert fitted.read_from == ("note",)
    new = write(tmp_path / "new.csv", ["title,text,note", *(f"a head,{word} here,{word}" for word in WORDS)])
    asked = [each for each in fitted.asked(str(new)) if isinstance(each, dict)]
    assert [each["text"] for each in asked] == WORDS
    pair = Rows({"id": ["1"], "text": ["one"], "second": ["two"]})
    _, left_out = fitted.prepare(pair, lambda done, total: None, keep=False)
    assert "it is a pair, and this model reads one text" in left_out[0].reason
