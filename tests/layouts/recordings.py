"""Layouts of recordings and what is said in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.layouts.made import AUDIO, folders, layout, separated, sound, write


@layout("a folder for each class", "recordings", AUDIO, 12, {"dog", "rain"})
def sounds(root: Path) -> Path:
    return folders(root / "sounds", ["dog", "rain"], 6, sound, ".wav")


@layout(
    "class, speaker and number in the file's name",
    "recordings",
    AUDIO,
    12,
    {"0", "1"},
    groups=3,
    flags={"label_pattern": r"^(\d)_", "group_pattern": "_(.+)_"},
)
def spoken_digits(root: Path) -> Path:
    for i in range(12):
        sound(root / "fsdd" / f"{i % 2}_{('anna', 'bert', 'cleo')[i % 3]}_{i}.wav", i)
    return root / "fsdd"


@layout("ESC-50: meta/esc50.csv beside audio/", "recordings", AUDIO, 20, {"dog", "rain"})
def esc50(root: Path) -> Path:
    rows: list[Sequence[Any]] = [("filename", "fold", "target", "category", "esc10", "src_file", "take")]
    for i in range(20):
        name = f"{1 + i % 5}-{1000 + i}-A-{i % 2}.wav"
        sound(root / "ESC-50" / "audio" / name, i)
        rows.append((name, 1 + i % 5, i % 2, ("dog", "rain")[i % 2], "True", 1000 + i, "A"))
    write(root / "ESC-50" / "meta" / "esc50.csv", separated(rows))
    return root / "ESC-50"


@layout("UrbanSound8K: metadata/UrbanSound8K.csv beside audio/fold1", "recordings", AUDIO, 20, {"siren", "drilling"})
def urban(root: Path) -> Path:
    rows: list[Sequence[Any]] = [("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")]
    for i in range(20):
        fold, name = 1 + i % 4, f"{1000 + i}-{i % 2}-0-{i}.wav"
        sound(root / "US8K" / "audio" / f"fold{fold}" / name, i)
        rows.append((name, 1000 + i, 0.0, 4.0, 1, fold, i % 2, ("siren", "drilling")[i % 2]))
    write(root / "US8K" / "metadata" / "UrbanSound8K.csv", separated(rows))
    return root / "US8K"


SPOKEN = "automatic-speech-recognition"
SAID = ("turn the light on", "turn the light off", "open the door", "close the door")


@layout("LJSpeech: metadata.csv parted by |, and wavs/", "recordings", "automatic-speech-recognition", 12)
def ljspeech(root: Path) -> Path:
    for i in range(12):
        sound(root / "LJSpeech-1.1" / "wavs" / f"LJ001-{i:04d}.wav", i)
    lines = [f"LJ001-{i:04d}|{SAID[i % 4]}|{SAID[i % 4]}\n" for i in range(12)]
    write(root / "LJSpeech-1.1" / "metadata.csv", "".join(lines))
    return root / "LJSpeech-1.1"


@layout("Common Voice: validated.tsv and clips/", "recordings", "automatic-speech-recognition", 12, groups=3)
def common_voice(root: Path) -> Path:
    rows: list[Sequence[Any]] = [("client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "locale")]
    for i in range(12):
        sound(root / "cv" / "clips" / f"common_voice_en_{i}.wav", i)
        rows.append((f"speaker{i % 3}", f"common_voice_en_{i}.wav", SAID[i % 4], 2, 0, "", "", "en"))
    write(root / "cv" / "validated.tsv", separated(rows, "\t"))
    return root / "cv"


@layout("metadata.csv with file_name and transcription", "recordings", "automatic-speech-recognition", 12)
def audio_folder(root: Path) -> Path:
    for i in range(12):
        sound(root / "said" / f"{i}.wav", i)
    rows = [(f"{i}.wav", SAID[i % 4]) for i in range(12)]
    write(root / "said" / "metadata.csv", separated([("file_name", "transcription"), *rows]))
    return root / "said"


@layout("a table whose start and end cut pieces out of recordings", "recordings", AUDIO, 16, {"bird", "wind"}, groups=4)
def pieces(root: Path) -> Path:
    rows: list[Sequence[Any]] = [("file", "start", "end", "label")]
    for i in range(4):
        sound(root / f"{i}.wav", i, seconds=2.0)
        rows += [(f"{i}.wav", 0.5 * k, 0.5 * k + 0.5, ("bird", "wind")[k % 2]) for k in range(4)]
    return write(root / "pieces.csv", separated(rows))


@layout(
    "Speech Commands: testing_list.txt, validation_list.txt, _background_noise_/",
    "recordings",
    AUDIO,
    16,
    {"yes", "no"},
    splits={"train": 10, "validation": 2, "test": 4},
    left_out=2,
)
def speech_commands(root: Path) -> Path:
    data = folders(root / "commands", ["yes", "no", "_background_noise_"], 8, sound, ".wav")
    for i in range(2, 8):
        (data / "_background_noise_" / f"{i}.wav").unlink()
    write(data / "testing_list.txt", "".join(f"{each}/{i}.wav\n" for each in ("yes", "no") for i in (0, 1)))
    write(data / "validation_list.txt", "".join(f"{each}/2.wav\n" for each in ("yes", "no")))
    return data


@layout(
    "RAVDESS: Actor_01/03-01-05-01-02-01-01.wav",
    "recordings",
    AUDIO,
    24,
    {"01", "02"},
    groups=4,
    flags={"label_pattern": "^(?:[^-]+-){2}([^-]+)"},
)
def ravdess(root: Path) -> Path:
    for i in range(24):
        who = i % 4 + 1
        name = f"03-01-{1 + i // 4 % 2:02d}-01-{1 + i // 8:02d}-01-{who:02d}.wav"
        sound(root / "ravdess" / f"Actor_{who:02d}" / name, i)
    return root / "ravdess"


@layout(
    "FSD50K: dev.csv and eval.csv in a folder beside", "recordings", AUDIO, 18, {"Bark", "Rain"}, splits={"test": 6}
)
def fsd50k(root: Path) -> Path:
    for name, numbers in (("dev", range(12)), ("eval", range(12, 18))):
        rows = [(i, ("Bark", "Rain")[i % 2]) for i in numbers]
        for i, _ in rows:
            sound(root / "FSD50K" / f"FSD50K.{name}_audio" / f"{i}.wav", i)
        write(root / "FSD50K" / "FSD50K.ground_truth" / f"{name}.csv", separated([("fname", "labels"), *rows]))
    return root / "FSD50K"


@layout("a table with German names of columns: datei, transkript, sprecher", "recordings", SPOKEN, 12, groups=3)
def german(root: Path) -> Path:
    rows: list[Sequence[Any]] = [("datei", "transkript", "sprecher")]
    for i in range(12):
        sound(root / "de" / "wav" / f"{i}.wav", i)
        rows.append((f"{i}.wav", f"{SAID[i % 4]}, number {i}", f"S{i % 3}"))
    write(root / "de" / "daten.csv", separated(rows))
    return root / "de"


@layout("a.wav and a.txt, which says what is said", "recordings", SPOKEN, 12)
def text_beside(root: Path) -> Path:
    for i in range(12):
        sound(root / "said" / f"{i}.wav", i)
        write(root / "said" / f"{i}.txt", f"{SAID[i % 4]}\n")
    return root / "said"


@layout(
    "a.wav and a.txt, a label track (Audacity's: start, end, label)", "recordings", AUDIO, 8, {"wind", "bird"}, groups=4
)
def label_tracks(root: Path) -> Path:
    for i in range(4):
        sound(root / "tracks" / f"{i}.wav", i, seconds=1.0)
        write(root / "tracks" / f"{i}.txt", "0.000000\t0.500000\tbird\n0.500000\t1.000000\twind\n")
    return root / "tracks"


@layout("VCTK: wav48/p225/p225_001.wav and txt/p225/p225_001.txt", "recordings", SPOKEN, 12, groups=3)
def vctk(root: Path) -> Path:
    for i in range(12):
        name = f"p{225 + i % 3}/p{225 + i % 3}_{i:03d}"
        sound(root / "VCTK" / "wav48" / f"{name}.wav", i)
        write(root / "VCTK" / "txt" / f"{name}.txt", SAID[i % 4])
    return root / "VCTK"


@layout(
    "TIMIT: SA1.WAV with SA1.TXT; SA1.PHN and SA1.WRD are left aside",
    "recordings",
    SPOKEN,
    12,
    splits={"test": 4},
    groups=6,
)
def timit(root: Path) -> Path:
    for i in range(12):
        split = "TEST" if i < 4 else "TRAIN"
        place = root / "TIMIT" / split / "DR1" / f"{split[:2]}{i // 2}" / f"SX{i}"
        sound(place.with_suffix(".WAV"), i)
        write(place.with_suffix(".TXT"), f"0 46797 {SAID[i % 4]}.\n")
        for suffix in (".PHN", ".WRD"):
            write(place.with_suffix(suffix), "0 3050 h#\n")
    return root / "TIMIT"
