"""A WaveNet of spoken digits, one speaker held out: bits a sample beside FLAC, pace of the queues, digits recognised.

    python benchmarks/wavenet.py [--data ../shared/data/fsdd] [--minutes 60] [--threads 2] [--out FOLDER]

Files DIGIT_SPEAKER_NUMBER.wav, as in the free spoken digit dataset. It learns from five speakers; theo is held out, and
is foretold as somebody unknown. Nothing is chosen by what is measured: there is no validation split, and the last
weights count. Settings were chosen with lucas held out. The limit covers reading, training, evaluation and the report.

- bits: intervals are over recordings, since there is one speaker: they say how sure his figure is, not another's.
- pace: the same network in one thread, let go on by queues, and by its receptive field anew for every sample.
- digits: 20 of each, in the voices of the five in turn, none chosen; heard by a network for sound, its recipe as it is,
  that learnt from what the WaveNet learnt from, and never heard a made one. A twenty-fifth of the five's recordings
  are kept from both, so that it can be said how recordings of the same voices are heard, as they are and made anew
  from their own mel bands by Griffin-Lim, the plain way, which unlike the WaveNet is told all that was said.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path
from typing import Any

from pervade.core import runtime

runtime.prepare()

import numpy as np
import torch

import pervade
from pervade.data.read import division
from pervade.data.sound import mu_law, player, recordings, sound_files
from pervade.domains.waveform import BANDS, Waveform
from pervade.engine.predictions import read_columns
from pervade.metrics.estimate import estimate
from pervade.metrics.interval import wilson
from pervade.metrics.paired import differences
from pervade.metrics.waveform import waveform_metrics
from pervade.nn.griffin_lim import griffin_lim
from pervade.nn.mel import LogMel
from pervade.nn.queues import SoundSampling, draw, go_on
from pervade.recipes import sound
from pervade.run.progress import Silent, screen
from pervade.run.training import Options

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "fsdd"
HELD_OUT, EVERY = "theo", 25  # the speaker, and which of the others' recordings are kept apart
DIGITS, EACH = [str(digit) for digit in range(10)], 20
ASKED_PACE, ASKED_DIGITS = 50, 0.25
RATE = 8000  # of the recordings
NAIVE = 20  # samples that are made without queues


def tables(data: Path, folder: Path) -> tuple[Path, list[Path]]:
    """A folder with train.csv and test.csv, and the recordings that are kept apart."""
    rows: dict[str, list[tuple[str, str, str]]] = {"train": [], "test": []}
    apart = []
    others = 0
    for path in sorted(data.glob("*.wav")):
        digit, speaker, _ = path.stem.split("_")
        others += speaker != HELD_OUT
        if speaker != HELD_OUT and others % EVERY == 0:
            apart.append(path)
        else:
            rows["test" if speaker == HELD_OUT else "train"].append((str(path.absolute()), digit, speaker))
    folder.mkdir(parents=True)
    for split, found in rows.items():
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("file", "label", "speaker"), *found])
    return folder, apart


def trained(data: Path, runs: Path, minutes: float, threads: int, settings: list[str]) -> Any:
    began = time.monotonic()
    told = [f"threads={threads}", "epochs=200", "validation=0", *settings]
    options = Options(screen=screen(), began=began)
    run = pervade.fit(
        data, task="text-to-audio", time_limit=60 * minutes, runs=runs, name="wavenet", settings=told, options=options
    )
    run.evaluate()
    run.report()
    steps = [entry for entry in run.directory.read_log() if entry["event"] == "step"]
    print(f"trained {steps[-1]['step']:,} steps; everything took {(time.monotonic() - began) / 60:.1f} minutes\n")
    return run


def bits(run: Any) -> None:
    """Of the speaker who was held out, beside FLAC, recording by recording."""
    found = [_columns(run, name) for name in (run.directory.require_checkpoint(None), "plain")]
    metrics = waveform_metrics()
    print("| bits a sample, of 8 | value | 95% interval | recordings |\n|---|---|---|---|")
    for name, columns in zip(("WaveNet", "FLAC, best setting, one stream"), found, strict=True):
        each = estimate(metrics, columns)["bits_per_sample"]
        print(f"| {name} | {each.value:.3f} | {each.low:.3f} to {each.high:.3f} | {each.n} |")
    apart = differences(metrics, [found[1], found[0]])[0]["bits_per_sample"].as_dict()
    print(f"| difference | {apart['difference']:.3f} | {apart['low']:.3f} to {apart['high']:.3f} | |\n")


def _columns(run: Any, checkpoint: str) -> dict[str, Any]:
    """Of a predictions file, each recording standing for itself."""
    columns = read_columns(run.directory.predictions(checkpoint, "test"))
    return {**columns, "group": np.arange(len(columns["row"]))}


def pace(run: Any) -> None:
    """Samples a second in one thread."""
    loaded = run.load()
    network, sampling = loaded.network.eval(), SoundSampling()
    rows = division.rows(list(loaded.domain.asked("7")))
    input = loaded.domain.collate([loaded.domain.transform(rows[0], None)[0]])["input"]
    length = int(input.pop("length")[0])
    field = network.receptive_field
    with runtime.threads(1):
        go_on(network, input, 100, sampling, 128)
        start = time.perf_counter()
        codes = go_on(network, input, length, sampling, 128)[0]
        queues = length / (time.perf_counter() - start)
        many = {name: each.repeat_interleave(50, 0) for name, each in input.items()}
        start = time.perf_counter()
        go_on(network, many, 1000, sampling, 128)
        together = 50 * 1000 / (time.perf_counter() - start)
        # As if there were no queues: of every sample the receptive field before it, and the last output of it.
        heard = np.concatenate([np.full(field, 128), codes])[-field - NAIVE :]
        frames = -(-field // loaded.domain.hop)
        told = {**input, "local": input["local"].repeat(1, -(-frames // input["local"].shape[1]), 1)[:, :frames]}
        spent = []
        for number in range(NAIVE):
            start = time.perf_counter()
            seen = torch.from_numpy(heard[number : number + field])[None]
            with torch.inference_mode():
                logits = network({**told, "codes": seen})["logits"][:, -1].numpy()
            draw(logits, np.array([0.5]), sampling)
            spent.append(time.perf_counter() - start)
    naive = 1 / float(np.median(spent[1:]))
    print("| one thread | samples/s |\n|---|---|")
    print(f"| the receptive field of {field:,} anew for every sample | {naive:,.1f} |")
    print(f"| queues, one sound | {queues:,.0f} |\n| queues, 50 sounds at once | {together:,.0f} |")
    print(f"\n{queues / naive:,.0f} times (asked: {ASKED_PACE})\n")


def recognised(
    run: Any, data: Path, apart: list[Path], runs: Path, out: Path, settings: list[str], temperature: float
) -> None:
    """How many of the made digits are heard as what they are, and of recordings. `settings` are the judge's."""
    speakers = run.load().domain.speakers
    asked = [f"{digit}/{speakers[i % len(speakers)]}" for digit in DIGITS for i in range(EACH)]
    start = time.monotonic()
    made = list(run.stream(asked, out=out, temperature=temperature, seed=0))
    seconds = time.monotonic() - start
    told = [f"domain.rate={RATE}", "validation=0", *settings]
    judge = pervade.fit(data, recipe=sound.recipe(), runs=runs, name="judge", settings=told, options=Options(Silent()))
    right = heard(judge, [(each["file"], name[0]) for each, name in zip(made, asked, strict=True)])
    known = heard(judge, [(str(path), path.name[0]) for path in apart])
    plain = heard(judge, [(str(path), path.name[0]) for path in by_griffin_lim(apart, out.parent / "griffin-lim")])
    print("| heard as what they are | share | 95% interval | n |\n|---|---|---|---|")
    for whose, found in (
        (f"made, {len(speakers)} voices in turn", right),
        ("recorded, the same voices", known),
        ("these, from their mel bands by Griffin-Lim", plain),
    ):
        low, high = wilson(int(found.sum()), len(found))
        print(f"| {whose} | {found.mean():.1%} | {low:.1%} to {high:.1%} | {len(found)} |")
    other = judge.evaluate()
    share, count = other["metrics"]["accuracy"]["value"], other["n"]
    low, high = wilson(round(share * count), count)
    print(f"| recorded, {HELD_OUT} | {share:.1%} | {low:.1%} to {high:.1%} | {count} |")
    by_digit = ", ".join(f"{d}: {right[i * EACH : (i + 1) * EACH].sum()}" for i, d in enumerate(DIGITS))
    lengths = sum(each["seconds"] for each in made)
    print(f"\nof {EACH} of each digit: {by_digit}; {lengths:.0f} s of sound were made in {seconds:.0f} s")
    print(f"asked: the interval's lower bound above {ASKED_DIGITS:.0%}; chance is 10%")


def by_griffin_lim(paths: list[Path], out: Path) -> list[Path]:
    """Wav files of the same names, from the mel bands that a WaveNet would be told (-o domain.local=mel)."""
    layer = LogMel(RATE, BANDS, hop=Waveform().hop / RATE, normalise="none")
    out.mkdir(parents=True, exist_ok=True)
    for path in paths:
        codes = mu_law.encode(recordings.scaled(sound_files.decode(str(path), RATE)))
        wave = torch.from_numpy(mu_law.decode(codes))[None].float()
        bands, _ = layer(wave[:, None])
        made = griffin_lim(bands, layer, wave.shape[1])[0]
        (out / path.name).write_bytes(player.wav(made.clamp(-1, 1).numpy(), RATE))
    return [out / path.name for path in paths]


def heard(judge: Any, files: list[tuple[str, str]]) -> np.ndarray:
    """(n,) bool: whether each file is heard as its label."""
    answers = judge.predict([path for path, _ in files], top=1)
    said = {each["input"]: each["top"][0]["label"] for each in answers}
    return np.array([said[path] == label for path, label in files])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="where runs and sounds are kept; without, nowhere")
    parser.add_argument("--temperature", type=float, default=SoundSampling().temperature)
    parser.add_argument("--set", action="append", default=[], help="a setting of the recipe, FIELD=VALUE")
    parser.add_argument("--judge", action="append", default=[], help="a setting of the judge's recipe")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.out or Path(temporary)
        data, apart = tables(arguments.data, folder / "tables")
        run = trained(data, folder / "runs", arguments.minutes, arguments.threads, arguments.set)
        bits(run)
        pace(run)
        judge = [f"threads={arguments.threads}", *arguments.judge]
        recognised(run, data, apart, folder / "runs", folder / "digits", judge, arguments.temperature)
