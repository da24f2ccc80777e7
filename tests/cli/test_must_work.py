"""Odd but sound pictures, names and places simply work."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.small import SMALL
from tests.data.drawing import class_folders, encoded, pixels


def save(path: Path, picture: Image.Image, **settings: object) -> None:
    picture.save(path, **settings)


def odd_pictures(folder: Path) -> list[str]:
    """One picture of every odd kind, in `folder`; their names."""
    before = set(folder.iterdir())
    colour = Image.fromarray(pixels(0, 50))
    save(folder / "cmyk.jpg", colour.convert("CMYK"))
    save(folder / "16bit.png", Image.fromarray(pixels(0, 51)[:, :, 0].astype(np.uint16) * 257))
    save(folder / "palette.png", Image.fromarray(pixels(0, 52)).quantize(16))
    save(folder / "alpha.png", Image.fromarray(pixels(0, 53)).convert("RGBA"))
    save(folder / "grey.png", Image.fromarray(pixels(0, 54)).convert("L"))
    save(folder / "bilevel.png", Image.fromarray(pixels(0, 55)).convert("1"))
    frames = [Image.fromarray(pixels(0, seed)) for seed in (56, 57)]
    save(folder / "animated.gif", frames[0], save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x9286] = "x" * 60_000
    save(folder / "turned.jpg", Image.fromarray(pixels(0, 58)), exif=exif, icc_profile=bytes(500_000))
    (folder / "damaged-exif.jpg").write_bytes(encoded(pixels(0, 59), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f"))
    (folder / "it is a png.jpg").write_bytes(encoded(pixels(0, 60)))
    (folder / "LOUD.JPG").write_bytes(encoded(pixels(0, 61), "JPEG"))
    (folder / "new\nline and \t tab.png").write_bytes(encoded(pixels(0, 62)))
    (folder / "写真 🐈 ñ.png").write_bytes(encoded(pixels(0, 63)))
    (folder / "-dash'quote\".png").write_bytes(encoded(pixels(0, 64)))
    (folder / ("x" * 250 + ".png")).write_bytes(encoded(pixels(0, 65)))
    save(folder / "one-pixel.png", Image.new("RGB", (1, 1), "red"))
    save(folder / "ribbon.png", Image.new("RGB", (900, 2), "red"))
    save(folder / "web.webp", Image.fromarray(pixels(0, 66)))
    return sorted(path.name for path in set(folder.iterdir()) - before)


def test_pictures_and_names(pervade, photos: Path, workplace: Path) -> None:
    names = odd_pictures(photos / "cat")
    outcome = pervade("train", photos, *SMALL, "--name", "one", "--on-bad-file", "fail")
    assert outcome.status == 0, outcome.err
    stored = json.loads((workplace / "runs" / "one" / "data.json").read_text())
    assert {f"cat/{name}" for name in names} <= set(stored["columns"]["id"])
    predicted = pervade("predict", workplace / "runs" / "one", photos / "cat", "--json")
    assert predicted.status == 0
    rows = [json.loads(line) for line in predicted.out.splitlines()]
    assert {row["input"] for row in rows if row["error"] is None} == {str(path) for path in (photos / "cat").iterdir()}


@pytest.mark.parametrize(
    "classes",
    [("katze", "größe"), ("ねこ", "いぬ"), ("two\nlines", "one"), ("a b", "c'd\"e"), ("<b>", "{{x}}"), ("10", "2")],
)
def test_names_of_classes(classes: tuple[str, str], pervade, tmp_path: Path, workplace: Path) -> None:
    data = class_folders(tmp_path / "photos", classes)
    outcome = pervade("train", data, *SMALL, "--name", "one")
    assert outcome.status == 0, outcome.err
    predicted = pervade("predict", "one", data, "--json", "--top", 2)
    row = json.loads(predicted.out.splitlines()[0])
    assert {each["label"] for each in row["top"]} == set(classes)


def test_one_class_in_two_spellings(pervade, tmp_path: Path, workplace: Path) -> None:
    """macOS writes é as e and an accent."""
    class_folders(tmp_path / "photos" / "train", ("cafe\u0301", "tea"), count=5)
    class_folders(tmp_path / "photos" / "test", ("caf\u00e9", "tea"), count=2)
    outcome = pervade("train", tmp_path / "photos", *SMALL, "--name", "one")
    assert outcome.status == 0, outcome.err
    stored = json.loads((workplace / "runs" / "one" / "data.json").read_text())
    assert set(stored["columns"]["target"]) == {"caf\u00e9", "tea"}


def test_every_way_to_name_a_folder(pervade, photos: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "link").symlink_to(photos)
    (tmp_path / ".hidden").symlink_to(photos)
    monkeypatch.chdir(photos)
    runs = tmp_path / "runs"
    for number, data in enumerate([f"{photos}/", ".", tmp_path / "link", tmp_path / ".hidden", "../photos"]):
        outcome = pervade("train", data, *SMALL, "--runs", runs)
        assert outcome.status == 0, outcome.err
        assert len(list(runs.iterdir())) == number + 1
        # Names can be given on a command line again: no dot, no dash in front.
        assert all(each.name[0].isalpha() for each in runs.iterdir())


def test_runs_inside_the_data_folder(pervade, photos: Path, monkeypatch) -> None:
    """`cd photos; pervade train .` puts runs/ beside the class folders; the next time it is no class."""
    monkeypatch.chdir(photos)
    for name in ("one", "two"):
        class_folders(photos / "runs" / "zero" / "media")
        (photos / "runs" / "zero" / "recipe.yaml").touch()
        outcome = pervade("train", ".", *SMALL, "--name", name)
        assert outcome.status == 0, outcome.err
    stored = json.loads((photos / "runs" / "two" / "data.json").read_text())
    assert set(stored["columns"]["target"]) == {"cat", "dog"}


def test_a_table(pervade, photos: Path, workplace: Path) -> None:
    lines = [f"{name}/{seed}.png,{name}" for name in ("cat", "dog") for seed in range(8)]
    (photos / "labels.csv").write_text("\n".join(["image,label", *lines]))
    outcome = pervade("train", photos / "labels.csv", *SMALL, "--name", "one")
    assert outcome.status == 0, outcome.err
    assert json.loads((workplace / "runs" / "one" / "data.json").read_text())["rows"] == 16
