"""Small files that hold much."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pervade.serve import limits
from pervade.serve.faults import Fault
from pervade.serve.served import Field, Given
from pervade.serve.settings import Settings

SETTINGS = Settings(max_pixels=10_000, max_seconds=2.0, max_text=100, max_inputs=3)


def refused(kind: str, content: bytes | str, settings: Settings = SETTINGS) -> str:
    with pytest.raises(Fault) as told:
        limits.require([Given("x.png", {"input": content})], [Field("input", kind, "Input")], settings)
    assert told.value.status == 413
    return told.value.sentence


def passes(kind: str, content: bytes | str) -> None:
    limits.require([Given("x.png", {"input": content})], [Field("input", kind, "Input")], SETTINGS)


def picture(width: int, height: int, form: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.new("L", (width, height)).save(data, form)
    return data.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG whose head promises so many pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
def test_pixels(form: str) -> None:
    passes("picture", picture(100, 100, form))
    assert "101 x 100 pixels" in refused("picture", picture(101, 100, form))


@pytest.mark.parametrize("side", [10_000, 20_000, 60_000, 2_000_000_000])
def test_a_decompression_bomb(side: int) -> None:
    told = refused("picture", bomb(side, side), replace(SETTINGS, max_pixels=50_000_000))
    assert "50,000,000" in told
    assert "smaller" in told


def test_what_is_damaged_is_left_to_the_reader() -> None:
    for content in (b"", b"no picture", picture(10, 10)[:40]):
        passes("picture", content)
        passes("sound", content)


def sound(seconds: float, rate: int, channels: int, form: str) -> bytes:
    import soundfile

    data = io.BytesIO()
    soundfile.write(data, np.zeros((int(seconds * rate), channels), np.float32), rate, format=form)
    return data.getvalue()


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
def test_seconds(form: str) -> None:
    passes("sound", sound(1.5, 16_000, 1, form))
    assert "3 s long, and 2 s" in refused("sound", sound(3, 16_000, 1, form))


def test_samples_of_many_channels() -> None:
    assert "768,000 samples" in refused("sound", sound(0.5, 192_000, 8, "FLAC"))


def test_characters() -> None:
    passes("text", "x" * 100)
    assert "101 characters" in refused("text", "x" * 101)
    assert "101 characters" in refused("file", b"x" * 101)
    assert "101 characters" in refused("picture", "x" * 101)  # a text where a file is meant


def test_inputs() -> None:
    given = [Given(str(number), {"input": "x"}) for number in range(4)]
    with pytest.raises(Fault, match="4 inputs"):
        limits.require(given, [Field("input", "text", "Text")], SETTINGS)
