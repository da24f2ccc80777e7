"""Pictures to learn to make others like them: which are read, and what a network is given of them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from pervade.core.contracts import Canvas
from pervade.core.errors import ConfigError, DataError
from pervade.core.types import LeftOut, Rows
from pervade.data.read import account, division
from pervade.domains.generated_pictures import GeneratedPictures
from pervade.domains.image import Image
from tests.data.drawing import class_folders, encoded, pixels


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "cache"))


def prepared(root: Path, domain: GeneratedPictures) -> tuple[GeneratedPictures, Rows]:
    rows, _ = domain.prepare(domain.read(root)[0], lambda done, total: None)
    return domain.fit(rows), rows


# what is read


def flat(root: Path) -> Path:
    root.mkdir(parents=True)
    for number in range(4):
        (root / f"{number}.png").write_bytes(encoded(pixels(number, number)))
    return root


def beside(root: Path) -> Path:
    """One more picture beside class folders."""
    shutil.copy(flat(root) / "0.png", class_folders(root, count=2) / "odd.png")
    return root


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (flat, 4),
        (lambda root: class_folders(root, ["images"], count=4), 4),
        (lambda root: class_folders(root, ["holidays"], count=4), 4),
        (lambda root: class_folders(root / "deep" / "inside", ["2024"], count=4), 4),
        (beside, 9),
    ],
)
def test_pictures_without_classes_are_enough(tmp_path: Path, make, count: int) -> None:
    with account.gathered() as notes:
        rows, left_out = GeneratedPictures().read(make(tmp_path / "data"))
    assert len(rows) == count and not left_out
    assert "target" not in rows
    assert any(note.startswith("labels: none") for note in notes)
    fitted = GeneratedPictures().fit(rows)
    assert (fitted.labels, fitted.inputs().classes) == ((), 0)


def test_classes_stay_for_a_judge_and_are_none_of_what_is_made(tmp_path: Path) -> None:
    fitted, rows = prepared(class_folders(tmp_path / "data", count=3), GeneratedPictures(size=8))
    assert sorted(set(rows.column("target"))) == ["cat", "dog"]
    assert (fitted.labels, fitted.counts) == (("cat", "dog"), (3, 3))
    assert fitted.inputs() == Canvas((3, 8, 8))
    batch = fitted.collate(fitted.transform(rows[5], None))
    assert batch["input"]["class"].tolist() == [0]


def test_a_class_of_one_picture_tells_nothing_apart(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", count=3)
    (root / "newt").mkdir()
    shutil.copy(root / "cat" / "0.png", root / "newt" / "0.png")
    assert "target" not in GeneratedPictures().read(root)[0]
    rows, left_out = GeneratedPictures(condition="label").read(root)
    assert sorted(set(rows.column("target"))) == ["cat", "dog"]
    assert [lost.source for lost in left_out] == ["newt/0.png"]


def test_a_table_without_labels_is_read_with_its_splits(tmp_path: Path) -> None:
    root = flat(tmp_path / "data")
    lines = ["file_name,split", "0.png,train", "1.png,train", "2.png,train", "3.png,test"]
    (root / "metadata.csv").write_text("\n".join(lines))
    rows, _ = GeneratedPictures().read(root)
    assert "target" not in rows
    assert list(rows.column("split")) == ["train", "train", "train", "test"]


@pytest.mark.parametrize("make", [flat, lambda root: class_folders(root, ["holidays"], count=4)])
def test_to_make_by_class_takes_two_classes(tmp_path: Path, make) -> None:
    with pytest.raises(DataError, match="class"):
        GeneratedPictures(condition="label").read(make(tmp_path / "data"))


def test_to_classify_a_flat_folder_names_the_task_that_takes_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"but no class folders; .*--task unconditional-image-generation"):
        Image().read(flat(tmp_path / "data"))


@pytest.mark.parametrize("field", [{"views": 5}, {"framing": "tiles"}, {"train_scale": 0.5}, {"target": "labels"}])
def test_what_would_part_or_shrink_a_picture_is_refused(field) -> None:
    with pytest.raises(ConfigError, match="a picture that is made is whole"):
        GeneratedPictures(**field)


# what a network is given


def test_pictures_of_all_sizes_and_modes(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for number, mode in enumerate(("L", "RGB", "RGBA", "P", "1", "I;16")):
        values = np.random.default_rng(number).integers(0, 255, (20 + number, 33, 3), dtype=np.uint8)
        picture = Pillow.fromarray(values)
        if mode == "I;16":
            picture = Pillow.fromarray(values[:, :, 0].astype(np.uint16) * 200)
        picture = picture if mode == "I;16" else picture.convert(mode)
        picture.save(root / f"{number}.png")
    fitted, rows = prepared(root, GeneratedPictures(size=16))
    assert fitted.inputs() == Canvas((3, 16, 16))
    examples = [fitted.transform(row, np.random.default_rng(0))[0] for row in rows]
    batch = fitted.collate(examples)
    assert batch["input"]["pixels"].shape == (6, 3, 16, 16)
    assert batch["input"]["pixels"].min() >= 0 and batch["input"]["pixels"].max() <= 1
    assert batch["seed"].tolist() == [0, 1, 2, 3, 4, 5]


def test_pictures_are_made_grey_where_all_are(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for number in range(4):  # one of them as colours that are all alike
        grey = Pillow.fromarray(pixels(0, number)[:, :, 1])
        (grey.convert("RGB") if number == 1 else grey).save(root / f"{number}.png")
    fitted, rows = prepared(root, GeneratedPictures(size=20))
    assert fitted.channels == 1
    batch = fitted.collate([fitted.transform(row, None)[0] for row in rows])
    assert np.array_equal(batch["input"]["pixels"][1, 0].mul(255).round().numpy(), pixels(0, 1)[:, :, 1])
    # A coloured one, measured later, is seen in grey, as if it had been decoded so.
    (root / "red.png").write_bytes(encoded(pixels(0, 9)))
    later = Rows({"id": ["red"], "path": [str(root / "red.png")]})
    before, _ = replace(fitted, channels=None).prepare(later, lambda done, total: None)
    after, _ = fitted.prepare(later, lambda done, total: None)
    assert np.array_equal(fitted._pixels(before[0]), fitted._pixels(after[0]))


def test_training_sees_a_picture_as_it_is_measured(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for number in range(2):
        wide = np.random.default_rng(number).integers(0, 255, (20, 60, 3), dtype=np.uint8)
        (root / f"{number}.png").write_bytes(encoded(wide))
    fitted, rows = prepared(root, GeneratedPictures(size=20, flip=False, framing="crop"))
    for row in rows:
        seen = [fitted.transform(row, np.random.default_rng(seed))[0]["input"] for seed in range(3)]
        assert all(np.array_equal(each, fitted.transform(row, None)[0]["input"]) for each in seen)


# what is to be made


def test_a_label_is_a_picture_to_be_made(tmp_path: Path) -> None:
    fitted, _ = prepared(class_folders(tmp_path / "data", count=3), GeneratedPictures(size=8, condition="label"))
    asked = [entry for number, label in enumerate(("dog", "cat", "dig"), 1) for entry in fitted.asked(label, number)]
    assert isinstance(asked[2], LeftOut)
    assert asked[2].reason == "it learnt no label 'dig'; did you mean 'dog'?"
    rows, _ = fitted.prepare(division.rows(asked[:2]), lambda done, total: None, keep=False)
    batch = fitted.collate([fitted.transform(row, None)[0] for row in rows])
    assert batch["input"].keys() == {"class"}
    assert (batch["input"]["class"].tolist(), batch["seed"].tolist()) == ([2, 1], [0, 1])
    assert batch["seed"].dtype == torch.int64
    assert list(fitted.unasked(5, ())) == ["cat", "dog", "cat", "dog", "cat"]
    assert list(fitted.unasked(2, ["dog"])) == ["dog", "dog"]
    with pytest.raises(ConfigError, match=r"it learnt no label 'cet'; .*'cat'"):
        fitted.unasked(2, ["cet"])


def test_what_is_made_without_a_class_has_none(tmp_path: Path) -> None:
    fitted, _ = prepared(class_folders(tmp_path / "data", count=3), GeneratedPictures(size=8))
    assert list(fitted.unasked(2, ())) == ["", ""]
    assert list(fitted.asked("", 7)) == [{"id": "picture 7", "target": None, "seed": 6}]
    with pytest.raises(ConfigError, match="--condition label"):
        fitted.unasked(2, ["cat"])
