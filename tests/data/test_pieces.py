"""Rows that are pieces of recordings, by columns of times: cut as they say, or refused with the reason."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pervade.core.errors import DataError
from pervade.core.types import LeftOut, Rows
from pervade.data.read import account, division, inputs
from pervade.data.rows import split
from pervade.data.sound import pieces, recordings, sound_files
from pervade.data.sound.sound_files import Long
from pervade.domains.sound import Sound
from pervade.domains.transcripts import Transcripts
from pervade.domains.waveform import Waveform
from tests.data.sounds import strongest, tone, write

RATE = 8000
LOW, HIGH = 300, 1500


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Recordings of two seconds: a low tone, then a high one."""
    for number in range(4):
        wave = np.concatenate([tone(LOW + number, 1.0), tone(HIGH + number, 1.0)])
        write(tmp_path / "said" / f"{number}.wav", wave)
    return tmp_path / "said"


def table(folder: Path, head: str, *lines: str) -> Path:
    (folder / "t.csv").write_text("\n".join([head, *lines]) + "\n")
    return folder / "t.csv"


def prepared(domain: Any, source: Any) -> tuple[Rows, list[LeftOut]]:
    rows, left_out = domain.read(source)
    rows, more = domain.prepare(rows, lambda done, total: None)
    return rows, [*left_out, *more]


@pytest.mark.parametrize(
    ("head", "first", "second"),
    [
        ("file,start,end,label", "0.0,1.0", "1.0,2.0"),
        ("file,Onset,Offset,label", "0,1", "1,2"),
        ("file,Begin Time (s),End Time (s),label", "0,1", "1,2.05"),  # a little beyond the end
        ("file,start_ms,end_ms,label", "0,1000", "1000,2000"),
        ("file,offset,duration,label", "0,1", "1,1"),
        ("file,start,end,label", ",0:01", "0:01,"),
        ("file,start,end,label", '"0,0","1,0"', "00:00:01,00:00:02"),
    ],
)
def test_each_row_is_the_piece_that_its_times_say(folder: Path, head: str, first: str, second: str) -> None:
    lines = [f"{i}.wav,{times},{label}" for i in range(4) for times, label in ((first, "low"), (second, "high"))]
    source = table(folder, head, *lines)
    with account.gathered() as notes:
        rows, left_out = prepared(Sound(rate=RATE), source)
    assert left_out == [] and len(rows) == 8
    assert "-o domain.times=false" in next(each for each in notes if each.startswith("pieces of recordings"))
    for row in rows:
        samples = recordings.samples(row, RATE)
        assert len(samples) == RATE and row["seconds"] == 1.0
        assert abs(strongest(np.asarray(samples[:]), RATE) - (LOW if row["target"] == "low" else HIGH)) < 5
        apart = {name: value for name, value in row.items() if name != "samples"}
        assert np.array_equal(recordings.samples(apart, RATE), samples)  # decoded anew
    assert len(set(rows.column("hash"))) == 8
    # A prediction hears what evaluation heard, and a recording is never divided.
    entries = [each for each in inputs.entries(Sound(rate=RATE), [source]) if not isinstance(each, LeftOut)]
    asked, _ = Sound(rate=RATE).prepare(division.rows(entries), lambda done, total: None, keep=False)
    for one, other in zip(asked.column("samples"), rows.column("samples"), strict=True):
        assert np.array_equal(one, other)
    drawn, _ = split.assign(rows, validation=0.25, test=0.25, seed=0)
    for name in ("bundle", "group"):
        pairs = set(zip(drawn.column(name), drawn.column("split"), strict=True))
        assert len(pairs) == 4 and {each for each, _ in pairs} == {f"{i}.wav" for i in range(4)}


def test_pieces_of_people_stay_with_their_recording(folder: Path) -> None:
    lines = [f"{i // 2}.wav,{i % 2},{i % 2 + 1},{'ab'[i % 2]},p{i % 3}" for i in range(6)]
    rows, _ = Sound().read(table(folder, "file,start,end,label,speaker", *lines))
    assert list(rows.column("group")) == ["p0", "p1", "p2", "p0", "p1", "p2"]
    assert len(split.units(rows, range(6))) == 1  # who speaks binds the recordings


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ("1.5,0.5", "its piece ends at 0.5 s, and starts at 1.5 s"),
        ("1,1", "its piece ends at 1 s, and starts at 1 s"),
        ("-1,1", "its start is -1, before the recording begins"),
        ("1,3", "its piece from 1 to 3 s reaches beyond the recording, which has 2.00 s"),
        ("2,", "its piece from 2 to 2 s reaches beyond the recording, which has 2.00 s"),
        ("0,1000", "start_ms and end_ms"),
        ("soon,1", "its start 'soon' is no time in seconds; -o domain.times=false takes whole recordings"),
        ("0,inf", "its end 'inf' is no time in seconds"),
    ],
)
def test_times_that_cannot_be_are_left_out_with_the_reason(folder: Path, times: str, reason: str) -> None:
    source = table(folder, "file,start,end,label", "0.wav,0,1,a", "1.wav,0,1,b", f"2.wav,{times},a")
    _, left_out = prepared(Sound(), source)
    assert len(left_out) == 1 and reason in left_out[0].reason


@pytest.mark.parametrize("head", ["file,start,label", "file,stop,label"])
def test_a_time_without_its_counterpart_is_refused(folder: Path, head: str) -> None:
    source = table(folder, head, "0.wav,0.5,a", "1.wav,0.5,b")
    with pytest.raises(DataError, match=r"when a piece of a recording .*; name one .*-o domain.times=false"):
        Sound().read(source)
    rows, _ = Sound(times=False, label_column="label").read(source)
    assert "piece" not in rows and len(rows) == 2


def test_slices_that_are_cut_already_stay_whole(folder: Path) -> None:
    """UrbanSound8K's table has the times of what its files were cut from."""
    source = table(folder, "slice_file_name,start,end,class", "0.wav,58.5,60.5,a", "1.wav,0,2,b")
    rows, left_out = prepared(Sound(file_column="slice_file_name"), source)
    assert left_out == [] and list(rows.column("seconds")) == [2.0, 2.0]


def test_columns_of_times_without_a_time_are_none(folder: Path) -> None:
    rows, _ = Sound().read(table(folder, "file,start,label", "0.wav,,a", "1.wav,,b"))
    assert "piece" not in rows and list(rows.column("target")) == ["a", "b"]


def test_transcripts_and_sounds_to_make_are_pieces_too(folder: Path) -> None:
    lines = [f"{i}.wav,{i % 2},{i % 2 + 1},{('low', 'high')[i % 2]}" for i in range(4)]
    source = table(folder, "file_name,start,end,transcription", *lines)
    rows, left_out = prepared(Transcripts(rate=RATE), source)
    assert left_out == [] and list(rows.column("size")) == [RATE] * 4
    assert list(rows.column("bundle")) == [f"{i}.wav" for i in range(4)]
    assert any("who speaks is not known" in each for each in Transcripts(rate=RATE, alphabet=("", "l")).remarks(rows))
    source = table(folder, "file_name,start,end,label", *lines)
    rows, _ = prepared(Waveform(rate=RATE), source)
    fitted = Waveform(rate=RATE).fit(rows)
    assert fitted.speakers == () and fitted.lengths == ((1.0, 1.0), (1.0, 1.0))


def test_a_piece_of_a_long_recording_is_decoded_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE).astype(np.float32)
    path = str(write(tmp_path / "long.wav", wave))
    whole = np.asarray(sound_files.decode(path, RATE))
    monkeypatch.setattr(sound_files, "MOST", RATE)
    long = sound_files.decode(path, RATE)
    assert isinstance(long, Long)
    part = pieces.cut(long, [0.5, 1.25], RATE)
    assert isinstance(part, Long) and len(part) == 0.75 * RATE
    assert np.array_equal(part[:], whole[RATE // 2 : 5 * RATE // 4])
    assert np.array_equal(part[10:20], whole[RATE // 2 + 10 : RATE // 2 + 20])
    assert pieces.seconds([0.5, None], 3.0) == 2.5 and math.isclose(pieces.seconds([0.5, 3.05], 3.0), 2.5)
