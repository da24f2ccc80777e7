"""What MixUp, L2 and early stopping are worth where 20% of the training labels are wrong.

    python benchmarks/noisy_labels.py [--data ../shared/data/cats_dogs] [--seeds 3]       about 20 minutes

Photos of cats and dogs; a fifth of the labels that train (never those that validate or test) are flipped. A small
residual network at 48 x 48 pixels without augmentation, so that there is something to overfit to: without a cure it
learns the wrong labels by heart. Early stopping and its absence are the best and the last checkpoint of one training.
Differences to "none of them" are paired over seeds and test rows together.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import pervade
from pervade.engine import predictions
from pervade.metrics.paired import differences

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "cats_dogs"
NOISE, VALIDATION, EPOCHS = 0.2, 0.2, 30
SETTINGS = [
    "domain={use: image, size: 48, augment: false}",
    "model={use: resnet, depth: 10, width: 32}",
    "tuning=null",
    "average=null",
    "augment=[]",
    f"epochs={EPOCHS}",
    "early_stopping={metric: accuracy}",
    "optimizer={use: sgd, lr: 0.05, momentum: 0.9, nesterov: true}",
    "task={use: classify, smoothing: 0.0}",
]
MIXUP, L2 = "augment=[{use: mixup, alpha: 1.0}]", "l2=0.003"
TRAININGS: dict[str, list[str]] = {"none": [], "MixUp": [MIXUP], "L2": [L2], "MixUp and L2": [MIXUP, L2]}
# name -> training, checkpoint
ROWS = {
    "none of them": ("none", "last"),
    "early stopping": ("none", "best"),
    "MixUp": ("MixUp", "last"),
    "L2": ("L2", "last"),
    "MixUp and L2": ("MixUp and L2", "last"),
    "all three": ("MixUp and L2", "best"),
}


def make_noisy(data: Path, folder: Path, seed: int) -> Path:
    """Tables of the same files: train with flipped labels, validation and test as they are."""
    rng = np.random.default_rng(seed)
    labels = sorted(path.name for path in (data / "train").iterdir())
    files = [(path, label) for label in labels for path in sorted((data / "train" / label).iterdir())]
    order = rng.permutation(len(files))
    held = round(VALIDATION * len(files))
    tables = {"validation": [files[i] for i in order[:held]], "train": [files[i] for i in order[held:]]}
    wrong = set(rng.permutation(len(tables["train"]))[: round(NOISE * len(tables["train"]))].tolist())
    other = dict(zip(labels, reversed(labels), strict=True))
    tables["train"] = [(p, other[label] if i in wrong else label) for i, (p, label) in enumerate(tables["train"])]
    tables["test"] = [(path, label) for label in labels for path in sorted((data / "test" / label).iterdir())]
    folder.mkdir()
    for split, entries in tables.items():
        with (folder / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("file", "label"), *((str(path.resolve()), label) for path, label in entries)])
    return folder


def main(data: Path, seeds: int) -> None:
    files: dict[str, list[dict[str, Any]]] = {name: [] for name in ROWS}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            noisy = make_noisy(data, Path(folder) / f"data-{seed}", seed)
            for training, more in TRAININGS.items():
                run = pervade.fit(
                    noisy,
                    init="random",
                    ladder=["trained"],
                    seed=seed,
                    runs=Path(folder) / "runs",
                    settings=[*SETTINGS, *more],
                )
                for name, (needed, checkpoint) in ROWS.items():
                    if needed == training:
                        run.evaluate(checkpoint)
                        files[name].append(predictions.read_columns(run.directory.predictions(checkpoint, "test")))
        loaded = run.load()
        metric = {"accuracy": loaded.task.metrics(loaded.domain)["accuracy"]}
    joined = {
        name: {
            key: np.concatenate([np.asarray(part[key]) for part in parts])
            for key in ("row", "group", "target", "prediction", "probabilities")
        }
        for name, parts in files.items()
    }
    print(
        "| with | accuracy by seed | mean | difference to none | paired 95% interval | n |\n|---|---|---|---|---|---|"
    )
    for name, parts in files.items():
        single = [float(np.mean(part["target"] == part["prediction"])) for part in parts]
        beside = "| | |"
        if name != "none of them":
            pair = differences(metric, [joined["none of them"], joined[name]])[0]["accuracy"]
            beside = f"| {pair.difference * 100:+.1f} | {pair.low * 100:+.1f} to {pair.high * 100:+.1f} |"
        shown = " ".join(f"{each:.1%}" for each in single)
        print(f"| {name} | {shown} | {np.mean(single):.1%} {beside} {len(joined[name]['row']):,} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    main(arguments.data, arguments.seeds)
