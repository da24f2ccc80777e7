"""Tables and folders of texts: which columns are what, encodings, and what bad ones are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from pervade.core.errors import ConfigError, DataError
from pervade.data.read import account, table_files
from pervade.data.text import texts
from pervade.domains.text import Text, looks_like_text

GOOD = [(f"a fine film number {i}", "pos") for i in range(6)] + [(f"a dull film number {i}", "neg") for i in range(6)]


def table(path: Path, rows: list, head: str = "", separator: str = "\t") -> Path:
    path.write_text(head + "".join(separator.join(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_without_names_by_content(tmp_path: Path) -> None:
    """Those with many words are the text, few different ones the label; said by the names that the flags take."""
    path = table(tmp_path / "films.tsv", [(label, text) for text, label in GOOD])
    with account.gathered() as said:
        rows, left_out = Text().read(path)
        Text().read(path)
    assert not left_out
    assert list(rows.column("text")) == [text for text, _ in GOOD]
    assert list(rows.column("target")) == [label for _, label in GOOD]
    assert said[:3] == [
        "films.tsv: no line of names; its columns are called column 1 to column 2",
        "texts: column 'column 2' of films.tsv (--text-column)",
        "labels: column 'column 1' (--label-column)",
    ]


@pytest.mark.parametrize("head", ["text\tlabel\n", "Sentence\tstars\n", "blurb\tverdict\n", "\ufefftext\tlabel\n"])
def test_with_names(tmp_path: Path, head: str) -> None:
    """Known names, and unknown ones: no row below has the class `verdict`."""
    rows, _ = Text().read(table(tmp_path / "films.tsv", GOOD, head))
    assert list(rows.column("text")) == [text for text, _ in GOOD]
    assert list(rows.column("target")) == [label for _, label in GOOD]


def test_quotation_marks_that_are_letters(tmp_path: Path) -> None:
    """A reader of quotes would take the rest of the file into one field."""
    odd = [('"Pete can you ring me', "neg"), ('6" nails', "pos"), ('"so it is"', "pos"), ('"Hi" said "Bob', "neg")]
    rows, _ = Text().read(table(tmp_path / "sms.tsv", [*GOOD, *odd]))
    assert list(rows.column("text"))[12:] == [text for text, _ in odd]


def test_quotes_newlines_and_crlf_inside_fields(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(b'text,label\r\n"two\r\nlines, and a ""quote""",pos\r\nplain,neg\r\n')
    rows, _ = Text().read(path)
    assert list(rows.column("text")) == ['two\r\nlines, and a "quote"', "plain"]


def test_pairs(tmp_path: Path) -> None:
    pairs = [(f"it rains {i}", f"it is wet {i}", "yes") for i in range(3)]
    rows, _ = Text().read(table(tmp_path / "nli.tsv", pairs, "premise\thypothesis\tlabel\n"))
    assert rows.column("second")[0] == "it is wet 0"
    rows, _ = Text(text_column="b,a").read(table(tmp_path / "own.tsv", pairs, "a\tb\tlabel\n"))
    assert (rows.column("text")[1], rows.column("second")[1]) == ("it is wet 1", "it rains 1")


def test_class_folders_and_split_tables(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for number, (text, label) in enumerate(GOOD):
            path = tmp_path / "folders" / split / label / f"{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text} {split}", encoding="utf-8")
    rows, _ = Text().read(tmp_path / "folders")
    rows, _ = Text().prepare(rows, lambda done, total: None)
    assert len(rows) == 24
    assert {*rows.column("text")} == {f"{text} {split}" for text, _ in GOOD for split in ("train", "test")}
    for name in ("train", "dev", "test"):
        (tmp_path / "tables").mkdir(exist_ok=True)
        table(tmp_path / "tables" / f"{name}.tsv", GOOD)
    rows, _ = Text().read(tmp_path / "tables")
    assert set(rows.column("split")) == {"train", "validation", "test"}


def test_what_a_text_is_told_by(tmp_path: Path) -> None:
    """A table of files is no table of texts, nor is a folder of pictures."""
    (tmp_path / "a.png").write_bytes(b"")
    assert not looks_like_text(table(tmp_path / "files.tsv", [("a.png", "cat"), ("a.png", "dog")] * 3))
    assert not looks_like_text(tmp_path / "a.png")
    assert looks_like_text(table(tmp_path / "texts.tsv", GOOD))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.tsv", "sehr schön gemacht, größer als größte Häuser\tgut\n".encode("latin-1") * 20, r"is not UTF-8 \(byte"),
        (
            "t.tsv",
            "这家酒店的服务很好，房间干净\tgood\n".encode("gb18030") * 20,
            "it looks like gb18030|it looks like gbk",
        ),
        ("t.csv", b"text,label\nfine,pos\n", "has no column 'texte'; did you mean 'text'"),
        ("t.json", b'[{"text": "fine", "label": "pos"}, {"text": "du', "is not JSON"),
        ("t.jsonl", b'{"text": "fine", "label": "pos"}\n{"text": "du', "line 2 is not JSON"),
        ("t.jsonl", b'{"text": ["fine"], "label": "pos"}\n', "holds a list, not a text"),
        ("t.csv", b"alpha,beta,label\nsome words,other words,x\nsome words,other words,y\n", "say which with --text-c"),
        ("t.csv", b"text,label\n,pos\n  ,neg\n", "holds no text that can be used"),
    ],
)
def test_bad_tables(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=told):
        Text(text_column="texte" if "texte" in told else None).read(tmp_path / name)


def test_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes("".join(f"这家酒店的服务很好{i}\tgood\n房间太小了{i}\tbad\n" for i in range(9)).encode("gb18030"))
    rows, _ = Text(encoding="gb18030").read(path)
    assert rows.column("text")[0] == "这家酒店的服务很好0"
    with pytest.raises(ConfigError, match=r"domain\.encoding 'klingon' is unknown"):
        Text(encoding="klingon")


def test_empty_texts_and_half_characters_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(
        '{"text": "fine", "label": "a"}\n{"text": " ", "label": "a"}\n{"text": "bro\\ud83dken", "label": "b"}\n'
        '{"text": "bell\\u0007 rings", "label": "b"}\n{"text": "\\u0000", "label": "b"}\n'
    )
    rows, lost = Text().read(path)
    rows, unusable = Text().prepare(rows, lambda done, total: None)
    assert list(rows.column("text")) == ["fine", "bell rings"]
    assert [each.reason for each in [*lost, *unusable]] == [
        "its text is empty",
        "it holds half a character (a lone surrogate), which no file could hold; mend it",
        "it is empty",
    ]


def test_equal_texts_have_equal_hashes() -> None:
    assert texts.digest("caf\u00e9 ") == texts.digest(texts.clean("cafe\u0301")[0])
    assert texts.digest("a", "b") != texts.digest("a b")


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([["text", "x"], ["a", "1"]], True),
        ([["good film", "1"], ["bad film", "0"], ["fair", "1"], ["dull", "0"]], False),
        ([["image", "caption"], *([f"{i}.jpg", f"a dog runs over a meadow number {i}"] for i in range(4))], True),
        ([["0.jpg", "a cat sits on a mat"], *([f"{i}.jpg", f"a dog runs over {i}"] for i in range(1, 5))], False),
        ([["words", "kind"], ["bad film", "0"], ["fair", "1"], ["dull", "0"], ["so", "1"]], True),
    ],
)
def test_line_of_names(rows: list[list[str]], named: bool) -> None:
    assert texts.has_names(rows) is named


def test_tables_of_files_stay_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    assert table_files.read(table(tmp_path / "t.tsv", [("a.png", "cat")]))[0] == {
        "column 1": "a.png",
        "column 2": "cat",
    }
