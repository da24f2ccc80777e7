"""A WaveNet learns to make sounds: by `fit`, from files to files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import pervade
from pervade.core.contracts import Context, PlainFeatures
from pervade.core.errors import ConfigError
from pervade.core.types import Rows
from pervade.data.sound import mu_law
from pervade.domains.waveform import Waveform
from pervade.engine.predictions import read_columns
from pervade.engine.predictor import Predictor
from pervade.models.wavenet import WaveNet
from pervade.tasks.synthesise import Synthesise, flac
from pervade.testing import check_task

RATE = 2000
TONES = {"high": 400.0, "low": 150.0}
SETTINGS = (
    *("domain.rate=2000", "domain.hop=20", "domain.context=64", "domain.seconds=0.2", "model.channels=24"),
    *("model.skip=32", "model.longest=16", "model.stacks=1", "micro_batch=8", "average=0.9", "precision=fp32"),
    *("validation=0.1", "test=0.2", "optimizer.lr=1e-2", "threads=1", "workers=0"),
)


def write(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(60):
        label = ("high", "low")[number % 2]
        time = np.arange(400) / RATE
        wave = 0.5 * np.sin(2 * np.pi * TONES[label] * time + rng.uniform(0, 6)) + rng.normal(0, 0.01, 400)
        path = folder / label / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, wave, RATE)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pervade.api.Run:
    folder = tmp_path_factory.mktemp("tones")
    data = write(folder / "data")
    made = pervade.fit(data, task="text-to-audio", runs=folder / "runs", settings=(*SETTINGS, "epochs=14"))
    made.evaluate()
    return made


def pitch(wave: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(wave * np.hanning(len(wave)))).argmax() * RATE / len(wave))


def test_each_label_has_its_tone(run) -> None:
    answers = run.predict(["high", "low", "high", "low"], seed=5)
    for label, each in zip(["high", "low"] * 2, answers, strict=True):
        assert each["rate"] == RATE
        assert len(each["samples"]) == 400
        assert abs(pitch(each["samples"]) - TONES[label]) <= 10
        assert 0.15 < np.abs(each["samples"]).max() <= 1
    assert not np.array_equal(answers[0]["samples"], answers[2]["samples"])


def test_it_foretells_better_than_flac(run) -> None:
    results = run.results()
    bits = results["metrics"]["bits_per_sample"]
    baseline = results["details"]["baseline"]
    assert bits["low"] < bits["value"] < bits["high"] < baseline["metrics"]["bits_per_sample"]["value"]
    assert "FLAC" in baseline["name"]
    assert baseline["differences"]["bits_per_sample"]["high"] < 0
    # What is written is what the network says: of one recording by hand, all in one window.
    loaded = run.load()
    columns = read_columns(run.directory.predictions("best", "test"))
    rows = pervade.run.workflow.load_rows(run.directory, loaded.domain)
    row = rows[int(columns["row"][0])]
    batch = loaded.domain.collate(loaded.domain.transform(row, None))
    logits = loaded.network(batch["input"])["logits"].log_softmax(-1)
    by_hand = -logits.gather(2, batch["target"][..., None]).sum() / math.log(2)
    assert columns["bits"][0] == pytest.approx(float(by_hand.detach()), rel=1e-5)
    assert columns["samples"][0] == 400


def test_sounds_of_the_report_are_files(run) -> None:
    sounds = run.results()["details"]["sounds"]
    assert [each["caption"] for each in sounds] == ["high, seed 0", "low, seed 0"]
    for each in sounds:
        wave, rate = soundfile.read(run.path / each["file"])
        assert (len(wave), rate) == (400, RATE)


def test_predict_writes_files(run, tmp_path: Path) -> None:
    (first,) = run.stream(["low"], out=tmp_path, seed=3)
    (again,) = run.stream(["low"], out=tmp_path / "again", seed=3)
    assert first == {"input": "low", "file": str(tmp_path / "low.wav"), "seconds": 0.2, "error": None}
    assert json.dumps(first)
    assert (tmp_path / "low.wav").read_bytes() == Path(again["file"]).read_bytes()
    (short,) = run.stream(["low"], out=tmp_path / "short", length=100, temperature=0.5)
    assert short["seconds"] == 0.05


def test_windows_and_batches_do_not_matter(run) -> None:
    """Bits are the same in one window, in four, and row by row."""
    loaded = run.load()
    rows = pervade.run.workflow.load_rows(run.directory, loaded.domain).select(range(6))
    cut = Waveform(**{**vars(loaded.domain), "seconds": 0.05})
    found = [
        Predictor(loaded.network, domain, loaded.task, batch_size=size).table(rows)["bits"]
        for domain, size in ((loaded.domain, 64), (loaded.domain, 1), (cut, 4))
    ]
    assert np.allclose(found[0], found[1], rtol=1e-6)
    assert np.allclose(found[0], found[2], rtol=1e-6)


def test_the_loss_is_a_sum_over_samples() -> None:
    domain = Waveform(rate=RATE, hop=20, labels=("a",), lengths=((0.1, 0.1),))
    task, network = Synthesise(), WaveNet(8, 8, 4, 1).build(domain.inputs(), {"logits": 256})
    rng = np.random.default_rng(0)
    rows = [
        {"id": str(i), "path": "", "hash": "", "samples": rng.integers(-9999, 9999, 90 + i, np.int16), "target": "a"}
        for i in range(4)
    ]
    batch = {"row": torch.arange(4), **domain.collate([domain.transform(row, None)[0] for row in rows])}
    check_task(task, network, batch, Context(domain))
    parts = task.loss(task.forward(network, batch, Context(domain)), batch)
    assert parts["count"].tolist() == [90, 91, 92, 93]
    uniform = task.loss({"logits": torch.zeros(4, 93, 256)}, batch)
    assert torch.allclose(uniform["loss"], parts["count"] * math.log(256))


def test_flac_of_what_cannot_be_foretold() -> None:
    """Codes by chance take 8 bits each and a header; silence takes nearly none."""
    rng = np.random.default_rng(0)
    noise = flac(rng.integers(0, 256, 40_000).astype(np.uint8), 8000) / 40_000
    assert 8.0 <= noise < 8.2
    assert flac(np.full(40_000, mu_law.SILENCE, np.uint8), 8000) / 40_000 < 0.1


def test_bits_of_flac_are_shared_out_by_recording() -> None:
    domain, rng = Waveform(rate=RATE), np.random.default_rng(0)
    codes = [np.full(5000, mu_law.SILENCE, np.uint8), rng.integers(0, 256, 5000).astype(np.uint8)]
    made = Synthesise().plain(PlainFeatures("codes", None, codes), Rows({"id": []}), {}, domain)
    assert made is not None
    bits = made.columns["bits"]
    assert bits.sum() == pytest.approx(flac(np.concatenate(codes), RATE))
    assert bits[0] < bits[1] / 5


def test_refusals(tmp_path: Path) -> None:
    data = write(tmp_path / "data")
    with pytest.raises(ConfigError, match="trains a wavenet"):
        pervade.fit(data, task="text-to-audio", model="resnet18", runs=tmp_path)
