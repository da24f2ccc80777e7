"""Pictures that are learnt at their own size: how large they are, whether they are mirrored, how they move."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pervade.data.image import looking, mirrored
from pervade.data.image.digits import write
from pervade.data.read import account
from pervade.domains.image import Image, contents
from pervade.init.random import Random
from pervade.models.small_cnn import SmallCNN
from pervade.recipes import choose, image
from tests.data.drawing import class_folders, encoded


def of_sides(folder: Path, *sides: tuple[int, int]) -> Path:
    """One picture of each width and height."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (width, height) in enumerate(sides):
        (folder / f"{number}.png").write_bytes(encoded(np.zeros((height, width), np.uint8)))
    return folder


def seen(source: object) -> looking.Look | None:
    return looking.look(source, contents())


# how large they are


def test_three_in_four_are_no_larger(tmp_path: Path) -> None:
    """Of the shorter sides: 20, 30, 40 and 500."""
    of_sides(tmp_path / "a", (20, 90), (40, 40))
    of_sides(tmp_path / "b", (500, 600), (30, 30))
    assert seen(tmp_path) == (40, 4)


def test_every_kind_of_data_is_looked_at(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "folder", count=3)
    assert seen(folder) == seen(str(folder)) == (20, 6)
    names = sorted(path.relative_to(folder) for path in folder.rglob("*.png"))
    (folder.parent / "table.csv").write_text("file,label\n" + "".join(f"folder/{name},a\n" for name in names))
    assert seen(tmp_path / "table.csv") == (20, 6)
    arrays = {"train_images": np.zeros((5, 12, 14), np.uint8), "train_labels": np.arange(5)}
    np.savez(tmp_path / "arrays.npz", **arrays)
    assert seen(tmp_path / "arrays.npz") == (12, 5)


def test_tables_of_splits_are_looked_at(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for split, count in (("train", 3), ("test", 2)):
        bytes_of_each = [encoded(np.full((9, 9), number, np.uint8)) for number in range(count)]
        table = pa.table({"image": [{"bytes": each, "path": None} for each in bytes_of_each], "label": [0] * count})
        pq.write_table(table, tmp_path / f"{split}.parquet")
    assert seen(tmp_path) == (9, 5)


def test_a_column_that_somebody_names_is_looked_at(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "folder", count=3)
    names = sorted(str(path.relative_to(tmp_path)) for path in folder.rglob("*.png"))
    large = of_sides(tmp_path / "large", *[(90, 90)] * 6)
    rows = zip(sorted(str(path.relative_to(tmp_path)) for path in large.iterdir()), names, strict=True)
    (tmp_path / "table.csv").write_text("file,thumb,label\n" + "".join(f"{a},{b},x\n" for a, b in rows))
    asked: dict[str, Any] = {"init": "random", "label_column": "label"}
    assert choose(tmp_path / "table.csv", None, None, file_column="thumb", **asked)[1] == image.small(20, 6)
    assert choose(tmp_path / "table.csv", None, None, file_column="file", **asked)[1] == image.default()


def test_what_cannot_be_looked_at_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"no picture")
    (tmp_path / "table.csv").write_text("name,label\n1,2\n")
    places = ["empty", "broken", "table.csv", "nothing", "x" * 300]
    assert [seen(tmp_path / place) for place in places] + [seen(None), seen("")] == [None] * 7


# what is learnt from them


def test_small_pictures_have_a_network_of_their_own(tmp_path: Path) -> None:
    small, large = class_folders(tmp_path / "small", count=2), of_sides(tmp_path / "large", (49, 60))
    chosen = image.recipe(init="random", source=small)
    assert chosen == image.small(20, 4)
    assert (chosen.model, chosen.init, chosen.domain.size, chosen.domain.shift) == (SmallCNN(), Random(), 20, 1)
    assert image.recipe(source=small) == replace(chosen, init=image.recipe(source=small).init)  # offline
    assert image.recipe(init="random", source=large) == image.default()
    assert image.recipe("resnet10", init="random", source=small).domain.size == 96
    faces = image.recipe(task="image-feature-extraction", init="random", source=small)
    assert faces == image.faces()
    number = image.recipe(task="image-regression", init="random", source=small)
    assert (number.model, number.domain.size, number.domain.target) == (SmallCNN(), 20, "number")


@pytest.mark.parametrize(("count", "passes"), [(200_000, 12), (70_000, 14), (20_000, 50), (3, 60), (0, 60)])
def test_the_fewer_rows_the_more_passes(count: int, passes: int) -> None:
    chosen = image.small(28, count)
    assert chosen.epochs == passes
    assert chosen.early_stopping.every <= passes / 10  # the first useful model within a tenth


@pytest.mark.parametrize(("count", "passes"), [(50_000, 20), (5_000, 120), (3_000, 200), (500, 200), (0, 200)])
def test_passes_over_photographs_follow_their_number(count: int, passes: int) -> None:
    chosen = image.default(count)
    assert chosen.epochs == passes
    assert chosen.early_stopping.every <= passes / 10


def test_no_picture_is_too_small() -> None:
    assert image.small(1, 10).domain.size == 8


# whether mirrored ones are like the others


def lit(left: float, count: int, seed: int = 0) -> np.ndarray:
    """(count, 4, 4, 1) of noise, of which the share `left` is brighter on the left, the others on the right."""
    rng = np.random.default_rng(seed)
    made = rng.normal(100, 5, (count, 4, 4, 1))
    for number in range(count):
        half = slice(0, 2) if (number * 7919) % count < left * count else slice(2, 4)
        made[number, :, half] += 30
    return made


@pytest.mark.parametrize(("left", "alike"), [(0.5, True), (0.55, True), (0.9, False), (0.0, False)])
def test_what_leans_to_one_side_is_unlike_its_mirror(left: float, alike: bool) -> None:
    assert mirrored.alike(lit(left, 200), ["a"] * 200) is alike


def test_classes_are_looked_at_one_by_one() -> None:
    """All pictures together are like their mirrors, and those of each class are not."""
    pictures = np.concatenate([lit(1.0, 50), lit(0.0, 50)])
    assert mirrored.alike(pictures, ["left"] * 50 + ["right"] * 50) is False
    assert mirrored.alike(pictures[::-1], ["left", "right"] * 50) is True


@pytest.mark.parametrize("count", [1, 2, 8])
def test_of_a_few_pictures_nothing_is_said(count: int) -> None:
    assert mirrored.alike(lit(1.0, count), ["a"] * count) is True


def test_even_pictures_are_like_their_mirrors() -> None:
    assert mirrored.alike(np.full((100, 4, 4, 3), 7, np.uint8), ["a"] * 100) is True


def test_digits_are_not_mirrored_and_that_is_said(tmp_path: Path) -> None:
    domain = Image(size=8, margin=1.0, channels=1, flip=None, views=2)
    rows, _ = domain.read(write(tmp_path))
    rows, _ = domain.prepare(rows, lambda done, total: None)
    with account.gathered() as notes:
        domain.describe(rows)
    told = "training mirrors no picture: mirrored ones look unlike the others of their class"
    assert f"{told} (-o domain.flip=true|false)" in notes
    fitted = domain.fit(rows)
    assert fitted.flip is False
    assert len(fitted.transform(rows[0], None)) == 1  # one view
    assert replace(domain, flip=True).fit(rows).flip is True


# how they move


def test_a_moved_picture_is_mirrored_at_its_edge() -> None:
    picture = np.arange(20, dtype=np.uint8).reshape(4, 5, 1)
    padded = np.pad(picture[:, :4], ((2, 2), (2, 2), (0, 0)), mode="reflect")
    expected = {padded[top : top + 4, left : left + 4].tobytes() for top in range(5) for left in range(5)}
    domain = Image(size=4, margin=1.0, channels=1, crop_area=1.0, shift=2, flip=False)
    row = {"id": "a", "pixels": np.ascontiguousarray(picture[:, :4])}
    rngs = (np.random.default_rng(seed) for seed in range(300))
    made = {domain.transform(row, rng)[0]["input"].tobytes() for rng in rngs}
    assert made == expected
    assert domain.transform(row, None)[0]["input"].tobytes() == picture[:, :4].tobytes()
