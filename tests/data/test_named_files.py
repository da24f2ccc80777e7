"""Tables of pictures and recordings whose files lie elsewhere, are called otherwise, or are not there."""

from __future__ import annotations

import sys
import time
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pervade import recipes
from pervade.core.errors import DataError
from pervade.data.read import account, tables
from pervade.data.read import arrays as arrays_module
from pervade.data.read.arrays import Arrays
from pervade.data.read.named_files import Below
from pervade.domains.image import Image
from pervade.domains.sound import Sound
from pervade.domains.transcripts import Transcripts
from tests.data.drawing import encoded, pixels
from tests.data.sounds import tone, write

NUMBERS = range(12)
LABELS = ["cat" if number % 2 else "dog" for number in NUMBERS]


def pictures(root: Path, names: Sequence[str]) -> list[str]:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encoded(pixels(number % 2, number)))
    return list(names)


def table(path: Path, cells: Sequence[str], columns: str = "image,label", labels: Sequence[str] = LABELS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [columns, *(f"{cell},{label}" for cell, label in zip(cells, labels, strict=False))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def task(source: Path, **columns: str) -> str:
    return recipes.choose(source, None, None, "random", **columns)[0]


def read(source: Path, domain: Image | Sound | None = None) -> tuple[list[tuple[str, str]], list[str], list[str]]:
    """Pairs of a file's name and its label; why rows are left out; and the account."""
    with account.gathered() as notes:
        rows, left_out = (domain or Image()).read(source)
    paths = [Path(each).name for each in rows.column("path")]
    return list(zip(paths, rows.column("target"), strict=True)), [each.reason for each in left_out], notes


FILES = [f"{100 + number}.jpg" for number in NUMBERS]
WANTED = list(zip(FILES, LABELS, strict=True))


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("image_id", "{}.jpg"),  # beside a folder that is not named
        ("image", "train_images\\{}.jpg"),
        ("image", "C:\\photos\\train_images\\{}.jpg"),
        ("image", "./train_images/{}.jpg"),
        ("image", "/home/anna/photos/{}.jpg"),
        ("image", "nowhere/{}.jpg"),
        ("image", "train_images/{}.JPG"),
        ("Id", "{}"),  # the suffix is left away
        ("image_id", "{}"),
        ("isic_id", "{}"),
        ("what is seen", "train_images/{}.jpg"),
        ("url", "https://example.org/photos/{}.jpg"),  # which somebody has downloaded
    ],
)
def test_files_are_found_however_they_are_called(column: str, cell: str, tmp_path: Path) -> None:
    pictures(tmp_path / "train_images", FILES)
    path = table(tmp_path / "train.csv", [cell.format(100 + number) for number in NUMBERS], f"{column},label")
    for source in (path, tmp_path):
        assert task(source) == "image-classification"
        found, lost, notes = read(source)
        assert (found, lost) == (WANTED, [])
        told = f"pictures: column {column!r} of train.csv; 12 of 12 are files in train_images/ (--file-column)"
        assert told in notes


def test_names_of_every_script(tmp_path: Path) -> None:
    """macOS writes é as two characters; a table written elsewhere does not, or the other way round."""
    names = ["größe 1.jpg", "ké.jpg", "猫 2.jpg", "no suffix.png"]
    pictures(tmp_path / "photos", [unicodedata.normalize("NFD", each) for each in names])
    composed = table(tmp_path / "a.csv", [unicodedata.normalize("NFC", each) for each in names])
    assert [unicodedata.normalize("NFC", name) for name, _ in read(composed)[0]] == names
    pictures(tmp_path / "other" / "photos", names)
    decomposed = table(tmp_path / "other" / "a.csv", [unicodedata.normalize("NFD", each) for each in names])
    assert [name for name, _ in read(decomposed)[0]] == names


def test_the_first_rows_may_be_missing(tmp_path: Path) -> None:
    pictures(tmp_path / "train_images", FILES)
    cells = [("gone_" if number < 5 else "train_images/") + FILES[number] for number in NUMBERS]
    path = table(tmp_path / "first5.csv", cells)
    assert task(path) == task(path, file_column="image") == "image-classification"
    found, lost, notes = read(path)
    assert found == WANTED[5:]
    assert lost == [f"the file {cell!r} is not there" for cell in cells[:5]]
    assert any("7 of 12 are files in train_images/" in each for each in notes)


def test_no_other_file_is_taken_in_its_place(tmp_path: Path) -> None:
    """cat/1.jpg is not there, and dog/1.jpg is another picture."""
    pictures(tmp_path, ["photos/dog/1.jpg", "photos/dog/2.jpg", "photos/cat/3.jpg"])
    path = table(tmp_path / "a.csv", ["cat/1.jpg", "dog/1.jpg", "cat/2.jpg", "/old/dog/2.jpg", "bird/3.jpg"])
    found, lost, _ = read(path)
    assert [name for name, _ in found] == ["1.jpg", "2.jpg", "3.jpg"]
    assert lost == ["the file 'cat/1.jpg' is not there", "the file 'cat/2.jpg' is not there"]


def test_names_that_stand_in_two_folders(tmp_path: Path) -> None:
    """Kaggle's train.csv means those in train/; who does not say it is asked."""
    pictures(tmp_path, [f"{folder}/{number}.png" for folder in ("test", "train") for number in range(4)])
    train = table(tmp_path / "train.csv", ["0", "1", "2", "3"], "id,label")
    rows, _ = Image().read(train)
    assert {Path(each).parent.name for each in rows.column("path")} == {"train"}
    other = table(tmp_path / "a.csv", ["0", "1", "2", "3"], "id,label")
    with pytest.raises(DataError, match="none of the files that column 'id' names is there"):
        Image().read(other)
    pictures(tmp_path / "stems", ["x/a.png", "x/b.png", "x/c.png", "x/c.jpg"])
    stems = table(tmp_path / "stems" / "t.csv", ["a", "b", "c"], "image_id,label")
    assert [name for name, _ in read(stems)[0]] == ["a.png", "b.png", "c.png"]  # as most of the others are


def test_a_table_of_files_is_never_one_of_texts(tmp_path: Path) -> None:
    """Whether the files are there or not, and whatever else it holds."""
    gone = table(tmp_path / "gone" / "a.csv", FILES)
    assert task(gone) == "image-classification"
    with pytest.raises(
        DataError, match=r"none of the files that column 'image' names is there: 12, the first '100\.jpg'"
    ):
        read(gone)
    on_the_net = table(tmp_path / "gone" / "c.csv", [f"https://example.org/{each}" for each in FILES], "url,label")
    assert task(on_the_net) == "image-classification"
    with pytest.raises(DataError, match=r"'url' holds addresses \(12 of 12\), and nothing is downloaded"):
        read(on_the_net)
    heard = table(tmp_path / "gone" / "b.csv", [f"{number}.wav" for number in NUMBERS], "fname,label")
    assert task(heard) == "audio-classification"
    pictures(tmp_path / "breeds" / "train", FILES)
    breeds = table(tmp_path / "breeds" / "labels.csv", [each[:-4] for each in FILES], "id,breed")
    assert task(breeds) == "image-classification"
    assert read(breeds)[0] == WANTED
    ends = ("", " loudly", " in a.jpg")
    texts = [f"what {label} number {n} said{ends[n % 3]}" for n, label in enumerate(LABELS)]
    assert task(table(tmp_path / "breeds" / "t.csv", texts, "text,label")) == "text-classification"


def test_sound(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / "audio" / f"{number}.wav", tone(300 + number))
    for cells, column in (
        (["audio\\0.wav", "audio\\1.wav"], "clip"),
        (["0", "1"], "id"),
        (["/x/0.wav", "1.wav"], "fname"),
    ):
        path = table(tmp_path / "a.csv", cells, f"{column},label")
        assert task(path) == "audio-classification"
        assert [name for name, _ in read(path, Sound())[0]] == ["0.wav", "1.wav"]


# as they are published


def test_a_table_for_each_split_and_one_to_be_answered(tmp_path: Path) -> None:
    pictures(tmp_path / "images", FILES)
    table(tmp_path / "train.csv", FILES[:8], "Id,Label", LABELS)
    (tmp_path / "test.csv").write_text("Id\n" + "\n".join(FILES[8:]) + "\n")
    table(tmp_path / "sample_submission.csv", FILES[8:], "Id,Label", ["cat"] * 4)
    found, lost, _ = read(tmp_path)
    assert found == WANTED[:8]
    assert lost == ["it has no labels, so nothing can be measured on it", "called after no split, as others are"]
    table(tmp_path / "test.csv", FILES[8:], "Id,Label", LABELS[8:])
    rows, _ = Image().read(tmp_path)
    assert Counter(rows.column("split")) == {"train": 8, "test": 4}


def test_esc_50(tmp_path: Path) -> None:
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for fold in (1, 2):
        for number in range(4):
            name = f"{fold}-{number}-A-{number % 2}.wav"
            write(tmp_path / "audio" / name, tone(300 * (1 + number % 2)))
            lines.append(f"{name},{fold},{number % 2},{'dog' if number % 2 else 'rain'},True,{number},A")
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "esc50.csv").write_text("\n".join(lines) + "\n")
    for source in (tmp_path, tmp_path / "meta" / "esc50.csv"):
        assert task(source) == "audio-classification"
        rows, left_out = Sound().read(source)
        assert (len(rows), left_out, set(rows.column("target"))) == (8, [], {"rain", "dog"})
        assert list(rows.column("fold_given")) == ["1"] * 4 + ["2"] * 4


def test_urban_sound_8k(tmp_path: Path) -> None:
    lines = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
    for number in range(6):
        name = f"{number}-{number % 2}-0-0.wav"
        write(tmp_path / "audio" / f"fold{number % 3 + 1}" / name, tone(300 * (1 + number % 2)))
        lines.append(f"{name},{number},0.0,0.5,1,{number % 3 + 1},{number % 2},{'siren' if number % 2 else 'drilling'}")
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "UrbanSound8K.csv").write_text("\n".join(lines) + "\n")
    assert task(tmp_path) == "audio-classification"
    rows, left_out = Sound().read(tmp_path)
    assert (left_out, Counter(rows.column("target"))) == ([], {"siren": 3, "drilling": 3})
    assert list(rows.column("fold_given")) == ["1", "2", "3"] * 2
    assert [Path(each).parent.name for each in rows.column("path")] == ["fold1", "fold2", "fold3"] * 2


def test_ljspeech(tmp_path: Path) -> None:
    said = ['Printing, in the "only sense|Printing, in the "only sense', "16 of 'em|sixteen of 'em"]
    for number in (1, 2):
        write(tmp_path / "wavs" / f"LJ001-000{number}.wav", tone(300 * number))
    (tmp_path / "metadata.csv").write_text("".join(f"LJ001-000{i}|{each}\n" for i, each in enumerate(said, start=1)))
    for source in (tmp_path, tmp_path / "metadata.csv"):
        assert task(source) == "automatic-speech-recognition"
        rows, left_out = Transcripts().read(source)
        assert list(rows.column("text")) == ['Printing, in the "only sense', "sixteen of 'em"]
        assert [Path(each).name for each in rows.column("path")] == ["LJ001-0001.wav", "LJ001-0002.wav"]
        assert not [each for each in left_out if each.source != "metadata.csv"]


def test_common_voice(tmp_path: Path) -> None:
    lines = ["client_id\tpath\tsentence\tup_votes"]
    for number in range(3):
        write(tmp_path / "clips" / f"cv_{number}.flac", tone(300 + number))
        lines.append(f'{number % 2}\tcv_{number}.flac\tHe said "no {number}.\t2')
    (tmp_path / "validated.tsv").write_text("\n".join(lines) + "\n")
    (tmp_path / "other.tsv").write_text("\n".join(lines[:2]) + "\n")
    for source in (tmp_path, tmp_path / "validated.tsv"):
        assert task(source) == "automatic-speech-recognition"
        rows, _ = Transcripts().read(source)
        assert list(rows.column("group")) == ["0", "1", "0"]
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    rows, _ = Transcripts().read(tmp_path)
    assert Counter(rows.column("split")) == {"train": 3, "validation": 3, "test": 3}


def test_cub(tmp_path: Path) -> None:
    names = [f"{label}/{number}.jpg" for label in ("001.Albatross", "002.Auklet") for number in range(3)]
    pictures(tmp_path / "images", names)
    for name, lines in {
        "images": names,
        "image_class_labels": [1, 1, 1, 2, 2, 2],
        "train_test_split": [1, 1, 0, 1, 1, 0],
    }.items():
        (tmp_path / f"{name}.txt").write_text("".join(f"{i} {each}\n" for i, each in enumerate(lines, start=1)))
    (tmp_path / "classes.txt").write_text("1 001.Albatross\n2 002.Auklet\n")
    assert task(tmp_path) == "image-classification"
    rows, _ = Image().read(tmp_path)
    assert Counter(zip(rows.column("target"), rows.column("split"), strict=True)) == {
        (label, split): many for label in ("001.Albatross", "002.Auklet") for split, many in (("train", 2), ("test", 1))
    }


def test_medmnist(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {f"{split}_images": rng.integers(0, 256, (many, 8, 8, 3), np.uint8) for split, many in SIZES.items()}
    labels = {f"{split}_labels": rng.integers(0, 3, (many, 1), np.uint8) for split, many in SIZES.items()}
    np.savez_compressed(tmp_path / "a.npz", **arrays, **labels)
    assert task(tmp_path / "a.npz") == "image-classification"
    rows, _ = Image(size=8, margin=1.0).read(tmp_path / "a.npz")
    assert Counter(rows.column("split")) == {"train": 6, "validation": 3, "test": 3}
    assert list(rows.column("target"))[:6] == [str(each) for each in labels["train_labels"][:, 0]]
    made, left_out = Image(size=8, margin=1.0).prepare(rows, lambda done, of: None)
    assert not left_out
    np.testing.assert_array_equal(made.column("pixels")[7], arrays["val_images"][1])
    several = {f"{split}_labels": rng.integers(0, 2, (many, 4), np.uint8) for split, many in SIZES.items()}
    np.savez(tmp_path / "b.npz", **arrays, **several)
    assert task(tmp_path / "b.npz") == "image-multi-label-classification"
    np.savez(tmp_path / "c.npz", x_train=arrays["train_images"][..., 0], y_train=labels["train_labels"][:, 0])
    assert len(Image().read(tmp_path / "c.npz")[0]) == 6
    for name, content, fault in (
        ("d", {"data": np.zeros(3)}, "holds the arrays data; pictures are read from train_images"),
        ("e", {"images": np.zeros((2, 3, 3)), "labels": np.zeros(2)}, "images is float64 of"),
        ("f", {"images": np.array([{}, {}]), "labels": np.zeros(2)}, "is object of|cannot be read"),
    ):
        np.savez(tmp_path / f"{name}.npz", **content)
        with pytest.raises(DataError, match=fault):
            Image().read(tmp_path / f"{name}.npz")
    with zipfile.ZipFile(tmp_path / "h.npz", "w") as file:  # its header says 10 TB of labels
        head = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 5000000000000), }".ljust(117) + "\n"
        file.writestr("labels.npy", b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode())
        with file.open("images.npy", "w") as images:
            np.save(images, np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(DataError, match="labels would take 10000 GB"):
        Image().read(tmp_path / "h.npz")
    (tmp_path / "g.npz").write_bytes(b"PK no archive")
    with pytest.raises(DataError, match=r"g\.npz cannot be read"):
        Image().read(tmp_path / "g.npz")


SIZES = {"train": 6, "val": 3, "test": 3}


def test_arrays_are_read_by_several_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each picture is its own array's, whatever the others read in between, and each array is read once."""
    loaded: list[str] = []
    own = arrays_module._array
    monkeypatch.setattr(arrays_module, "_array", lambda file, name: loaded.append(name) or own(file, name))
    arrays = {f"{split}_images": np.full((3, 8, 8), value, np.uint8) for value, split in enumerate(SIZES)}
    np.savez(tmp_path / "a.npz", **arrays)
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        there = Arrays(str(tmp_path / "a.npz"))
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda i: there.value(f"{list(SIZES)[i % 3]}_images", i % 2)[-1], range(600)))
    finally:
        sys.setswitchinterval(switch)
    assert found == [i % 3 for i in range(600)]
    assert sorted(loaded) == sorted(arrays)


def test_archives_beside_what_was_unpacked_are_no_tables(tmp_path: Path) -> None:
    """Kaggle: train/ and train.zip, test/ and test.zip."""
    for split in ("train", "test"):
        pictures(tmp_path / split, [f"{label}/{i}.png" for label in ("cat", "dog") for i in range(3)])
        with zipfile.ZipFile(tmp_path / f"{split}.zip", "w") as file:
            file.write(tmp_path / split / "cat" / "0.png", "cat/0.png")
    assert task(tmp_path) == "image-classification"
    rows, _ = Image(size=8).read(tmp_path)
    assert Counter(rows.column("split")) == {"train": 6, "test": 6}


def test_lists_that_are_not_read_are_named(tmp_path: Path) -> None:
    voc = tmp_path / "voc"
    pictures(voc / "JPEGImages", FILES[:2])
    pictures(voc / "SegmentationClass", FILES[:2])
    (voc / "Annotations").mkdir()
    with pytest.raises(DataError, match=r"laid out as VOC is .*write a table with a column file_name"):
        read(voc)
    coco = tmp_path / "coco"
    pictures(coco / "train2017", FILES[:2])
    pictures(coco / "val2017", FILES[:2])
    (coco / "annotations").mkdir()
    (coco / "annotations" / "instances_train2017.json").write_text("{}")
    with pytest.raises(
        DataError, match=r"4 pictures but no class folders .*; .*instances_train2017\.json \(COCO's boxes\)"
    ):
        read(coco)
    cars = tmp_path / "cars"
    pictures(cars / "cars_train", FILES[:2])
    pictures(cars / "cars_test", FILES[:2])
    (cars / "cars_annos.mat").write_bytes(b"MATLAB 5.0")
    with pytest.raises(DataError, match=r"cars_annos\.mat, MATLAB's, which is not read: scipy\.io\.loadmat"):
        read(cars)


def test_numbers_of_rows_are_no_files_beside_texts(tmp_path: Path) -> None:
    """A table of texts with an id from 0 on, in a folder where there happen to be pictures called 0.png and so on."""
    pictures(tmp_path / "holiday", [f"{number}.png" for number in range(25)])
    reviews = [f"what a lovely film number {number} of them all was" for number in range(30)]
    lines = [f"{number},{each},{('good', 'bad')[number % 2]}" for number, each in enumerate(reviews)]
    (tmp_path / "reviews.csv").write_text("\n".join(["id,text,label", *lines]), encoding="utf-8")
    assert task(tmp_path / "reviews.csv") == "text-classification"


def test_many_files_of_one_name_are_found_at_once() -> None:
    """00001/scan.png, 00002/scan.png: each name is compared with those in its folder alone, not with all 20,000."""
    below = Below(Path("/nowhere"), (".png",))
    files = [f"/nowhere/scans/{number:05}/ct/scan.png" for number in range(20_000)]
    below.__dict__["_files"] = files  # as if these had been there
    begun = time.perf_counter()
    names = [file.removeprefix("/nowhere/scans/").removesuffix(".png") for file in files[:-1]]
    assert below.find([*names, "C:\\20000\\ct\\scan.png"])[:-1] == [Path(each) for each in files[:-1]]
    assert time.perf_counter() - begun < 20
    assert below.candidates("ct/other.png") == []
    assert below.candidates("mri/scan.png")[:2] == [(1, 0), (1, 1)]
    assert below.candidates("scans/scan.png") == []
    assert below.candidates("x/00007/CT/Scan.png") == [(3, 7)]


def test_files_of_a_data_set_at_an_address_are_not_looked_for_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that lies where the program was started decides nothing."""
    names = pictures(tmp_path, ["a.png", "b.png", "c.png"])
    monkeypatch.chdir(tmp_path)
    content = tables.Files("picture", (".png",), ("image", "file"))
    records = [{"key": name, "file": f"{name}.of-the-hub"} for name in names]
    assert content.columns("hf://owner/set", records, ("key", "file")) == ("key",)  # it is written so
    assert content.located("hf://owner/set", records, ("key",)).file_of == {
        name: f"the file {name!r} is not there" for name in names
    }
    (tmp_path / "cat").write_text("")
    records = [{"kind": "cat", "file": "x"} for name in names]
    assert content.columns("hf://owner/set", records, ("kind", "file")) == ("file",)
    (place,) = content.located("hf://owner/set", [{"file": str(tmp_path / "a.png")}], ("file",)).file_of.values()
    assert place == tmp_path / "a.png"
