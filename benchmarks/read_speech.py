"""Eighteen minutes by one reader, learnt by heart on purpose: how long it takes to 2% wrong words in training.

    python benchmarks/read_speech.py [--data ../shared/data/read_speech] [--model sound-cnn] [--epochs 80]

The small convolutional network, since it learns fastest here, and pieces of words. Nothing is changed in training and
nothing dropped out, since to remember is the point. What this shows: that alphabet, loss, model, decoding and error
rates work on real read speech, long sentences and all, and how fast a training step is. What it does not show: that
anything was learnt about speech in general. Eighteen minutes are a thousandth of what a recogniser is trained on, and
one reader is no population; sentences kept for the test, by the same reader and out of the same book, are printed
beside, and nearly all of their words are wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from pervade.core import runtime

runtime.prepare()

import pervade
from pervade.recipes import transcription
from pervade.run.progress import Silent
from pervade.run.training import Options

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "read_speech"
ASKED = 0.02
SETTINGS = [
    "domain.normalise=words",
    "domain.augment=false",
    "model.dropout=0",
    "model.time_masks=0",
    "model.band_masks=0",
    "model.time_warp=0",
    "model.band_warp=0",
    "domain.units=subwords",
    "domain.pieces=200",
    "domain.rate=8000",
    "validation=0",
    "test=0.1",
    "batch_size=4",
]


def main(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PERVADE_CACHE"] = str(Path(folder) / "cache")
        began = time.monotonic()
        run = pervade.fit(
            arguments.data,
            recipe=transcription.recipe(arguments.model),
            runs=Path(folder) / "runs",
            settings=[*SETTINGS, f"epochs={arguments.epochs}", *arguments.set],
            options=Options(Silent()),
        )
        seconds = time.monotonic() - began
        steps = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
        print("loss per character:", [(e["step"], round(e["loss"], 3)) for e in steps if e["event"] == "step"][::20])
        print("| split | sentences | word error rate | character error rate |\n|---|---|---|---|")
        for split in ("train", "test"):
            found = run.evaluate(split=split)
            rates = [f"{found['metrics'][f'{unit}_error_rate']['value']:.1%}" for unit in ("word", "character")]
            print(f"| {split} | {found['n']} | {' | '.join(rates)} |", flush=True)
        print(f"\n{seconds:.0f} s of reading and training; asked: at most {ASKED:.0%} of the training words wrong")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", default="sound-cnn", help="sound-cnn, conformer, conformer-tiny …")
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--set", action="append", default=[], help="a setting of the recipe, FIELD=VALUE")
    parser.add_argument("--quick", action="store_true", help="two passes")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.epochs = 2
    main(arguments)
