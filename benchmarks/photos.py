"""The default recipe against the reference CNN, both from random weights, on photos of cats and dogs.

    python benchmarks/photos.py [--data ../shared/data/cats_dogs] [--seeds 2]        about 15 minutes a seed
    python benchmarks/photos.py --limit 600 --seeds 3 [--note "what else the machine did"]
        the default alone, with a time limit: a line a seed in measured/photos.jsonl, from where a stopped script goes
        on, and the mean; wanted of 10 minutes on 2 quiet cores are 84%

Each side by its own recipe as it stands in recipes/image.py, alternating, each in a process of its own as a user would
start it. Wall time is that of the whole command: reading, training, evaluation, report. Differences are paired over the
test rows; the test split is looked at once, here.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean, median
from typing import Any

from busy import lines, note
from small_pictures import trained

import pervade
from pervade.engine import predictions
from pervade.metrics.interval import wilson
from pervade.metrics.paired import differences, discordant

NAME = "photos.jsonl"
DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "cats_dogs"
SIDES = {"default": ["--ladder", "trained"], "reference CNN": ["--model", "reference-cnn"]}


def train(data: Path, runs: Path, name: str, more: list[str]) -> tuple[pervade.Run, float]:
    command = [Path(sys.executable).with_name("pervade"), "train", data, "--init", "random", "--runs", runs]
    began = time.monotonic()
    subprocess.run([*command, "--name", name, *more], check=True, capture_output=True)
    return pervade.load(name, runs), time.monotonic() - began


def columns(run: pervade.Run) -> dict[str, Any]:
    return predictions.read_columns(run.directory.predictions(run.directory.require_checkpoint(None), "test"))


def main(data: Path, seeds: int) -> None:
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    print("| seed | side | accuracy | 95% interval | n | log-loss | ECE | seconds |\n|---|---|---|---|---|---|---|---|")
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            files = {}
            for number, (side, more) in enumerate(SIDES.items()):
                run, taken = train(data, Path(folder), f"{number}-{seed}", [*more, "--seed", str(seed)])
                seconds[side].append(taken)
                figures = run.results()["metrics"]
                files[side] = columns(run)
                each = figures["accuracy"]
                cells = [seed, side, f"{each['value']:.1%}", f"{each['low']:.1%} to {each['high']:.1%}"]
                cells += [f"{each['n']:,}", f"{figures['log_loss']['value']:.3f}", f"{figures['ece']['value']:.3f}"]
                print("| " + " | ".join(map(str, cells)) + f" | {taken:.0f} |", flush=True)
            loaded = run.load()
            metric = loaded.task.metrics(loaded.domain)["accuracy"]
            first, second = files["reference CNN"], files["default"]
            pair = differences({"accuracy": metric}, [first, second])[0]["accuracy"]
            counts = discordant(metric, first, second)
            assert counts is not None
            lines.append(
                f"| {seed} | {pair.difference * 100:+.1f} points | {pair.low * 100:+.1f} to {pair.high * 100:+.1f} "
                f"| {counts.p:.1e} | {counts.only_second} / {counts.only_first} |"
            )
    print("\n| seed | default - reference | paired 95% interval | McNemar p | only default / only reference right |")
    print("|---|---|---|---|---|\n" + "\n".join(lines))
    ratio = median(seconds["default"]) / median(seconds["reference CNN"])
    print(f"\nwall time of the default: {ratio:.2f} of the reference's (medians of {seeds})")


def limited(data: Path, seeds: int, limit: float, beside: str) -> None:
    """The default within `limit` seconds, a process for each seed, and what all came to."""
    there = {(cell["data"], cell["seed"], cell["asked"]) for cell in lines(NAME)}
    for seed in range(seeds):
        if (data.name, seed, limit) not in there:
            with tempfile.TemporaryDirectory() as folder:
                reached = trained(str(data), Path(folder), f"seed-{seed}", limit, "--seed", str(seed))
            note(NAME, {"data": data.name, "seed": seed, "beside": beside, **reached})
    cells = [c for c in lines(NAME) if (c["data"], c["asked"]) == (data.name, limit) and c["seed"] < seeds]
    for cell in cells:
        low, high = cell["interval"]
        figure = f"{cell['figure']:.1%} ({low:.1%} to {high:.1%}, n = {cell['n']:,})"
        print(f"seed {cell['seed']}: {figure}, {cell['passes']:g} passes, {cell['used']:.0f} s {cell['beside']}")
    mean, n = fmean(cell["figure"] for cell in cells), min(cell["n"] for cell in cells)
    low, high = wilson(mean * n, n)  # all are of the same rows
    print(f"mean of {len(cells)} seeds: {mean:.1%} ({low:.1%} to {high:.1%} by the {n:,} test rows)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--limit", type=float, help="Seconds a seed; then the default alone is trained.")
    parser.add_argument("--note", default="", help="What else the machine did meanwhile.")
    arguments = parser.parse_args()
    if arguments.limit is None:
        main(arguments.data, arguments.seeds)
    else:
        limited(arguments.data, arguments.seeds, arguments.limit, arguments.note)
