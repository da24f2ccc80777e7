"""Connected digits by speakers never trained on: word error rate by CTC, from nothing, within half an hour on 2 cores.

    python benchmarks/connected_digits.py [--data ../shared/data/fsdd] [--time-limit 1740] [--held-out theo,yweweler]

The recipe is what `pervade train` takes for few words that come again and again: the network that tells single digits
apart (models/sound_cnn.py), asked of every moment, since words so short need no more than the half second around it.
After some 500 steps its loss was 0.4 a word, and that of a conformer of 0.67 million weights 2.6, still near where it
began. Its pieces are whole words.

Sequences of 2 to 7 recordings of one speaker (free-spoken-digit-dataset) are joined with 0 to 300 ms of silence between
them, and white noise is added 10 to 30 dB below the whole. The two speakers held out are in the 500 test sequences
alone; everything is drawn from seed 0. The network was chosen by holding out one of the four other speakers instead
(`--held-out jackson --speakers george,jackson,lucas,nicolas`), which the test speakers had no part in; batch size,
rate and averaging were set beforehand and not compared.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
import wave
from pathlib import Path

from pervade.core import runtime

runtime.prepare()

import numpy as np

import pervade
from pervade.core import seed as seeds
from pervade.data.sound import sound_augment
from pervade.engine import predictions
from pervade.metrics.estimate import estimate
from pervade.metrics.transcription import KINDS, transcription_metrics
from pervade.recipes import transcription
from pervade.run.progress import Silent
from pervade.run.training import Options

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "fsdd"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RATE = 8000
DIGITS = (2, 7)  # of a sequence that is measured, from and to,
LEARNT = (1, 7)  # and of one that is learnt from: where there is one digit only, nothing need be aligned
GAP = (0.0, 0.3)  # seconds between two
NOISE = (10.0, 30.0)  # decibels that the noise lies below
Voices = dict[str, dict[int, list[np.ndarray]]]  # the recordings of each speaker and digit

COUNTED = [f"{unit}{what}" for unit in ("word", "character") for what in ("s", *(f"_{kind}" for kind in KINDS))]
ASKED, AIM = 0.30, 0.15
SETTINGS = ["validation=0"]  # the last weights count


def read(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


def write(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def joined(voices: Voices, lengths: tuple[int, int], rng: np.random.Generator) -> tuple[str, str, np.ndarray]:
    """Who speaks, what, and the samples."""
    speaker = sorted(voices)[int(rng.integers(len(voices)))]
    digits = rng.integers(0, 10, int(rng.integers(lengths[0], lengths[1] + 1)))
    parts = []
    for number, digit in enumerate(digits):
        if number:
            parts.append(np.zeros(round(rng.uniform(*GAP) * RATE), np.float32))
        there = voices[speaker][int(digit)]
        parts.append(there[int(rng.integers(len(there)))])
    noisy = sound_augment.add_noise(np.concatenate(parts), rng.uniform(*NOISE), 0.0, rng)
    return speaker, " ".join(WORDS[digit] for digit in digits), noisy


def sequences(folder: Path, split: str, voices: Voices, count: int, seed: int) -> None:
    """Wav files, and a table with one row each."""
    (folder / split).mkdir(parents=True)
    lengths = LEARNT if split == "train" else DIGITS
    with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "transcription", "speaker"])
        for number in range(count):
            speaker, text, samples = joined(voices, lengths, seeds.generator(seed, number, len(split)))
            write(folder / split / f"{number:05d}.wav", samples)
            writer.writerow([f"{split}/{number:05d}.wav", text, speaker])


def voices_of(data: Path, speakers: list[str]) -> Voices:
    found: Voices = {each: {digit: [] for digit in range(10)} for each in speakers}
    for path in sorted(data.glob("*.wav")):
        digit, speaker, _ = path.stem.split("_")
        if speaker in found:
            found[speaker][int(digit)].append(read(path))
    return found


def main(arguments: argparse.Namespace) -> None:
    held_out = arguments.held_out.split(",")
    everyone = sorted({path.stem.split("_")[1] for path in arguments.data.glob("*.wav")})
    others = [each for each in (arguments.speakers or ",".join(everyone)).split(",") if each not in held_out]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["PERVADE_CACHE"] = str(folder / "cache")
        sequences(folder / "data", "train", voices_of(arguments.data, others), arguments.sequences, arguments.seed)
        sequences(folder / "data", "test", voices_of(arguments.data, held_out), arguments.test, arguments.seed)
        print(f"{arguments.sequences:,} sequences by {', '.join(others)}; {arguments.test} by {', '.join(held_out)}")
        print(f"made in {time.monotonic() - began:.0f} s", flush=True)
        began = time.monotonic()
        run = pervade.fit(
            folder / "data",
            recipe=transcription.recipe(source=folder / "data"),
            runs=folder / "runs",
            settings=[*SETTINGS, *arguments.set],
            options=Options(Silent(), began=began),
            seed=arguments.seed,
            time_limit=arguments.time_limit,
        )
        trained = time.monotonic() - began
        found = run.evaluate()
        total = time.monotonic() - began
        told = [line for line in (run.path / "log.jsonl").read_text().splitlines() if "decision" in line]
        print("\n".join(told[-2:]))
        columns = predictions.read_columns(run.directory.predictions("last", "test"))
        print("| speaker | sequences | words | word error rate | 95% interval, by sequence |\n|---|---|---|---|---|")
        groups = np.asarray(columns["group"])
        for number, speaker in enumerate([*sorted(held_out), "**both**"]):
            rows = np.flatnonzero((groups == number) | (number == len(held_out)))
            own = {name: np.asarray(columns[name])[rows] for name in COUNTED} | {"group": np.arange(len(rows))}
            rate = estimate({"it": transcription_metrics()["word_error_rate"]}, own)["it"]
            told = f"{rate.value:.1%} | {100 * rate.low:.1f} to {100 * rate.high:.1f}"
            print(f"| {speaker} | {len(rows)} | {int(own['words'].sum()):,} | {told} |")
        shown = {name: f"{each['value']:.1%}" for name, each in found["metrics"].items() if name != "word_error_rate"}
        print(shown, found["details"]["errors"]["word"])
        print(found["details"]["confusions"][:8])
        print(f"{trained:.0f} s of training, {total:.0f} s with the evaluation; asked: {ASKED:.0%}, aim {AIM:.0%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--held-out", default="theo,yweweler")
    parser.add_argument("--speakers", help="whose recordings are used at all; all, unless named")
    parser.add_argument("--sequences", type=int, default=4000)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--time-limit", type=float, default=1740.0, help="seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="a setting of the recipe, FIELD=VALUE")
    parser.add_argument("--quick", action="store_true", help="a minute, and few sequences")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sequences, arguments.test, arguments.time_limit = 400, 50, 60.0
    main(arguments)
