"""Folders that look like classes and are none: masks, people, parts; and what is advised in their place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pervade import recipes
from pervade.core.errors import DataError
from pervade.data.read import account, patterns
from pervade.data.rows import split
from pervade.domains.image import Image
from pervade.domains.sound import Sound
from tests.layouts.made import write

PAIRS = [
    (("images/{}.png", "masks/{}.png"), "images"),
    (("images/{}.jpg", "masks/{}_mask.png"), "images"),
    (("rgb/{}.png", "depth/{}.png"), "rgb"),
    (("images/train/{}.png", "annotations/train/{}.png"), "images"),
    (("leftImg8bit/train/aachen/a_{}_leftImg8bit.png", "gtFine/train/aachen/a_{}_gtFine_labelIds.png"), "leftImg8bit"),
    (("before/7{}3.png", "after/7{}3.png"), "after"),  # no counters: 703, 713 … of neither is any left out by chance
]


def files(root: Path, forms: tuple[str, ...], count: int = 5) -> None:
    for form in forms:
        for i in range(count):
            write(root / form.format(i), "")


@pytest.mark.parametrize(("forms", "alone"), PAIRS)
def test_pairs_are_no_classes(forms: tuple[str, ...], alone: str, tmp_path: Path) -> None:
    files(tmp_path, forms)
    with pytest.raises(DataError, match=rf"seem to be pairs .* give {re.escape(str(tmp_path / alone))};") as told:
        Image().read(tmp_path)
    label, group = re.findall(r"--(?:label|group)-pattern '([^']+)'", str(told.value))
    rows, _ = Image(label_pattern=label, group_pattern=group).read(tmp_path)
    assert set(rows.column("target")) == {each.partition("/")[0] for each in forms}


def test_pairs_in_splits(tmp_path: Path) -> None:
    files(tmp_path, ("train/images/{}.png", "train/masks/{}.png", "val/images/{}.png", "val/masks/{}.png"))
    with pytest.raises(
        DataError, match=r"take the folders masks/ out of .*--label-pattern '\^\[\^/\]\+/\(\[\^/\]\+\)/'"
    ):
        Image().read(tmp_path)


@pytest.mark.parametrize(
    "forms",
    [
        ("cats/{}.png", "dogs/{}.png"),
        ("cats/image_000{}.png", "dogs/image_000{}.png"),
        ("pie/100{}.png", "ramen/100{}.png"),
        ("with_mask/{}.png", "without_mask/{}.png"),
        ("mask/{}.png", "no_mask/{}.png"),
        ("images/{}.png", "labels/x{}.png"),
    ],
)
def test_classes_whose_files_are_numbered_alike(forms: tuple[str, ...], tmp_path: Path) -> None:
    files(tmp_path, forms)
    assert len(set(Image().read(tmp_path)[0].column("target"))) == 2


def test_numbered_people_are_groups(tmp_path: Path) -> None:
    files(tmp_path, tuple(f"speaker{who}/{mood}/{{}}.wav" for who in (1, 2) for mood in ("glad", "sad")), 2)
    with account.gathered() as notes:
        rows, _ = Sound().read(tmp_path)
    assert set(rows.column("target")) == {"glad", "sad"}
    assert set(rows.column("group")) == {"speaker1", "speaker2"}
    assert notes[0].startswith("groups: the folders speaker1/, speaker2/, none of which is divided (--group-by none;")
    assert "group" not in Sound(group_column="none").read(tmp_path)[0]
    rows, _ = Sound(label_pattern=re.findall("'(.+)'", notes[0])[0]).read(tmp_path)
    assert set(rows.column("target")) == {"speaker1", "speaker2"}
    assert "group" not in rows
    rows, _ = Image(target="identity").read(pictures(tmp_path))
    assert set(rows.column("target")) == {"person_1", "person_2"}


def pictures(root: Path) -> Path:
    files(root / "faces", ("person_1/{}.png", "person_2/{}.png"), 2)
    return root / "faces"


def test_numbered_parts_are_neither_classes_nor_groups(tmp_path: Path) -> None:
    files(tmp_path, ("part1/cat/{}.png", "part1/dog/{}.png", "part2/cat/{}.png", "part2/dog/{}.png"), 2)
    rows, _ = Image().read(tmp_path)
    assert set(rows.column("target")) == {"cat", "dog"}
    assert "group" not in rows


def test_labels_in_names_of_people_s_files(tmp_path: Path) -> None:
    """RAVDESS: the third part is the emotion, the last who speaks."""
    for who in (1, 2, 3):
        for mood in range(1, 5):
            write(tmp_path / f"Actor_{who:02d}" / f"03-01-{mood:02d}-01-01-01-{who:02d}.wav", "")
    with pytest.raises(DataError, match=r"12 recordings but no class folders \(groups: the folders Actor_01/") as told:
        Sound().read(tmp_path)
    patterns_told = re.findall("--label-pattern '([^']+)', which takes", str(told.value))
    rows, _ = Sound(label_pattern=patterns_told[0]).read(tmp_path)
    assert set(rows.column("target")) == {"01", "02", "03", "04"}
    assert set(rows.column("group")) == {"Actor_01", "Actor_02", "Actor_03"}


NAMES = [
    ([f"{a}_{t}_{e}_XX.wav" for a in (1001, 1002) for t in ("DFA", "IEO") for e in ("ANG", "SAD")], {"ANG", "SAD"}),
    ([f"{who}{text}{mood}a.wav" for who in ("03", "08") for text in ("a01", "b02") for mood in "WF"], {"W", "F"}),
    ([f"{20 + i}_{i % 2}_{i % 4}_2017{i}.jpg.chip.jpg" for i in range(16)], {"0", "1"}),
    (["american_bulldog_1.jpg", "american_bulldog_2.jpg", "pug_1.jpg", "pug_22.jpg"], {"american_bulldog", "pug"}),
    (["oak tree (1).jpg", "oak tree (2).jpg", "elm (1).jpg", "elm (2).jpg"], {"oak tree", "elm"}),
    ([f"{('cat', 'dog')[i % 2]}.{i}.jpg" for i in range(8)], {"cat", "dog"}),
    ([f"{('猫', '狗')[i % 2]}{i}.jpg" for i in range(8)], {"猫", "狗"}),
    ([f"{i}_{('frog', 'ship')[i % 2]}.png" for i in range(8)], {"frog", "ship"}),
]


@pytest.mark.parametrize(("names", "classes"), NAMES)
def test_patterns_that_fit_names(names: list[str], classes: set[str]) -> None:
    told = patterns.likely(names)
    assert classes in [set(values) for _, values in told]
    for pattern, values in told:
        taken = [patterns.extract(pattern, each) for each in names]
        assert 2 * sum(each is not None for each in taken) > len(names)
        assert sorted(set(taken) - {None}) == values


@pytest.mark.parametrize("form", ["{}.jpg", "IMG_{}.jpg", "{:08x}.png", "train{}.png"])
def test_names_that_say_nothing(form: str) -> None:
    assert patterns.likely([form.format(i * 7919) for i in range(20)]) == []


def test_masks_beside_pictures_of_a_class(tmp_path: Path) -> None:
    """Breast ultrasound: "benign (1).png" and "benign (1)_mask.png"."""
    files(
        tmp_path, ("benign/b ({}).png", "benign/b ({})_mask.png", "malignant/m ({}).png", "malignant/m ({})_mask_1.png")
    )
    with account.gathered() as notes:
        rows, left_out = Image().read(tmp_path)
    assert len(rows) == 10
    assert {each.reason for each in left_out} == {"called as the mask of a file beside it"}
    flag = next(each for each in notes if each.startswith("10 files that are called as masks"))
    assert len(Image(label_pattern=re.findall("'(.+)'", flag)[0]).read(tmp_path)[0]) == 20


def test_pictures_of_one_name_stay_in_one_split(tmp_path: Path) -> None:
    files(tmp_path, ("a/{}.png", "b/{}.png"), 10)
    files(tmp_path, ("a/{}.jpg",), 3)
    rows, _ = Image().read(tmp_path)
    divided, _ = split.assign(rows, validation=0.3, test=0.3, seed=0)
    there: dict[str, set[str]] = {}
    for name, part in zip(divided.column("id"), divided.column("split"), strict=True):
        there.setdefault(name.rpartition(".")[0], set()).add(part)
    assert len(there) == 20
    assert all(len(parts) == 1 for parts in there.values())
    assert "bundle" not in Image(suffix="png").read(tmp_path)[0]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("train-images-idx3-ubyte", "load the arrays of pictures and write numpy.savez"),
        ("train_32x32.mat", "load the arrays of pictures and write numpy.savez"),
        ("data_batch_1", "load the arrays of pictures and write numpy.savez"),
        ("train-000000.tar", "unpack it"),
        ("train.tfrecord-00000-of-00002", "write each picture or recording"),
        ("notes.odt", "give a folder of pictures"),
    ],
)
def test_what_to_do_with_files_that_are_not_read(name: str, remedy: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x00\x01\x02" * 100)
    with pytest.raises(DataError, match=rf"holds nothing that is read \(.*\); {remedy}"):
        recipes.choose(tmp_path, None, None, "random")
