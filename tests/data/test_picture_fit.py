"""What of a picture is seen, and what pictures of numbers become: settled on the training split, and said."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from pervade.core import spec
from pervade.core.contracts import Domain
from pervade.core.errors import ConfigError, DataError
from pervade.core.types import LeftOut, Rows
from pervade.data.read import account
from pervade.data.rows import cache
from pervade.domains.image import Image
from tests.asking import asked
from tests.data.drawing import class_folders, encoded

Draw = Callable[[int, int], np.ndarray]  # of class and number


def folder(root: Path, draw: Draw, kind: str = "PNG", count: int = 4) -> Path:
    for number, name in enumerate("ab"):
        (root / name).mkdir(parents=True, exist_ok=True)
        for each in range(count):
            (root / name / f"{each}.{kind.lower()}").write_bytes(encoded(draw(number, each), kind))
    return root


def prepared(root: Path, domain: Image) -> tuple[Rows, list[LeftOut]]:
    rows, left_out = domain.read(root)
    rows, unreadable = domain.prepare(rows, lambda done, total: None)
    return rows, left_out + unreadable


def told(rows: Rows, domain: Image) -> list[str]:
    with account.gathered() as notes:
        domain.describe(rows)
    return notes


def strip(number: int, each: int) -> np.ndarray:
    """64 x 16, black; a white square at its right end tells class 1."""
    picture = np.full((16, 64, 3), each, np.uint8)
    picture[4:12, 52:60] = 255 * number
    return picture


# numbers


@pytest.mark.parametrize(
    ("kind", "suffix", "low", "step"),
    [(np.uint16, "PNG", 1000, 100), (np.float32, "TIFF", -0.5, 0.1), (np.int32, "TIFF", -600, 400)],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_numbers_keep_their_contrast(
    kind: type, suffix: str, low: float, step: float, channels: int, tmp_path: Path
) -> None:
    """A picture of class a has one value, one of b stripes, 0 to 3 steps higher: 3 steps are all there is."""
    draw = lambda number, each: (low + step * number * (np.indices((8, 8))[0] % 4)).astype(kind)  # noqa: E731
    rows, left_out = prepared(folder(tmp_path, draw, suffix), Image(size=8, margin=1.0, channels=channels))
    assert left_out == []
    domain = Image(size=8, margin=1.0, channels=channels).fit(rows)
    assert domain.range == pytest.approx((low, low + 3 * step))
    seen = [domain.transform(row, None)[0]["input"] for row in rows]
    assert all((each == 0).all() for each in seen[:4])
    expected = np.broadcast_to(85 * (np.arange(8) % 4)[:, None, None], (8, 8, channels))
    assert all(each.dtype == np.uint8 and np.array_equal(each, expected) for each in seen[4:])
    assert domain.mean == pytest.approx((0.25,) * channels, abs=1e-5)  # half of the pictures have 0.5, the others 0
    again: Image = spec.decode(json.loads(json.dumps(spec.encode(domain))), Domain)
    assert again == domain
    bare = {name: value for name, value in rows[5].items() if name != "pixels"}  # as where the cache has no room
    assert np.array_equal(again.transform(bare, None)[0]["input"], seen[5])
    (line, _) = told(rows, Image(size=8, margin=1.0, channels=channels))
    assert line == (
        f"8 of 8 training pictures hold numbers of more than 8 bits: {low:g} and less becomes black, "
        f"{low + 3 * step:g} and more white (-o domain.range=[LOW,HIGH])"
    )


def test_the_range_is_of_the_training_rows_alone(tmp_path: Path) -> None:
    draw = lambda number, each: np.full((8, 8), 100 * each, np.uint16)  # noqa: E731
    rows, _ = prepared(folder(tmp_path, draw), Image(size=8, margin=1.0))
    domain = Image(size=8, margin=1.0).fit(rows.select([0, 1, 2, 4, 5, 6]))
    assert domain.range == (0.0, 200.0)
    assert (domain.transform(rows[3], None)[0]["input"] == 255).all()  # 300, clipped
    given = Image(size=8, margin=1.0, range=(0.0, 600.0)).fit(rows)
    assert given.range == (0.0, 600.0)
    assert (given.transform(rows[3], None)[0]["input"] == 128).all()
    with pytest.raises(ConfigError, match="range goes from 5 down to 1"):
        Image(range=(5.0, 1.0))


def test_eight_bits_stay_as_they_are_beside_numbers(tmp_path: Path) -> None:
    draw = lambda number, each: np.full((8, 8), (7, 4000)[number] + each, (np.uint8, np.uint16)[number])  # noqa: E731
    domain = Image(size=8, margin=1.0, channels=1)
    rows, _ = prepared(folder(tmp_path, draw), domain)
    assert "4 of 8 training pictures" in told(rows, domain)[0]
    assert "4 others have 8 bits and stay as they are" in told(rows, domain)[0]
    fitted = domain.fit(rows)
    assert fitted.range == (4000.0, 4003.0)
    seen = [int(fitted.transform(row, None)[0]["input"][0, 0, 0]) for row in rows]
    assert seen == [7, 8, 9, 10, 0, 85, 170, 255]


def test_pictures_of_one_number_and_of_none(tmp_path: Path) -> None:
    values = np.full((8, 8), -3.5, np.float32)
    rows, _ = prepared(folder(tmp_path / "flat", lambda number, each: values + 0 * each, "TIFF"), Image(size=8))
    fitted = Image(size=8).fit(rows)
    assert fitted.range == (-3.5, -3.5)
    assert (fitted.transform(rows[0], None)[0]["input"] == 0).all()
    bad = folder(tmp_path / "bad", lambda number, each: values + each, "TIFF")
    (bad / "a" / "0.tiff").write_bytes(encoded(np.where(np.eye(8, dtype=bool), np.nan, values), "TIFF"))
    _, left_out = prepared(bad, Image(size=8))
    assert [each.source for each in left_out] == ["a/0.tiff"]
    assert "no numbers (NaN" in left_out[0].reason


def test_new_pictures_of_another_range_are_clipped_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.warn.cache_clear()
    known = Image(size=8, margin=1.0, range=(0.0, 100.0), mean=(0.5,) * 3)
    paths = []
    for name, value in (("in", 50), ("out", 5000)):
        paths.append(tmp_path / f"{name}.png")
        paths[-1].write_bytes(encoded(np.full((8, 8), value, np.uint16)))
    rows, _ = known.prepare(asked(known, paths)[0], lambda done, total: None, keep=False)
    assert [int(known.transform(row, None)[0]["input"].max()) for row in rows] == [128, 255]
    assert [each.levelno for each in caplog.records] == [logging.WARNING]
    assert "are in 1 of 2 pictures: 0 to 100 is known, and what lies beyond is clipped" in caplog.text
    assert "out.png, has 5000 to 5000" in caplog.text
    other = replace(known, range=None)
    other.prepare(asked(other, paths)[0], lambda done, total: None, keep=False)
    assert "has learnt from pictures of 8 bits alone" in caplog.text


# what is seen


def test_square_pictures_are_seen_as_ever(tmp_path: Path) -> None:
    """The middle, with the margin around it left out; and the domain says so."""
    rows, _ = prepared(class_folders(tmp_path), Image(size=16))
    fitted = Image(size=16).fit(rows)
    assert fitted.framing == "crop"
    assert np.array_equal(fitted.transform(rows[0], None)[0]["input"], rows[0]["pixels"][1:17, 1:17])
    assert told(rows, Image(size=16)) == [
        "seen of a picture when it is judged: 79%, the middle square (-o domain.fit=crop|pad|squash|tiles)"
    ]


def test_long_ones_are_seen_whole(tmp_path: Path) -> None:
    rows, _ = prepared(folder(tmp_path, strip), Image(size=16))
    domain = Image(size=16).fit(rows)
    assert domain.framing == "pad"
    (line,) = told(rows, Image(size=16))
    assert line.startswith("seen of a picture when it is judged: 100%, padded to a square")
    pixels = domain.transform(rows[4], None)[0]["input"]
    assert pixels.shape == (16, 16, 3)
    fill = [round(255 * each) for each in domain.mean]
    assert (pixels[:6] == fill).all()
    assert (pixels[10:] == fill).all()  # a quarter of the height is the picture
    assert pixels[8, 13:15].min() > 180
    assert pixels[8, :12].max() < 20
    crop = Image(size=16, framing="crop").fit(rows)
    assert crop.transform(rows[4], None)[0]["input"].max() == 0  # the square lies outside of the middle
    (line,) = told(rows, Image(size=16, framing="crop"))
    assert "seen of a picture when it is judged: 20%, the middle square" in line


def test_squashed_and_in_tiles(tmp_path: Path) -> None:
    rows, _ = prepared(folder(tmp_path, strip), Image(size=16, framing="squash"))
    seen = Image(size=16, framing="squash").fit(rows).transform(rows[4], None)
    assert len(seen) == 1
    assert seen[0]["input"][5:11, 13:15].min() > 200
    tiles = Image(size=16, framing="tiles", views=2)
    rows, _ = prepared(tmp_path, tiles)
    seen = tiles.fit(rows).transform(rows[4], None)
    assert len(seen) == 2 * 7  # 64 pixels, 16 at once, by half of that
    assert [bool(each["input"].max() > 200) for each in seen] == [False] * 5 + [True] * 2 + [False] * 5 + [True] * 2
    assert all(each["input"].shape == (16, 16, 3) for each in seen)
    rng = np.random.default_rng(0)
    assert tiles.fit(rows).transform(rows[4], rng)[0]["input"].shape == (16, 16, 3)


@pytest.mark.parametrize("framing", ["crop", "pad", "squash", "tiles"])
@pytest.mark.parametrize("views", [1, 10])
@pytest.mark.parametrize("crop_area", [0.35, 1.0])
def test_strips_are_cut_to_size_by_every_way(framing: str, views: int, crop_area: float, tmp_path: Path) -> None:
    draw = lambda number, each: np.full((10, 200 + 200 * each, 3), 90, np.uint8)  # noqa: E731
    domain = Image(size=16, framing=framing, views=views, crop_area=crop_area, margin=1.0)  # type: ignore[arg-type]
    rows, _ = prepared(folder(tmp_path, draw, count=2), domain)
    fitted = domain.fit(rows)
    for row in rows:
        seen = [*fitted.transform(row, None), *fitted.transform(row, np.random.default_rng(1))]
        assert all(each["input"].shape == (16, 16, 3) for each in seen)
        assert all((each["input"] == 90).all() for each in seen)  # the mean, which fills what is padded, is 90 too
        assert len(seen) - 1 == (views if framing != "tiles" else {1: 20, 10: 40}[views])
    if framing == "tiles":  # 40:1 is twice as much as 20 squares; kept as 453 x 11 pixels
        assert "100% (of the one of which least is seen 49%)" in told(rows.select([0, 0, 1]), domain)[0]


def test_turned_as_exif_says_and_padded(tmp_path: Path) -> None:
    """A camera that stood upright: 64 x 16 stored, 16 x 64 seen, the white square at the bottom."""
    exif = Pillow.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.png").write_bytes(encoded(strip(1, 0), exif=exif))
    domain = Image(size=16, framing="pad", mean=(0.0,) * 3)
    rows, _ = domain.prepare(asked(domain, tmp_path / "a.png")[0], lambda done, total: None, keep=False)
    pixels = domain.transform(rows[0], None)[0]["input"]
    assert pixels[13:15, 7:9].min() > 180
    assert pixels[:12].max() < 20
    thumbnail = np.asarray(Pillow.open(io.BytesIO(domain.show(rows[0], None)[0].data)))  # type: ignore[arg-type]
    assert np.array_equal(thumbnail, pixels)


def test_a_setting_calls_it_fit() -> None:
    encoded_domain = spec.encode(Image())
    assert encoded_domain["fit"] is None
    assert "framing" not in encoded_domain
    changed: Image = spec.decode(spec.change({"domain": encoded_domain}, ["domain.fit=tiles"])["domain"], Domain)
    assert changed.framing == "tiles"
    with pytest.raises(ConfigError, match='"crop" or "pad" or "squash" or "tiles"'):
        spec.decode({**encoded_domain, "fit": "whole"}, Domain)


# masks


def test_masks_beside_pictures_are_said_and_left_out_on_request(tmp_path: Path) -> None:
    folder(tmp_path, lambda number, each: np.full((8, 8, 3), 10 * each + number, np.uint8))
    for each in range(3):
        (tmp_path / "b" / f"{each}.jpg").write_bytes(encoded(np.full((8, 8), 90 + each, np.uint8), "JPEG"))
    with account.gathered() as notes:
        rows, _ = Image(size=8).read(tmp_path)
    assert len(rows) == 11
    said = (
        "3 pictures (in b) stand beside others of the same name (.jpg and .png: masks or copies?), and all are learnt "
        "from (-o domain.suffix=.jpg)"
    )
    assert said in notes
    with account.gathered() as notes:
        rows, left_out = Image(size=8, suffix=".PNG").read(tmp_path)
    assert len(rows) == 8
    assert [(each.source, each.reason) for each in left_out] == [(f"b/{i}.jpg", "not one of .png") for i in range(3)]
    assert not [each for each in notes if "masks" in each]
    with pytest.raises(DataError, match=r"no picture's name ends in \.webp, as domain.suffix asks; the first is a/0"):
        Image(size=8, suffix="webp").read(tmp_path)


def test_without_room_in_the_cache_all_is_settled_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = lambda number, each: (np.indices((16, 64))[1] * (1 + number) + each).astype(np.uint16)  # noqa: E731
    domain = Image(size=16)
    monkeypatch.setenv("PERVADE_CACHE_GB", "0")
    rows, _ = prepared(folder(tmp_path, draw), domain)
    monkeypatch.setenv("PERVADE_CACHE_GB", "1")
    kept, _ = prepared(tmp_path, domain)
    assert "pixels" in kept
    assert "pixels" not in rows
    assert rows.column("shape") == kept.column("shape")
    assert domain.fit(rows) == domain.fit(kept)
    assert domain.fit(rows).framing == "pad"
    assert told(rows, domain) == told(kept, domain)
