"""Tables of files and labels, as people write them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pervade.core.errors import DataError
from pervade.core.types import LeftOut
from pervade.data.read import listing
from pervade.domains.image import Image, contents
from pervade.domains.text import Text
from pervade.domains.text import contents as texts
from tests.asking import asked
from tests.data.drawing import class_folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "photos", count=2)


FILES = ["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"]
LABELS = ["cat", "cat", "dog", "dog"]


def read(path: Path) -> tuple[dict[str, list], list[LeftOut]]:
    rows, left_out = Image().read(path)
    return {name: list(values) for name, values in rows.columns.items()}, left_out


def table(folder: Path, text: str, name: str = "table.csv") -> Path:
    (folder / name).write_bytes(text.encode())
    return folder / name


def plain(columns: dict[str, list]) -> list[tuple[str, str]]:
    return [(Path(path).relative_to(Path(path).parents[1]).as_posix(), target) for path, target in pairs(columns)]


def pairs(columns: dict[str, list]) -> list[tuple[str, str]]:
    return list(zip(columns["path"], columns["target"], strict=True))


WANTED = list(zip(FILES, LABELS, strict=True))
BODY = "".join(f"{file},{label}\n" for file, label in WANTED)


@pytest.mark.parametrize(
    "text",
    [
        "image,label\n" + BODY,
        "Image,Label\n" + BODY,
        "file_name,species\n" + BODY,  # the only other column is the label
        "picture of,species\n" + BODY,  # a column of files that exist
        BODY,  # no line of names
        "\ufeffimage,label\n" + BODY,
        ("image,label\n" + BODY).replace("\n", "\r\n"),
        ("image,label\n" + BODY).replace(",", ";"),
        ("image,label\n" + BODY).replace(",", "\t"),
        ("image,label\n" + BODY).replace(",", ", "),
        "image,label\n\n" + BODY.replace("\n", "\n\n"),
        ("image,label\n" + BODY).replace("\n", ",\n"),  # every line ends in a comma
        'image,label,note\n"cat/0.png","cat","two\nlines, one comma"\n' + BODY.partition("\n")[2].replace("\n", ",\n"),
        "y,label,image\n" + "".join(f"7,{label},{file}\n" for file, label in WANTED),
        "class,image,split\n" + "".join(f"{label},{file},train\n" for file, label in WANTED),
        "class,image,subject\n" + "".join(f"{label},{file},s1\n" for file, label in WANTED),
    ],
)
def test_separated(text: str, folder: Path) -> None:
    columns, left_out = read(table(folder, text))
    assert plain(columns) == WANTED
    assert not left_out
    assert len(set(columns["id"])) == 4


def test_tsv_json_lines_and_json(folder: Path) -> None:
    records = [{"image": file, "label": label} for file, label in WANTED]
    for name, text in (
        ("a.tsv", "image\tlabel\n" + BODY.replace(",", "\t")),
        ("a.jsonl", "".join(json.dumps(record) + "\n" for record in records) + "\n"),
        ("a.json", json.dumps(records)),
    ):
        assert plain(read(table(folder, text, name))[0]) == WANTED


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (LABELS, LABELS),
        ([0, 0, 1, 1], ["0", "0", "1", "1"]),
        ([0.0, 0.0, 1.0, 1.0], ["0", "0", "1", "1"]),  # whole numbers that pandas made floats
        ([False, False, True, True], ["False", "False", "True", "True"]),
        (pa.array(LABELS).dictionary_encode(), LABELS),
    ],
)
def test_parquet(values, expected: list[str], folder: Path) -> None:
    pq.write_table(pa.table({"image": FILES, "label": values}), folder / "t.parquet")
    columns, _ = read(folder / "t.parquet")
    assert columns["target"] == expected


def test_rows_without_file_or_label_are_left_out(folder: Path) -> None:
    columns, left_out = read(table(folder, "image,label\n" + BODY + "gone.png,cat\n,cat\ncat/0.png,\ncat/1.png\n"))
    assert plain(columns) == WANTED
    assert [(each.source, each.reason) for each in left_out] == [
        ("table.csv, row 5", "the file 'gone.png' is not there"),
        ("table.csv, row 6", "it has no image"),
        ("table.csv, row 7", "it has no label"),
        ("table.csv, row 8", "it has no label"),
    ]
    pq.write_table(
        pa.table({"image": [*FILES, "cat/0.png"], "label": [0.0, 0.0, 1.0, 1.0, None]}), folder / "t.parquet"
    )
    assert [each.reason for each in read(folder / "t.parquet")[1]] == ["it has no label"]


def test_split_column(folder: Path) -> None:
    splits = ["train", "Training", "dev", "TEST"]
    lines = [f"{file},{label},{name}\n" for (file, label), name in zip(WANTED, splits, strict=True)]
    for text in ("image,label,split\n" + "".join(lines), "".join(lines)):
        columns, _ = read(table(folder, text))
        assert columns["split"] == ["train", "train", "validation", "test"]


def test_group_column(folder: Path) -> None:
    lines = [f"{file},{label},{name}\n" for (file, label), name in zip(WANTED, ["a", "a", "", ""], strict=True)]
    columns, _ = read(table(folder, "image,label,patient\n" + "".join(lines)))
    assert columns["group"][:2] == ["a", "a"]
    assert columns["group"][2] != columns["group"][3]  # no group: on its own


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "has no rows, only names of columns or nothing at all; add some"),
        ("image,label\n", "has no rows"),
        ("a,b\n1,2\n", "has no column of texts, and none of files .*; its 2 columns are a .numbers., b .numbers."),
        ("image\ncat/0.png\n", "has no column of labels; its columns are image; name one of them label"),
        ("label\ncat/0.png\n", "its columns are label; 'label' is taken for something else .*--file-column"),
        (
            "image,x,z\ncat/0.png,cat,1\ncat/1.png,cat,2\ndog/0.png,dog,1\ndog/1.png,dog,2\n",
            r"several columns that may hold labels \(x \(2 classes\), z \(2 classes\)\); say .*--label-column x$",
        ),
        (
            "image,class,target\n" + BODY.replace("\n", ",1\n"),
            r"several columns .* \(class \(2 classes\), target \(1 classes\)\)",
        ),
        ("image,label,label\n" + BODY, "has two columns named 'label'; rename one"),
        ("image,label\n" + BODY.replace("\n", ",1\n"), "row 1 has 3 fields, and the first line only 2; put fields"),
        ('image,label\n"cat/0.png,cat\n', "line 2: unexpected end of data; mend the line"),
        (
            "image,label,split\ncat/0.png,cat,trian\n",
            "row 1: unknown split 'trian' in column 'split'; did you mean 'train",
        ),
        ("image,label,split\ncat/0.png,cat,3\n", "column 'split' holds numbers .* write train, validation and test"),
        (
            "image,label\ngone.png,cat\n",
            "none of the files that column 'image' names is there: 1, the first 'gone.png'",
        ),
        (f"image,label\n{'x' * 9000},cat\n", "names is there: 1, the first 'xxx"),
        ("image,label\ncat/0.png,caf\ud83d\n", "is not UTF-8"),
    ],
)
def test_faults_of_separated(text: str, fault: str, folder: Path) -> None:
    (folder / "t.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError, match=fault) as caught:
        read(folder / "t.csv")
    assert "t.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("t.csv", "image,label\ncat/0.png,größe".encode("latin-1"), r"is not UTF-8 \(byte 24\).*; save it as UTF-8$"),
        ("t.csv", "image,label\n".encode("utf-16"), "has no rows"),
        ("t.csv", "image,label\n".encode("utf-16") + b"x", r"is not utf-16 \(byte 26\)"),
        ("t.jsonl", b'{"image": "a"}\n{"image"', "line 2 is not JSON"),
        ("t.jsonl", b"[1]\n", "line 1 is not a JSON object; write one object a line"),
        ("t.json", b"{}", "is not a list of objects"),
        ("t.json", b"[[[", "is not JSON"),
        ("t.json", b'[{"image": "cat/0.png", "label": ["a", "b"]}]', "column 'label' holds a list, not one name"),
        ("t.json", b'[{"image": "cat/0.png", "label": "\\ud83d"}]', "column 'label' holds half a character"),
        ("t.parquet", b"PAR1 but not really", "t.parquet cannot be read: .*; write it again"),
        ("t.parquet", b"", "t.parquet cannot be read"),
    ],
)
def test_faults_of_files(name: str, content: bytes, fault: str, folder: Path) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=fault):
        read(folder / name)


def test_parquet_that_holds_the_pictures_themselves(folder: Path) -> None:
    """As Hugging Face data sets come (tests/data/test_embedded.py); what is neither bytes nor a name is refused."""
    values = [{"bytes": (folder / file).read_bytes(), "path": file} for file in FILES]
    pq.write_table(pa.table({"image": values, "label": [0, 0, 1, 1]}), folder / "t.parquet")
    columns, left_out = read(folder / "t.parquet")
    assert [str(each) for each in columns["target"]] == ["0", "0", "1", "1"]
    assert left_out == []
    pq.write_table(pa.table({"image": [[1, 2]] * 4, "label": [0, 0, 1, 1]}), folder / "t.parquet")
    with pytest.raises(
        DataError, match=r"column 'image' holds pictures or other values \(list\), not the names of files"
    ):
        read(folder / "t.parquet")


def test_split_tables(folder: Path) -> None:
    lines = [f"{file},{label}\n" for file, label in WANTED]
    table(folder, "image,label\n" + lines[0] + lines[2], "train.csv")
    table(folder, "image,label\n" + lines[1], "Valid.CSV")
    table(folder, "image\tlabel\n" + lines[3].replace(",", "\t"), "test.tsv")
    table(folder, "this,is,no split", "notes.csv")
    columns, _ = read(folder)
    assert sorted(zip(plain(columns), columns["split"], strict=True)) == [
        (WANTED[0], "train"),
        (WANTED[1], "validation"),
        (WANTED[2], "train"),
        (WANTED[3], "test"),
    ]
    assert len(set(columns["id"])) == 4


def test_one_table_beside_the_pictures(tmp_path: Path) -> None:
    class_folders(tmp_path, (".",), count=2)
    (tmp_path / "labels.csv").write_text("image,label\n0.png,cat\n1.png,dog\n")
    for source in (tmp_path, tmp_path / "labels.csv"):
        assert read(source)[0]["target"] == ["cat", "dog"]
    (tmp_path / "labels.csv").write_text("camera,lens\nX,50\n")  # which says nothing of them
    with pytest.raises(
        DataError, match=r"2 pictures but no class folders; .*; labels\.csv beside them names none of them"
    ):
        read(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("image,label\n0.png,cat\n1.png,dog\n")
    with pytest.raises(DataError, match=r"several tables that name pictures: a\.csv \(2\), b\.csv \(2\); give one"):
        read(tmp_path)


def test_what_is_predicted_from_tables_of_the_same_name(tmp_path: Path) -> None:
    tables = [table(class_folders(tmp_path / at, ("cat",), 1), "image\ncat/0.png\ngone.png\n", "t.csv") for at in "ab"]
    rows, left_out = asked(Image(), tables)
    assert rows.column("id") == [f"{each}#1 cat/0.png" for each in tables]
    assert [each.source for each in left_out] == [f"{each}, row 2" for each in tables]


# metadata.csv beside the files


def described(root: Path, text: str, name: str = "metadata.csv") -> Path:
    return table(class_folders(root, count=3), text, name)


def kind(path: Path, label_column: str | None = None) -> str:
    return listing.detect(path, contents(), label_column)


def test_files_that_a_table_beside_them_describes(tmp_path: Path) -> None:
    """Hugging Face's ImageFolder: metadata.csv with file_name is taken where it has labels, folders or not."""
    class_folders(tmp_path, ("tabby",), count=2)
    (tmp_path / "metadata.csv").write_text("file_name,label,person\ntabby/0.png,cat,a\ntabby/1.png,dog,b\n")
    columns, left_out = read(tmp_path)
    assert (columns["target"], columns["group"], left_out) == (["cat", "dog"], ["a", "b"], [])
    # Somebody else's table about class folders says nothing of files.
    (tmp_path / "metadata.csv").write_text("camera,lens\nX,50\n")
    assert read(tmp_path)[0]["target"] == ["tabby", "tabby"]


def test_without_class_folders_the_table_has_the_labels(tmp_path: Path) -> None:
    """Whatever the column is called: there is nothing else to learn from."""
    class_folders(tmp_path, (".",), count=4)
    table(tmp_path, "file_name,weight\n0.png,1.5\n1.png,2.25\n2.png,\n", "metadata.csv")
    columns, left_out = read(tmp_path)
    assert columns["target"] == ["1.5", "2.25"]
    assert [(each.source, each.reason) for each in left_out] == [
        ("metadata.csv, row 3", "it has no weight"),
        ("3.png", "no table names it"),
    ]
    assert kind(tmp_path) == "number"
    for text, fault in (("", r"metadata\.csv has no rows"), ("a,b\n1,2\n", "4 pictures but no class folders")):
        table(tmp_path, text, "metadata.csv")
        with pytest.raises(DataError, match=fault):
            read(tmp_path)
        assert kind(tmp_path) == "class"


def test_a_table_of_labels_beside_class_folders(tmp_path: Path) -> None:
    described(tmp_path, "file_name,Label\ncat/0.png,1.5\ndog/0.png,2.25\n")
    columns, left_out = read(tmp_path)
    assert columns["target"] == ["1.5", "2.25"]
    assert [each.source for each in left_out] == ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"]
    assert {each.reason for each in left_out} == {"no table names it"}
    assert kind(tmp_path) == "number"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("file_name\ncat/0.png\n", ""),
        (
            "file_name,licence,lens\ncat/0.png,CC0,50\ndog/0.png,CC-BY,35\n",
            ", since none of its columns (licence, lens) is called label or the like; --label-column takes one of them",
        ),
        ("file_name,age\ncat/0.png,1.5\ndog/0.png,2.5\n", ", since none of its columns (age) "),
        ("", ", since it cannot be used: "),
        ('file_name,label\n"cat/0.png,cat\n', ", since it cannot be used: "),  # a quotation mark that is never closed
        ("file_name,label\ngone.png,1.5\nlost.png,2.5\n", ", since it cannot be used: "),
        ("file_name,label,split\ncat/0.png,1.5,trian\n", ", since it cannot be used: "),
    ],
)
def test_class_folders_beside_a_table_without_labels(text: str, why: str, tmp_path: Path) -> None:
    """They are read as if it were not there, and the table is listed with the reason."""
    described(tmp_path, text)
    columns, left_out = read(tmp_path)
    assert columns["target"] == ["cat"] * 3 + ["dog"] * 3
    assert [each.source for each in left_out] == ["metadata.csv"]
    assert left_out[0].reason.startswith("the class folders beside it are the labels" + why)
    assert "\n" not in left_out[0].reason
    assert kind(tmp_path) == "class"


def test_a_column_that_is_asked_for_beside_class_folders(tmp_path: Path) -> None:
    described(tmp_path, "file_name,lens,flash\ncat/0.png,1,0\ndog/0.png,0,1\ncat/1.png,1,1\n")
    rows, _ = Image(label_column="lens").read(tmp_path)
    assert rows.column("target") == ["1", "0", "1"]
    rows, _ = Image(label_column="lens, flash", target="labels").read(tmp_path)
    assert rows.column("target") == [["lens"], ["flash"], ["lens", "flash"]]
    assert (kind(tmp_path, "lens"), kind(tmp_path, "lens, flash"), kind(tmp_path)) == ("class", "labels", "class")
    with pytest.raises(DataError, match="--label-column aperture names a column of a table"):  # which is in none
        Image(label_column="aperture").read(tmp_path)
    described(tmp_path, "file_name,lens,split\ncat/0.png,50,trian\n")
    with pytest.raises(DataError, match="unknown split 'trian'"):
        Image(label_column="lens").read(tmp_path)


def test_splits_with_a_table_each(tmp_path: Path) -> None:
    for split, size in (("train", 3), ("test", 2)):
        class_folders(tmp_path / split, (".",), count=3)
        lines = "".join(f"{number}.png,{number + 0.5}\n" for number in range(size))
        table(tmp_path / split, "file_name,weight\n" + lines, "metadata.csv")
    columns, left_out = read(tmp_path)
    assert columns["split"] == ["test"] * 2 + ["train"] * 3
    assert columns["id"][::2] == [
        "test/metadata.csv#1 0.png",
        "train/metadata.csv#1 0.png",
        "train/metadata.csv#3 2.png",
    ]
    assert [(each.source, each.reason) for each in left_out] == [("test/2.png", "no table names it")]
    assert kind(tmp_path) == "number"
    table(tmp_path / "test", "", "metadata.csv")  # a split must not be lost without a word
    with pytest.raises(DataError, match=r"test.metadata\.csv has no rows"):
        read(tmp_path)


def test_splits_with_class_folders_and_tables(tmp_path: Path) -> None:
    for split in ("train", "test"):
        described(tmp_path / split, "file_name,label\ncat/0.png,1.5\ndog/0.png,2.5\n")
    columns, left_out = read(tmp_path)
    assert (len(columns["id"]), set(columns["target"])) == (12, {"cat", "dog"})
    assert [each.source for each in left_out] == ["test/metadata.csv", "train/metadata.csv"]
    assert kind(tmp_path) == "class"


def test_texts_have_no_table_beside_them(tmp_path: Path) -> None:
    for name in ("good/a.txt", "bad/b.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"what is in {name}")
    table(tmp_path, "file_name,label\ngood/a.txt,1\nbad/b.txt,2\n", "metadata.csv")
    rows, _ = Text().read(tmp_path)
    assert rows.column("target") == ["bad", "good"]
    assert "text" not in rows  # the files are opened later; names of files are no texts
    assert listing.detect(tmp_path, texts()) == "class"


@pytest.mark.parametrize("name", ["x" * 3000 + ".png", "\\u0000.png", "\\ud83d.png"])
def test_names_that_no_file_can_have(name: str, tmp_path: Path) -> None:
    described(tmp_path, '[{"file_name": "cat/0.png", "label": "a", "seen": "' + name + '"}]', "metadata.json")
    assert read(tmp_path)[0]["target"] == ["a"]


def test_one_folder_alone_is_no_class_folder(tmp_path: Path) -> None:
    """images/ beside a table whose column of labels has a name of its own."""
    class_folders(tmp_path, ("images",), count=2)
    (tmp_path / "metadata.csv").write_text("file_name,species\nimages/0.png,cat\nimages/1.png,dog\n")
    assert read(tmp_path)[0]["target"] == ["cat", "dog"]


def test_a_column_is_not_the_labels_and_something_else(folder: Path) -> None:
    there = table(folder, "image,label,patient\n" + BODY.replace("\n", ",a\n"))
    for flag, asked_too in (("--group-by", {"group_column": "label"}), ("--split-column", {"split_column": "label"})):
        with pytest.raises(DataError, match=f"--label-column and {flag} both name 'label'; name another column"):
            Image(label_column="label", **asked_too).read(there)
