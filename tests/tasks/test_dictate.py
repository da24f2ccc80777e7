"""Whisper, tiny and from random weights, learns to write down tones; pieces, prompts and refusals."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import pervade
from pervade.core.contracts import Context
from pervade.core.types import Rows
from pervade.domains.dictation import Dictation, cuts
from pervade.recipes import transcription
from pervade.tasks.dictate import Dictate
from tests import trainings

WORDS = {"high": "tee tee", "low": "et"}


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trainings.whisper(tmp_path_factory.mktemp("hub") / "whisper")


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("tones"), np.random.default_rng(0)
    rows = []
    for name, hertz in (("high", 1500), ("low", 250)):
        for number in range(20):
            time = np.arange(int(rng.integers(3200, 4800))) / 16_000
            wave = 0.3 * np.sin(2 * np.pi * hertz * time + rng.uniform(0, 6)) + 0.02 * rng.standard_normal(len(time))
            soundfile.write(root / f"{name}{number}.wav", wave, 16_000)
            rows.append([f"{name}{number}.wav", WORDS[name]])
    with (root / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file_name", "transcription"], *rows])
    return root


def test_it_writes_down_tones(whisper: Path, tones: Path, tmp_path: Path) -> None:
    settings = ["domain.augment=false", "optimizer.lr=5e-3", "batch_size=7", "early_stopping.metric=null"]
    with warnings.catch_warnings(action="ignore"):  # of transformers, whose bands are so narrow that some are empty
        run = pervade.fit(
            tones,
            task="automatic-speech-recognition",
            model=f"hf:{whisper}",
            init="random",
            epochs=30,
            runs=tmp_path / "runs",
            name="a",
            settings=settings,
        )
        assert run.evaluate()["metrics"]["word_error_rate"]["value"] == 0.0
        long = tmp_path / "long.wav"  # 0.9 seconds, a pause, 0.9 seconds
        time = np.arange(14_400) / 16_000
        parts = [0.3 * np.sin(2 * np.pi * hertz * time[:4000]) for hertz in (1500, 250)]
        silence = np.zeros(11_000)
        soundfile.write(long, np.concatenate([parts[0], silence, parts[1]]), 16_000)
        answers = run.predict([tones / "high0.wav", tones / "low0.wav", long])
    assert [each["text"] for each in answers] == ["tee tee", "et", "tee tee et"]


def test_the_prompt(whisper: Path) -> None:
    domain = transcription.recipe(f"hf:{whisper}", init="random").domain
    assert isinstance(domain, Dictation)
    start = domain.prompt[0]
    assert domain.prompt == (start, 5, 6)
    assert domain.never == (7,)
    fitted = domain.fit(Rows({"id": ["a"], "text": ["tee"]}))
    tokens = fitted.tokens("tee et")
    assert tokens[:3] == [start, 5, 6]
    assert tokens[-1] == domain.end
    assert fitted.text(tokens[3:-1]) == "tee et"
    assert len(fitted.tokens("tee et " * 50)) == fitted.length == 16


def test_what_is_learnt(whisper: Path) -> None:
    """By hand: of prompt 1 2, tokens 3 4 and end 9 the last three are asked for; padding is not."""
    logits = torch.zeros(2, 4, 10)
    logits[0, 1, 3] = 5.0
    output: dict[str, Any] = {"logits": logits, "begun": torch.tensor(2)}
    batch = {"target": torch.tensor([[1, 2, 3, 4, 9], [1, 2, 9, 0, 0]]), "length": torch.tensor([5, 3])}
    parts = Dictate().loss(output, batch)
    assert parts["count"].tolist() == [3.0, 1.0]
    flat = float(torch.tensor(10.0).log())
    sure = float(torch.log(torch.exp(torch.tensor(5.0)) + 9) - 5)
    torch.testing.assert_close(parts["loss"], torch.tensor([sure + 2 * flat, flat]))


def test_pieces_join_in_order() -> None:
    table = {
        "row": np.array([4, 2, 4]),
        "part": np.array([1, 0, 0]),
        "seconds": np.array([40.0, 3.0, 40.0]),
        "text": ["b c", "x", "a"],
        "reference": ["a b d", "x", "a b d"],
    }
    found = Dictate().reduce(table, Dictation())
    assert found["row"].tolist() == [4, 2]
    assert found["text"] == ["a b c", "x"]
    assert found["word_substitutions"].tolist() == [1, 0]
    assert Context(Dictation()).domain is not None


def test_pieces_are_cut_where_it_is_quiet() -> None:
    rng = np.random.default_rng(0)
    wave = rng.standard_normal(70_000).astype(np.float32)
    wave[29_000:30_500] = 0
    found = cuts(wave, 32_000, 16_000)
    assert 29_000 < found[0] < 30_500
    assert all(b - a <= 32_000 for a, b in zip([0, *found], [*found, 70_000], strict=True))
