"""pervade train --task text-to-audio, and predict -o: from recordings to wav files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile

SMALL = ("domain.rate=1000", "domain.hop=10", "model.channels=4", "model.skip=4", "model.longest=4", "model.stacks=1")


def write(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(12):
        label, speaker = "ab"[number % 2], ("anna", "bert", "carl")[number // 4]
        soundfile.write(folder / f"{label}_{speaker}_{number}.wav", rng.uniform(-0.5, 0.5, 100), 1000)
    return folder


def test_from_recordings_to_wav(pervade, tmp_path: Path) -> None:
    settings = [f"-o{each}" for each in (*SMALL, "validation=0", "test=0.3", "epochs=1", "workers=0")]
    patterns = ("--label-pattern", "^(.)_", "--group-pattern", "_(.+)_")
    trained = pervade("train", write(tmp_path / "data"), "--task", "text-to-audio", *patterns, "--name", "r", *settings)
    assert trained.status == 0, trained
    assert "FLAC" in trained.out
    made = pervade("predict", "r", "a", "b/anna", "-o", tmp_path / "out", "--seed", 3, "--json")
    rows = [json.loads(line) for line in made.out.splitlines()]
    assert [Path(row["file"]).name for row in rows] == ["a.wav", "b-anna.wav"]
    assert all(soundfile.info(row["file"]).frames == 100 and row["seconds"] == 0.1 for row in rows)
    pervade("predict", "r", "a").refuses("-o FOLDER")
    pervade("predict", "r", "-o", tmp_path / "out").refuses("this model makes sounds", "LABEL")
    unknown = pervade("predict", "r", "c", "-o", tmp_path / "out")
    assert unknown.status == 2 and unknown.err.splitlines()[-2].startswith("left out: 'c': it learnt no label 'c'; ")
    pervade("predict", "hf:there", "a").refuses("-o FOLDER")


def test_who_makes_no_sounds_takes_no_folder(pervade, run: Path, photos: Path) -> None:
    pervade("predict", run, photos, "-o", "out").refuses("models that make sounds or pictures")
