"""Hidden words first: reviews in Chinese classified with 100, 1,000 and all labels, with and without having learnt to
fill in hidden words of the same texts, beside a linear model on TF-IDF of characters.

    python benchmarks/pretraining.py [--data ../shared/data/chnsenticorp] [--epochs 7]        about an hour

The encoder is our own transformer from random weights. It fills in words of the training texts alone; the held-out
texts are never seen. Texts that stand on both sides are left out of training. The same held-out rows for everybody:
differences are paired. Passes are more where labels are few, for all three alike as far as they take passes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from encoder import told

import pervade

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "chnsenticorp"
MODEL = "transformer-small"
PASSES = {100: 30, 1000: 10, None: 3}  # of training with labels
LENGTH = 256


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def text_of(line: str) -> str:
    return line.rpartition("\t")[0].strip()


def some(train: list[str], count: int | None, seed: int) -> list[str]:
    """As many of each class, drawn by seed; all where no number is given."""
    if count is None:
        return train
    order = np.random.default_rng(seed).permutation(len(train))
    kept: list[str] = []
    for label in sorted({line.rpartition("\t")[2] for line in train}):
        of_class = [train[i] for i in order if train[i].rpartition("\t")[2] == label]
        kept += of_class[: count // 2]
    return kept


def folder(place: Path, train: list[str], test: list[str]) -> Path:
    place.mkdir()
    for name, rows in (("train", train), ("test", test)):
        table = "text\tlabel\n" + "".join(f"{row}\n" for row in rows)
        (place / f"{name}.tsv").write_text(table, encoding="utf-8")
    return place


def main(data: Path, epochs: int, seed: int, place: Path, settings: list[str]) -> None:
    test = lines(data / "dev.tsv")
    held_out = {text_of(line) for line in test}
    train = [line for line in lines(data / "train.tsv") if text_of(line) not in held_out]
    print(f"{len(train):,} texts to train on, {len(test):,} held out", flush=True)
    began = time.monotonic()
    first = pervade.fit(
        folder(place / "unlabelled", train, test),
        task="fill-mask",
        model=MODEL,
        epochs=epochs,
        seed=seed,
        name="filled",
        runs=place,
        settings=[f"domain.length={LENGTH}", *settings],
    )
    found = first.evaluate()["metrics"]
    cells = [told(*(found["masked_accuracy"][key] for key in ("value", "low", "high")))]
    print(f"hidden words named right: {cells[0]}, after {(time.monotonic() - began) / 60:.0f} minutes\n", flush=True)
    print("| labels | side | accuracy (95%) | less TF-IDF's, points, paired | seconds |\n|---|---|---|---|---|")
    for count, passes in PASSES.items():
        table = folder(place / f"labelled-{count}", some(train, count, seed), test)
        for side, start in (("hidden words first", str(first.path)), ("from nothing", "random")):
            began = time.monotonic()
            run = pervade.fit(
                table,
                model=None if start != "random" else MODEL,
                ladder=["trained"],
                init=start,
                epochs=passes,
                seed=seed,
                name=f"{count}-{start == 'random'}",
                runs=place,
                settings=[f"domain.length={LENGTH}"],
            )
            result = run.evaluate()
            taken = time.monotonic() - began
            baseline = result["details"]["baseline"]
            own, plain = result["metrics"]["accuracy"], baseline["metrics"]["accuracy"]
            apart = baseline["differences"]["accuracy"]
            difference = f"{100 * apart['difference']:+.1f} ({100 * apart['low']:+.1f} to {100 * apart['high']:+.1f})"
            name = "all" if count is None else f"{count:,}"
            cell = told(own["value"], own["low"], own["high"])
            print(f"| {name} | {side} | {cell} | {difference} | {taken:.0f} |", flush=True)
        print(
            f"| {name} | TF-IDF of characters | {told(plain['value'], plain['low'], plain['high'])} | | |", flush=True
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", dest="settings", action="append", default=[])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        main(arguments.data, arguments.epochs, arguments.seed, Path(made), arguments.settings)
