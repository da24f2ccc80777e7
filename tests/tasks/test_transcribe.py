"""Writing down what is said: a toy that must be solved, chunks that give what the whole gives, and bad input."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import pervade
from pervade import recipes
from pervade.core.contracts import Context
from pervade.core.types import Rows
from pervade.data.text import word_model
from pervade.domains.transcripts import Transcripts
from pervade.engine import predictions
from pervade.engine.predictor import Predictor
from pervade.metrics import calibration
from pervade.models.conformer import Conformer
from pervade.models.sound_cnn import SoundCNN
from pervade.recipes import transcription
from pervade.run.progress import Silent
from pervade.run.training import Options
from pervade.tasks.transcribe import Transcribe, stride
from pervade.testing import check_task
from tests.data.sounds import write
from tests.data.spoken import RATE, said, spoken, table

SMALL = [
    *("model.width=32", "model.heads=2", "model.depth=1", "model.channels=8", "model.bands=16", "model.factor=2"),
    *("model.band_masks=0", "model.time_masks=0", "model.band_warp=0", "model.dropout=0", "batch_size=8", "workers=0"),
    *(f"domain.rate={RATE}", "domain.augment=false", "optimizer.lr=0.01", "threads=1"),
]


class Heard(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def fit(data: Path, runs: Path, *settings: str) -> tuple[Any, str]:
    screen = Heard()
    run = pervade.fit(data, runs=runs, settings=[*SMALL, *settings], options=Options(screen))
    return run, "\n".join(screen.lines)


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("spoken")
    run, told = fit(spoken(folder / "data"), folder / "runs", "epochs=18")
    assert "automatic-speech-recognition" in told and "who speaks is not known" in told
    return run, folder


def test_few_words_said_again_and_again_are_learnt_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [(f"{number}.wav", " ".join(rng.choice(["a", "bb", "cd"], 3))) for number in range(60)]
    for name, text in rows:
        write(tmp_path / "data" / name, said(text, rng, 8000), 8000)
    table(tmp_path / "data", rows)
    screen = Heard()
    settings = ["epochs=18", "threads=1", "workers=0", "model.width=16", "model.features=32", "average=null"]
    settings += ["domain.augment=false", "model.dropout=0", "optimizer.lr=0.005", "batch_size=4", "model.bands=20"]
    settings += [f"model.{each}=0" for each in ("time_masks", "band_masks", "time_warp", "band_warp")]
    run = pervade.fit(tmp_path / "data", runs=tmp_path / "runs", settings=settings, options=Options(screen))
    recipe = run.recipe()
    assert type(recipe.model) is SoundCNN
    assert recipe.domain.rate == 8000
    assert set(run.load().domain.alphabet) == {"", " ", "a", "b", "c", "d", " a", " bb", " cd"}
    assert run.evaluate()["metrics"]["word_error_rate"]["value"] < 0.1
    # Which column is meant decides; sentences, and who names a model, are spelt.
    table(tmp_path / "data", [(name, f"{text} {name}") for name, text in rows])
    for model, source in ((None, tmp_path / "data"), ("conformer", None)):
        assert transcription.recipe(model, source=source) == transcription.scratch()
    table(tmp_path / "data", [(*row, row[0]) for row in rows], ("file_name", "transcription", "said"))
    names = {"source": tmp_path / "data", "task": "automatic-speech-recognition", "model": None}
    chosen = [type(recipes.choose(**names, text_column=each)[1].model) for each in (None, "said")]  # type: ignore[arg-type]
    assert chosen == [SoundCNN, Conformer]


def test_how_sure_it_is_is_learnt_from_the_validation_split() -> None:
    """Two of three words are wrong, whatever the network claims; with few words nothing is learnt."""
    columns = {"reference": ["a b c"] * 20, "text": ["a x y"] * 20, "sure": [[0.97, 0.98, 0.96]] * 20}
    slope, offset = Transcribe().decide(columns, Transcripts())["confidence"]
    assert calibration.chance(np.array([0.97]), slope, offset) == pytest.approx(1 / 3, abs=0.15)
    assert Transcribe().decide({name: values[:10] for name, values in columns.items()}, Transcripts()) == {}


def test_tones_are_written_down_without_a_mistake(solved) -> None:
    run, _ = solved
    found = run.evaluate()
    assert found["metrics"]["word_error_rate"]["value"] == found["metrics"]["character_error_rate"]["value"] == 0
    assert found["metrics"]["sentences_right"]["value"] == 1
    details = found["details"]
    assert details["normalisation"].startswith("none: composed Unicode")
    assert details["decoding"] == "the likeliest path" and details["worst"] == [] == details["confusions"]
    assert details["baseline"]["metrics"]["word_error_rate"]["value"] > 0.5


def test_predict_is_evaluate_and_says_when(solved) -> None:
    run, folder = solved
    wave = said("bdca", np.random.default_rng(5))
    path = write(folder / "new.wav", wave, RATE)
    answer = run.predict(path)[0]
    assert answer["text"] == "bdca"
    word = answer["words"][0]
    assert word["word"] == "bdca" and 0.04 <= word["start"] <= 0.2
    assert len(wave) / RATE - 0.2 < word["end"] <= len(wave) / RATE
    assert 0.5 < answer["confidence"] <= 1 and 0.5 < word["confidence"] <= 1
    columns = predictions.read_columns(run.directory.predictions("best", "test"))
    names = [each.split(" ")[1] for each in columns["id"]]
    again = run.predict([folder / "data" / each for each in names])
    assert [each["text"] for each in again] == columns["text"]
    assert np.allclose([each["confidence"] for each in again], columns["confidence"], atol=1e-6)


def test_files_that_cannot_be_read_are_told(solved) -> None:
    run, folder = solved
    (folder / "empty.wav").write_bytes(b"")
    answers = run.predict([folder / "empty.wav", folder / "data" / "0.wav"])
    assert [(each["error"] is None, each["text"] is None) for each in answers].count((False, True)) == 1
    assert any("0 bytes" in (each["error"] or "") for each in answers)


# long recordings


class Local(nn.Module):
    """Says of every 40 ms which of four tones is there, looking 60 ms to either side and no further."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, input: torch.Tensor, mask: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        step, wide = round(0.04 * RATE), round(0.16 * RATE)
        frames = -(-input.shape[2] // step)
        padded = nn.functional.pad(input[:, 0], (wide // 2, wide + step))
        pieces = padded.unfold(1, wide, step)[:, :frames] * torch.hann_window(wide)
        time = torch.arange(wide) / RATE
        angle = 2 * math.pi * torch.tensor([200.0, 400.0, 600.0, 800.0])[:, None] * time
        power = (pieces @ angle.cos().T).square() + (pieces @ angle.sin().T).square()
        logits = torch.cat([torch.full((*power.shape[:2], 1), 20.0), power * self.weight], 2) * 0.3
        counted = torch.ones(len(input), frames, dtype=torch.bool)
        if mask is not None:
            counted = torch.arange(frames) * step < mask.sum(1, keepdim=True)
        return {"logits": logits, "frames": counted}


@pytest.mark.parametrize("beam", [0, 8])
@pytest.mark.parametrize("overlap", [0.64, 1.6])
def test_chunks_give_what_the_whole_gives(overlap: float, beam: int) -> None:
    """Not a letter is lost or doubled at an edge, and times stay what they are."""
    rng = np.random.default_rng(3)
    waves = [said("".join(rng.choice(list("abcd"), 60)), rng) for _ in range(6)]
    waves.append(waves[0][: 3 * RATE])
    samples = [(np.clip(each, -1, 1) * 32767).astype(np.int16) for each in waves]
    rows = Rows(
        {
            "id": [str(i) for i in range(7)],
            "text": ["a b"] * 7,
            "samples": samples,
            "size": [len(each) for each in samples],
        }
    )
    domain = Transcripts(rate=RATE, alphabet=("", "a", "b", "c", "d"), chunk=60.0, augment=False)
    task, network = Transcribe(beam=beam), Local()
    whole = Predictor(network, domain, task).table(rows)
    parts = Predictor(network, replace(domain, chunk=3.2, overlap=overlap), task, batch_size=3).table(rows)
    assert len(domain.transform(rows[0], None)) == 1 and max(map(len, whole["text"])) > 50
    assert whole["text"] == parts["text"]
    assert whole["begins"] == parts["begins"] and whole["ends"] == parts["ends"]
    assert np.allclose(whole["confidence"], parts["confidence"], atol=1e-6)
    assert parts["row"].tolist() == list(range(7))


def test_times_do_not_drift_from_chunk_to_chunk() -> None:
    """16 s are no whole number of frames of 60 ms, so counting frames alone gains 20 ms a chunk."""
    rate, seconds, wide = 8000, 16.0, 480
    domain = Transcripts(rate=rate, alphabet=("", "a"), chunk=seconds, overlap=0.0)
    size = domain.chunk_samples
    frames, chunks = -(-size // wide), 30
    pieces = np.ones((frames, 2), np.int64) * [0, 1]
    log_prob = np.tile(np.log([0.9, 0.1]), (frames, 1))
    log_prob[10] = log_prob[10, ::-1]  # one word in each chunk
    table = {
        "row": np.zeros(chunks, np.int64),
        "part": np.arange(chunks),
        "seconds": np.full(chunks, chunks * size / rate),
        "start": np.arange(chunks) * size / rate,
        "stride": np.full(chunks, stride(size, frames, rate)),
        "kept": np.full(chunks, 2),
        "pieces": [pieces.ravel().tolist()] * chunks,
        "log_prob": [log_prob.ravel().tolist()] * chunks,
        "weight": np.zeros(chunks),
        "bonus": np.zeros(chunks),
        "slope": np.ones(chunks),
        "offset": np.zeros(chunks),
    }
    begins = Transcribe().reduce(table, replace(domain, alphabet=("", " a")))["begins"][0]
    expected = np.arange(chunks) * size / rate + 10 * wide / rate
    assert len(begins) == chunks and np.abs(np.array(begins) - expected).max() < 0.02


def test_stride() -> None:
    assert stride(320_000, 999, 16_000) == 0.02
    assert stride(RATE * 10, 250, RATE) == 0.04
    assert stride(8000, 32, 8000) == pytest.approx(1 / 32)


# the loss, and what does not fit


def test_the_loss_does_not_depend_on_the_cut() -> None:
    torch.manual_seed(0)
    domain = Transcripts(rate=2000, alphabet=("", "a", "b"))
    task = Transcribe()
    network = Conformer(width=32, depth=1, heads=2, channels=4, bands=16).build(domain.inputs(), task.outputs(domain))
    rng = np.random.default_rng(0)
    examples = [
        {"input": rng.standard_normal(size).astype(np.float32), "start": 0, "whole": size, "reference": "ab" * count}
        | {"target": np.array([1, 2] * count)}
        for size, count in ((2000, 2), (1500, 4), (1000, 1), (160, 5))
    ]
    batch = {**domain.collate(examples), "row": torch.arange(4)}
    check_task(task, network, batch, Context(domain))
    parts = task.loss(task.forward(network, batch, Context(domain)), batch)
    assert parts["count"].tolist() == [4, 8, 2, 0] and parts["too_long"].tolist() == [0, 0, 0, 1]
    assert torch.allclose(
        task.score(network(batch["input"], batch["mask"]), batch, Context(domain)), -parts["loss"], atol=1e-4
    )


def test_what_cannot_be_learnt_is_left_out_and_measured(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(12):
        write(tmp_path / f"{number}.wav", said("abc", rng), RATE)
        rows.append((f"{number}.wav", "abc", "train"))
    write(tmp_path / "long.wav", np.tile(said("abcd", rng), 10), RATE)
    write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    write(tmp_path / "quick.wav", said("a", rng), RATE)
    rows += [("long.wav", "abcd", "train"), ("silence.wav", "abc", "train"), ("quick.wav", "ab" * 40, "train")]
    rows += [("quick.wav", "ab" * 40, "test"), ("0.wav", "a7ß", "test"), ("gone.wav", "a", "test")]
    write(tmp_path / "again.wav", said("a", rng), RATE)
    rows[-3] = ("again.wav", "ab" * 40, "test")
    write(tmp_path / "other.wav", said("a", rng), RATE)
    rows[-2] = ("other.wav", "a7ß", "test")
    table(tmp_path, rows, ("file_name", "transcription", "split"))
    run, told = fit(tmp_path, tmp_path / "runs", "epochs=1", "domain.chunk=3", "domain.overlap=1", "validation=0")
    assert "1 of 15 recordings are longer than the 3" in told
    assert "1 of 15 recordings are silent, and have transcripts (the first, metadata.csv#14 silence.wav" in told
    assert "1 of 15 recordings say more than can be aligned (the first, metadata.csv#15 quick.wav: 0." in told
    assert "frames, and its transcript needs 80)" in told
    assert "1 of 2 transcripts of the test split hold characters that the alphabet has not ('7', 'ß')" in told
    assert "the file 'gone.wav' is not there" in told
    found = run.evaluate()
    assert found["n"] == 2
    columns = predictions.read_columns(run.directory.predictions("last", "test"))
    assert columns["reference"] == ["ab" * 40, "a7ß"] and columns["characters"].tolist() == [80, 3]
    errors = sum(columns[f"character_{kind}"] for kind in ("substitutions", "deletions", "insertions"))
    assert errors[1] >= 2  # of three characters two cannot be written
    log = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert all(math.isfinite(each["loss"]) for each in log if "loss" in each)


def test_nothing_is_left_to_learn_from(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.wav", np.zeros(RATE + number), RATE)
    table(tmp_path, [(f"{number}.wav", "abc") for number in range(4)])
    with pytest.raises(pervade.core.errors.DataError, match="nothing is left to learn from"):
        fit(tmp_path, tmp_path / "runs", "epochs=1")


# words that follow words


def test_the_word_model_decides_what_sounds_alike() -> None:
    """The frames say "a" or "b" with nearly the same weight, and after "c" the transcripts have "b" alone."""
    learnt = word_model.keep(word_model.learn(["c b", "c b", "a d"], "words", 2))
    domain = Transcripts(rate=RATE, alphabet=("", " ", "a", "b", "c", "d"), words=learnt)
    path = [4, 1, 2, 0]
    probabilities = torch.full((1, 4, 6), 0.01)
    probabilities[0, range(4), path] = 0.95
    probabilities[0, 2, 2], probabilities[0, 2, 3] = 0.5, 0.46
    output = {"log_prob": probabilities.log(), "frames": torch.ones(1, 4, dtype=torch.bool)}
    batch = domain.collate(
        [{"input": np.zeros(320, np.float32), "start": 0, "whole": 320, "reference": "c b", "target": []}]
    )
    batch["row"] = torch.tensor([7])

    def text(task: Transcribe, decision: dict[str, Any] | None = None) -> dict[str, Any]:
        context = Context(domain, decision=decision or {})
        return task.reduce(task.predictions(output, batch, context), domain)

    assert text(Transcribe())["text"] == ["c a"]
    assert text(Transcribe(beam=10, language_weight=0.0))["text"] == ["c a"]
    assert text(Transcribe(beam=10, language_weight=1.0))["text"] == ["c b"]
    unsettled = text(Transcribe(beam=10))
    decision = Transcribe(beam=10).decide(unsettled, domain)
    assert decision["language_weight"] > 0
    settled = text(Transcribe(beam=10), decision)
    assert settled["text"] == ["c b"] and "pieces" not in settled
    assert settled["word_deletions"].tolist() == [0] and settled["words"].tolist() == [2]


def test_it_is_settled_on_the_validation_split_and_kept(tmp_path: Path) -> None:
    data = spoken(tmp_path / "data", 24, 2)
    settings = ("epochs=2", "task.beam=4", "domain.language_model=characters", "domain.order=2")
    run, _ = fit(data, tmp_path / "runs", *settings)
    folder = run.directory.checkpoint("best")
    decision = json.loads((folder / "decision.json").read_text())
    assert {"language_weight", "word_bonus"} <= decision.keys()
    assert len(list(folder.glob("words-*.json"))) == 1
    assert "helped by 2-grams of the training transcripts' characters" in run.evaluate()["details"]["decoding"]
