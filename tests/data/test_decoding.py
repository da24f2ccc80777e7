"""Pixels out of files, against pictures made by hand."""

from __future__ import annotations

import importlib.util
import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from pervade.data.image import pictures
from pervade.data.image.pictures import PictureFault, decode
from tests.data.drawing import encoded, pixels


def saved(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return buffer.getvalue()


def test_pixels_come_through_unchanged() -> None:
    picture = pixels(0, 1, 16)
    for kind in ("PNG", "BMP", "TIFF", "PPM", "TGA"):
        assert np.array_equal(decode(encoded(picture, kind), 16, 3), picture)


def test_sixteen_bit() -> None:
    """As numbers; what has no learnt range goes from 0 to 65,535: v / 257, rounded."""
    values = np.array([[0, 128, 129, 257], [32767, 32768, 65406, 65535]] * 2, dtype=np.uint16)
    expected = np.array([[0, 0, 1, 1], [127, 128, 254, 255]] * 2, dtype=np.uint8)
    for kind in ("PNG", "TIFF"):
        made = decode(saved(Image.fromarray(values), kind), 4, 3)
        assert made.dtype == np.float32
        assert np.array_equal(made[:, :, 0], values)
        assert np.array_equal(pictures.grey(made, None, 1)[:, :, 0], expected)
        assert np.array_equal(pictures.grey(made, None, 3), np.stack([expected] * 3, 2))


@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.int32, np.float32])
def test_numbers_of_every_kind_stay_as_they_are(kind: type) -> None:
    """Signed and floating TIFFs, written by hand, since Pillow does not write all of them."""
    values = np.array([[3, 0], [7, 1000]], dtype=kind)
    if np.dtype(kind).kind != "u":
        values[0, 0] = -3
    assert np.array_equal(decode(tiff(values), 2, 3)[:, :, 0], values)


def tiff(values: np.ndarray) -> bytes:
    """One strip, uncompressed, little end first (TIFF 6.0)."""
    height, width = values.shape
    bits, form = 8 * values.itemsize, {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, 1), (273, 8), (277, 1), (278, height)]
    tags += [(279, values.nbytes), (339, form)]
    data = values.tobytes()
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, -3.4e38])
def test_pixels_that_are_no_numbers_are_refused(wrong: float) -> None:
    values = np.array([[0.0, 0.5, 1.0], [1.0, 2.0, wrong]], dtype=np.float32)
    with pytest.raises(PictureFault, match=r"no numbers \(NaN, .*\), the first in row 2, column 3"):
        decode(saved(Image.fromarray(values), "TIFF"), 2, 1)


def test_numbers_become_grey_by_one_range() -> None:
    values = np.array([[[-5.0], [0.0]], [[10.0], [30.0]]], dtype=np.float32)
    assert pictures.grey(values, (0.0, 20.0), 1)[:, :, 0].tolist() == [[0, 0], [128, 255]]
    assert pictures.grey(values, (7.0, 7.0), 3).tolist() == np.zeros((2, 2, 3)).tolist()  # all of one value
    assert pictures.grey(values / 30, None, 1)[:, :, 0].tolist() == [[0, 0], [85, 255]]


def test_the_range_of_many_pictures() -> None:
    spread = pictures.spread
    assert spread([(3.0, 9.0)]) == (3.0, 9.0)
    assert spread([(0, 10), (-5, 8), (2, 12)]) == (-5.0, 12.0)
    assert spread([(0, 10)] * 9 + [(-9, 20)]) == (-9.0, 20.0)  # wider, but not twice as wide at one end
    assert spread([(0, 10)] * 9 + [(-9999, 12)]) == (0.0, 12.0)
    assert spread([(0, 10)] * 98 + [(0, 1e6)] * 2) == (0.0, 1e6)  # two of a hundred are no accident
    assert spread([(7, 7)] * 20) == (7.0, 7.0)


def test_what_is_not_read_says_what_to_do() -> None:
    with pytest.raises(PictureFault, match="DICOM is not read; write its pixels to a 16-bit PNG or TIFF"):
        decode(bytes(128) + b"DICM" + bytes(50), 8, 3)
    with pytest.raises(PictureFault, match=r"numbers of 64 bits.*; write it with one band of 16 or 32 bits"):
        decode(tiff(np.eye(2)), 2, 3)
    broken = saved(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF")
    with pytest.raises(PictureFault, match="damaged"):
        decode(broken[: len(broken) // 2], 8, 3)


def test_colours_of_twelve_bits_are_refused_and_those_of_sixteen_read() -> None:
    """A PNG by hand (RGB, 16 bits), since Pillow writes none: 60,000 is 234 in the upper 8 bits."""
    assert (decode(png_of_sixteen_bits(60_000), 4, 3) == 234).all()
    assert (decode(png_of_sixteen_bits(0), 4, 3) == 0).all()
    with pytest.raises(PictureFault, match=r"12 bits or fewer in 16.*; write it with 8 bits"):
        decode(png_of_sixteen_bits(4095), 4, 3)


def png_of_sixteen_bits(value: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    lines = (b"\0" + struct.pack(">H", value) * 12) * 4
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def test_heic_is_read_by_the_extra_or_names_it() -> None:
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
    there = importlib.util.find_spec("pillow_heif") is not None
    expected = (
        "damaged|not a picture" if there else r"HEIC needs the package pillow-heif; pip install 'pervade\[files\]'"
    )
    with pytest.raises(PictureFault, match=expected):
        decode(data, 8, 3)


def test_heic() -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra pervade[files] is not installed")
    made, file = pillow_heif.from_pillow(Image.new("RGB", (64, 48), (200, 30, 90))), io.BytesIO()
    made.save(file, quality=95)
    pixels = decode(file.getvalue(), 48, 3)
    assert pixels.shape == (48, 64, 3)
    assert np.abs(pixels.astype(int) - (200, 30, 90)).max() <= 6


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
def test_avif() -> None:
    made = decode(saved(Image.new("RGB", (16, 12), (200, 30, 90)), "AVIF"), 12, 3)
    assert made.shape == (12, 16, 3)
    assert np.abs(made.astype(int) - (200, 30, 90)).max() <= 4


def test_palette_with_transparency_lies_on_white() -> None:
    picture = Image.new("P", (2, 2))
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255] + [0] * 759)
    picture.putdata([0, 1, 2, 1])
    made = decode(saved(picture, transparency=1), 2, 3)
    assert made.tolist() == [[[255, 0, 0], [255, 255, 255]], [[0, 0, 255], [255, 255, 255]]]


def test_alpha_lies_on_white() -> None:
    colours = np.array([[[255, 0, 0, 255], [255, 0, 0, 0]], [[0, 0, 0, 51], [9, 9, 9, 255]]], dtype=np.uint8)
    made = decode(saved(Image.fromarray(colours)), 2, 3)
    assert made.tolist() == [[[255, 0, 0], [255, 255, 255]], [[204, 204, 204], [9, 9, 9]]]
    grey = np.array([[[10, 255], [10, 0]], [[0, 51], [255, 255]]], dtype=np.uint8)
    assert decode(saved(Image.fromarray(grey)), 2, 1)[:, :, 0].tolist() == [[10, 255], [204, 255]]


def test_turned_as_exif_says() -> None:
    """Orientation 6: the camera was turned right, so the picture's top is the left column of what was stored."""
    stored = np.arange(8, dtype=np.uint8).reshape(2, 4) * 30
    exif = Image.Exif()
    exif[0x0112] = 6
    made = decode(saved(Image.fromarray(stored), "PNG", exif=exif), 2, 1)[:, :, 0]
    assert np.array_equal(made, np.rot90(stored, -1))


def test_damaged_exif_does_not_matter() -> None:
    data = encoded(pixels(0, 2, 16), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert np.array_equal(decode(data, 16, 3), decode(encoded(pixels(0, 2, 16), "JPEG"), 16, 3))


def test_cmyk() -> None:
    """No ink is white, cyan takes away red, black takes away all."""
    inks = [((0, 0, 0, 0), (255, 255, 255)), ((255, 0, 0, 0), (0, 255, 255)), ((0, 0, 0, 255), (0, 0, 0))]
    for ink, colour in inks:
        for kind in ("TIFF", "JPEG"):
            made = decode(saved(Image.new("CMYK", (8, 8), ink), kind), 8, 3)
            assert np.abs(made.astype(int) - colour).max() <= 2


def test_grey_to_colour_and_back() -> None:
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4) * 16
    assert np.array_equal(decode(encoded(grey), 4, 3), np.stack([grey] * 3, 2))
    assert np.array_equal(decode(encoded(np.stack([grey] * 3, 2)), 4, 1)[:, :, 0], grey)
    bits = Image.fromarray(np.eye(4, dtype=bool))
    assert np.array_equal(decode(saved(bits), 4, 1)[:, :, 0], np.eye(4, dtype=np.uint8) * 255)


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "PNG", "WEBP"):
        settings = {"lossless": True} if kind == "WEBP" else {}
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **settings)
        assert decode(data, 4, 3)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1, 1), (8, 8)),
        ((1, 1000), (506, 1)),  # longer than four times its width: all of it, as many pixels as 32 x 8
        ((1000, 1), (1, 506)),
        ((100, 25), (8, 32)),
        ((2000, 100), (4, 72)),
        ((30, 20), (8, 12)),
        ((4000, 3000), (8, 11)),
    ],
)
def test_sizes(size: tuple[int, int], expected: tuple[int, int]) -> None:
    made = decode(saved(Image.new("RGB", size, (10, 200, 30))), 8, 3)
    assert made.shape == (*expected, 3)
    assert (made == (10, 200, 30)).all()


def test_ribbon_is_kept_whole_until_its_middle_is_asked_for() -> None:
    ribbon = np.zeros((2, 100, 3), dtype=np.uint8)
    ribbon[:, 46:54] = 200
    whole = decode(encoded(ribbon), 2, 3)
    assert whole.shape == (1, 28, 3)
    assert 0 < whole.mean() < 40
    assert (np.asarray(pictures.shorter(Image.fromarray(ribbon), 2, 4)) == 200).all()


def test_large_jpeg_is_decoded_smaller_but_alike() -> None:
    """Decoding at a fraction of the size (draft) gives what scaling the whole gives, nearly."""
    ramp = np.linspace(0, 255, 640).astype(np.uint8)
    picture = np.stack([np.tile(ramp, (480, 1))] * 3, 2)
    made = decode(encoded(picture, "JPEG", quality=95), 32, 3).astype(int)
    whole = np.asarray(Image.fromarray(picture).resize((43, 32), Image.Resampling.BILINEAR), dtype=int)
    assert np.abs(made - whole).max() <= 4


def test_suffix_does_not_matter_but_kind_does() -> None:
    with pytest.raises(PictureFault, match="this is not a picture"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 8, 3)
    with pytest.raises(PictureFault, match=r"empty \(0 bytes\)"):
        decode(b"", 8, 3)


KINDS = [encoded(pixels(0, 3), kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "TGA", "ICO")]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(KINDS), st.data())
def test_damage_is_a_fault_in_words_never_another_error(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    for place, value in draw.draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=6)):
        damaged[place] = value
    damaged = damaged[: draw.draw(st.integers(0, len(data)))]
    try:
        made = decode(bytes(damaged), 8, 3)
    except PictureFault as fault:
        assert str(fault)
    else:
        short, long = sorted(made.shape[:2])
        assert short == 8 or long > 4 * short  # damage may make a picture longer than four times its width


def test_threads_leave_the_filters_of_warnings_alone() -> None:
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [decode(KINDS[0], 8, 3) for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before
