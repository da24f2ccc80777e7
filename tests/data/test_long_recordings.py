"""What is long is gone through piece by piece and read by windows: the same samples, in memory that does not grow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pervade.core.errors import DataError
from pervade.core.types import Rows
from pervade.data.sound import recordings, sound_files
from pervade.data.sound.sound_files import Long
from pervade.domains.sound import Sound
from pervade.domains.transcripts import Transcripts

soundfile = pytest.importorskip("soundfile")


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Five seconds of noise below 2 kHz, 16,000 samples a second, as FLAC."""
    noise = np.random.default_rng(0).standard_normal(80_000)
    smooth = np.convolve(noise, np.hanning(33) / np.hanning(33).sum(), "same")
    path = tmp_path / "long.flac"
    soundfile.write(path, 0.5 * smooth / np.abs(smooth).max(), 16_000, subtype="PCM_16")
    return str(path)


def decoded(file: str, rate: int, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, Long]:
    whole = sound_files.decode(file, rate)
    monkeypatch.setattr(sound_files, "MOST", 10_000)
    long = sound_files.decode(file, rate)
    assert isinstance(long, Long)
    assert isinstance(whole, np.ndarray)
    assert len(long) == len(whole)
    return whole, long


@pytest.mark.parametrize(("rate", "apart"), [(16_000, 0), (8_000, 1), (11_025, 1)])
def test_a_part_is_what_stands_there(file: str, rate: int, apart: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the rate kept to the bit; changed, to the last digit of 16 bits."""
    whole, long = decoded(file, rate, monkeypatch)
    for start, stop in ((0, 5000), (7_001, 19_999), (len(whole) - 3000, len(whole) + 50)):
        part = long[start:stop]
        assert part.dtype == np.int16
        assert len(part) == len(whole[start:stop])
        assert np.abs(part.astype(int) - whole[start:stop]).max() <= apart


def test_what_goes_beyond_full_scale_is_scaled_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The peak, 2.0, stands at the end, and the beginning is scaled by it."""
    wave = np.full(40_000, 0.5, np.float32)
    wave[-1] = 2.0
    soundfile.write(tmp_path / "loud.wav", wave, 16_000, subtype="FLOAT")
    whole, long = decoded(str(tmp_path / "loud.wav"), 16_000, monkeypatch)
    assert set(long[:100].tolist()) == {round(0.25 * 32767)}
    assert np.array_equal(long[:], whole)


@pytest.mark.parametrize("keep", [True, False])
def test_windows_of_a_long_recording_are_those_of_a_short_one(
    keep: bool, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the cache, which keeps where it is, as without one; evaluated and trained on."""
    domain = Sound(rate=16_000, seconds=0.5, windows=3, noise=0.0, labels=("a", "b"), counts=(1, 1), rows=2)
    found = []
    for most in (1 << 27, 10_000):
        monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / f"cache-{most}"))
        monkeypatch.setattr(sound_files, "MOST", most)
        rows = Rows({"id": ["x"], "path": [file], "target": ["a"]})
        for _ in range(2):  # built, and read again
            prepared, left_out = domain.prepare(rows, lambda done, total: None, keep=keep)
        assert not left_out
        assert isinstance(recordings.samples(prepared[0], 16_000), Long) == (most == 10_000)
        random = np.random.default_rng(1)
        examples = [*domain.transform(prepared[0], None), *domain.transform(prepared[0], random)]
        found.append([each["input"] for each in examples])
    assert len(found[0]) == 4
    for short, long in zip(*found, strict=True):
        np.testing.assert_array_equal(short, long)


def test_what_is_needed_whole_and_too_long_is_left_out(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sound_files, "MOST", 10_000)
    rows = Rows({"id": ["x"], "path": [file]})
    chunks = Transcripts(chunk=1.0, overlap=0.3, alphabet=("", "a"))
    prepared, left_out = chunks.prepare(rows, lambda done, total: None, keep=False)
    assert not left_out
    assert len(chunks.transform(prepared[0], None)) > 5
    monkeypatch.setattr(sound_files, "MOST_WHOLE", 57_600)
    _, left_out = chunks.prepare(rows, lambda done, total: None, keep=False)
    assert [each.reason for each in left_out] == [
        "it is 0.0 h long, and up to 0.0 h are read as one; cut it into parts"
    ]
    with pytest.raises(DataError, match="cut it into parts"):
        recordings.samples(prepared[0], 16_000)[:]
    Path(file).unlink()
    with pytest.raises(DataError, match="cannot be read any more"):
        recordings.samples(prepared[0], 16_000)[:100]
