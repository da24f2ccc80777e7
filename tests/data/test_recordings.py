"""Recordings as rows: what names say of them, windows, folds by speaker, and what is to be known of them."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from pervade import recipes
from pervade.core.errors import ConfigError, DataError
from pervade.core.types import Rows
from pervade.data.read import patterns
from pervade.data.rows import folds
from pervade.data.sound import recordings, sound_files
from pervade.domains.sound import Sound, looks_like_sound
from pervade.domains.transcripts import Transcripts
from pervade.domains.waveform import Waveform
from tests.asking import asked
from tests.data.sounds import speakers, strongest, tone, write

BOTH = {"label_pattern": "^(.+?)_", "group_pattern": "_(.+)_"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "cache"))


def prepared(domain: Sound, source: object) -> Rows:
    rows, _ = domain.read(source)
    return domain.prepare(rows, lambda done, total: None)[0]


# names


def test_labels_and_groups_out_of_names(tmp_path: Path) -> None:
    folder = speakers(tmp_path / "said")
    write(folder / "strange.wav", tone(440))
    rows, left_out = Sound(**BOTH).read(folder)
    assert Counter(rows.column("target")) == {"low": 12, "high": 12}
    assert Counter(rows.column("group")) == {"anna": 8, "ben": 8, "cleo": 8}
    assert [(each.source, each.reason) for each in left_out] == [
        ("strange.wav", "its name does not fit --label-pattern '^(.+?)_'")
    ]


def test_groups_out_of_names_in_class_folders(tmp_path: Path) -> None:
    for label in ("yes", "no"):
        for name in ("anna-1", "ben-1", "1"):
            write(tmp_path / "said" / label / f"{name}.wav", tone(440))
    rows, left_out = Sound(group_pattern=r"/([a-z]+)-").read(tmp_path / "said")
    assert Counter(rows.column("group")) == {"anna": 2, "ben": 2}
    assert sorted(each.source for each in left_out) == ["no/1.wav", "yes/1.wav"]


def test_groups_of_a_table(tmp_path: Path) -> None:
    write(tmp_path / "a1.wav", tone(440))
    write(tmp_path / "b1.wav", tone(880))
    (tmp_path / "said.csv").write_text("file,label,who,speaker\na1.wav,x,P1,s\nb1.wav,y,P2,s\ngone.wav,y,P2,s\n")
    for settings, groups in (
        ({}, ["s", "s"]),
        ({"group_column": "who"}, ["P1", "P2"]),
        ({"group_pattern": "^(.)"}, ["a", "b"]),
    ):
        rows, left_out = Sound(**settings).read(tmp_path / "said.csv")
        assert list(rows.column("group")) == groups
        assert [each.reason for each in left_out] == ["the file 'gone.wav' is not there"]
    with pytest.raises(DataError, match="has no column 'whom'; did you mean 'who'"):
        Sound(group_column="whom").read(tmp_path / "said.csv")
    with pytest.raises(DataError, match="--label-pattern reads them out of the names of files"):
        Sound(label_pattern="^(.)").read(tmp_path / "said.csv")


def test_patterns_that_say_nothing(tmp_path: Path) -> None:
    folder = speakers(tmp_path / "said")
    for pattern, words in (("(", "is no regular expression"), ("a", "has 0 groups"), ("(a)(b)", "has 2 groups")):
        with pytest.raises(ConfigError, match=words):
            Sound(label_pattern=pattern).read(folder)
    with pytest.raises(DataError, match="no name of a recording fits --label-pattern"):
        Sound(label_pattern=r"^(\d)_").read(folder)
    with pytest.raises(DataError, match="names a column of a table"):
        Sound(group_column="speaker").read(folder)
    with pytest.raises(ConfigError, match="exclude each other"):
        Sound(group_column="speaker", group_pattern="(.)").read(folder)
    assert patterns.extract("(é)", "e\u0301") is None
    assert patterns.extract("_(.*)_", "a__b") is None


def test_what_looks_like_sound(tmp_path: Path) -> None:
    folder = speakers(tmp_path / "said")
    (folder / "README").touch()
    (tmp_path / "a.csv").write_text("clip,label\nsaid/x.wav,a\n")
    (tmp_path / "b.csv").write_text("text,label\nhello,a\n")
    assert [looks_like_sound(each) for each in (folder, tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "gone")] == [
        True,
        True,
        False,
        False,
    ]


def test_recordings_inside_a_parquet_file(tmp_path: Path) -> None:
    """As the Hugging Face Hub lays data sets of sound out."""
    data = [write(tmp_path / f"{i}.wav", tone(440 + i, 0.3)).read_bytes() for i in range(4)]
    audio = [{"bytes": each, "path": f"{i}.wav"} for i, each in enumerate(data)]
    pq.write_table(pa.table({"audio": audio, "label": ["a", "b", "a", "b"]}), tmp_path / "said.parquet")
    assert looks_like_sound(tmp_path / "said.parquet")
    rows = prepared(Sound(rate=8000), tmp_path / "said.parquet")
    assert list(rows.column("target")) == ["a", "b", "a", "b"]
    np.testing.assert_array_equal(rows.column("samples")[1], sound_files.decode(str(tmp_path / "1.wav"), 8000))


# rows


def test_rows_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    domain = Sound(rate=8000, **BOTH)
    folder = speakers(tmp_path / "said")
    rows = prepared(domain, folder)
    assert rows.column("seconds")[0] == 0.2
    assert rows.column("size")[0] == len(rows.column("samples")[0]) == 1600
    first = [np.array(each) for each in rows.column("samples")]
    monkeypatch.setattr(recordings.sound_files, "decode", None)  # whatever would call it now would fail
    for one, other in zip(first, prepared(domain, folder).column("samples"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_room_in_the_cache_the_same_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    domain = Sound(rate=8000, seconds=0.3, **BOTH)
    folder = speakers(tmp_path / "said")
    kept = prepared(domain, folder)
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "other"))
    monkeypatch.setenv("PERVADE_CACHE_GB", "0")
    anew = prepared(domain, folder)
    assert "samples" not in anew
    assert list(anew.column("size")) == list(kept.column("size"))
    row = {name: anew.column(name)[3] for name in ("id", "path")}
    whole = {**row, "samples": kept.column("samples")[3]}
    np.testing.assert_array_equal(domain.transform(row, None)[0]["input"], domain.transform(whole, None)[0]["input"])


def test_what_is_to_be_predicted_is_not_all_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 256 files of three hours the samples are 90 GB."""
    for number, frequency in enumerate((300, 500, 700)):
        write(tmp_path / f"{number}.wav", tone(frequency, 1.0))
    domain = Sound(rate=8000, seconds=0.5)
    rows, _ = asked(domain, [tmp_path])
    kept, _ = domain.prepare(rows, lambda done, total: None, keep=False)
    monkeypatch.setattr(recordings, "MOST_HELD", 16_000)
    some, _ = domain.prepare(rows, lambda done, total: None, keep=False)
    assert [each is None for each in some.column("samples")] == [False, False, True]
    assert list(some.column("size")) == list(kept.column("size"))
    for one, other in zip(some, kept, strict=True):
        for mine, theirs in zip(domain.transform(one, None), domain.transform(other, None), strict=True):
            np.testing.assert_array_equal(mine["input"], theirs["input"])


def test_a_long_recording_is_cut_before_it_is_scaled() -> None:
    row = {"id": "long", "path": "", "target": "x", "samples": np.ones(20_000_000, np.int16)}
    domain = Sound(rate=8000, seconds=0.5, labels=("x",))
    tracemalloc.start()
    for rng in (None, np.random.default_rng(0)):
        domain.transform(row, rng)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 5_000_000


def test_what_is_left_out_and_what_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "said"
    write(folder / "x" / "silent.wav", np.zeros(4000))
    write(folder / "x" / "loud.wav", np.clip(5 * tone(440), -1, 1))
    write(folder / "x" / "slow.wav", tone(100, 1.0, 1000), 1000)
    write(folder / "y" / "long.wav", tone(440, 30.0))
    (folder / "y" / "empty.wav").write_bytes(b"")
    domain = Sound(rate=8000, seconds=1.0, windows=10)
    rows, _ = domain.read(folder)
    rows, left_out = domain.prepare(rows, lambda done, total: None)
    assert [(each.source, each.reason) for each in left_out] == [("y/empty.wav", "the file is empty (0 bytes)")]
    said = "\n".join(domain.fit(rows).remarks(rows))
    for words in (
        "1 of 4 recordings (the first, x/silent.wav) are silent: nothing can be heard in them",
        "1 of 4 recordings (the first, x/loud.wav) may be overloaded",
        "1 of 4 recordings have fewer than 8,000 samples a second (the fewest 1,000): nothing is in them above 500 Hz",
        "1 of 4 recordings are so long that 10 windows of 1 s",
        "who or what was recorded is not known",
    ):
        assert words in said


def test_nothing_that_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "said" / "x" / "a.wav"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"no recording can be read; the first, x/a\.wav: the file is empty"):
        prepared(Sound(), tmp_path / "said")
    assert "an empty name is no file" in asked(Sound(), [""])[1][0].reason


def test_what_is_not_there_is_left_out_beside_others(tmp_path: Path) -> None:
    there = write(tmp_path / "a.wav", tone(440))
    rows, left_out = asked(Sound(), [str(there), tmp_path / "gone.wav"])
    assert list(rows.column("path")) == [str(there)]
    reason = "it is not there; give recordings or folders of recordings"
    assert [(each.source, each.reason) for each in left_out] == [(str(tmp_path / "gone.wav"), reason)]


def test_tables_of_what_is_to_be_predicted(tmp_path: Path) -> None:
    """They name files as the tables of training do, and labels or transcripts need not be there."""
    places = [write(tmp_path / "said" / f"{name}.wav", tone(440)) for name in "ab"]
    (tmp_path / "said" / "new.csv").write_text("who,file_name\nanna,b.wav\nbert,gone.wav\nclara,a.wav\n")
    (tmp_path / "said" / "other.tsv").write_text("clip\ttake\na.wav\t7\n")
    new, other = tmp_path / "said" / "new.csv", tmp_path / "said" / "other.tsv"
    for domain in (Sound(), Transcripts(), Waveform(local="mel")):
        rows, left_out = asked(domain, [new, places[0], other])
        assert rows.column("id") == [f"{new}#1 b.wav", f"{new}#3 a.wav", str(places[0]), f"{other}#1 a.wav"]
        assert rows.column("path") == [str(places[i]) for i in (1, 0, 0, 0)]
        assert [(each.source, each.reason) for each in left_out] == [
            (f"{new}, row 2", "the file 'gone.wav' is not there")
        ]
    rows, _ = asked(Sound(file_column="take"), [tmp_path / "said"])
    assert rows.column("path") == [str(each) for each in places]  # of a folder the files, as ever
    rows, left_out = asked(Sound(file_column="take"), [tmp_path / "said" / "other.tsv", places[1]])
    assert rows.column("path") == [str(places[1])]
    assert left_out[0].reason == "the file '7' is not there"
    (tmp_path / "numbers.csv").write_text("x,y\n1,2\n")
    why = asked(Sound(), [tmp_path / "numbers.csv"])[1][0].reason
    assert "its 2 columns are x (numbers), y (numbers)" in why


def test_tables_of_the_same_name_in_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path as it is given tells their rows apart, and says where one was left out."""
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b"):
        write(tmp_path / folder / "x.wav", tone(440))
        (tmp_path / folder / "t.csv").write_text("file_name\nx.wav\ngone.wav\n")
    rows, left_out = asked(Sound(), ["a/t.csv", Path("b/t.csv")])
    assert rows.column("id") == ["a/t.csv#1 x.wav", "b/t.csv#1 x.wav"]
    assert [each.source for each in left_out] == ["a/t.csv, row 2", "b/t.csv, row 2"]


def test_a_table_about_class_folders(tmp_path: Path) -> None:
    """AudioFolder's metadata.csv tells of the licence as well: then what is said stands in the folders' names."""
    for name in ("yes/a.wav", "yes/b.wav", "no/a.wav", "no/b.wav"):
        write(tmp_path / name, tone(440))
    metadata = tmp_path / "metadata.csv"
    metadata.write_text("file_name,licence\nyes/a.wav,CC0\nno/a.wav,CC-BY\n")
    rows, left_out = Sound().read(tmp_path)
    assert Counter(rows.column("target")) == {"yes": 2, "no": 2}
    assert [(each.source, each.reason) for each in left_out] == [
        (
            "metadata.csv",
            "the class folders beside it are the labels, since none of its columns (licence) is called label or the "
            "like; --label-column takes one of them",
        )
    ]
    assert recipes.choose(tmp_path, None, None)[0] == "audio-classification"
    rows, left_out = Sound(label_column="licence").read(tmp_path)
    assert list(rows.column("target")) == ["CC0", "CC-BY"]
    assert [(each.source, each.reason) for each in left_out] == [
        ("no/b.wav", "no table names it"),
        ("yes/b.wav", "no table names it"),
    ]
    # A number that somebody noted is no reason to learn it; who asks for numbers is given them.
    metadata.write_text("file_name,rating\nyes/a.wav,1.5\nyes/b.wav,2.25\nno/a.wav,3.5\nno/b.wav,4\n")
    assert recipes.choose(tmp_path, None, None)[0] == "audio-classification"
    assert set(Sound().read(tmp_path)[0].column("target")) == {"yes", "no"}
    assert list(Sound(target="number").read(tmp_path)[0].column("target")) == [1.5, 2.25, 3.5, 4.0]


def test_a_table_in_each_split_folder(tmp_path: Path) -> None:
    """AudioFolder with splits, whose tables name files alike; who has no speaker is no other split's either."""
    for split in ("train", "test"):
        for name in "abc":
            write(tmp_path / split / f"{name}.wav", tone(440))
        (tmp_path / split / "metadata.csv").write_text("file_name,label,speaker\na.wav,yes,\nb.wav,no,\ngone.wav,no,\n")
    rows, left_out = Sound().read(tmp_path)
    assert list(rows.column("id")) == [
        f"{at}/metadata.csv#{i}" for at in ("test", "train") for i in ("1 a.wav", "2 b.wav")
    ]
    assert list(rows.column("split")) == ["test", "test", "train", "train"]
    assert list(rows.column("target")) == ["yes", "no"] * 2
    assert len(set(rows.column("group"))) == 4
    assert {each.source: each.reason for each in left_out} == {
        "test/metadata.csv, row 3": "the file 'gone.wav' is not there",
        "train/metadata.csv, row 3": "the file 'gone.wav' is not there",
        "test/c.wav": "no table names it",
        "train/c.wav": "no table names it",
    }
    assert recipes.choose(tmp_path, None, None)[0] == "audio-classification"


def test_a_parquet_file_to_be_predicted(tmp_path: Path) -> None:
    data = [write(tmp_path / f"{i}.wav", tone(440 + i, 0.3)).read_bytes() for i in range(2)]
    audio = [{"bytes": each, "path": f"{i}.wav"} for i, each in enumerate(data)]
    pq.write_table(pa.table({"audio": audio}), tmp_path / "new.parquet")
    rows = asked(Sound(rate=8000), [tmp_path / "new.parquet"])[0]
    rows = Sound(rate=8000).prepare(rows, lambda done, total: None, keep=False)[0]
    np.testing.assert_array_equal(rows.column("samples")[1], sound_files.decode(str(tmp_path / "1.wav"), 8000))


# windows


def test_windows(tmp_path: Path) -> None:
    domain = Sound(rate=1000, seconds=1.0)
    ramp = np.arange(2300, dtype=np.int16)
    short = domain.transform({"id": "a", "samples": ramp[:400]}, None)
    assert len(short) == 1
    np.testing.assert_array_equal(np.flatnonzero(short[0]["input"]), 300 + np.arange(1, 400))
    long = domain.transform({"id": "a", "samples": ramp}, None)
    assert [round(float(each["input"][0] * 32768)) for each in long] == [0, 433, 867, 1300]
    assert all(len(each["input"]) == 1000 for each in long)
    few = Sound(rate=1000, seconds=1.0, windows=2).transform({"id": "a", "samples": ramp}, None)
    assert [round(float(each["input"][0] * 32768)) for each in few] == [0, 1300]


def test_views_at_three_speeds() -> None:
    domain = Sound(rate=8000, seconds=1.0, views=3, speed=0.3)
    wave = (32767 * tone(500, 0.9)).astype(np.int16)
    views = [each["input"] for each in domain.transform({"id": "a", "samples": wave}, None)]
    assert [len(each) for each in views] == [8000] * 3
    found = [strongest(each, 8000) for each in views]
    assert found == pytest.approx([500, 500 / 1.25, 500 * 1.25], rel=0.01)
    alone = replace(domain, views=1).transform({"id": "a", "samples": wave}, None)
    np.testing.assert_array_equal(views[0], alone[0]["input"])
    assert len(replace(domain, speed=0.0).transform({"id": "a", "samples": wave}, None)) == 1
    long = domain.transform({"id": "a", "samples": np.tile(wave, 3)}, None)
    assert len(long) == 3 * 5
    assert [len(each["input"]) for each in long] == [8000] * 15


def test_what_is_shorter_is_masked_where_that_is_asked_for() -> None:
    domain = Sound(rate=1000, seconds=1.0, masked=True)
    rows = [{"id": "a", "samples": np.full(count, 100, np.int16)} for count in (400, 1000, 1400)]
    batch = domain.collate([each for row in rows for each in domain.transform(row, None)])
    assert batch["input"].shape == (4, 1, 1000)
    assert batch["mask"].sum(1).tolist() == [400, 1000, 1000, 1000]
    assert (batch["input"][:, 0] != 0).equal(batch["mask"])
    assert domain.inputs().samples is None
    heard = domain.transform(rows[0], np.random.default_rng(0))[0]["input"]
    assert 400 / 1.3 - 2 <= len(heard) <= 400 * 1.3 + 2


def test_how_long_a_window_is_is_learnt(tmp_path: Path) -> None:
    rows = Rows({"target": ["a", "b"] * 10, "seconds": [0.5] * 19 + [9.0]})
    assert Sound().fit(rows).seconds == pytest.approx(0.93, abs=0.02)
    assert Sound().fit(Rows({"target": ["a", "b"], "seconds": [60.0, 70.0]})).seconds == 5.0
    assert Sound(seconds=2.0).fit(rows).seconds == 2.0


def test_batches(tmp_path: Path) -> None:
    domain = Sound(rate=8000, augment=False, **BOTH)
    rows = prepared(domain, speakers(tmp_path / "said"))
    domain = domain.fit(rows)
    batch = domain.collate([each for row in rows for each in domain.transform(row, None)])
    assert batch["input"].shape == (24, 1, domain.length)
    assert batch["input"].dtype == torch.float32
    assert batch["input"].abs().max() <= 1
    assert set(batch["target"].tolist()) == {0, 1}


# folds


def test_every_speaker_is_held_out_once(tmp_path: Path) -> None:
    rows = prepared(Sound(rate=8000, **BOTH), speakers(tmp_path / "said"))
    told: list[str] = []
    found, left_out = folds.assign_groups(rows, told.extend)
    assert told == ["anna", "ben", "cleo"]
    assert not left_out
    for number, name in enumerate(told, start=1):
        own = folds.member(found, number, 0.0, 0)
        assert {
            group for group, split in zip(own.column("group"), own.column("split"), strict=True) if split == "test"
        } == {name}
        assert list(own.column("split")).count("test") == 8


def test_the_same_bytes_stand_in_one_group_only(tmp_path: Path) -> None:
    folder = speakers(tmp_path / "said")
    (folder / "low_ben_9.wav").write_bytes((folder / "low_anna_0.wav").read_bytes())
    rows = prepared(Sound(rate=8000, **BOTH), folder)
    found, left_out = folds.assign_groups(rows, lambda names: None)
    assert len(found) == 24
    assert [(each.source, each.reason) for each in left_out] == [
        ("low_ben_9.wav", "the same as low_anna_0.wav of the group 'anna', so not used for 'ben'")
    ]


def test_groups_that_cannot_be_held_out(tmp_path: Path) -> None:
    rows = Rows({"id": ["a", "b"], "target": ["x", "y"]})
    with pytest.raises(DataError, match="--folds group takes what groups there are"):
        folds.assign_groups(rows, lambda names: None)
    with pytest.raises(DataError, match="would train 1 times"):
        folds.assign_groups(rows.with_columns(group=["p", "p"]), lambda names: None)
    with pytest.raises(DataError, match="all rows of class 'x' are in one of the 2 folds"):
        folds.assign_groups(rows.with_columns(group=["p", "q"]), lambda names: None)
