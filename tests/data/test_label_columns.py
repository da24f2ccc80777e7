"""Which column of a table is what: what a name decides alone, what stands in the cells decides, and what is refused
with flags that work when they are copied.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pervade
from pervade import recipes
from pervade.core.errors import DataError
from pervade.data.read import (
    account,
    columns,
    conversations,
    division,
    label_columns,
    separated,
    spellings,
    table_files,
)
from pervade.data.text import texts
from tests.layouts.made import picture, reviews, write
from tests.layouts.made import separated as written

ROWS = 24
Cells = dict[str, Any]


def rows(**cells: Any) -> list[Cells]:
    """Each column is what its function gives for the number of the row."""
    return [{name: make(i) for name, make in cells.items()} for i in range(ROWS)]


def by(*values: Any) -> Any:
    return lambda i: values[i % len(values)]


def chosen(records: list[Cells], target: Any = "class") -> list[str]:
    return label_columns.choose("a.csv", records, table_files.columns_of(records), target)


@pytest.mark.parametrize(
    ("records", "found"),
    [
        (rows(label=by("a", "b"), sentiment=by("c", "d", "e")), ["label"]),
        (rows(sentiment=by("a", "b"), sentiment_score=lambda i: i / 7, source=by("web", "app", "x")), ["sentiment"]),
        (rows(airline_sentiment=by("a", "b"), negativereason=by("a", "b", "c")), ["airline_sentiment"]),
        (rows(gold_label=by("a", "b"), label1=by("a", "b", "c"), genre=by("x", "y", "z")), ["gold_label"]),
        (rows(target=by(0, 1), target_names=by("cat", "dog"), source=by("x", "y", "z")), ["target_names"]),
        (rows(tags=by("a, b", "b", "c"), source=by("x", "y")), ["tags"]),
        (rows(kind=by("a", "b"), serial_id=lambda i: i), ["kind"]),
        (
            rows(toxic=by(0, 1), insult=by(0, 0, 1), threat=by(0, 0, 0, 1), lang=by("en", "de")),
            ["toxic", "insult", "threat"],
        ),
        (rows(a=by(1, -1), b=by(-1, -1, 1), c=by(1, 1, -1)), ["a", "b", "c"]),
        (rows(is_spam=by(0, 1), has_link=by(0, 0, 1), has_image=by(0, 1, 1)), ["is_spam"]),
        (rows(patient_id=by(1, 2, 3), finding=by("a", "b")), ["finding"]),
    ],
    ids=lambda value: " ".join(value[0]) if isinstance(value[0], dict) else "",
)
def test_the_column_that_is_meant(records: list[Cells], found: list[str]) -> None:
    assert chosen(records) == found


@pytest.mark.parametrize(
    ("records", "told"),
    [
        (
            rows(dx=by("a", "b", "c"), dx_type=by("x", "y"), sex=by("m", "f")),
            "dx (3 classes), dx_type (2 classes), sex (2 classes)",
        ),
        (rows(type=by("a", "b"), queue=by("c", "d", "e")), "type (2 classes), queue (3 classes)"),
        (rows(score=by(1, 2, 3), topic=by("a", "b")), "score (3 classes), topic (2 classes)"),
        (rows(category=by("toys", "food"), rating=by(1, 2, 3)), "category (2 classes), rating (3 classes)"),
        (
            rows(eyes=by(0, 1), face=by(1, 1, 0), near=by(0, 0, 1), price=lambda i: 1.5 * i),
            "price (24 different numbers",
        ),
    ],
    ids=lambda value: " ".join(value[0]) if isinstance(value[0], dict) else "",
)
def test_what_cannot_be_told_is_refused_with_a_flag_that_works(records: list[Cells], told: str) -> None:
    with pytest.raises(DataError) as caught:
        chosen(records)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    for given in re.findall(r"--label-column ('[^']+'|\S+)", str(caught.value)):
        (names,) = shlex.split(given.rstrip(","))
        assert set(names.split(",")) <= records[0].keys()


def test_a_column_with_blanks_is_quoted_and_taken_as_it_is_copied(tmp_path: Path) -> None:
    """The refusal's own words, given back."""
    table = tmp_path / "a.csv"
    names = ("text", "Main topic", "Second topic")
    table.write_text(written([names, *((text, "ab"[i % 2], "cde"[i % 3]) for i, (text, _) in enumerate(reviews()))]))
    with pytest.raises(DataError, match="--label-column 'Main topic'") as caught:
        pervade.open_data(table, init="random")
    (flag,) = re.findall(r"--label-column '([^']+)'", str(caught.value))
    assert set(pervade.open_data(table, init="random", label_column=flag).rows.column("target")) == {"a", "b"}


def test_columns_of_0_and_1_are_classes_where_one_is_1_in_every_row(tmp_path: Path) -> None:
    records = rows(a=by(1.0, 0.0, 0.0), b=by(0.0, 1.0, 0.0), c=by(0.0, 0.0, 1.0))
    assert label_columns.exclusive(records, "abc")
    assert not label_columns.exclusive([*records, {"a": 1, "b": 1, "c": 0}], "abc")
    assert not label_columns.exclusive([*records, {"a": 0, "b": 0, "c": 0}], "abc")
    table = tmp_path / "a.csv"
    head = [("text", "a", "b", "c")]
    table.write_text(written([*head, *((text, i % 2, 1 - i % 2, 0) for i, (text, _) in enumerate(reviews()))]))
    found = pervade.open_data(table, init="random")
    assert (found.task, set(found.rows.column("target"))) == ("text-classification", {"a", "b"})
    table.write_text(written([*head, *((text, i % 2, 1, 0) for i, (text, _) in enumerate(reviews()))]))
    assert pervade.open_data(table, init="random").rows.column("target")[1] == ["a", "b"]
    with pytest.raises(DataError, match=r"row 2: 2 of the columns a, b are 1, and a class is one"):
        pervade.open_data(table, init="random", task="text-classification", label_column="a,b")


@pytest.mark.parametrize(
    ("names", "cells"),
    [
        (
            ("Survived", "Name", "Sex", "Age", "Ticket", "Fare"),
            lambda i: (i % 2, f"Braund, Mr. Owen{i} Harris", "mf"[i % 2], i, f"A/5 {i}", i / 3),
        ),
        (("sepal", "petal", "species"), lambda i: (i / 7, i / 9, ("setosa", "virginica")[i % 2])),
        (("label", *(f"pixel{k}" for k in range(50))), lambda i: (i % 10, *range(50))),
        (("mpg", "cylinders", "weight", "car name"), lambda i: (i / 3, 4, 100 * i, f"ford pinto custom {i}")),
    ],
    ids=("Titanic", "iris", "MNIST", "cars"),
)
def test_tables_of_numbers_are_refused_plainly(names: tuple[str, ...], cells: Any, tmp_path: Path) -> None:
    """Not by the columns of labels, nor as files that are missing; a name is no text."""
    table = tmp_path / "a.csv"
    table.write_text(written([names, *(cells(i) for i in range(30))]))
    with pytest.raises(DataError, match=r"are .*numbers.*; tables of numbers are not learnt from yet") as caught:
        pervade.open_data(table, init="random")
    assert "\n" not in str(caught.value)


def test_what_is_seen_is_said_where_nothing_is_understood(tmp_path: Path) -> None:
    """And nothing is called a picture."""
    rows = [
        {"who": i, "when": f"2024-01-{i + 10}", "tags": ["a"], "meta": {"b": 1}, "kind": "xy"[i % 2]} for i in range(9)
    ]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    with pytest.raises(DataError) as caught:
        recipes.choose(tmp_path / "a.json", None, None)
    told = "who (numbers), when (dates or addresses), tags (lists), meta (objects), kind (2 values)"
    assert f"its 5 columns are {told}" in str(caught.value)
    assert "write what lies in lists or objects into columns" in str(caught.value)
    assert "picture" not in str(caught.value)
    (tmp_path / "b.csv").write_text("clip,score\n" + "".join(f"x{i}.mp4,{i}\n" for i in range(9)))
    with pytest.raises(
        DataError, match=r"clip \(names of files\), score \(numbers\).*clip names files that are not there"
    ):
        recipes.choose(tmp_path / "b.csv", None, None)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"id": 1, "annotations": [], "data": {"text": "a"}}, "Label Studio's JSON, .* export JSON-MIN or CSV"),
        ({"title": "T", "mapping": {"a": {}}, "current_node": "a"}, "ChatGPT's export, .* column messages"),
        ({"message_tree_id": "a", "prompt": {"text": "b"}}, "trees of replies"),
        ({"conversation_a": [], "conversation_b": [], "winner": "tie"}, "prompt, chosen and rejected"),
        ({"contents": [{"role": "user"}]}, "Gemini's"),
        ({"info": {}, "images": [], "annotations": [], "categories": []}, "COCO's JSON"),
        ({"train": [["a", "b"]], "val": [], "oos_test": []}, "a list for each split .* train.csv"),
    ],
)
def test_exports_that_are_known_and_not_read(row: dict[str, Any], told: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(row if "train" in row or "images" in row else [row] * 4))
    with pytest.raises(DataError, match=told) as caught:
        recipes.choose(tmp_path / "a.json", None, None)
    assert "picture" not in str(caught.value)


def test_the_numbers_of_a_table_without_a_line_of_names_name_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("".join(f"{i},5,5,{i}.5\n" for i in range(9)))
    assert [len(table_files.read(tmp_path / "a.csv")), *table_files.read(tmp_path / "a.csv")[0]] == [
        9,
        "column 1",
        "column 2",
        "column 3",
        "column 4",
    ]


@pytest.mark.parametrize(
    ("first", "below", "named"),
    [
        (("How was your stay?", "Would you come again?"), ("it was a long stay in a good room", "yes", "no"), True),
        (("What comes to mind?",), ("one two three", "four five six"), True),
        (("Tell us of your visit to our hotel", "Would you come again"), ("fine", "Yes", "No"), True),
        (("who came to the hotel ?", "HUM"), ("where is it ?", "HUM", "LOC"), False),
        (("is it good?", "bad"), ("it is good", "good", "bad"), False),
    ],
)
def test_a_line_of_questions_names_columns(first: tuple[str, ...], below: tuple[str, ...], named: bool) -> None:
    lines = [(f"{below[0]} {i}" if "?" not in below[0] else below[0], *below[1:][i % 2 : i % 2 + 1]) for i in range(20)]
    lines = [line[: len(first)] for line in lines]
    assert texts.has_names([first, *lines]) is named


def test_columns_of_groups() -> None:
    """By name, however it is written; the subject of a mail is none; what may be one is said."""

    def group(records: list[Cells]) -> str | None:
        return division.columns("a.csv", records, list(records[0])).group

    for name in ("lesion_id", "Patient ID", "patientId", "SUBJECT_ID"):
        assert group([{"x": 1, name: f"p{i // 2}"} for i in range(8)]) == name
    assert group([{"subject": f"about the meeting on day {i}"} for i in range(8)]) is None
    assert group([{"subject": f"S{i // 2}"} for i in range(8)]) == "subject"
    records = [{"clone_id": f"c{i // 2}"} for i in range(8)]
    with account.gathered() as notes:
        division.note_like(records, ["clone_id"], division.Columns())
    assert notes == [
        "groups: none; column 'clone_id' has 4 values, which stand in 8 rows; it would keep the rows of each in one "
        "split (--group-by clone_id)"
    ]


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (("$1,200.50", "$3.00"), [1200.5, 3.0]),
        (("€ 12,50", "9,99 €"), [12.5, 9.99]),
        (("1.234,50", "1.234"), [1234.5, 1234.0]),
        (("45.3%", "7 %"), [45.3, 7.0]),
        (("1,234,567", "1,234"), [1234567.0, 1234.0]),
        (("1'200.5", "-$3"), [1200.5, -3.0]),
        (("1 200,5", "3"), [1200.5, 3.0]),
    ],
)
def test_numbers_as_people_write_them(cells: tuple[str, ...], numbers: list[float]) -> None:
    with account.gathered() as notes:
        assert spellings.numbers([("row", each) for each in cells], "price") == numbers
    assert notes == [f"labels: numbers of column 'price' are written as {cells[0]!r}, read as {numbers[0]:.15g}"]


def test_thousands_that_may_be_decimals_are_asked_for() -> None:
    """Detected as numbers, so that their reader says what to write."""
    assert spellings.kind([f"{i},234" for i in range(1, 60)]) == "number"
    assert spellings.kind(["1,3", "2", "1,2,3", "2,3"] * 10) == "labels"
    assert spellings.kind([f"${i}.50" for i in range(40)]) == "number"


def test_empty_rows_at_the_end_are_one_sentence() -> None:
    with account.gathered() as notes:
        assert separated.read(Path("a.csv"), "text,label\na b,x\n,\nc d,y\n" + ",\n" * 9) == [
            ["text", "label"],
            ["a b", "x"],
            ["", ""],
            ["c d", "y"],
        ]
    assert notes == ["a.csv: not used: 9 empty rows at its end"]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["question", "A", "B", "C", "D", "answer"], "answers to choose from (A, B, C, D)"),
        (["id", "question", "choices", "answerKey"], "--text-column question --label-column answerKey"),
        (["question", "distractor1", "distractor2", "correct_answer"], "(distractor1, distractor2)"),
        (["sent1", "ending0", "ending1", "ending2", "label"], "(ending0, ending1, ending2)"),
    ],
)
def test_answers_to_choose_from_are_refused(names: list[str], told: str) -> None:
    with pytest.raises(DataError, match=re.escape(told)):
        conversations.refuse_choices("a.csv", names)
    conversations.refuse_choices("a.csv", ["question", "answer", "a", "source"])
    records = rows(x=by("A", "B", "C", "D"), **{f"o{k}": lambda i, k=k: f"{k} {i}" for k in range(4)})
    with pytest.raises(DataError, match=r"letters .A, B, C, D., and 4 columns beside it"):
        label_columns.refuse_choices("a.csv", records, "x", ["o0", "o1", "o2", "o3"])


def test_names_are_no_texts() -> None:
    records = [{"a": f"Braund, Mr. Owen{i} Harris", "b": f"the room was good on day {i}"} for i in range(9)]
    assert not columns.look(records, "a").prose
    assert columns.look(records, "b").prose


def test_two_columns_of_texts_that_nothing_joins(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    lines = [(f"{text} said {i}", f"{i} was said: {text}", label) for i, (text, label) in enumerate(reviews())]
    for names, pair in ((("english", "french", "label"), False), (("s1", "s2", "label"), True)):
        table.write_text(written([names, *lines]))
        if pair:
            assert "second" in pervade.open_data(table, init="random").rows
            continue
        with pytest.raises(DataError, match=r"two columns of texts .english, french.; .* english,french for pairs"):
            pervade.open_data(table, init="random")
        assert "second" in pervade.open_data(table, init="random", text_column="english,french").rows


def test_several_columns_of_classes_beside_pictures(tmp_path: Path) -> None:
    for i in range(12):
        picture(tmp_path / "images" / f"{i}.png", i)
    lines = [(i, f"L{i // 2}", "ab"[i // 2 % 2], "xyz"[i % 3]) for i in range(12)]
    (tmp_path / "metadata.csv").write_text(written([("image_id", "lesion_id", "dx", "dx_type"), *lines]))
    with pytest.raises(DataError, match=r"\(dx \(2 classes\), dx_type \(3 classes\)\).*--label-column dx$"):
        pervade.open_data(tmp_path, init="random")
    found = pervade.open_data(tmp_path, init="random", label_column="dx")
    assert (set(found.rows.column("target")), len(set(found.rows.column("group")))) == ({"a", "b"}, 6)


def many(**cells: Any) -> list[Cells]:
    """Of 120 rows, so that numbers differ in more than classes do."""
    return [{name: make(i) for name, make in cells.items()} for i in range(120)]


@pytest.mark.parametrize(
    ("beside", "told"),
    [
        (
            {"boneage": lambda i: 20 + i % 60, "male": by(True, False)},
            "boneage (60 different numbers), male",
        ),
        (
            {"inspector": by("Ana Ruiz", "Luis Paz"), "peso_g": lambda i: f"{100 + i},4"},
            "peso_g (120 different",
        ),
        ({"rating": by(1, 2, 3), "primary_label": by("owl", "jay")}, "rating (3 classes), primary_label (2 classes)"),
    ],
)
def test_a_number_beside_classes_is_asked_about(beside: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=re.escape(told)):
        chosen(many(**beside))


def test_numbers_of_rows_and_places_are_no_labels() -> None:
    records = many(case=lambda i: 1000 + i, latitude=lambda i: i % 90, kind_of_bird=by("owl", "jay"))
    assert chosen(records) == ["kind_of_bird"]


def test_labels_by_number_in_one_cell_are_no_decimals() -> None:
    assert spellings.kind(["27", "2,5", "3", "4", "2,7", "5", "27", "4", "3,5", "2"]) == "labels"
    assert spellings.kind(["2,5", "3,1", "4", "2,7", "5,25"]) == "number"


def test_labels_as_label_studio_writes_several() -> None:
    cells = [("row 1", '{"choices": ["food", "price"]}'), ("row 2", "food"), ("row 3", '{"choices":["place"]}')]
    assert spellings.labels(cells, "topics") == [["food", "price"], ["food"], ["place"]]


@pytest.mark.parametrize(
    "name", ["Patienten-Nr.", "PatID", "Patient ID", "subject_code", "SpeakerID", "Probanden-Nummer"]
)
def test_groups_however_their_numbers_are_called(name: str) -> None:
    records = rows(**{name: by("a", "b", "c"), "label": by("x", "y")})
    assert division.columns("a.csv", records, [name, "label"]).group == name


def test_questions_in_other_languages() -> None:
    assert str(conversations.form(["Frage", "Antwort", "Kategorie"])) == "Frage, Antwort"


def test_a_folder_of_tables_is_looked_at_before_it_is_refused(tmp_path: Path) -> None:
    """Pictures may be in the tables themselves; files of texts that a table names are not read."""
    picture(tmp_path / "one.png", 1)
    data = (tmp_path / "one.png").read_bytes()
    (tmp_path / "one.png").unlink()
    table = pa.table({"image": [{"bytes": data, "path": "a.png"}] * 8, "label": ["a", "b"] * 4})
    for name in ("train", "test"):
        pq.write_table(table, tmp_path / f"{name}-00000-of-00001.parquet")
    assert recipes.choose(tmp_path, None, None, "random")[0] == "image-classification"
    for number in range(8):
        write(tmp_path / "b" / "docs" / f"{number}.txt", "what somebody wrote")
    write(tmp_path / "b" / "labels.csv", "filename,kind\n" + "".join(f"{i}.txt,{'xy'[i % 2]}\n" for i in range(8)))
    with pytest.raises(DataError, match=r"column 'filename' names files ending in '\.txt', .* into a column text"):
        recipes.choose(tmp_path / "b", None, None, "random")
    write(tmp_path / "c.csv", "Frage,Note\n" + "größe,1\n" * 9, "latin-1")
    with pytest.raises(DataError, match="is not UTF-8"):
        recipes.choose(tmp_path / "c.csv", None, None, "random")


def test_a_query_that_comes_again_is_half_of_a_pair(tmp_path: Path) -> None:
    passages = [f"the passage of number {i} says something" for i in range(ROWS)]
    for first, second in (("query", "passage"), ("sentence1", "sentence2"), ("sentence2", "sentence1")):
        table = [{first: f"what is {i % 4}", second: passages[i], "label": i % 2} for i in range(ROWS)]
        found = texts.Texts().columns("a.csv", table, [first, second])
        assert set(found) == {first, second}
        assert not isinstance(found, texts.Together)
