"""Faces of people never trained on: are two pictures of one person? The default recipe beside pixels and eigenfaces.

    python benchmarks/faces.py [--data ../shared/data/orl_faces] [--draws 3] [--seeds 2] [--quick]

Of the people, in the order of their names, a quarter is drawn by seed 0, 1, … and never trained on; the others all
train, without a validation split. The recipe's settings were chosen among the 30 people who train in draw 0; in the
other draws some of those are measured. Baselines are fitted to the people who train and compare by the cosine: pixels
as they are, each picture less its own mean, all less the mean picture; eigenfaces (PCA), plain and whitened, of 20 to
all components. The better one is the one with the lowest equal error rate on the measured people themselves, which is
in its favour. Intervals are over resampled people; the paired one of the difference meets the same resamples.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from pervade.core import runtime

runtime.prepare()

import numpy as np
from PIL import Image as Pillow

import pervade
from pervade.engine import predictions
from pervade.metrics.estimate import Estimate, bootstrap, estimate
from pervade.metrics.interval import percentiles
from pervade.metrics.retrieval import retrieval_metrics
from pervade.metrics.verification import verification_metrics
from pervade.recipes import image
from pervade.run.progress import Silent
from pervade.run.training import Options

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "orl_faces"
METRICS = {
    name: metric
    for name, metric in {**verification_metrics(), **retrieval_metrics()}.items()
    if name in ("equal_error_rate", "tar_at_far_0.01", "roc_auc", "recall_at_1")
}
SIDE = 64  # pixels, for baselines of pictures that differ in size
SUFFIXES = (".pgm", ".png", ".jpg", ".jpeg", ".bmp")

Columns = dict[str, Any]


def people_of(data: Path) -> dict[str, list[Path]]:
    found = {
        each.name: sorted(p for p in each.iterdir() if p.suffix in SUFFIXES) for each in data.iterdir() if each.is_dir()
    }
    return {name: paths for name, paths in sorted(found.items()) if len(paths) > 1}


def draw(people: dict[str, list[Path]], seed: int) -> tuple[list[str], list[str]]:
    """Who trains, and who is measured."""
    names = list(people)
    order = np.random.default_rng(seed).permutation(len(names))
    count = max(round(len(names) / 4), 2)
    return sorted(names[i] for i in order[count:]), sorted(names[i] for i in order[:count])


def pixels(people: dict[str, list[Path]], names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """(n, pixels) in 0-1, grey, and who is who (n,)."""
    pictures = [Pillow.open(path).convert("L") for name in names for path in people[name]]
    if len({each.size for each in pictures}) > 1:
        pictures = [each.resize((SIDE, SIDE), Pillow.Resampling.BILINEAR) for each in pictures]
    who = [i for i, name in enumerate(names) for _ in people[name]]
    return np.stack([np.asarray(each, np.float64).ravel() / 255 for each in pictures]), np.array(who)


def baselines(train: np.ndarray, test: np.ndarray) -> dict[str, np.ndarray]:
    mean = train.mean(axis=0)
    made = {
        "pixels, cosine": test,
        "pixels, correlation": test - test.mean(axis=1, keepdims=True),
        "pixels less the mean picture": test - mean,
    }
    _, deviation, components = np.linalg.svd(train - mean, full_matrices=False)
    rank = int((deviation > 1e-6 * deviation[0]).sum())
    for count in sorted({min(each, rank) for each in (20, 40, 80, 150, rank)}):
        projected = (test - mean) @ components[:count].T
        made[f"eigenfaces, {count}"] = projected
        made[f"eigenfaces whitened, {count}"] = projected / deviation[:count]
    return made


def table_of(people: dict[str, list[Path]], names: list[str], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label"])
        writer.writerows([str(each.resolve()), name] for name in names for each in people[name])


def trained(people: dict[str, list[Path]], train: list[str], test: list[str], folder: Path, seed: int) -> Columns:
    """The predictions on people never trained on, by the default recipe."""
    folder.mkdir()
    table_of(people, train, folder / "train.csv")
    table_of(people, test, folder / "test.csv")
    run = pervade.fit(
        folder,
        recipe=image.recipe(task="image-feature-extraction", init="random"),
        runs=folder / "runs",
        settings=["validation=0", "domain.channels=1"],
        options=Options(Silent()),
        seed=seed,
    )
    run.evaluate()
    return predictions.read_columns(run.directory.predictions("last", "test"))


def told(each: Estimate) -> str:
    interval = "no interval" if math.isnan(each.low) else f"{each.low:.1%} to {each.high:.1%}"
    return f"{each.value:.1%} ({interval})"


def line(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def main(data: Path, draws: int, seeds: int) -> None:
    people = people_of(data)
    resamples = 1000
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PERVADE_CACHE"] = str(Path(folder) / "cache")
        line("draw", "side", "equal error rate", "TAR at FAR 1%", "ROC-AUC", "found first", "seconds")
        line(*["---"] * 7)
        closing = []
        for number in range(draws):
            train, test = draw(people, number)
            learnt, _ = pixels(people, train)
            asked, who = pixels(people, test)
            frame = {"row": np.arange(len(who)), "group": who}
            sides: dict[str, Columns] = {
                name: {**frame, "embedding": each} for name, each in baselines(learnt, asked).items()
            }
            rates = {name: METRICS["equal_error_rate"].compute(each, np.ones(len(who))) for name, each in sides.items()}
            best_of = [
                min((n for n in sides if n.startswith(kind)), key=rates.__getitem__) for kind in ("pixels", "eigen")
            ]
            better = min(best_of, key=rates.__getitem__)
            seconds = dict.fromkeys(sides, "")
            for seed in range(seeds):
                name = f"default recipe, seed {seed}"
                began = time.monotonic()
                sides[name] = trained(people, train, test, Path(folder) / f"{number}-{seed}", seed)
                seconds[name] = f"{time.monotonic() - began:.0f}"
            shown = [*best_of, *(name for name in sides if name.startswith("default"))]
            for name in shown:
                found = estimate(METRICS, sides[name], resamples=resamples)
                line(number, name, *(told(found[metric]) for metric in METRICS), seconds[name])
            rate = {"equal_error_rate": METRICS["equal_error_rate"]}
            base = bootstrap(rate, sides[better], resamples=resamples)["equal_error_rate"]
            for name in shown[len(best_of) :]:
                own = bootstrap(rate, sides[name], resamples=resamples)["equal_error_rate"]
                value = rate["equal_error_rate"].compute(sides[name], np.ones(len(who)))
                ratio, there = value / rates[better], base > 0
                low, high = percentiles((own - base)[there])
                ratios.append(ratio)
                closing.append(
                    f"| {number} | {name} | {better} | {ratio:.2f} | {(value - rates[better]) * 100:+.1f} points "
                    f"({low * 100:+.1f} to {high * 100:+.1f}) |"
                )
    print("\n| draw | side | better baseline | its error rate x | difference, paired 95% interval |")
    print("|---|---|---|---|---|\n" + "\n".join(closing))
    print(
        f"\nerror rate by that of the better baseline: mean {np.mean(ratios):.2f}, highest {max(ratios):.2f} of "
        f"{len(ratios)}; asked: at most 0.50"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="one draw, one seed")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.draws = arguments.seeds = 1
    main(arguments.data, arguments.draws, arguments.seeds)
