"""Tables and folders of texts as people have them: each is read at once, and what was read is said."""

from __future__ import annotations

import gzip
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from pervade import recipes
from pervade.core.errors import ConfigError, DataError
from pervade.core.types import LeftOut, Rows
from pervade.data.read import account, encodings, inputs, table_files, workbooks
from pervade.domains.text import Text
from pervade.engine import answering
from pervade.recipes import text as text_recipe
from pervade.run import measuring
from pervade.run.progress import Silent

NOUNS = ("chair", "valve", "panel", "brush", "kettle", "lamp", "drill", "clock")
GOOD, BAD = ("neat", "quick", "lovely"), ("weak", "noisy", "torn")
ROWS = [
    (f"the {NOUNS[i % 8]} was {(GOOD, BAD)[i % 2][i % 3]} after {3 * i + 7} days", ("good", "bad")[i % 2])
    for i in range(40)
]
TEXTS, LABELS = [text for text, _ in ROWS], [label for _, label in ROWS]


def read(path: Path, **fields: Any) -> tuple[Rows, list[LeftOut], str]:
    """The rows, what was left out, and the account."""
    table_files.forget()
    with account.gathered() as notes:
        rows, left_out = Text(**fields).read(path)
    return rows, left_out, "\n".join(notes)


def written(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def lines(head: str, line: Callable[[int, str, str], str]) -> str:
    return head + "".join(f"{line(i, text, label)}\n" for i, (text, label) in enumerate(ROWS))


def plain(head: str = "text,label\n", delimiter: str = ",") -> str:
    return lines(head, lambda i, text, label: f"{text}{delimiter}{label}")


def frame() -> dict[str, list[str]]:
    return {"text": TEXTS, "label": LABELS}


LAYOUTS: dict[str, tuple[str, str | bytes, str]] = {
    # name: (file, content, what the account says)
    "columns without a name and empty": (
        "a.csv",
        lines("kind,message,,,\n", lambda i, t, x: f'{x},"{t}",,,'),
        "not used: column 3, column 4, column 5, without a name and empty",
    ),
    "Kaggle's spam.csv, whose columns without a name hold something": (
        "spam.csv",
        lines("v1,v2,,,\n", lambda i, t, x: f'{x},"{t}",{"and more of it" if i == 3 else ""},,'),
        "texts: column 'v2' of spam.csv (--text-column)",
    ),
    "constants, numbers and users": (
        "a.csv",
        lines("", lambda i, t, x: f'{int(x == "good") * 4},{10000 + i},NO_QUERY,user{i % 20},"{t}"'),
        "columns not used: column 2 (40 different), column 3 (always 'NO_QUERY'), column 4 (20 different)\n"
        "groups: none; 'column 4' may say which rows belong together (--group-by 'column 4')",
    ),
    "one tab and one comma in every line": (
        "a.csv",
        lines("", lambda i, t, x: f"{x}\t{t.replace(' after', ', after')}"),
        "a.csv: parted by tabs",
    ),
    "Excel's first line": (
        "a.csv",
        "sep=;\r\n" + plain("text;label\n", ";"),
        "parted by semicolons, as its first line",
    ),
    "a byte order mark and Excel's first line": ("a.csv", "\ufeffsep=;\n" + plain("Text;Klasse\n", ";"), "'Klasse'"),
    "blank lines first": ("a.csv", "\n\n" + plain("text;label\n", ";"), "parted by semicolons"),
    "a title and a comment first": (
        "a.csv",
        "# exported by somebody\nReport of May\n" + plain(),
        "a.csv: the table begins behind 2 lines of something else ('# exported by somebody')",
    ),
    "semicolons and decimal commas": (
        "a.csv",
        lines("Text;Preis;Klasse\n", lambda i, t, x: f"{t};{i},{50 + i};{x}"),
        "columns not used: Preis (40 different)",
    ),
    "quotes behind a blank": ("a.csv", lines("label, text\n", lambda i, t, x: f'{x}, "{t}"'), "column 'text'"),
    "quotes behind a blank, and a comma in them": (
        "a.csv",
        lines("label, text\n", lambda i, t, x: f'{x}, "{t}, {i}"'),
        "column 'text'",
    ),
    "quoted fields in a tsv": ("a.tsv", lines("text\tlabel\n", lambda i, t, x: f'"{t}"\t"{x}"'), "column 'text'"),
    "quotation marks written with a backslash": (
        "a.csv",
        lines("text,label\n", lambda i, t, x: f'"{t} \\"{i}\\", so",{x}'),
        "column 'text'",
    ),
    "an index without a name": (
        "a.csv",
        lines(",text,sentiment\n", lambda i, t, x: f"{i},{t},{x}"),
        "numbers the rows",
    ),
    "pandas' index": (
        "a.csv",
        lines("Unnamed: 0,text,sentiment\n", lambda i, t, x: f"{7 * i},{t},{x}"),
        "a.csv: not used: column 1, without a name, which numbers the rows",
    ),
    "the line of names twice": ("a.csv", plain() + "text,label\n", "1 lines that are the line of names again"),
    "a column twice": ("a.csv", lines("text,label,text\n", lambda i, t, x: f"{t},{x},{t}"), "the same as 'text'"),
    "blanks around names": ("a.csv", plain(" text , label \n"), "column 'label'"),
    "old Macintosh's ends of lines": ("a.csv", plain().replace("\n", "\r"), "column 'label'"),
    "Chinese names": ("a.csv", plain("文本,标签\n"), "texts: column '文本' of a.csv (--text-column)"),
    "a title that is called so": ("a.csv", plain("headline,verdict\n"), "column 'headline'"),
    "UTF-16": ("a.csv", plain("text\tlabel\n", "\t").encode("utf-16"), "a.csv: in utf-16, as its byte order mark says"),
    "UTF-16 without a mark in front of names": ("a.csv", b"\xfe\xff" + plain().encode("utf-16-be"), "in utf-16"),
    "texts and classes in a .txt": ("a.txt", plain("", "\t"), "column 'column 1' of a.txt (--text-column)"),
    "texts; classes in a .txt": ("a.txt", plain("", ";"), "labels: column 'column 2' (--label-column)"),
    "a table without an ending (UCI's SMSSpamCollection)": (
        "SMSSpamCollection",
        lines("", lambda i, t, x: f"{x}\t{t}"),
        "column 'column 2' of SMSSpamCollection",
    ),
    "JSON lines in a .json": ("a.json", "".join(json.dumps({"text": t, "label": x}) + "\n" for t, x in ROWS), "'text'"),
    "JSON lines in a .ndjson": ("a.ndjson", "".join(json.dumps([t, x]) + "\n" for t, x in ROWS), "no line of names"),
    "JSON, lists by column": ("a.json", json.dumps(frame()), "'text'"),
    "JSON, pandas' columns": (
        "a.json",
        json.dumps({name: {str(i): x for i, x in enumerate(values)} for name, values in frame().items()}),
        "'text'",
    ),
    "JSON, pandas' index": (
        "a.json",
        json.dumps({str(3 * i): {"text": t, "label": x} for i, (t, x) in enumerate(ROWS)}),
        "",
    ),
    "JSON, pandas' split": (
        "a.json",
        json.dumps({"columns": ["text", "label"], "index": list(range(40)), "data": [list(row) for row in ROWS]}),
        "",
    ),
    "JSON, pandas' table": (
        "a.json",
        json.dumps(
            {
                "schema": {"fields": [], "primaryKey": ["index"]},
                "data": [{"index": i, "text": t, "label": x} for i, (t, x) in enumerate(ROWS)],
            }
        ),
        "",
    ),
    "JSON, pandas' values": ("a.json", json.dumps([list(row) for row in ROWS]), "called column 1 to column 2"),
    "JSON, rows under a name": ("a.json", json.dumps({"data": [{"text": t, "label": x} for t, x in ROWS]}), ""),
    "packed csv": ("a.csv.gz", gzip.compress(plain().encode()), "column 'text' of a.csv.gz"),
    "packed tsv": ("a.tsv.gz", gzip.compress(plain("", "\t").encode()), ""),
    "packed JSON lines": (
        "a.jsonl.gz",
        gzip.compress("".join(json.dumps({"text": t, "label": x}) + "\n" for t, x in ROWS).encode()),
        "",
    ),
    "packed JSON": ("a.json.gz", gzip.compress(json.dumps(frame()).encode()), ""),
    "emoji, and quotation marks that are letters": (
        "a.tsv",
        lines("text\tlabel\n", lambda i, t, x: f'{t} 🙂 6" nail\t{x}'),
        "",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_layout(layout: str, tmp_path: Path) -> None:
    """All rows, each with its text and its class, and the account says what was taken."""
    name, content, said = LAYOUTS[layout]
    path = written(tmp_path / name, content)
    assert text_recipe.recognises(path) == "text-classification"
    assert next(each for each in (m.recognises(path) for m in modules()) if each) == "text-classification"
    rows, left_out, told = read(path)
    assert not left_out
    held = [text.replace(",", "")[: len(t)] for text, t in zip(rows.column("text"), TEXTS, strict=True)]
    assert held == TEXTS
    assert sorted(Counter(rows.column("target")).values()) == [20, 20]
    assert said in told


def modules() -> list[Any]:
    return sorted({module for module, _ in recipes.tasks().values()}, key=lambda m: (hasattr(m, "LAST"), m.__name__))


def test_a_title_and_what_stands_below_it_are_one_text(tmp_path: Path) -> None:
    """With names and without; an empty title leaves no row out."""
    made = lines("title,body,label\n", lambda i, t, x: f"{NOUNS[i % 8] if i else ''} review,{t},{x}")
    rows, _, told = read(written(tmp_path / "a.csv", made))
    assert rows.column("text")[1] == f"valve review\n{TEXTS[1]}"
    assert "second" not in rows
    assert "texts: column 'title' and 'body' of a.csv, one text out of both (--text-column)" in told
    made = lines("", lambda i, t, x: f'{len(x)},"No {i}: the {NOUNS[i % 8]}","{t} and {t}"')
    rows, _, told = read(written(tmp_path / "b.csv", made))
    assert rows.column("text")[0] == f"No 0: the chair\n{TEXTS[0]} and {TEXTS[0]}"
    assert "column 'column 2' and 'column 3' of b.csv" in told
    rows, _, _ = read(tmp_path / "b.csv", text_column="column 3+column 2", label_column="column 1")
    assert rows.column("text")[0] == f"{TEXTS[0]} and {TEXTS[0]}\nNo 0: the chair"


def test_pairs_without_names(tmp_path: Path) -> None:
    """Two texts that are about as long as each other; the names that are announced work with the flags."""
    path = written(tmp_path / "a.tsv", lines("", lambda i, t, x: f"{t}\t{TEXTS[i - 1]}\t{int(x == 'good')}"))
    rows, _, told = read(path)
    assert (rows.column("text")[1], rows.column("second")[1], rows.column("target")[1]) == (TEXTS[1], TEXTS[0], "0")
    assert "texts: column 'column 1' and 'column 2' of a.tsv, pairs (--text-column)" in told
    named, _, _ = read(path, text_column="column 1,column 2", label_column="column 3")
    assert named.columns == rows.columns


def test_a_workbook(tmp_path: Path) -> None:
    """The only sheet that holds a table, or the one that is named behind the file."""
    book = openpyxl.Workbook()
    book.active.title = "Notes"
    for title, flip in (("Reviews", False), ("Turned", True)):
        sheet = book.create_sheet(title)
        sheet.append([])
        sheet.append([None, "text", "stars", "when"])
        for text, label in ROWS:
            sheet.append([None, text, int((label == "good") != flip), None])
    book.save(tmp_path / "a.xlsx")
    with pytest.raises(
        DataError, match=r"several sheets .* \('Reviews' with 41 rows, 'Turned' with 41 rows\); say which"
    ):
        read(tmp_path / "a.xlsx")
    rows, _, told = read(tmp_path / "a.xlsx#Reviews")
    assert list(rows.column("text")) == TEXTS
    assert rows.column("target")[:2] == ["1", "0"]
    assert "a.xlsx: sheet 'Reviews'; not read: Notes, Turned (a.xlsx#SHEET)" in told
    book["Notes"].append(["These are reviews"])
    book["Notes"].append(["Anna", "anna@example.org"])
    book.remove(book["Turned"])
    book.save(tmp_path / "one.xlsx")
    rows, _, told = read(tmp_path / "one.xlsx")
    assert list(rows.column("text")) == TEXTS
    assert "one.xlsx: sheet 'Reviews'; not read: Notes" in told
    assert "columns not used: when (empty)" in told
    named = tmp_path / "a.xlsx#Turned"
    assert text_recipe.recognises(named) == "text-classification"
    assert read(named)[0].column("target")[:2] == ["0", "1"]
    with pytest.raises(DataError, match=r"a\.xlsx has no sheet 'Turnd'; did you mean 'Turned'"):
        read(tmp_path / "a.xlsx#Turnd")
    with pytest.raises(DataError, match=r"b\.xlsx is no workbook that can be read"):
        read(written(tmp_path / "b.xlsx", b"PK but no more"))


def test_workbooks_that_are_cut_off_or_say_that_they_are_huge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = openpyxl.Workbook()
    for row in [("text", "label"), *ROWS]:
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")

    def changed(name: str, change: Callable[[bytes], bytes]) -> Path:
        with zipfile.ZipFile(tmp_path / "a.xlsx") as old, zipfile.ZipFile(tmp_path / name, "w") as new:
            for each in old.namelist():
                data = old.read(each)
                new.writestr(each, change(data) if each.endswith("sheet1.xml") else data)
        return tmp_path / name

    with pytest.raises(DataError, match=r"b\.xlsx is no workbook that can be read"):
        read(changed("b.xlsx", lambda data: data[: len(data) // 2]))
    huge = changed("c.xlsx", lambda data: data.replace(b'"A1:B41"', b'"A1:XFD1048576"'))
    monkeypatch.setattr(workbooks, "MOST_CELLS", 100)
    assert len(table_files.read(huge)) == 40
    monkeypatch.setattr(workbooks, "MOST_CELLS", 50)
    table_files.forget()
    with pytest.raises(DataError, match=r"sheet 'Sheet' has more than 50 cells; save a part of it"):
        table_files.read(huge)
    monkeypatch.setattr(workbooks, "LARGEST", 1000)
    with pytest.raises(DataError, match=r"c\.xlsx unpacks to .* GB; save a part of it"):
        table_files.read(huge)


def test_archives(tmp_path: Path) -> None:
    def archive(name: str, *inside: str) -> Path:
        with zipfile.ZipFile(tmp_path / name, "w") as file:
            for each in inside:
                file.writestr(each, plain())
        return tmp_path / name

    rows, _, told = read(archive("a.zip", "data/spam.csv", "data/readme", "__MACOSX/data/._spam.csv"))
    assert list(rows.column("text")) == TEXTS
    assert "a.zip: data/spam.csv in it, the one table among 2 files" in told
    for name, path in (
        (r"holds 2 tables \(a\.csv, b\.csv\); unpack it", archive("b.zip", "a.csv", "b.csv")),
        ("holds 1 files and no table; unpack it", archive("c.zip", "1.jpg")),
        ("cannot be unpacked", written(tmp_path / "d.zip", b"PK")),
    ):
        assert not table_files.is_table(path)
        with pytest.raises(DataError, match=name):
            recipes.choose(path, None, None)
        (lost,) = inputs.held(str(path), (), lambda file: iter(table_files.read(file))) or []
        assert isinstance(lost, LeftOut)
        assert re.search(name, lost.reason)
    with pytest.raises(DataError, match=r"a\.csv\.gz cannot be read"):
        read(written(tmp_path / "a.csv.gz", gzip.compress(plain().encode())[:-20]))


def test_packed_tables_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files, "LARGEST", 100_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.csv", plain() + " " * 100_000)
    written(tmp_path / "a.csv.gz", gzip.compress((plain() + " " * 100_000).encode()))
    for name in ("a.zip", "a.csv.gz"):
        with pytest.raises(DataError, match=rf"{name} unpacks to more than 0\.0001 GB; unpack it"):
            table_files.read(tmp_path / name)


def test_long_fields(tmp_path: Path) -> None:
    """Longer than what Python's csv takes for a fault, 131,072 characters; in the first line, too."""
    for place in (0, 17):
        made = lines("text,label\n", lambda i, t, x, place=place: f"{'word ' * (30_000 * (i == place))}{t},{x}")
        rows, left_out, _ = read(written(tmp_path / f"{place}.csv", made))
        assert not left_out
        assert len(rows.column("text")[place]) == 150_000 + len(TEXTS[place])


def test_folders_of_texts_with_other_files_beside(tmp_path: Path) -> None:
    """IMDB: lists and a vocabulary beside the class folders, and texts without labels, which are left out."""
    for split in ("train", "test"):
        for label, stars in (("neg", 2), ("pos", 9), *([("unsup", 0)] * (split == "train"))):
            for i in range(6):
                written(tmp_path / split / label / f"{i}_{stars}.txt", TEXTS[2 * i + (label == "neg")])
        written(tmp_path / split / "urls_pos.txt", "http://example.org\n")
        written(tmp_path / split / "labeledBow.feat", "9 0:9 1:1\n")
    written(tmp_path / "README", "Large Movie Review Dataset\n")
    written(tmp_path / "imdb.vocab", "the\nand\n")
    assert text_recipe.recognises(tmp_path) == "text-classification"
    rows, left_out, _ = read(tmp_path)
    assert Counter(zip(rows.column("split"), rows.column("target"), strict=True)) == {
        (split, label): 6 for split in ("train", "test") for label in ("neg", "pos")
    }
    reasons = {each.source: each.reason for each in left_out}
    assert reasons["train/unsup/0_0.txt"] == "the folder unsup is called as one of files without labels"
    assert {"README", "imdb.vocab", "train/labeledBow.feat", "train/urls_pos.txt"} <= reasons.keys()


@pytest.mark.parametrize("name", ["{}", "{}.12", "0000{}.7c53336b37003a9286aba55d2945844c"])
def test_files_without_an_ending(name: str, tmp_path: Path) -> None:
    """20 Newsgroups and SpamAssassin; a picture's or a program's bytes are no text, whatever they are called."""
    for i, (text, label) in enumerate(ROWS):
        written(tmp_path / "texts" / label / name.format(10_000 + i), f"From: anna\n\n{text}\n")
        written(tmp_path / "bytes" / label / name.format(10_000 + i), bytes(range(256)))
    assert text_recipe.recognises(tmp_path / "texts") == "text-classification"
    assert text_recipe.recognises(tmp_path / "bytes") is None
    rows, left_out, _ = read(tmp_path / "texts")
    assert (len(rows), left_out) == (40, [])


def test_a_folder_with_one_table(tmp_path: Path) -> None:
    written(tmp_path / "a" / "IMDB Dataset.csv", plain("review,sentiment\n"))
    written(tmp_path / "b" / "SMSSpamCollection", lines("", lambda i, t, x: f"{x}\t{t}"))
    written(tmp_path / "b" / "readme", "Corpus of messages.\n\nCollected by somebody.\n")
    for name in ("train", "val", "test"):
        written(tmp_path / "c" / f"{name}.txt", plain("", ";"))
        written(tmp_path / "d" / f"{name}.csv.gz", gzip.compress(plain().encode()))
    for name, many in (("a", 40), ("b", 40), ("c", 120), ("d", 120)):
        assert text_recipe.recognises(tmp_path / name) == "text-classification"
        rows, _, told = read(tmp_path / name)
        assert (len(rows), "its only table" in told, "split" in rows) == (many, many == 40, many == 120)


def test_files_are_no_texts(tmp_path: Path) -> None:
    """A table of names of files, there or not, and of addresses, is not one of texts."""
    for row in (
        "{i}.jpg",
        "C:\\\\photos\\\\{i}.png",
        "images/holiday {i}.JPEG",
        "https://example.org/{i}.jpg",
        "img_{i:05d}",
    ):
        made = lines("image,label\n", lambda i, t, x, row=row: f"{row.format(i=i)},{x}")
        assert text_recipe.recognises(written(tmp_path / "a.csv", made)) is None
        made = lines("", lambda i, t, x, row=row: f"{row.format(i=i)},{x}")
        assert text_recipe.recognises(written(tmp_path / "b.csv", made)) is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("text,label\n", "has no rows"),
        ("", "has no rows"),
        (
            lines("text,colour,gender\n", lambda i, t, x: f"{t},{i % 5},{x}").replace("stars", "colour"),
            "colour \\(5 classes\\), gender \\(2",
        ),
        (lines("", lambda i, t, x: f"{t},{i % 3},{x}"), r"column 2 \(3 classes\), column 3 \(2 classes\)"),
        (lines("text,label,text\n", lambda i, t, x: f"{t},{x},{i}"), "two columns named 'text'"),
        (lines("text,label\n", lambda i, t, x: f"{t}, and more,{x}"), "row 1 has 3 fields, and the first line only 2"),
    ],
)
def test_what_cannot_be_told_is_refused(content: str, told: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", content)
    with pytest.raises(DataError, match=told):
        read(path)


@pytest.mark.parametrize("head", ["", "text\n", "sentence\n"])
def test_one_column(head: str, tmp_path: Path) -> None:
    """No first row of a table without names is lost, and no name is taken for a row."""
    path = written(tmp_path / "a.csv", lines(head, lambda i, t, x: f'"{t}"'))
    assert len(list(asked(Text(), path))) == 40
    path = written(tmp_path / "b.csv", lines("text\n", lambda i, t, x: f"{t}{', so' * (i % 3)}"))
    assert [each["text"] for each in asked(Text(), path)][2] == f"{TEXTS[2]}, so, so"


def asked(domain: Any, path: Path) -> list[Any]:
    """What `predict` reads of a file."""
    table_files.forget()
    return list(inputs.entries(domain, [str(path)]))


def test_no_first_row_is_taken_for_names(tmp_path: Path) -> None:
    """Though its label is called as a column might be, or is the only one of its class."""
    made = lines("", lambda i, t, x: f"{t},{('y', 'n')[x == 'bad']}")
    assert Counter(read(written(tmp_path / "a.csv", made))[0].column("target")) == {"y": 20, "n": 20}
    made = f"the only one of its kind in the whole table,odd\n{plain('')}"
    assert Counter(read(written(tmp_path / "b.csv", made))[0].column("target")) == {"good": 20, "bad": 20, "odd": 1}


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Übung für Schüler – schön, 20 €, „gut“", "cp1252"),
        ("Éléments à revoir : où est l’été ?", "cp1252"),
        ("这家酒店的服务很好，房间干净，下次还会再来", "gb18030"),
        ("Привет, как дела? Всё хорошо, спасибо", "cp1251"),
        ("これは日本語の文章です。とても良い天気ですね", "shift_jis"),
        ("이 호텔은 정말 좋습니다. 다시 오고 싶어요", "cp949"),
    ],
)
def test_likely_encodings(text: str, encoding: str) -> None:
    """cp1252 and gb18030 where these fit, and nowhere else."""
    data = "".join(f"{text} {i}\n" for i in range(30)).encode(encoding)
    found = encodings.detected(data)
    assert found is not None
    if encoding in ("cp1252", "gb18030"):
        assert found == encoding
    else:
        assert found not in ("cp1252", "gb18030")
        assert data.decode(found) == data.decode(encoding)


def test_a_test_table_without_labels_is_left_out(tmp_path: Path) -> None:
    """Kaggle's train.csv, test.csv and sample_submission.csv; only what trains must have labels."""
    written(tmp_path / "train.csv", lines("id,text,target\n", lambda i, t, x: f"{i},{t},{x}"))
    written(tmp_path / "test.csv", lines("id,text\n", lambda i, t, x: f"{i},{t} and more"))
    written(tmp_path / "sample_submission.csv", lines("id,target\n", lambda i, t, x: f"{i},0"))
    rows, left_out, _ = read(tmp_path)
    assert Counter(rows.column("target")) == {"good": 20, "bad": 20}
    assert [(each.source, each.reason) for each in left_out] == [
        ("test.csv", "it has no labels, so nothing can be measured on it"),
        ("sample_submission.csv", "called after no split, as others are"),
    ]
    with pytest.raises(DataError, match=r"test\.csv has no column of labels"):
        read(tmp_path / "test.csv")


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"a/1.docx": b"PK", "b/2.docx": b"PK", "b/3.pdf": b"%PDF"}, r"holds nothing that is read \(2 .docx, 1 .pdf\)"),
        ({"a.csv": plain().encode(), "b.csv": plain().encode()}, r"2 tables \(a\.csv, b\.csv\), none called train"),
    ],
)
def test_what_is_nobodys_is_not_called_pictures(files: dict[str, bytes], told: str, tmp_path: Path) -> None:
    for name, content in files.items():
        written(tmp_path / "data" / name, content)
    with pytest.raises(DataError, match=told):
        task, recipe = recipes.choose(tmp_path / "data", None, None, "random")
        assert not task.startswith("image")
        recipe.domain.read(tmp_path / "data")


@pytest.mark.parametrize("name", ["t.json", "t.jsonl", "t.csv.gz", "t.zip", "t.parquet"])
def test_a_table_that_cannot_be_read_is_nobodys(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / name, b'{"text": "du')
    with pytest.raises(DataError, match=r"is not JSON|cannot be read|cannot be unpacked"):
        recipes.choose(path, None, None, "random")


@pytest.mark.parametrize("own", ["utf-16-le", "utf-32-be", "iso-2022-jp", "hz", "utf-7"])
def test_predict_takes_no_other_encoding_for_utf_8(own: str, tmp_path: Path) -> None:
    """What these write is UTF-8 byte by byte."""
    text = {"hz": "中文", "utf-16-le": "plain words", "utf-32-be": "plain words"}.get(own, "日本語")
    data = f"text\n{text}\n".encode(own)
    (entry,) = asked(answering.reading(Text(encoding=own), None), written(tmp_path / "a.csv", data))
    assert entry["text"] == text
    if not own.startswith("utf"):
        path = written(tmp_path / "b.csv", f"text\n{text}\n".encode())
        (entry,) = asked(answering.reading(Text(encoding=own), None), path)
        assert entry["text"] == text


@pytest.mark.parametrize("name", ["hex", "base64", "rot13", "utf-8,zip", "undefined", "", "no\0name"])
def test_names_that_are_no_encoding_of_text(name: str) -> None:
    with pytest.raises(ConfigError, match=r"is unknown; write for example utf-8"):
        Text(encoding=name)


def test_predict_decides_each_file_anew(tmp_path: Path) -> None:
    """A run that was trained on cp1252 reads UTF-8, UTF-16 and cp1252; --encoding decides for all."""
    domain = answering.reading(Text(encoding="cp1252"), None)
    head = "text\nÜbung für Schüler\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        (entry,) = asked(domain, written(tmp_path / f"{encoding}.csv", head.encode(encoding)))
        assert entry["text"] == "Übung für Schüler"
    path = written(tmp_path / "a.csv", head.encode("cp1252"))
    (lost,) = asked(answering.reading(Text(), None), path)
    assert lost.reason.endswith("it looks like cp1252; save it as UTF-8, or read it with --encoding cp1252")
    (entry,) = asked(answering.reading(Text(), "cp1252"), path)
    assert entry["text"] == "Übung für Schüler"
    two = written(tmp_path / "two.csv", "notes,said\na long note of many words,this is what was said\n")
    (entry,) = asked(answering.reading(Text(text_column="text"), None, text_column="said"), two)
    assert entry["text"] == "this is what was said"
    with pytest.raises(ConfigError, match=r"--encoding 'cp1252' is not for pictures"):
        answering.reading(recipes.tasks()["image-classification"][0].scratch(None).domain, "cp1252")


def test_tables_are_opened_once_and_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    own = table_files._opened
    monkeypatch.setattr(table_files, "_opened", lambda path, encoding: opened.append(path) or own(path, encoding))
    path = written(tmp_path / "a.csv", ("text,label\n" + "Übung,a\n" * 5).encode("cp1252"))
    table_files.forget()
    for _ in range(4):
        assert table_files.read(path, encoding="utf-8,cp1252")[0]["text"] == "Übung"
    assert opened == [path]
    with pytest.raises(DataError):
        table_files.read(path, encoding="utf-8")
    assert table_files._kept
    with pytest.raises(DataError):
        measuring._read(Text(label_column="nothing", text_column="none"), {"--label-column": 1}, path, None, Silent())
    assert not table_files._kept
