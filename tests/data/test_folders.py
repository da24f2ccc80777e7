"""Class folders, split folders, links, and what is left out of them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from pervade import recipes
from pervade.core.errors import DataError
from pervade.data.read import account
from pervade.domains.image import Image
from tests.asking import asked
from tests.data.drawing import class_folders


def read(path: Path) -> tuple[dict[str, list], dict[str, str]]:
    rows, left_out = Image().read(path)
    return dict(rows.columns), {each.source: each.reason for each in left_out}


def test_nested_class_folders(tmp_path: Path) -> None:
    """The class is the folder on top; what lies below it may be sorted further."""
    class_folders(tmp_path / "cat", ("indoors", "outdoors"), count=2)
    class_folders(tmp_path, ("dog",), count=2)
    columns, left_out = read(tmp_path)
    assert Counter(columns["target"]) == {"cat": 4, "dog": 2}
    assert columns["id"][0] == "cat/indoors/0.png"
    assert "split" not in columns
    assert not left_out


@pytest.mark.parametrize("name", ["dev", "val", "valid", "validation", "Val"])
def test_split_folders(name: str, tmp_path: Path) -> None:
    for split in ("train", name, "test"):
        class_folders(tmp_path / split, count=1)
    columns, _ = read(tmp_path)
    assert Counter(columns["split"]) == {"train": 2, "validation": 2, "test": 2}
    assert set(columns["target"]) == {"cat", "dog"}


def test_what_lies_beside_split_folders_does_not_make_classes_of_them(tmp_path: Path) -> None:
    for split in ("train", "test", "unlabelled"):
        class_folders(tmp_path / split, count=1)
    class_folders(tmp_path, (".",), count=1)
    class_folders(tmp_path / "train", (".",), count=1)
    columns, left_out = read(tmp_path)
    assert set(columns["target"]) == {"cat", "dog"}
    assert left_out == {
        "0.png": "it lies beside the class folders, not in one",
        "train/0.png": "it lies beside the class folders, not in one",
        "unlabelled/cat/0.png": "it lies beside the split folders, not in one",
        "unlabelled/dog/0.png": "it lies beside the split folders, not in one",
    }


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    class_folders(tmp_path, ("train", "bus"), count=1)
    columns, _ = read(tmp_path)
    assert columns["target"] == ["bus", "train"]
    assert "split" not in columns


@pytest.mark.parametrize(
    "names",
    [
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("Training", "Testing"),
        ("train2017", "test2017"),
        ("cars_train", "cars_test"),
        ("train_images", "test_images"),
        ("entrenamiento", "prueba"),
        ("Trainingsdaten", "Testdaten"),
        ("entraînement", "test"),
        ("treino", "teste"),
        ("训练集", "测试集"),
        ("学習", "テスト"),
    ],
)
def test_split_folders_that_are_called_otherwise(names: tuple[str, str], tmp_path: Path) -> None:
    for name in names:
        class_folders(tmp_path / name, count=1)
    with account.gathered() as notes:
        columns, _ = read(tmp_path)
    assert Counter(columns["split"]) == {"train": 2, "test": 2}
    assert set(columns["target"]) == {"cat", "dog"}
    told = ", ".join(f"{name}/ ({split})" for name, split in sorted(zip(names, ("train", "test"), strict=True)))
    assert f"splits: the folders {told} (--split-column none)" in notes
    assert "labels: the names of 2 folders, cat/, dog/ (--label-pattern)" in notes


def test_folders_of_two_kinds_that_are_called_as_splits(tmp_path: Path) -> None:
    for name in ("cars_train", "cars_test", "bikes_train", "bikes_test"):
        class_folders(tmp_path / name, count=1)
    with pytest.raises(DataError, match="bikes_test, bikes_train and cars_test, cars_train are each called as splits"):
        read(tmp_path)


def test_one_folder_too_many(tmp_path: Path) -> None:
    """As archives are unpacked: pets/cat/…, and of Intel's scenes seg_train/seg_train/buildings/…"""
    class_folders(tmp_path / "a" / "data" / "pets", count=2)
    with account.gathered() as notes:
        columns, _ = read(tmp_path / "a")
    assert Counter(columns["target"]) == {"cat": 2, "dog": 2}
    assert columns["id"][0] == "data/pets/cat/0.png"
    assert "the class folders are those in data/pets/, the only folder" in notes
    for split in ("train", "test"):
        class_folders(tmp_path / "b" / f"seg_{split}" / f"seg_{split}", count=1)
    class_folders(tmp_path / "b" / "seg_pred", ("seg_pred",), count=2)
    columns, left_out = read(tmp_path / "b")
    assert Counter(zip(columns["split"], columns["target"], strict=True)) == {
        (split, label): 1 for split in ("train", "test") for label in ("cat", "dog")
    }
    assert set(left_out.values()) == {"it lies beside the split folders, not in one"}


def test_numbered_folds(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        class_folders(tmp_path / "a" / f"fold{number}", count=1)
    columns, _ = read(tmp_path / "a")
    assert Counter(columns["fold_given"]) == {"1": 2, "2": 2, "10": 2}
    assert set(columns["target"]) == {"cat", "dog"}
    assert "split" not in columns
    class_folders(tmp_path / "b", ("fold1", "fold2"), count=2)  # without classes in them they are none themselves
    with pytest.raises(
        DataError, match=r"4 pictures but no class folders \(folds: the folders fold1/, fold2/\); .*--label-pattern"
    ):
        read(tmp_path / "b")
    rows, _ = Image(label_pattern=r"(\d)\.png").read(tmp_path / "b")
    assert rows.column("target") == ["0", "1"] * 2
    assert rows.column("fold_given") == ["1", "1", "2", "2"]
    class_folders(tmp_path / "digits", [str(number) for number in range(10)], count=1)
    assert len(set(read(tmp_path / "digits")[0]["target"])) == 10


def test_unsorted_files_to_be_tested_are_no_class(tmp_path: Path) -> None:
    class_folders(tmp_path / "a", ("cat", "dog", "test"), count=1)
    class_folders(tmp_path / "b" / "train", count=1)
    class_folders(tmp_path / "b", ("test",), count=1)
    for name, reason in (("a", "is called as a split is"), ("b", "beside the class folders, not in one")):
        columns, left_out = read(tmp_path / name)
        assert set(columns["target"]) == {"cat", "dog"}
        assert reason in left_out["test/0.png"]
    class_folders(tmp_path / "c", ("pass", "test"), count=1)
    assert read(tmp_path / "c")[0]["target"] == ["pass", "test"]


def test_a_class_without_files_is_said(tmp_path: Path) -> None:
    class_folders(tmp_path, count=1)
    (tmp_path / "birds").mkdir()
    columns, left_out = read(tmp_path)
    assert columns["target"] == ["cat", "dog"]
    assert left_out == {"birds/": "an empty folder, so no class"}


@pytest.mark.parametrize("name", ["README.md", "AAA.txt", "classes.txt", "zzz.csv", "notes.json"])
def test_what_most_files_are_decides(name: str, tmp_path: Path) -> None:
    class_folders(tmp_path, count=2)
    (tmp_path / name).write_text("text,label\nwhat the cats do,a\nwhat dogs do,b\n")
    assert recipes.choose(tmp_path, None, None, "random")[0] == "image-classification"
    for number in range(4):  # captions, or boxes, of which there are as many and one more
        (tmp_path / "cat" / f"{number}.txt").write_text("a caption")
    assert recipes.choose(tmp_path, None, None, "random")[0] == "image-classification"
    assert read(tmp_path)[0]["target"] == ["cat"] * 2 + ["dog"] * 2


def test_columns_that_no_folder_has(tmp_path: Path) -> None:
    class_folders(tmp_path, count=1)
    for settings, flag in (({"label_column": "y"}, "--label-column y"), ({"file_column": "x"}, "--file-column x")):
        with pytest.raises(DataError, match=f"{flag} names a column of a table, and .* holds files"):
            Image(**settings).read(tmp_path)


def test_hidden_files_are_no_data(tmp_path: Path) -> None:
    class_folders(tmp_path, ("cat", "dog", ".git"), count=1)
    (tmp_path / "cat" / "._0.png").write_bytes(b"what macOS leaves in archives")
    (tmp_path / "__MACOSX" / "cat").mkdir(parents=True)
    (tmp_path / "cat" / "Thumbs.db").touch()
    columns, left_out = read(tmp_path)
    assert len(columns["id"]) == 2
    assert not left_out


def test_links(tmp_path: Path) -> None:
    real = class_folders(tmp_path / "real", ("wolf",), count=2)
    data = class_folders(tmp_path / "data", count=1)
    (data / "wolf").symlink_to(real / "wolf")
    (data / "cat" / "up").symlink_to(data)
    (data / "zebra").symlink_to(data / "dog")
    (data / "loop").symlink_to(data / "loop")
    (data / "cat" / "linked.png").symlink_to(real / "wolf" / "0.png")
    columns, left_out = read(data)
    assert Counter(columns["target"]) == {"cat": 2, "dog": 1, "wolf": 2}
    assert left_out == {
        "cat/up": "a link to ., which is read already",
        "zebra": "a link to dog, which is read already",
        "loop": "a link that loops or leads nowhere",
    }


def test_a_run_is_no_class(tmp_path: Path) -> None:
    class_folders(tmp_path, ("cat", "dog"), count=1)
    class_folders(tmp_path / "runs" / "one" / "media", count=1)
    (tmp_path / "runs" / "one" / "recipe.yaml").touch()
    columns, left_out = read(tmp_path)
    assert set(columns["target"]) == {"cat", "dog"}
    assert left_out == {"runs/one": "a run of Pervade, not data"}


def test_files_for_prediction(tmp_path: Path) -> None:
    data = class_folders(tmp_path, ("cat",), count=2)
    (data / "cat" / "notes.txt").touch()
    (data / "without-suffix").write_bytes((data / "cat" / "0.png").read_bytes())
    rows, left_out = asked(Image(), [str(data / "cat"), data / "without-suffix"])
    assert list(rows.column("path")) == [str(data / "cat/0.png"), str(data / "cat/1.png"), str(data / "without-suffix")]
    assert [each.source for each in left_out] == [str(data / "cat/notes.txt")]
    for source in (data / "gone", "", "x" * 5000):
        assert "give pictures or folders of pictures" in asked(Image(), source)[1][0].reason


@pytest.mark.parametrize("names", [("train_mini", "val"), ("train", "cv"), ("trainA", "testB")])
def test_splits_by_other_names_are_no_classes(names: tuple[str, str], tmp_path: Path) -> None:
    """Each holds the same two folders, which are the classes."""
    for name in names:
        class_folders(tmp_path / name, count=1)
    with pytest.raises(DataError, match=r"all hold the same folders \(cat, dog\), so they seem to be splits"):
        read(tmp_path)


def test_folders_below_the_classes_are_said_with_the_flag_that_takes_them(tmp_path: Path) -> None:
    class_folders(tmp_path / "animals", ("dogs/pug", "dogs/beagle", "cats/manx", "cats/siamese"), count=2)
    with account.gathered() as notes:
        columns, _ = read(tmp_path)
    assert set(columns["target"]) == {"cats", "dogs"}
    told = next(each for each in notes if each.startswith("labels:"))
    assert "not the 4 folders below them, beagle/, manx/, pug/, siamese/" in told
    rows, _ = Image(label_pattern=re.findall("'(.+)'", told)[0]).read(tmp_path)
    assert set(rows.column("target")) == {"beagle", "manx", "pug", "siamese"}


def test_folders_that_all_hold_the_same_ones(tmp_path: Path) -> None:
    """Which of both are the classes no name says: both readings are offered, and each works."""
    for kind in ("photo", "sketch"):
        for number, breed in enumerate(("dog", "horse")):
            class_folders(tmp_path / kind, (breed,), count=number + 2)
    with pytest.raises(DataError, match=r"photo, sketch all hold the same folders \(dog, horse\), and no name") as told:
        read(tmp_path)
    labels = re.findall(r"--label-pattern '([^']+)'", str(told.value))
    found = [set(Image(label_pattern=each).read(tmp_path)[0].column("target")) for each in labels]
    assert found == [{"photo", "sketch"}, {"dog", "horse"}]


@pytest.mark.parametrize(
    ("tops", "below"),
    [
        (("10129", "10340", "10551"), ("0", "1")),
        (("id_00", "id_02"), ("normal", "abnormal")),
        (("2024-03-01", "2024-03-02"), ("OK", "NOK")),
        (("202401", "202402"), ("OK", "NOK")),
        (("monday", "friday"), ("ok", "broken")),
        (("3f2a9c", "77be01", "a0c4d2"), ("healthy", "ill")),
    ],
)
def test_who_and_when_are_groups_above_the_classes(
    tops: tuple[str, ...], below: tuple[str, ...], tmp_path: Path
) -> None:
    for name in tops:
        class_folders(tmp_path / name, below, count=1)
    with account.gathered() as notes:
        columns, _ = read(tmp_path)
    assert set(columns["target"]) == set(below)
    assert set(columns["group"]) == set(tops)
    taken = re.findall("as classes: --label-pattern '(.+)'", notes[0])[0]
    assert set(Image(label_pattern=taken).read(tmp_path)[0].column("target")) == set(tops)
    assert set(Image(target="identity").read(tmp_path)[0].column("target")) == set(tops)


def test_who_is_below_the_classes(tmp_path: Path) -> None:
    """In several classes, or in one; of too few no splits could be made."""
    for label in ("happy", "sad"):
        class_folders(tmp_path / "a" / label, [f"subject{who:02d}" for who in range(5)], count=1)
    assert Counter(read(tmp_path / "a")[0]["group"]) == {f"subject{who:02d}": 2 for who in range(5)}
    for number, label in enumerate(("ill", "well")):
        class_folders(tmp_path / "b" / label, [f"P{who:03d}" for who in range(4 * number, 4 * number + 4)], count=1)
    columns, _ = read(tmp_path / "b")
    assert columns["group"] == [each.split("/")[1] for each in columns["id"]]
    class_folders(tmp_path / "c", ("cats/monday", "cats/tuesday", "dogs/monday", "dogs/tuesday"), count=1)
    assert "group" not in read(tmp_path / "c")[0]
    class_folders(tmp_path / "d", [f"{n}/{each}" for n in range(3) for each in ("clean", "noisy")], count=1)
    with pytest.raises(DataError, match="no name says which are the classes"):  # digits, or people?
        read(tmp_path / "d")


def test_splits_below_the_classes(tmp_path: Path) -> None:
    class_folders(tmp_path / "a", ("cat/train", "cat/test", "dog/train", "dog/test"), count=2)
    columns, _ = read(tmp_path / "a")
    assert Counter(zip(columns["target"], columns["split"], strict=True)) == {
        (label, split): 2 for label in ("cat", "dog") for split in ("train", "test")
    }
    class_folders(tmp_path / "b", [f"{x}/{y}/cat" for x in ("one", "two") for y in ("train", "test")], count=1)
    with pytest.raises(
        DataError, match=r"one, two hold splits each, so they are no classes; give one, such as .*/one$"
    ):
        read(tmp_path / "b")


def test_folders_that_are_no_classes_at_all(tmp_path: Path) -> None:
    class_folders(tmp_path / "a", ("x/x/cat", "x/x/dog", "y/y/cat"), count=1)
    with pytest.raises(DataError, match=r"hold but one of their own name each, so they are no classes; .*/x/x$"):
        read(tmp_path / "a")
    class_folders(tmp_path / "b" / "posts", ("202301", "202302"), count=1)
    with pytest.raises(DataError, match="202301, 202302 are called by dates, which are no classes") as told:
        read(tmp_path / "b")
    dates = re.findall("--label-pattern '(.+)'", str(told.value))[0]
    assert len(set(Image(label_pattern=dates).read(tmp_path / "b")[0].column("target"))) == 2
    class_folders(tmp_path / "c", ("1999", "2005"), count=1)  # years of cars
    assert set(read(tmp_path / "c")[0]["target"]) == {"1999", "2005"}
