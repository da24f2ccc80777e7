"""What is read of tables and folders with transcripts, and what is left out and why."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from pervade import recipes
from pervade.core.errors import ConfigError, DataError
from pervade.data.read import account
from pervade.data.sound import transcripts
from pervade.data.sound.transcripts import Columns
from pervade.domains.sound import Sound
from pervade.domains.transcripts import Transcripts
from pervade.testing import check_domain
from tests.data.sounds import tone, write
from tests.data.spoken import spoken, table
from tests.layouts import made


def silent(done: int, total: int) -> None:
    return


def test_a_table_of_files_and_transcripts(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone(300))
    write(tmp_path / "b.wav", tone(500))
    rows = [
        ("a.wav", " one  two ", "anna"),
        ("b.wav", "three", "ben"),
        ("gone.wav", "four", "ben"),
        ("b.wav", "", "ben"),
    ]
    path = table(tmp_path, rows, ("file_name", "transcription", "speaker_id"))
    write(tmp_path / "c.wav", tone(700))
    for source in (tmp_path, path):
        found, left_out = transcripts.read(source, Columns())
        assert list(found.column("text")) == ["one  two", "three"]
        assert list(found.column("group")) == ["anna", "ben"]
        assert [Path(each).name for each in found.column("path")] == ["a.wav", "b.wav"]
        told = {each.source: each.reason for each in left_out}
        assert told["metadata.csv, row 3"] == "the file 'gone.wav' is not there"
        assert told["metadata.csv, row 4"] == "it has no transcription"
        assert (told.get("c.wav") == "no transcript names it") == (source == tmp_path)


@pytest.mark.parametrize("suffix", ["tsv", "jsonl", "json"])
def test_other_tables(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "clips" / "a.wav", tone(300))
    record = {"path": "clips/a.wav", "sentence": "Seven"}
    text = {
        "tsv": "path\tsentence\nclips/a.wav\tSeven\n",
        "jsonl": json.dumps(record),
        "json": json.dumps([record]),
    }[suffix]
    (tmp_path / f"train.{suffix}").write_text(text, encoding="utf-8")
    found, _ = transcripts.read(tmp_path, Columns())
    assert found[0]["text"] == "Seven" and found[0]["split"] == "train"
    (tmp_path / "other.tsv").write_text("path\tsentence\nclips/a.wav\tEight\n", encoding="utf-8")
    found, left_out = transcripts.read(tmp_path, Columns())
    assert list(found.column("text")) == ["Seven"]
    assert [(each.source, each.reason) for each in left_out] == [
        ("other.tsv", "called after no split, as others are"),
    ]


def test_split_folders_with_tables(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path / split / "a.wav", tone(300))
        table(tmp_path / split, [("a.wav", split, ""), ("gone.wav", "x", "")], ("file_name", "text", "speaker"))
    found, left_out = transcripts.read(tmp_path, Columns())
    assert list(found.column("split")) == ["test", "train"] == list(found.column("text"))
    assert list(found.column("id")) == ["test/metadata.csv#1 a.wav", "train/metadata.csv#1 a.wav"]
    assert len(set(found.column("group"))) == 2  # nobody knows who speaks, so they do not belong together
    assert [each.source for each in left_out] == ["test/metadata.csv, row 2", "train/metadata.csv, row 2"]


def test_librispeech(tmp_path: Path) -> None:
    for split, chapter in (("train-clean-100", "84-121123"), ("dev-clean", "91-5")):
        folder = tmp_path / split / chapter.replace("-", "/")
        lines = []
        for number in range(2):
            write(folder / f"{chapter}-000{number}.flac", tone(300 + number), 16_000)
            lines.append(f"{chapter}-000{number} GO DO YOU HEAR")
        lines.append(f"{chapter}-0009 NOT THERE")
        (folder / f"{chapter}.trans.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert recipes.choose(tmp_path, None, None)[0] == "automatic-speech-recognition"
    found, left_out = transcripts.read(tmp_path, Columns())
    assert list(found.column("split")) == ["validation"] * 2 + ["train"] * 2
    assert list(found.column("group")) == ["91", "91", "84", "84"]
    assert set(found.column("text")) == {"GO DO YOU HEAR"}
    assert found[0]["id"] == "dev-clean/91/5/91-5-0000.flac"
    assert [each.reason for each in left_out if "trans.txt, line 3" in each.source] == [
        "the file '91-5-0009' is not there",
        "the file '84-121123-0009' is not there",
    ]


def test_it_is_told_from_recordings_with_labels(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone(300))
    path = table(tmp_path, [("a.wav", "yes")], ("file_name", "label"))
    assert not transcripts.looks_like_transcripts(path, Columns())
    spoken(tmp_path / "spoken", 3)
    assert recipes.choose(tmp_path / "spoken", None, None)[0] == "automatic-speech-recognition"
    assert recipes.choose(tmp_path / "spoken" / "metadata.csv", None, None)[0] == "automatic-speech-recognition"
    assert not transcripts.looks_like_transcripts(tmp_path / "nothing", Columns())


def test_what_is_said_is_known_without_a_look_at_the_files(tmp_path: Path) -> None:
    """A recipe asks before the data are read, and tens of thousands of files are not to be looked for twice."""
    path = table(tmp_path, [("gone.wav", "one two"), ("gone.wav", "one")], ("file_name", "said"))
    assert transcripts.texts(path) == []
    assert transcripts.texts(path, "said") == transcripts.texts(tmp_path, "said") == ["one two", "one"]
    chapter = tmp_path / "libri" / "1" / "2"
    chapter.mkdir(parents=True)
    (chapter / "1-2.trans.txt").write_text("1-2-0000 HE HOPED\n1-2-0001 SO\n")
    assert transcripts.texts(tmp_path / "libri") == ["HE HOPED", "SO"]
    assert transcripts.texts(tmp_path / "nothing") == transcripts.texts("hf://owner/name") == []


def test_who_speaks_by_the_name(tmp_path: Path) -> None:
    for name in ("anna_1", "ben_1", "odd"):
        write(tmp_path / f"{name}.wav", tone(300))
    table(tmp_path, [(f"{name}.wav", "one") for name in ("anna_1", "ben_1", "odd")])
    found, left_out = transcripts.read(tmp_path, Columns(group_pattern="(\\w+)_"))
    assert list(found.column("group")) == ["anna", "ben"]
    assert "does not fit --group-pattern" in left_out[0].reason
    with pytest.raises(DataError, match=r"no recording is left .* does not fit .*what stands in brackets is the group"):
        transcripts.read(tmp_path, Columns(group_pattern="(\\d\\d)_"))


@pytest.mark.parametrize(
    ("columns", "asked", "message"),
    [
        (("file_name", "topic"), Columns(), "no column of transcripts"),
        (("file_name", "topic"), Columns(text="topik"), "topik"),
        (("file_name", "text"), Columns(), "none of the files that column 'file_name' names is there"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, columns, asked: Columns, message: str) -> None:
    path = table(tmp_path, [("gone.wav", "one")], columns)
    with pytest.raises(DataError, match=message):
        transcripts.read(path, asked)
    with pytest.raises(DataError, match="a folder with such a"):
        transcripts.read(tmp_path / "empty.wav", Columns())


def test_transcripts_of_nothing_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone(300))
    table(tmp_path, [("a.wav", "one"), ("a.wav", "…!"), ("a.wav", "\x07")])
    domain = Transcripts(rate=8000, normalise="words")
    rows, _ = domain.read(tmp_path)
    rows, left_out = domain.prepare(rows, silent)
    assert list(rows.column("text")) == ["one"]
    assert "nothing is left of its transcript '…!' (domain.normalise 'words')" in [each.reason for each in left_out]


def test_the_contract(tmp_path: Path) -> None:
    fitted, rows = check_domain(Transcripts(rate=2000), spoken(tmp_path, 12))
    assert fitted.alphabet == ("", "a", "b", "c", "d")
    again, _ = check_domain(Transcripts(rate=2000, language_model="words", units="subwords"), tmp_path)
    assert again.words and list(again.assets()) == [f"words-{again.words[:12]}.json"]
    batch = fitted.collate([example for i in range(3) for example in fitted.transform(rows[i], None)])
    assert batch["input"].shape[1] == 1 and batch["mask"].shape == batch["input"][:, 0].shape
    assert batch["mask"].sum(1).tolist() == batch["size"].tolist() == [rows[i]["size"] for i in range(3)]


def test_chunks_cover_the_recording() -> None:
    domain = Transcripts(rate=1000, chunk=4.0, overlap=1.0)
    for samples in (100, 4000, 4001, 9_999, 20_000):
        row = {"id": "x", "samples": np.zeros(samples, np.int16)}
        examples = domain.transform(row, None)
        ends = [each["start"] + len(each["input"]) for each in examples]
        assert examples[0]["start"] == 0 and ends[-1] == samples
        for before, after in zip(ends, examples[1:], strict=False):
            assert before - after["start"] == domain.overlap_samples
        assert all(len(each["input"]) == domain.chunk_samples for each in examples[:-1])
        # The last has more than what the one before has told already.
        assert len(examples) == 1 or len(examples[-1]["input"]) > domain.overlap_samples


def test_settings_that_contradict() -> None:
    with pytest.raises(ConfigError, match="overlap"):
        Transcripts(chunk=4, overlap=3)
    with pytest.raises(ConfigError, match="noise_ratio"):
        Transcripts(noise_ratio=(20.0, 10.0))


SAID = ("turn the light on", "turn the light off", "open the door", "close the door")


def german(root: Path, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> Path:
    for i in range(len(rows)):
        write(root / "wav" / f"{i}.wav", tone(440))
    lines = [header, *((f"{i}.wav", *row) for i, row in enumerate(rows))]
    (root / "daten.csv").write_text("".join(",".join(each) + "\n" for each in lines))
    return root


@pytest.mark.parametrize("name", ["transkript", "text", "satz", "wypowiedz"])
def test_columns_in_another_language(name: str, tmp_path: Path) -> None:
    """What is said is learnt, and never who says it."""
    rows = [(f"{SAID[i % 4]} {i}", f"S{i % 3}") for i in range(12)]
    path = german(tmp_path, ("datei", name, "sprecher"), rows)
    assert transcripts.looks_like_transcripts(path, Columns())
    with account.gathered() as notes:
        found, _ = transcripts.read(path, Columns())
    assert found.column("text")[0] == "turn the light on 0"
    assert set(found.column("group")) == {"S0", "S1", "S2"}
    assert f"what is said: column {name!r} (--text-column)" in notes


def test_a_column_that_may_be_the_label_as_well(tmp_path: Path) -> None:
    rows = [(f"{SAID[i % 4]} {i}", ("Anna", "Jan")[i % 2]) for i in range(12)]
    path = german(tmp_path, ("plik", "wypowiedz", "mowca"), rows)
    with pytest.raises(DataError, match=r"\(wypowiedz\) or what it is \(mowca \(2 different\)\); say --text-column"):
        transcripts.read(path, Columns())
    assert "group" not in transcripts.read(path, Columns(text="wypowiedz"))[0]
    assert set(transcripts.read(path, Columns(text="wypowiedz", group="mowca"))[0].column("group")) == {"Anna", "Jan"}
    assert set(Sound(label_column="mowca").read(path)[0].column("target")) == {"Anna", "Jan"}


def test_a_text_for_each_recording(tmp_path: Path) -> None:
    """VCTK's folders, one of which differs by its name; who speaks is the folder."""
    for i in range(8):
        name = f"p{i % 2}/p{i % 2}_{i}"
        write(tmp_path / "wav48" / f"{name}.wav", tone(440))
        (tmp_path / "txt" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "txt" / f"{name}.txt").write_text(f"{SAID[i % 4]}\n")
    (tmp_path / "speaker-info.txt").write_text("ID AGE\n")
    assert transcripts.looks_like_transcripts(tmp_path, Columns())
    rows, left_out = transcripts.read(tmp_path, Columns())
    assert rows.column("id")[0] == "wav48/p0/p0_0.wav"
    assert list(rows.column("text")) == [SAID[0], SAID[2], SAID[0], SAID[2], SAID[1], SAID[3], SAID[1], SAID[3]]
    assert set(rows.column("group")) == {"wav48/p0", "wav48/p1"}
    assert not left_out
    assert "group" not in transcripts.read(tmp_path, Columns(group="none"))[0]
    assert set(transcripts.read(tmp_path, Columns(group_pattern="_(.)"))[0].column("group")) == set("01234567")


def test_timit(tmp_path: Path) -> None:
    for split in ("TRAIN", "TEST"):
        for i in range(3):
            place = tmp_path / split / "DR1" / f"{split[:2]}J{i % 2}" / f"SX{i}"
            write(place.with_suffix(".WAV"), tone(440))
            place.with_suffix(".TXT").write_text(f"0 46797 She had {i}.\n")
            for suffix in (".PHN", ".WRD"):
                place.with_suffix(suffix).write_text("0 3050 h#\n")
    with account.gathered() as notes:
        rows, _ = transcripts.read(tmp_path, Columns())
    assert sorted(set(rows.column("text"))) == ["She had 0.", "She had 1.", "She had 2."]
    assert sorted(set(zip(rows.column("split"), rows.column("group"), strict=True))) == [
        ("test", "DR1/TEJ0"),
        ("test", "DR1/TEJ1"),
        ("train", "DR1/TRJ0"),
        ("train", "DR1/TRJ1"),
    ]
    assert "6 files ending in '.phn' are left aside" in notes[0]


def test_texts_that_are_no_transcripts(tmp_path: Path) -> None:
    """Of one word each, or beside few of the recordings."""
    for place, words, texts in (("a", "dog", 6), ("b", "by anna, outside", 2)):
        for i in range(6):
            write(tmp_path / place / f"{i}.wav", tone(440))
            if i < texts:
                (tmp_path / place / f"{i}.txt").write_text(words)
        assert not transcripts.looks_like_transcripts(tmp_path / place, Columns())


def test_a_text_about_several_recordings_is_no_transcript(tmp_path: Path) -> None:
    """IEMOCAP's, of a whole dialogue; but two microphones heard one text."""
    for i in range(4):
        write(tmp_path / "a" / "wav" / f"Ses01_{i}.wav", tone(440))
        write(tmp_path / "b" / f"said_mic{i}.wav", tone(440))
    (tmp_path / "a" / "Ses01.txt").write_text("[6.2 - 8.2] neutral and sad")
    (tmp_path / "b" / "said.txt").write_text("open the door")
    assert not transcripts.looks_like_transcripts(tmp_path / "a", Columns())
    assert transcripts.looks_like_transcripts(tmp_path / "b", Columns())


def test_label_tracks_are_pieces_and_no_transcripts(tmp_path: Path) -> None:
    """Audacity's: start, end and label, parted by tabs, in x.txt beside x.wav."""
    for name in ("a", "b"):
        made.sound(tmp_path / f"{name}.wav", 1, seconds=2.0)
        made.write(tmp_path / f"{name}.txt", "0.000000\t1.0\tblackbird\n\\\t100\t200\n1.000000\t2.0\tgreat tit\n")
    assert recipes.choose(tmp_path, None, None)[0] == "audio-classification"
    rows, _ = Sound().read(tmp_path)
    assert rows.column("target") == ["blackbird", "great tit"] * 2
    assert [list(each) for each in rows.column("piece")] == [[0.0, 1.0], [1.0, 2.0]] * 2


@pytest.mark.parametrize("ending", [".TextGrid", ".srt", ".json", ".eaf", ".Table.1.selections.txt"])
def test_what_lies_beside_recordings_and_is_not_read_is_named(ending: str, tmp_path: Path) -> None:
    for number in range(4):
        made.sound(tmp_path / f"talk{number}.wav", number)
        made.write(tmp_path / f"talk{number}{ending}", "{}")
    assert recipes.choose(tmp_path, None, None)[0] == "audio-classification"
    with pytest.raises(
        DataError, match=rf"4 recordings but no class folders; .*4 files ending in '{re.escape(ending)}'"
    ):
        Sound().read(tmp_path)
