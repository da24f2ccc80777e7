"""Text files that list others: splits and labels."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pervade.core.errors import DataError
from pervade.data.read import account, listing
from pervade.domains.image import Image, contents
from pervade.domains.sound import Sound
from tests.data.drawing import class_folders
from tests.layouts.made import picture
from tests.layouts.made import write as text


def read(path: Path, **fields: str) -> tuple[dict[str, list], list[str], dict[str, str]]:
    with account.gathered() as notes:
        rows, left_out = Image(**fields).read(path)
    return dict(rows.columns), notes, {each.source: each.reason for each in left_out}


def test_what_no_list_names_trains(tmp_path: Path) -> None:
    """Speech Commands, whose noise is no class either."""
    for name in ("yes", "no"):
        for i in range(4):
            text(tmp_path / name / f"{i}{name}.wav", "")
    text(tmp_path / "_background_noise_" / "pink.wav", "")
    text(tmp_path / "testing_list.txt", "yes/0yes.wav\nno/0no.wav\n")
    text(tmp_path / "validation_list.txt", "yes/1yes.wav\nno/1no.wav\n")
    rows, left_out = Sound().read(tmp_path)
    assert Counter(rows.column("split")) == {"train": 4, "validation": 2, "test": 2}
    assert set(rows.column("target")) == {"yes", "no"}
    assert [(each.source, each.reason) for each in left_out] == [
        ("_background_noise_/pink.wav", "folders whose names begin with _ are no classes")
    ]
    rows, _ = Sound(split_column="none").read(tmp_path)
    assert "split" not in rows


def test_lists_of_names_without_endings(tmp_path: Path) -> None:
    """Food-101; what neither names is left out."""
    class_folders(tmp_path / "images", ("pie", "ramen"), count=3)
    text(tmp_path / "meta" / "train.txt", "pie/0\nramen/0\n")
    text(tmp_path / "meta" / "test.txt", "pie/1\nramen/1\n")
    columns, notes, left_out = read(tmp_path)
    assert columns["split"] == ["train", "test", "train", "test"]
    assert columns["target"] == ["pie", "pie", "ramen", "ramen"]
    assert "splits: the lists meta/test.txt (test, 2), meta/train.txt (train, 2); 2 others are left out" in notes[2]
    reason = "none of the lists meta/test.txt (test, 2), meta/train.txt (train, 2) names it"
    assert left_out == {"images/pie/2.png": reason, "images/ramen/2.png": reason}


def test_the_first_of_several_divisions(tmp_path: Path) -> None:
    class_folders(tmp_path / "images", ("a", "b"), count=2)
    for number in (1, 2, 10):
        text(tmp_path / "labels" / f"train{number}.txt", f"a/{number % 2}.png\nb/0.png\n")
        text(tmp_path / "labels" / f"test{number}.txt", f"a/{1 - number % 2}.png\nb/1.png\n")
    columns, *_ = read(tmp_path)
    assert dict(zip(columns["id"], columns["split"], strict=True)) == {
        "images/a/0.png": "test",
        "images/a/1.png": "train",
        "images/b/0.png": "train",
        "images/b/1.png": "test",
    }


@pytest.mark.parametrize("line", ["{}.png {}", "{}.png\t{}", "{}.png,{}", "./images/{}.png {}", "{};{}"])
def test_lists_of_labels(line: str, tmp_path: Path) -> None:
    for i in range(6):
        picture(tmp_path / "images" / f"{i}.png", i)
    text(tmp_path / "labels.txt", "".join(line.format(i, ("cat", "dog")[i % 2]) + "\n" for i in range(6)))
    columns, notes, left_out = read(tmp_path)
    assert columns["target"] == ["cat", "dog"] * 3
    assert "labels: from the list labels.txt, of 6 of 6 files (--label-pattern)" in notes
    assert not left_out


def test_labels_of_a_split_alone(tmp_path: Path) -> None:
    """Tiny ImageNet: class folders train, val/images/ has a list, test/images/ has none."""
    for number, name in enumerate(("n01", "n02")):
        for i in range(2):
            picture(tmp_path / "train" / name / "images" / f"{name}_{i}.png", 10 * number + i)
        text(tmp_path / "train" / name / f"{name}_boxes.txt", f"{name}_0.png\t0\t0\t6\t4\n{name}_1.png\t0\t1\t6\t4\n")
    for i in range(4):
        picture(tmp_path / "val" / "images" / f"val_{i}.png", 100 + i)
    picture(tmp_path / "test" / "images" / "test_0.png", 200)
    told = "".join(f"val_{i}.png\tn0{1 + i % 2}\t0\t{i}\t62\n" for i in range(4))
    text(tmp_path / "val" / "val_annotations.txt", told)
    columns, _, left_out = read(tmp_path)
    assert Counter(zip(columns["split"], columns["target"], strict=True)) == {
        (split, name): 2 for split in ("train", "validation") for name in ("n01", "n02")
    }
    assert left_out["test/images/test_0.png"] == "it lies beside the class folders, not in one"


def test_lists_that_part_files_otherwise_than_folders(tmp_path: Path) -> None:
    """Places: folders by letters, in which the classes lie."""
    names = ("a/abbey", "a/airfield", "b/barn")
    class_folders(tmp_path / "data", names, count=2)
    text(tmp_path / "train.txt", "".join(f"/{n}/{i}.png {k}\n" for k, n in enumerate(names) for i in range(2)))
    assert read(tmp_path)[0]["target"] == ["0", "0", "1", "1", "2", "2"]
    text(tmp_path / "train.txt", "".join(f"/{n}/{i}.png {n[0]}\n" for n in names for i in range(2)))
    assert read(tmp_path)[0]["target"] == ["a", "a", "a", "a", "b", "b"]


def test_what_is_no_list(tmp_path: Path) -> None:
    class_folders(tmp_path, ("a", "b"), count=3)
    text(tmp_path / "labels.txt", "a\nb\n")
    text(tmp_path / "train_notes.txt", "we trained for 3 days\nand then\nno more\n")
    text(tmp_path / "list.txt", "")
    (tmp_path / "val.txt").write_bytes(b"\xff\xfe\x00")
    columns, _, left_out = read(tmp_path)
    assert "split" not in columns
    assert len(left_out) == 4


def test_several_kinds_of_labels(tmp_path: Path) -> None:
    for i in range(4):
        picture(tmp_path / "images" / f"{i}.png", i)
    for kind in ("family", "variant"):
        text(tmp_path / f"images_{kind}_train.txt", "".join(f"{i} {kind}{i % 2}\n" for i in range(4)))
    with pytest.raises(DataError, match=r"\(images_family_train.txt; images_variant_train.txt\); leave one there"):
        read(tmp_path)
    (tmp_path / "images_family_train.txt").unlink()
    assert read(tmp_path)[0]["target"] == ["variant0", "variant1"] * 2


def test_a_label_in_a_file_of_its_own(tmp_path: Path) -> None:
    for i in range(6):
        picture(tmp_path / f"{i}.png", i)
        text(tmp_path / f"{i}.cls", f"{i % 2}\n")
    columns, _, left_out = read(tmp_path)
    assert columns["target"] == ["0", "1"] * 3
    assert not left_out


def test_oxford_flowers(tmp_path: Path) -> None:
    from scipy.io import savemat

    for i in range(1, 7):
        picture(tmp_path / "jpg" / f"image_{i:05d}.png", i)
    savemat(tmp_path / "imagelabels.mat", {"labels": np.array([[3, 3, 7, 7, 3, 7]], np.uint8)})
    splits = {"trnid": np.array([[1, 3]]), "valid": np.array([[2, 4]]), "tstid": np.array([[5, 6]])}
    savemat(tmp_path / "setid.mat", splits)
    (tmp_path / "damaged.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    columns, notes, _ = read(tmp_path)
    assert "damaged.mat is not read: it is damaged, or of MATLAB 7.3; save it there with -v7" in notes
    assert columns["target"] == ["3", "3", "7", "7", "3", "7"]
    assert columns["split"] == ["train", "validation", "train", "validation", "test", "test"]


def test_celeba(tmp_path: Path) -> None:
    """Attributes are 1 and -1, and splits 0, 1 and 2 in another list."""
    lines = []
    for i in range(6):
        picture(tmp_path / "img_align_celeba" / f"{i:06d}.png", i)
        lines.append(f"{i:06d}.png {1 if i % 2 else -1:2d} {1 if i % 3 else -1:2d}")
    text(tmp_path / "list_attr_celeba.txt", "\n".join(["6", "Male Young ", *lines]))
    text(tmp_path / "list_eval_partition.txt", "".join(f"{i:06d}.png {i // 2}\n" for i in range(6)))
    assert listing.detect(tmp_path, contents()) == "labels"
    columns, *_ = read(tmp_path, target="labels")
    assert columns["target"] == [[], ["Male", "Young"], ["Young"], ["Male"], ["Young"], ["Male", "Young"]]
    assert columns["split"] == ["train", "train", "validation", "validation", "test", "test"]


@pytest.mark.parametrize(
    "told",
    [
        {f"{i}.png": ("cat", "dog")[i % 2] for i in range(6)},
        {str(i): ("cat", "dog")[i % 2] for i in range(6)},
        {"cat": ["0.png", "2.png", "4.png"], "dog": ["1.png", "3.png", "5.png"]},
        [{"file": f"{i}.png", "label": ("cat", "dog")[i % 2]} for i in range(6)],
    ],
)
def test_labels_in_json(told: object, tmp_path: Path) -> None:
    for i in range(6):
        picture(tmp_path / "images" / f"{i}.png", i)
    text(tmp_path / "labels.json", json.dumps(told))
    columns, *_ = read(tmp_path)
    assert sorted(zip((Path(each).stem for each in columns["path"]), columns["target"], strict=True)) == [
        (str(i), ("cat", "dog")[i % 2]) for i in range(6)
    ]


def test_development_and_evaluation(tmp_path: Path) -> None:
    """FSD50K: tables in a folder beside, and nothing that is called train."""
    rows = {"dev": [(i, ("Bark", "Rain")[i % 2]) for i in range(4)], "eval": [(i, "Rain") for i in range(4, 6)]}
    for name, some in rows.items():
        for i, _ in some:
            text(tmp_path / f"FSD.{name}_audio" / f"{i}.wav", "")
        table = "".join(f"{i},{label}\n" for i, label in some)
        text(tmp_path / "FSD.ground_truth" / f"{name}.csv", f"fname,labels\n{table}")
    columns = Sound().read(tmp_path)[0].columns
    assert list(columns["target"]) == ["Bark", "Rain", "Bark", "Rain", "Rain", "Rain"]
    assert list(columns["split"]) == ["train"] * 4 + ["test"] * 2
