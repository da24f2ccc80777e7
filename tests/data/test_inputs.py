"""What predict is given: each input in its place, as rows or as the reason why there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pervade.core.errors import DataError
from pervade.core.types import LeftOut, Rows
from pervade.data.read import division, inputs
from pervade.data.text import vocabulary
from pervade.domains.corpus import Corpus
from pervade.domains.environment import Environment
from pervade.domains.image import Image
from pervade.domains.instructions import Instructions
from pervade.domains.questions import Questions
from pervade.domains.text import Text
from pervade.domains.waveform import Waveform
from tests.data.drawing import class_folders


def told(domain: Any, given: Any) -> list[tuple[str, str]]:
    """Of each input its name, and why it cannot be used."""
    found = inputs.entries(domain, given)
    return [(e.source, e.reason) if isinstance(e, LeftOut) else (e["id"], "") for e in found]


class NAType:
    """As pandas.NA: neither equal to itself nor true or false."""

    def __ne__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError


@pytest.mark.parametrize("missing", [None, float("nan"), np.float32("nan"), NAType()])
def test_what_is_missing_is_no_text(missing: Any) -> None:
    assert told(Text(), ["good", missing, "good"]) == [("good", ""), ("input 2", "it is missing"), ("good", "")]
    assert told(Text(), missing) == [("input 1", "it is missing")]


@pytest.mark.parametrize("odd", [b"good", bytearray(b"x"), np.zeros((2, 2)), {"text": "good"}, ["good"], object()])
def test_what_is_no_text_is_refused_in_its_place(odd: Any) -> None:
    first, second = told(Text(), [odd, "good"])
    assert first[0] == "input 1"
    assert first[1].startswith(f"it is {'bytes' if isinstance(odd, (bytes, bytearray)) else f'a {type(odd).__name__}'}")
    assert second == ("good", "")


def test_many_ways_to_give_inputs() -> None:
    expected = [("a", ""), ("b", ""), ("a", "")]
    for given in (["a", "b", "a"], ("a", "b", "a"), np.array(["a", "b", "a"]), (each for each in "aba")):
        assert told(Text(), given) == expected
    assert told(Text(), []) == []
    assert told(Text(), "a b") == [("a b", "")]
    assert told(Text(), np.array("a b")) == [("a b", "")]
    assert told(Text(), Path("not_there.txt"))[0][1].startswith("it is not there")
    assert told(Environment(name="CartPole-v1"), [3, np.int64(4), "x", True])[:2] == [("seed 3", ""), ("seed 4", "")]


def test_a_table_in_memory_is_no_list_of_its_column_names() -> None:
    frame = type("Frame", (), {"columns": ["text", "label"], "iloc": None})()
    with pytest.raises(DataError, match="a table with the columns text, label is given; give one of them"):
        told(Text(), frame)


def test_a_folder_s_files_stand_where_they_lie(tmp_path: Path) -> None:
    class_folders(tmp_path, ("cat", "dog"), count=2)
    (tmp_path / "cat" / "0a.md").touch()
    (tmp_path / "dog" / "0a.csv").write_text("file_name\n0.png\n")
    (tmp_path / "aside.png").write_bytes((tmp_path / "cat" / "0.png").read_bytes())
    found = told(Image(), [tmp_path / "cat" / "1.png", tmp_path, tmp_path / "cat" / "1.png"])
    assert [name.removeprefix(f"{tmp_path}/") for name, _ in found] == [
        "cat/1.png", "aside.png", "cat/0.png", "cat/0a.md", "cat/1.png", "dog/0.png", "dog/0a.csv", "dog/1.png",
        "cat/1.png",
    ]  # fmt: skip
    assert [why for _, why in found if why] == ["files ending in '.md' are not read", inputs.IN_A_FOLDER]
    (tmp_path / "empty").mkdir()
    assert "is an empty folder" in told(Image(), tmp_path / "empty")[0][1]


def test_tables_inside_a_folder_of_texts_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.csv").write_text('text,label\ntwo,x\n"",x\nthree,y\n')
    (tmp_path / "c.csv").write_text("x,y\n1,2\n")
    (tmp_path / "d.txt").write_text("four")
    found = told(Text(), [tmp_path, "five"])
    assert [name.removeprefix(f"{tmp_path}/") for name, _ in found] == [
        "a.txt", "b.csv#1", "b.csv, row 2", "b.csv#3", "c.csv", "d.txt", "five",
    ]  # fmt: skip
    assert found[2][1] == "its text is empty"
    assert "--text-column" in found[4][1] or "no column of texts" in found[4][1]


def test_texts_to_go_on_from_may_stand_in_folders_and_tables(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.jsonl").write_text('{"text": "two"}\n{"text": NaN}\n')
    (tmp_path / "c.txt").write_text("")
    found = list(inputs.entries(Corpus(), [tmp_path, ""]))
    assert [each["text"] for each in found if isinstance(each, dict)] == ["one", "two", ""]
    assert [each.reason for each in found if isinstance(each, LeftOut)] == [
        "its text is empty", "it is empty; give a text, or '' to begin with nothing",
    ]  # fmt: skip


def test_questions_of_tables_keep_their_order(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text('question,context\nwho?,anna came\nwhere?,""\nwhen?,today\n')
    found = told(Questions(), ["no tab", tmp_path / "q.csv", "who?\tbert"])
    rows = [f"{tmp_path / 'q.csv'}#{number}" for number in (1, 2, 3)]
    assert [name for name, _ in found] == ["no tab", *rows, "who?"]
    assert [bool(why) for _, why in found] == [True, False, True, False, False]


def test_conversations_texts_and_folders(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("how?")
    (tmp_path / "b.jsonl").write_text('{"prompt": "why?"}\n{"prompt": null}\n')
    asked = [{"role": "user", "content": "who?"}]
    assert [name for name, _ in told(Instructions(), [tmp_path, asked, "what?"])] == [
        *(str(tmp_path / each) for each in ("a.txt", "b.jsonl#1", "b.jsonl#2")), "who?", "what?",
    ]  # fmt: skip
    assert told(Instructions(), asked) == [("who?", "")]  # dicts alone are the messages of one conversation
    assert told(Instructions(), [asked, b"x"])[1][0] == "input 2"


def test_labels_to_make_sounds_of() -> None:
    found = told(Waveform(labels=("a", "b"), local="place"), ["a", "c", "a"])
    assert found == [("a", ""), ("c", "it learnt no label 'c'; allowed: a, b"), ("a", "")]


def test_places_among_what_was_kept() -> None:
    """Of five entries and an input that was none, the second and the fourth entry were not readable."""
    found: list[Any] = [{"id": "0"}, {"id": "1"}, LeftOut("x", "no"), {"id": "2"}, {"id": "3"}, {"id": "4"}]
    kept = Rows({"id": list("01234")}).select([0, 2, 4])
    places = list(inputs.in_place(found, kept, [LeftOut("1", "bad"), LeftOut("3", "worse")]))
    assert [place for place, _ in places] == [0, -1, -1, 1, -1, 2]
    assert [lost.reason for _, lost in places if lost] == ["bad", "no", "worse"]


def test_a_text_that_is_cut_says_so() -> None:
    learnt = vocabulary.keep(vocabulary.learn(["a b c d e f g h"] * 3, "wordpiece", 300))
    domain = Text(length=8, tokenizer=learnt)
    rows = division.rows([{"id": each, "text": each} for each in ("a b", "a b c d e f g h", "a b c d e f")])
    kept, _ = domain.prepare(rows, lambda done, total: None, keep=False)
    # Two tokens more stand at the beginning and the end.
    assert list(kept.column("cut")) == [None, "8 of 10 tokens are read", None]
    writes = Corpus(length=16, tokenizer=learnt)
    kept, _ = writes.prepare(division.rows([{"id": "x", "text": "a b " * 10}]), lambda done, total: None, keep=False)
    assert list(kept.column("cut")) == ["the last 14 of 20 tokens are read"]
