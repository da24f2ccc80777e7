"""From sound files of every kind to samples at one rate, and in plain words what is wrong with others."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pervade.data.sound import player, sound_files
from pervade.data.sound.sound_files import SoundFault, clipped, decode, silent
from tests.data.sounds import strongest, tone, write

KINDS = {
    "u8.wav": "PCM_U8",
    "s16.wav": "PCM_16",
    "s24.wav": "PCM_24",
    "s32.wav": "PCM_32",
    "float.wav": "FLOAT",
    "double.wav": "DOUBLE",
    "ulaw.wav": "ULAW",
    "a.flac": None,
    "a.ogg": None,
    "a.mp3": None,
    "a.aiff": None,
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, tone(440, 1.0, 16_000), 16_000, KINDS[name])
    samples = decode(str(path), 8000)
    assert samples.dtype == np.int16
    assert len(samples) == 8000
    assert strongest(samples[1000:7000], 8000) == pytest.approx(440, abs=2)
    assert np.abs(samples.astype(int)).max() / 32767 == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("rate", [1000, 8000, 11_025, 44_100, 192_000])
def test_every_rate(rate: int, tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(200, 1.0, rate), rate)
    samples = decode(str(path), 16_000)
    assert len(samples) == pytest.approx(16_000, abs=2)
    assert strongest(samples[2000:14_000], 16_000) == pytest.approx(200, abs=2)


def test_what_lies_above_half_the_rate_is_not_folded_back(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(6000, 1.0, 48_000), 48_000)
    assert np.abs(decode(str(path), 8000)[500:-500].astype(int)).max() < 20


def test_in_pieces_as_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (30_000, 2)).astype(np.float32)
    path = write(tmp_path / "a.wav", noise, 44_100)
    whole = decode(str(path), 16_000)
    monkeypatch.setattr(sound_files, "BLOCK", 5000)
    np.testing.assert_array_equal(decode(str(path), 16_000), whole)


def test_a_long_file_is_not_copied_over_and_over(tmp_path: Path) -> None:
    """Its samples as floats (4 bytes) and as what is kept (2), and no third time."""
    write(tmp_path / "long.wav", tone(440, 600.0))
    tracemalloc.start()
    found = decode(str(tmp_path / "long.wav"), 8000)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 4_800_000 and most < 8 * len(found)


def test_channels_are_averaged(tmp_path: Path) -> None:
    forty = np.stack([tone(440, 0.1, loud=0.01 * place) for place in range(40)], 1)
    samples = decode(str(write(tmp_path / "a.wav", forty)), 8000)
    expected = forty.mean(1) * 32767
    np.testing.assert_allclose(samples, expected, atol=2.0)  # of 16 bits in every channel


def test_float_beyond_full_scale_is_scaled_down(tmp_path: Path) -> None:
    large = decode(str(write(tmp_path / "a.wav", 30_000 * tone(440), kind="FLOAT")), 8000)
    small = decode(str(write(tmp_path / "b.wav", tone(440, loud=1.0), kind="FLOAT")), 8000)
    np.testing.assert_allclose(large, small, atol=1)


def changed(data: bytes, length: int) -> bytes:
    """A wav file whose header says another length of its samples."""
    place = data.index(b"data") + 4
    return data[:place] + struct.pack("<I", length) + data[place + 4 :]


def with_value(value: float) -> Callable[[Path], bytes]:
    def made(folder: Path) -> bytes:
        wave = tone(440)
        wave[800] = value
        return write(folder / "made.wav", wave, kind="FLOAT").read_bytes()

    return made


def plain(folder: Path, name: str = "made.wav") -> bytes:
    return write(folder / name, tone(440, 1.0)).read_bytes()


BAD: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "empty.wav": (lambda _: b"", "the file is empty (0 bytes)"),
    "words.wav": (lambda _: b"Dear reader, this is a letter.", "this is not a sound file"),
    "none.wav": (lambda f: write(f / "made.wav", tone(440)[:0]).read_bytes(), "it holds no sound (0 samples)"),
    "header.wav": (lambda f: plain(f)[:40], "its header is there, and no sound follows"),
    "cut.wav": (lambda f: plain(f)[: 44 + 8000], "its header promises 1.00 s, and 0.50 s are there"),
    "cut.flac": (lambda f: plain(f, "made.flac")[:2000], "damaged or cut off"),
    "cut.ogg": (lambda f: plain(f, "made.ogg")[:2000], "damaged or cut off"),
    "cut.aiff": (lambda f: plain(f, "made.aiff")[:9000], "cut off: its header promises 16,054 bytes, not 9,000"),
    "cut.mp3": (lambda f: plain(f, "made.mp3")[:1500], "cut off: it promises"),
    "long.wav": (lambda f: changed(plain(f), 160_000), "its header promises 10.00 s, and 1.00 s are there"),
    "short.wav": (lambda f: changed(plain(f), 1600), "its header speaks of 0.10 s, and 1.00 s are there"),
    "nothing.wav": (lambda f: changed(plain(f), 0), "its header speaks of 0.00 s, and 1.00 s are there"),
    "nan.wav": (with_value(np.nan), "no numbers (NaN or infinite), the first at 0.10 s"),
    "infinite.wav": (with_value(np.inf), "no numbers (NaN or infinite), the first at 0.10 s"),
    "slow.wav": (lambda f: write(f / "made.wav", tone(10, 2, 500), 500).read_bytes(), "it has 500 samples a second"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used(name: str, tmp_path: Path) -> None:
    make, reason = BAD[name]
    data = make(tmp_path)
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(SoundFault) as fault:
        decode(str(path), 8000)
    assert reason in str(fault.value)
    assert "\n" not in str(fault.value)


def test_a_length_that_was_not_known_when_it_was_written(tmp_path: Path) -> None:
    """As programs write that write into a pipe."""
    path = tmp_path / "pipe.wav"
    path.write_bytes(changed(plain(tmp_path), 0xFFFFFFFF))
    assert len(decode(str(path), 8000)) == 8000


def test_notes_behind_the_samples_are_no_sound(tmp_path: Path) -> None:
    path = tmp_path / "notes.wav"
    path.write_bytes(plain(tmp_path) + b"LIST" + struct.pack("<I", 5000) + bytes(5000))
    assert len(decode(str(path), 8000)) == 8000


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        decode(str(tmp_path / "gone.wav"), 8000)


def test_silence_and_overload() -> None:
    loud = (32767 * np.clip(4 * tone(440), -1, 1)).astype(np.int16)
    usual = (32767 * tone(440)).astype(np.int16)
    assert [silent(each) for each in (np.zeros(9, np.int16), usual)] == [True, False]
    assert [clipped(each) for each in (loud, usual)] == [True, False]


def test_overload_is_heard_at_another_rate_too(tmp_path: Path) -> None:
    loud = np.clip(4 * tone(440, 1.0, 44_100), -1, 1)
    assert clipped(decode(str(write(tmp_path / "a.wav", loud, 44_100)), 16_000))


def test_a_wav_to_listen_to(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(player.wav(tone(440), 8000))
    wave, rate = soundfile.read(path, dtype="float32")
    assert rate == 8000
    np.testing.assert_allclose(wave, tone(440), atol=1e-4)
