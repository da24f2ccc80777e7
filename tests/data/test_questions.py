"""SQuAD's JSON and tables of questions, whole and broken."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pervade.core.errors import DataError
from pervade.core.types import LeftOut
from pervade.data.read import questions
from pervade.data.rows.split import assign
from pervade.data.text import characters, vocabulary
from pervade.domains.questions import Questions
from tests.questions import squad, write


def test_both_versions_are_read(tmp_path: Path) -> None:
    rows, left_out = questions.read(write(tmp_path / "a.json", squad(2, unanswerable=True)))
    assert not left_out
    assert len(rows) == 12
    assert sum(not each for each in rows.column("answers")) == 2
    for row in rows:
        for answer in row["answers"]:
            assert row["context"][answer["start"] :].startswith(answer["text"])


def test_offsets_that_do_not_match_are_listed(tmp_path: Path) -> None:
    data = squad(2)
    asked = data["data"][0]["paragraphs"][0]["qas"]
    asked[0]["answers"][0]["answer_start"] += 1
    asked[1]["answers"].append({"text": "nowhere", "answer_start": 3})
    asked[2]["answers"] = [{"text": "x", "answer_start": -4}]
    rows, left_out = questions.read(write(tmp_path / "a.json", data))
    assert len(rows) == 10
    assert [each.source for each in left_out] == [
        "a.json, article 1, paragraph 1, question 1",
        "one answer of a.json, article 1, paragraph 1, question 2",
        "a.json, article 1, paragraph 1, question 3",
    ]
    assert "does not stand at character" in left_out[0].reason
    assert len(rows.column("answers")[0]) == 1


def test_json_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(squad(2))[:-40], encoding="utf-8")
    with pytest.raises(DataError, match="is not JSON, or is cut off"):
        questions.read(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"data": [{"paragraphs": [{"qas": []}]}]}, "paragraph 1 has no context"),
        ({"data": [{"paragraphs": []}, {"title": "x"}]}, "article 2 has no list of paragraphs"),
        ({"data": [{"paragraphs": [{"context": "a", "qas": [{"id": 1}]}]}]}, "it has no question"),
        ({"data": [{"paragraphs": [{"context": "a", "qas": [{"question": "b"}]}]}]}, "it has no answers"),
        ({"data": [{"paragraphs": []}]}, "holds no question that can be used"),
    ],
)
def test_what_is_missing_is_named(data: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        questions.read(write(tmp_path / "a.json", data))


def test_tables_of_questions(tmp_path: Path) -> None:
    rows = [
        {"question": "q1", "context": "a b a", "answers": {"text": ["b"], "answer_start": [2]}, "title": "x"},
        {"question": "q2", "context": "a b a", "answers": ["b"], "title": "x"},
        {"question": "q3", "context": "a b a", "answers": "a", "title": "x"},
        {"question": "q4", "context": "a b a", "answers": {"text": [], "answer_start": []}, "title": "y"},
        {"question": "", "context": "a b a", "answers": "b", "title": "y"},
    ]
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    found, left_out = questions.read(path)
    assert [each["question"] for each in found] == ["q1", "q2", "q4"]
    assert found.column("answers")[1] == [{"text": "b", "start": 2}]
    assert [each.reason for each in left_out] == [
        "its answer 'a' has no place, and stands in the context 2 times",
        "it has no question",
    ]
    assert found.column("bundle") == ["x", "x", "y"]
    assert len(set(found.column("group"))) == 1
    assert questions.looks_like_questions(path)


def test_a_folder_of_splits(tmp_path: Path) -> None:
    write(tmp_path / "train-v1.1.json", squad(3))
    write(tmp_path / "dev-v1.1.json", squad(2, seed=1))
    rows, _ = questions.read(tmp_path)
    assert list(rows.column("split")) == ["validation"] * 12 + ["train"] * 18
    assert len(set(rows.column("id"))) == 30  # both files number their questions alike
    (tmp_path / "train-v1.1.json").unlink()
    with pytest.raises(DataError, match="but no train split"):
        assign(questions.read(tmp_path)[0], validation=0.1, test=0.1, seed=0)


def test_an_article_stays_in_one_split(tmp_path: Path) -> None:
    rows, _ = questions.read(write(tmp_path / "a.json", squad(20)))
    split, _ = assign(rows, validation=0.2, test=0.2, seed=0)
    articles = {(article, part) for article, part in zip(split.column("bundle"), split.column("split"), strict=True)}
    assert len(articles) == 20


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]))))
def test_strings_come_back_from_tensors(texts: list[str]) -> None:
    assert characters.from_tensor(characters.to_tensor(texts)) == texts
    assert characters.part(characters.join(texts)) == texts


def test_windows_cover_the_text_with_overlap() -> None:
    context = " ".join(f"word{number}" for number in range(60))
    digest = vocabulary.keep(vocabulary.learn([context, "what is it"], "wordpiece", 400))
    found = vocabulary.windows(digest, "what is it", context, 24, 6, 10)
    spans = [[span for span, inside in zip(w.spans, w.inside, strict=True) if inside] for w in found]
    assert all(len(window.tokens) <= 24 for window in found)
    for before, after in itertools.pairwise(spans):
        assert before[-6:] == after[:6]
    covered = np.zeros(len(context), bool)
    for start, end in (span for window in spans for span in window):
        covered[start:end] = True
    assert "".join(c for c, seen in zip(context, covered, strict=True) if not seen).strip() == ""


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"is_impossible": "false"}, "neither true nor false"),
        ({"answers": None}, "it has no answers; an empty list"),
        ({"answers": {"text": "paris"}}, "its answers are no list"),
        ({"answers": [5]}, "its answer is empty"),
        ({"answers": [{"text": 5, "answer_start": 0}]}, "its answer is empty"),
        ({"answers": [{"text": "a", "answer_start": True}]}, "not a whole number"),
        ({"question": 5}, "it has no question"),
    ],
)
def test_values_of_other_kinds_are_left_out(fields: dict[str, object], reason: str, tmp_path: Path) -> None:
    data = squad(1)
    data["data"][0]["paragraphs"][0]["qas"][0].update(fields)
    data["data"][0]["paragraphs"][1]["qas"] = None
    rows, left_out = questions.read(write(tmp_path / "a.json", data))
    assert len(rows) == 2
    assert reason in left_out[0].reason
    assert left_out[1] == LeftOut("a.json, article 1, paragraph 2", "it has no list of questions (qas)")


@pytest.mark.parametrize(
    "answers", [42, True, None, {"text": ["b"], "answer_start": 2}, {"text": ["b", "a"], "start": [2]}]
)
def test_a_cell_that_holds_no_answers(answers: object, tmp_path: Path) -> None:
    rows = [
        {"question": "q", "context": "a b", "answers": answers},
        {"question": "q", "context": "a b", "answers": "b"},
    ]
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    found, left_out = questions.read(path)
    assert len(found) == len(left_out) == 1


def test_rows_without_a_title_are_articles_of_their_own(tmp_path: Path) -> None:
    rows = [{"question": "q", "context": f"a {n}", "answers": "a", "title": None, "id": "\ud800"} for n in range(3)]
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    found, _ = questions.read(path)
    assert len(set(found.column("bundle"))) == 3
    assert json.dumps(list(found.column("id"))).count("ud800") == 3  # spelt out, since no file can hold it


def test_questions_without_answers_can_be_asked(tmp_path: Path) -> None:
    data = squad(1)
    for paragraph in data["data"][0]["paragraphs"]:
        for asked in paragraph["qas"]:
            del asked["answers"], asked["is_impossible"]
    rows = questions.read_table(write(tmp_path / "a.json", data))
    assert [set(each) for each in rows] == [{"id", "question", "context"}] * 6


def test_answers_are_read_from_the_cleaned_text(tmp_path: Path) -> None:
    data = squad(2)
    paragraph = data["data"][0]["paragraphs"][0]
    paragraph["context"] = "a \x07b\0c d " + paragraph["context"]
    paragraph["qas"] = [{"id": "x", "question": "q", "answers": [{"text": "b\0c", "answer_start": 3}]}]
    rows, _ = questions.read(write(tmp_path / "a.json", data))
    made, _ = Questions().prepare(rows, lambda done, total: None)
    assert made.column("answers")[0] == [{"text": "b c", "start": 3}]
