"""One training of a second for every source of batches and every task: `python -m tests.trainings NAME FOLDER [STEP]`
runs one in a process of its own, which kills itself (SIGKILL, nothing is cleaned up) in the middle of that optimiser
step. Run it again without, and it goes on from the last saved state.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import soundfile
import torch

from pervade import api
from pervade.api import Run
from pervade.core import files, registry, runtime
from pervade.core.run import RunDirectory
from pervade.data.text import vocabulary
from pervade.engine.fit import Learner
from pervade.run.training import Options
from tests import chats, questions
from tests.data import spoken
from tests.data.drawing import class_folders, encoded, pixels
from tests.data.sounds import speakers
from tests.texts import reviews, writer_folder
from tests.texts import write as write_table

EVERY = ("threads=1", "workers=0", "device=cpu", "precision=fp32")
ENCODER = (
    *("model.width=16", "model.depth=1", "model.heads=2", "model.dropout=0.1", "domain.num_tokens=320"),
    *("batch_size=8", "validation=0.2", "test=0.1"),
)
WRITER = (*ENCODER[:2], "model.heads=2", "domain.num_tokens=320", "batch_size=8", "validation=0.2", "test=0.1")
PICTURE = ("model.units=[8]", "domain.size=8", "batch_size=6", "validation=0.2", "test=0.2")
AGENT = ("domain.episodes=2", "model.network.units=[8]")


def pictures(folder: Path) -> dict[str, Any]:
    """Augmented, with dropout, mixed batches and averaged weights."""
    settings = ("domain.size=12", "model.filters=[4,4,4]", "model.dense=8", "augment=mixup", "average=0.9")
    data = class_folders(folder, count=16)
    return {"data": data, "model": "reference-cnn", "settings": (*settings, *PICTURE[2:])}


def table_of_pictures(folder: Path, value: Callable[[int], object]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["image,labels" if isinstance(value(0), str) else "image,level"]
    for number in range(32):
        (folder / f"{number}.png").write_bytes(encoded(pixels(number % 3, number)))
        lines.append(f"{number}.png,{value(number)}")
    table = folder / "table.csv"
    table.write_text("\n".join(lines))
    return table


def labels_of_pictures(folder: Path) -> dict[str, Any]:
    names = ("left", "top", "left|top")
    data = table_of_pictures(folder, lambda number: names[number % 3])
    return {"data": data, "model": "reference-mlp", "task": "image-multi-label-classification", "settings": PICTURE}


def pictures_as_codes(folder: Path) -> dict[str, Any]:
    """With a prior over the codes, which learns afterwards, and a judge, which learns before."""
    settings = (
        *("model.width=8", "model.blocks=1", "model.codes=8", "model.dimension=4", "domain.size=8", "average=0.9"),
        *("then.model.width=16", "then.model.heads=2", "then.model.depth=1", "then.epochs=1", "then.threads=1"),
        *("batch_size=6", "validation=0.2", "test=0.2", "domain.condition=label"),
    )
    task = "unconditional-image-generation"
    return {"data": class_folders(folder, count=16), "task": task, "model": "vq-vae", "settings": settings}


def pictures_from_a_teacher(folder: Path) -> dict[str, Any]:
    """Of a teacher that is a checkpoint of the same pictures, with weighed classes, which have a companion too."""
    asked = pictures(folder)
    teacher = {**asked, "model": "reference-mlp", "settings": (*EVERY, "model.units=[8]", "domain.size=12")}
    made = api.fit(**teacher, epochs=1, ladder=["trained"], name="teacher", runs=folder.parent, options=Options())
    task = f"task={{use: distil, teacher: {made.directory.path}, task: {{use: classify, class_weights: balanced}}}}"
    return {**asked, "settings": (*asked["settings"], task)}


def numbers_of_pictures(folder: Path) -> dict[str, Any]:
    data = table_of_pictures(folder, lambda number: number / 7)
    return {"data": data, "model": "reference-mlp", "task": "image-regression", "settings": PICTURE}


def faces(folder: Path) -> dict[str, Any]:
    """The people's centres are companions, and a sampler of the task's own puts batches together."""
    data = class_folders(folder, [f"p{number}" for number in range(10)], count=4)
    settings = (*PICTURE[:2], "batch_size=8", "validation=0.2", "test=0.2", "task.dimensions=4")
    return {"data": data, "model": "reference-mlp", "task": "image-feature-extraction", "settings": settings}


def faces_at_once(folder: Path) -> dict[str, Any]:
    asked = faces(folder)
    settings = ("domain={use: histograms, target: identity}", *AT_ONCE, "task.dimensions=4", "task.loss_name=triplet")
    return {**asked, "model": "linear", "settings": settings, "epochs": 4}


def texts(folder: Path) -> dict[str, Any]:
    return {"data": write_table(folder / "reviews.tsv", reviews(48)), "model": "transformer", "settings": ENCODER}


def words_at_once(folder: Path) -> dict[str, Any]:
    """A step finds the weights of a linear model on all words, and each pass is such a step."""
    settings = (*ENCODER[4:], "domain=bag", "optimizer=linear-solver", "source=whole", "schedule=constant")
    return {**texts(folder), "model": "linear", "settings": (*settings, "tuning=null"), "epochs": 4}


AT_ONCE = ("optimizer=linear-solver", "source=whole", "schedule=constant", "tuning=null", "validation=0.2", "test=0.2")


def histograms_of_pictures(folder: Path) -> dict[str, Any]:
    data = class_folders(folder, count=16)
    return {"data": data, "model": "linear", "settings": ("domain=histograms", *AT_ONCE), "epochs": 4}


def statistics_of_sounds(folder: Path) -> dict[str, Any]:
    settings = ("domain={use: spectral-statistics, label_pattern: '^([^_]+)_'}", *AT_ONCE)
    return {
        "data": speakers(folder),
        "task": "audio-classification",
        "model": "linear",
        "settings": settings,
        "epochs": 4,
    }


def texts_in_two_ways(folder: Path) -> dict[str, Any]:
    parts = {"tokens": {"use": "text", "num_tokens": 320, "length": 16}, "words": {"use": "bag"}}
    small = {"use": "transformer", "width": 16, "depth": 1, "heads": 2, "dropout": 0.1}
    blend = {"use": "blend", "models": {"tokens": small, "words": "linear"}, "weights": {"tokens": 0.5, "words": 0.5}}
    domain = {"use": "composite", "parts": parts}
    settings = (*ENCODER[5:], f"domain={json.dumps(domain)}", f"model={json.dumps(blend)}", "source=dataset")
    return {**texts(folder), "settings": settings}


def texts_with_adapters(folder: Path) -> dict[str, Any]:
    return {**texts(folder), "settings": (*ENCODER, "tuning={use: lora, rank: 2, dropout: 0.2}")}


def asked_of_texts(folder: Path) -> dict[str, Any]:
    data = questions.write(folder / "asked.json", questions.squad(10))
    settings = (*ENCODER, "domain.length=48", "domain.overlap=16")
    return {"data": data, "model": "transformer", "init": "random", "settings": settings}


def running_text(folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(10):
        text = "".join(f"{line}.\n" for line, _ in reviews(6, number))
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    return {"data": folder, "model": "gpt", "settings": (*WRITER, "domain.length=32")}


def counts_of_running_text(folder: Path) -> dict[str, Any]:
    """A step counts all that there is, and each pass is such a step."""
    settings = ("domain.num_tokens=320", "domain.length=32", *AT_ONCE[1:], "model=ngram", "optimizer=counting")
    return {**running_text(folder), "settings": (*settings, "micro_batch=1"), "epochs": 4}


def adapters_alone(folder: Path) -> dict[str, Any]:
    """The weights beside the adapters are read again where they lie, and no state holds them."""
    running = running_text(folder / "texts")
    settings = ("domain.length=24", "tuning={use: lora, rank: 2, dropout: 0.1, alone: true}", "average=0.5")
    network = writer_folder(folder / "gpt2")
    return {"data": running["data"], "model": f"hf:{network}", "settings": (*settings, *WRITER[4:])}


def hidden_words(folder: Path) -> dict[str, Any]:
    data = write_table(folder / "texts.tsv", reviews(100))
    return {"data": data, "model": "transformer", "task": "fill-mask", "settings": (*ENCODER, "domain.length=16")}


def conversations(folder: Path) -> dict[str, Any]:
    data = chats.write(folder / "colours.jsonl", chats.colours(48))
    return {"data": data, "model": "gpt", "settings": (*WRITER, "domain.length=64")}


def preferences(folder: Path) -> dict[str, Any]:
    """The model as it was before is a companion."""
    before = api.fit(**conversations(folder), name="before", runs=folder, epochs=1, options=Options())
    data = chats.write(folder / "tastes.jsonl", chats.tastes(40))
    return {"data": data, "init": str(before.path), "settings": ("batch_size=8", "validation=0.2", "test=0.1")}


def sounds(folder: Path) -> dict[str, Any]:
    settings = ("domain.label_pattern=^([^_]+)_", "model.width=8", "model.stages=1", "model.features=16")
    return {"data": speakers(folder), "settings": (*settings, "batch_size=6", "validation=0.2", "test=0.2")}


def transcripts(folder: Path) -> dict[str, Any]:
    settings = (
        *("model.width=16", "model.heads=2", "model.depth=1", "model.channels=4", "model.bands=16", "model.factor=2"),
        *(f"domain.rate={spoken.RATE}", "batch_size=8", "validation=0.2", "test=0.1"),
    )
    return {"data": spoken.spoken(folder, count=40), "settings": settings}


def dictation(folder: Path) -> dict[str, Any]:
    network = f"hf:{whisper(folder / 'whisper')}"
    settings = ("batch_size=7", "validation=0.2", "test=0.1")
    task = "automatic-speech-recognition"
    return {"data": tones(folder / "tones"), "task": task, "model": network, "init": "random", "settings": settings}


def made_sounds(folder: Path) -> dict[str, Any]:
    settings = (
        *("domain.rate=2000", "domain.hop=20", "domain.context=64", "domain.seconds=0.2", "model.channels=8"),
        *("model.skip=8", "model.longest=16", "model.stacks=1", "batch_size=8", "average=0.9"),
        "domain.label_pattern=^([^_]+)_",
    )
    return {"data": speakers(folder), "task": "text-to-audio", "settings": (*settings, "validation=0.2", "test=0.2")}


def pictures_by_two_players(folder: Path) -> dict[str, Any]:
    """Each with an optimiser of its own, and batch normalisation settled anew for the averaged weights."""
    task = "{use: adversarial-generation, changes: [colour, translation, cutout], r1: 0.1, r1_every: 2, lessons: 2}"
    settings = ("domain.size=8", "model.width=4", "model.noise=4", f"task={task}", "average=0.9", "batch_size=6")
    data = class_folders(folder, ["only"], count=32)
    asked = {"data": data, "task": "unconditional-image-generation", "model": "dcgan"}
    return {**asked, "settings": (*settings, "validation=0.2", "test=0.2")}


def noisy_pictures(folder: Path) -> dict[str, Any]:
    """Steps, noise and what is not told are drawn anew for each picture; the judge has no classes to learn."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(32):
        (folder / f"{number}.png").write_bytes(encoded(pixels(number % 3, number)))
    network = ("model.widths=[8,16]", "model.head=8", "model.attention=[]", "task.sampling.steps=2")
    asked = {"data": folder, "task": "unconditional-image-generation", "model": "unet"}
    return {**asked, "settings": (*network, *PICTURE[1:])}


def rollouts(folder: Path) -> dict[str, Any]:
    settings = (*AGENT, "source.steps=32", "source.epochs=2", "batch_size=32", "domain.environments=2")
    return {"data": "gym://CartPole-v1", "steps": 256, "settings": settings}


def rollouts_in_processes(folder: Path) -> dict[str, Any]:
    return {**rollouts(folder), "settings": (*rollouts(folder)["settings"], "domain.processes=2")}


def rollouts_of_forces(folder: Path) -> dict[str, Any]:
    """What is done is a number, and observations are normalised by what was seen so far."""
    return {**rollouts(folder), "data": "gym://Pendulum-v1"}


def replay(folder: Path) -> dict[str, Any]:
    """With what is replayed by priority, several steps ahead, from two environments, in a network of two streams."""
    settings = (
        *("source.begin=64", "source.steps=64", "source.every=16", "source.lessons=4", "source.size=200"),
        *("source.priority=0.6", "source.ahead=3", "task.dueling=true", "domain.environments=2", "batch_size=16"),
    )
    return {"data": "gym://CartPole-v1", "algorithm": "dqn", "steps": 320, "settings": (*AGENT, *settings)}


@dataclass(frozen=True)
class Training:
    """What `api.fit` is asked for, made in a folder, and the registered names of what is trained in it."""

    asked: Callable[[Path], dict[str, Any]]
    source: str
    task: str
    domain: str
    members: Mapping[str, str] = field(default_factory=dict)  # runs inside it, each with its domain


TRAININGS = {
    training.asked.__name__: training
    for training in (
        Training(pictures, "dataset", "classify", "image"),
        Training(labels_of_pictures, "dataset", "tag", "image"),
        Training(pictures_from_a_teacher, "dataset", "distil", "image"),
        Training(
            pictures_as_codes, "dataset", "reconstruct", "generated-pictures", {"judge": "image", "then": "codebook"}
        ),
        Training(numbers_of_pictures, "dataset", "regress", "image"),
        Training(faces, "dataset", "contrast", "image"),
        Training(faces_at_once, "whole", "contrast", "histograms"),
        Training(texts, "by-length", "classify", "text"),
        Training(words_at_once, "whole", "classify", "bag"),
        Training(histograms_of_pictures, "whole", "classify", "histograms"),
        Training(statistics_of_sounds, "whole", "classify", "spectral-statistics"),
        Training(texts_in_two_ways, "dataset", "classify", "composite"),
        Training(texts_with_adapters, "by-length", "classify", "text"),
        Training(asked_of_texts, "by-length", "answer-span", "questions"),
        Training(running_text, "stream", "language-model", "corpus"),
        Training(counts_of_running_text, "whole", "language-model", "corpus"),
        Training(adapters_alone, "stream", "language-model", "corpus"),
        Training(hidden_words, "stream", "fill-mask", "masked"),
        Training(conversations, "by-length", "language-model", "instructions"),
        Training(preferences, "by-length", "prefer", "preferences"),
        Training(sounds, "dataset", "classify", "sound"),
        Training(transcripts, "utterances", "transcribe", "transcripts"),
        Training(dictation, "utterances", "dictate", "dictation"),
        Training(made_sounds, "by-length", "synthesise", "waveform"),
        Training(pictures_by_two_players, "dataset", "adversarial-generation", "generated-pictures"),
        Training(noisy_pictures, "dataset", "denoise", "generated-pictures"),
        Training(rollouts, "rollouts", "ppo", "environment"),
        Training(rollouts_in_processes, "rollouts", "ppo", "environment"),
        Training(rollouts_of_forces, "rollouts", "ppo", "environment"),
        Training(replay, "replay", "dqn", "environment"),
    )
}


def whisper(folder: Path) -> Path:
    """A Whisper of random weights in the Hub's layout, so small that it trains in a moment."""
    from transformers import WhisperConfig, WhisperFeatureExtractor

    made = vocabulary.keep(vocabulary.learn([" tee tee", " et"], "bpe", 270))
    start, end = (vocabulary.special(made, name) for name in (vocabulary.BEGINNING, vocabulary.END))
    config = WhisperConfig(
        vocab_size=vocabulary.size(made),
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_source_positions=50,
        max_target_positions=16,
        pad_token_id=0,
        bos_token_id=start,
        eos_token_id=end,
        decoder_start_token_id=start,
    )
    config.save_pretrained(folder)
    with warnings.catch_warnings(action="ignore"):
        WhisperFeatureExtractor(chunk_length=1).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(vocabulary.text_of(made))
    told = {"lang_to_id": {"<|en|>": 5}, "task_to_id": {"transcribe": 6}, "suppress_tokens": [7]}
    (folder / "generation_config.json").write_text(json.dumps(told))
    return folder


def tones(folder: Path) -> Path:
    """Twenty recordings of a high tone, twenty of a low one, and what each says."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    rows = []
    for name, text, hertz in (("high", "tee tee", 1500), ("low", "et", 250)):
        for number in range(20):
            time = np.arange(int(rng.integers(3200, 4800))) / 16_000
            wave = 0.3 * np.sin(2 * np.pi * hertz * time + rng.uniform(0, 6)) + 0.02 * rng.standard_normal(len(time))
            soundfile.write(folder / f"{name}{number}.wav", wave, 16_000)
            rows.append([f"{name}{number}.wav", text])
    with (folder / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file_name", "transcription"], *rows])
    return folder


def trained(asked: dict[str, Any], folder: Path, save_every: float = 1e9) -> Run:
    """Trains into the folder, or goes on training there. `asked` is as a Training's gives it."""
    options = Options(save_every=save_every)
    with warnings.catch_warnings():
        # of transformers, whose bands for sounds of a second are so narrow that some are empty
        warnings.filterwarnings("ignore", message="At least one mel filter")
        if (folder / "recipe.yaml").exists():
            return api.resume(folder, options=options)
        known = {"epochs": 2} if "steps" not in asked else {}
        known |= {**asked, "settings": (*EVERY, *asked["settings"])}
        return api.fit(**known, ladder=["trained"], name=folder.name, runs=folder.parent, options=options)


def steps(run: RunDirectory) -> int:
    return files.read_json(run.checkpoint("last") / "architecture.json")["step"]


def assert_same_state(one: RunDirectory, other: RunDirectory) -> None:
    """Weights, companions, optimisers: everything in the final state, bit for bit."""
    for path in ("checkpoints/last/model.safetensors", "state/state.safetensors"):
        first, second = (safetensors.torch.load_file(run.path / path) for run in (one, other))
        assert first.keys() == second.keys()
        different = [name for name in first if not torch.equal(first[name], second[name])]
        assert not different, different


def logged(run: RunDirectory) -> list[dict[str, Any]]:
    """The log, without what the clock decides."""
    clock = ("elapsed", "rows_per_second")
    return [{name: value for name, value in entry.items() if name not in clock} for entry in run.read_log()]


class Killed(BaseException):
    """Raised in place of a kill: nothing catches it, and nothing is saved for it."""


@contextmanager
def killed_at(step: int, kill: Callable[[], None], task: str | None = None) -> Iterator[None]:
    """Inside, `kill` is called in the middle of that optimiser step of any training, or of those of a task alone: runs
    inside a run have others."""
    take = Learner._take_step

    def step_or_die(self: Learner, batch: Any) -> Any:
        if self.step == step and task in (None, registry.name_of(type(self.task))):
            kill()
        return take(self, batch)

    Learner._take_step = step_or_die  # type: ignore[method-assign]
    try:
        yield
    finally:
        Learner._take_step = take  # type: ignore[method-assign]


def really() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def as_if() -> None:
    raise Killed


if __name__ == "__main__":
    runtime.prepare()
    name, place, step = sys.argv[1:]
    with killed_at(int(step), really, TRAININGS[name].task):
        trained(TRAININGS[name].asked(Path(place).parent / "data"), Path(place), save_every=0.0)
