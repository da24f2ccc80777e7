"""Pretrained weights against random ones: MobileNetV1 x 0.25 (ImageNet), its body frozen, and fine-tuned.

    python benchmarks/transfer.py [--data ../shared/data/cats_dogs] [--weights FILE]        about 10 minutes
    python benchmarks/transfer.py --seconds 277         with what photos.py says that the default recipe takes

Three commands as a user would type them, each in a process of its own, timed whole; the frozen body's features are
computed anew (an empty cache), the decoded pictures are not shared either. Differences are paired over the test rows.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pervade
from pervade.engine import predictions
from pervade.metrics.paired import differences

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
FROZEN, FINE, DEFAULT = "body frozen", "fine-tuned", "default recipe, from random weights"


def main(data: Path, weights: Path, known: float | None) -> None:
    pretrained = ["--model", "mobilenet-v1-0.25", "--init", str(weights)]
    sides = {FROZEN: [*pretrained, "--freeze"], FINE: pretrained}
    if known is None:
        sides[DEFAULT] = ["--init", "random"]
    files, seconds = {}, {DEFAULT: known or 0.0}
    print("| | accuracy | 95% interval | n | log-loss | seconds |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for number, (side, more) in enumerate(sides.items()):
            environment = {**os.environ, "PERVADE_CACHE": str(Path(folder) / f"cache-{number}")}
            command = [
                Path(sys.executable).with_name("pervade"),
                "train",
                data,
                "--runs",
                folder,
                "--name",
                str(number),
            ]
            began = time.monotonic()
            subprocess.run([*command, *more], check=True, capture_output=True, env=environment)
            seconds[side] = time.monotonic() - began
            run = pervade.load(str(number), folder)
            figures = run.results()["metrics"]
            name = run.directory.require_checkpoint(None)
            files[side] = predictions.read_columns(run.directory.predictions(name, "test"))
            each = figures["accuracy"]
            print(
                f"| {side} | {each['value']:.1%} | {each['low']:.1%} to {each['high']:.1%} | {each['n']:,} "
                f"| {figures['log_loss']['value']:.3f} | {seconds[side]:.0f} |",
                flush=True,
            )
        loaded = run.load()
        metric = {"accuracy": loaded.task.metrics(loaded.domain)["accuracy"]}
    print("\n| paired difference | points | 95% interval | p |\n|---|---|---|---|")
    for first, second in ((DEFAULT, FROZEN), (FROZEN, FINE)):
        if first not in files:
            continue
        pair = differences(metric, [files[first], files[second]])[0]["accuracy"]
        interval = f"{pair.low * 100:+.1f} to {pair.high * 100:+.1f}"
        print(f"| {second} - {first} | {pair.difference * 100:+.1f} | {interval} | {pair.p:.2g} |")
    print(f"\nbody frozen: {seconds[FROZEN] / seconds[DEFAULT]:.2f} of the default recipe's time")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=SHARED / "cats_dogs")
    parser.add_argument("--weights", type=Path, default=SHARED / "weights" / "mobilenetv1_0.25_imagenet.pth")
    parser.add_argument("--seconds", type=float)
    arguments = parser.parse_args()
    main(arguments.data, arguments.weights, arguments.seconds)
