"""Lines of text files that are more than running text: read with their labels, or refused in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import pervade
from pervade.core.errors import DataError
from pervade.core.types import LeftOut
from pervade.data.read import account, tables
from pervade.data.text import labelled_lines
from pervade.domains.corpus import Corpus
from pervade.domains.text import Text
from pervade.recipes import choose

TAGGED = "EU NNP B-ORG\nrejects VBZ O\nGerman JJ B-MISC\ncall NN O\n\n"
SAID = "".join(f"12/03/21, 10:{i} - {('Anna', 'Bert')[i % 2]}: it is {i}\n" for i in range(10, 20))
SUBTITLES = "".join(f"{i}\n00:00:{i},000 --> 00:00:{i},900\nhello {i}\n\n" for i in range(10, 20))


@pytest.mark.parametrize(
    ("lines", "rows"),
    [
        (
            "__label__a one text\n__label__b two\nthree __label__a\n",
            [("one text", "a"), ("two", "b"), ("three", "a")],
        ),
        (
            "__label__a __label__b one\n__label__b two\n__label__a three\n",
            [("one", ["a", "b"]), ("two", ["b"]), ("three", ["a"])],
        ),
        (
            "DESC:manner How ?\nHUM:ind Who ?\nHUM:gr Which ?\n",
            [("How ?", "DESC"), ("Who ?", "HUM"), ("Which ?", "HUM")],
        ),
        (
            "a .@up\nb @ c .@down\nd .@up\ne .@down\n",
            [("a .", "up"), ("b @ c .", "down"), ("d .", "up"), ("e .", "down")],
        ),
        ("anna@example\nbert@home\ncleo@work\n", None),
        ("Note: this is\nHow: that\nWho: this\n", None),
        ("one\ntwo\nthree __label__a\n", None),
    ],
)
def test_labels_in_lines(lines: str, rows: list[tuple[str, object]] | None) -> None:
    found = labelled_lines.records(Path("a.txt"), lines)
    assert (found and [(each["text"], each["label"]) for each in found]) == rows


def test_a_line_without_a_label_is_left_out(tmp_path: Path) -> None:
    lines = [f"__label__{'ab'[i % 2]} number {i}\n" for i in range(40)]
    (tmp_path / "a.txt").write_text("".join([*lines[:20], "nothing\n", *lines[20:]]))
    found = pervade.open_data(tmp_path / "a.txt", init="random")
    assert (len(found.rows), [(each.source, each.reason) for each in found.left_out]) == (
        40,
        [("a.txt, row 21", "it has no label")],
    )


@pytest.mark.parametrize(
    ("name", "lines", "said"),
    [
        ("a.txt", TAGGED * 5, "a word and its tag in each line"),
        ("a.conll", f"-DOCSTART- -X- O O\n\n{TAGGED * 5}", "a word and its tag in each line"),
        ("a.tsv", TAGGED.replace(" ", "\t") * 5, "a word and its tag in each line"),
        ("a.csv", "sentence,word,tag\n" + "1,EU,B-ORG\n,rejects,O\n" * 5, "a word and its tag in each line"),
        ("a.conllu", "# text\n" + ("1\tThe\tthe\tDET\tDT\t_\t2\tdet\t_\t_\n" * 3), "CoNLL-U"),
        ("chat.txt", SAID, "lines that begin with their time"),
        ("chat.txt", "now encrypted\n" + SAID.replace("12/03/21, 10", "[12.03.21, 10").replace(" -", ":11]"), "time"),
        ("film.srt", SUBTITLES, "subtitles"),
        ("a.txt", "(3 (2 It) (4 works))\n" * 4, "trees"),
    ],
)
def test_what_is_refused_says_what_it_is(name: str, lines: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(lines)
    with pytest.raises(DataError, match=said) as refused:
        choose(str(tmp_path / name), None, None, init="random")
    if labelled_lines.TASK in str(refused.value):  # the remedy is one
        rows, _ = Corpus().read(tmp_path / name)
        assert len(rows)


@pytest.mark.parametrize("names", [("train.en", "train.de"), ("train.en.txt", "train.de.txt")])
def test_files_to_translate(names: tuple[str, str], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).write_text("a house\n" * 5)
    with pytest.raises(DataError, match=r"train\.de.* and train\.en.*, each with 5 lines"):
        choose(str(tmp_path), None, None, init="random")


RUNNING = {
    "sentences": "It was a day.\nThen night.\nAnd more.\n",
    "words": "O my\nO your\nO dear\n",
    "numbers": "1\n2\n3\n",
    "paragraphs behind tabs": "\tOnce there was a fox.\n\tIt ran.\n\tIt slept.\n",
    "sentences that come again": "A king had a son, who was small.\nThe wind blew, and it was cold.\n" * 5,
    "speech": '"We go now," said Anna.\n"Nobody knows," said Bob.\n' * 5,
    "halves of sentences": "The house stood there; nobody knew.\nWe saw it; nobody knew.\nAnd so on; he said.\n" * 3,
}


@pytest.mark.parametrize("lines", RUNNING.values(), ids=RUNNING)
def test_running_text_is_not_refused(lines: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(lines)
    labelled_lines.refuse(tmp_path / "a.txt")
    assert not tables.holds_table(tmp_path / "a.txt")
    assert choose(str(tmp_path), None, None, init="random")[0] == "text-generation"


def test_a_text_that_is_read_as_a_table_says_so_and_how_it_is_read_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("".join(f"we went {i} times;{'good' if i % 2 else 'bad'}\n" for i in range(20)))
    told = "a.txt: a table, since all its lines are parted alike (--task text-generation takes it for running text)"
    assert told in pervade.open_data(file, init="random").account
    assert Corpus().read(file)[0].column("path") == [str(file)]
    (tmp_path / "b.txt").write_text(file.read_text())
    with pytest.raises(DataError, match="--task text-generation learns to write such texts"):
        pervade.open_data(tmp_path, init="random")


def test_one_text_is_divided_or_refused(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("".join(f"line {i:04d}\n" for i in range(1000)))
    rows, _ = Corpus().read(tmp_path / "book.txt")
    assert [rows[0]["start"], rows[1]["start"], len(rows)] == [0, 510, 20]
    assert rows[19]["stop"] == 10_000
    (tmp_path / "short.txt").write_text("a few words\n")
    with pytest.raises(DataError, match="nothing can be held out of 1 row"):
        pervade.open_data(tmp_path / "short.txt", init="random")
    assert len(pervade.open_data(tmp_path / "short.txt", init="random", settings=["validation=0", "test=0"]).rows) == 1


def _asked(domain: Text | Corpus, given: Path) -> tuple[list[str], list[str]]:
    with account.gathered() as notes:
        found = list(domain.asked(str(given)))
    return [f"{each.source}: {each.reason}" if isinstance(each, LeftOut) else each["text"] for each in found], notes


def test_predict_answers_each_line_where_lines_were_learnt_from(tmp_path: Path) -> None:
    learnt, new = tmp_path / "learnt.txt", tmp_path / "new.txt"
    learnt.write_text("".join(f"__label__{'ab'[i % 2]} number {i}\n" for i in range(20)))
    new.write_text("what a film\n\nand what a book\n")
    rows, _ = Text().read(learnt)
    fitted = Text(num_tokens=300).fit(rows.with_columns(split=["train"] * 20))
    assert _asked(fitted, new) == (["what a film", "", "and what a book"], [])
    assert _asked(fitted, learnt)[0] == [f"number {i}" for i in range(20)]
    whole = replace(fitted, lines=False)
    said = f"{new}: 1 text of 3 lines (--lines makes each line a text)"
    assert _asked(whole, new) == (["what a film\n\nand what a book\n"], [said])
    assert _asked(Corpus(), new) == (["what a film\n\nand what a book\n"], [said])
    assert _asked(Corpus(lines=True), new)[0] == [
        "what a film",
        f"{new}#2: it is empty; give a text, or '' to begin with nothing",
        "and what a book",
    ]


def test_running_text_is_read_from_the_columns_that_were_learnt_from(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("note,number\n" + "".join(f"what a film it was {i},{i}\n" for i in range(20)))
    rows, _ = Corpus().read(tmp_path / "a.csv")
    fitted = Corpus(num_tokens=300).fit(rows.with_columns(split=["train"] * 20, size=[20] * 20))
    (tmp_path / "b.csv").write_text("text,note\nsomething else,a film\n")
    assert (fitted.read_from, _asked(fitted, tmp_path / "b.csv")[0]) == (("note",), ["a film"])
