"""Class folders, split folders, links, and what is left out of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

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


def test_hidden_files_are_no_data(tmp_path: Path) -> None:
    class_folders(tmp_path, ("cat", "dog", ".git"), count=1)
    (tmp_path / "cat" / "._0.png").write_bytes(b"what macOS leaves in archives")
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
