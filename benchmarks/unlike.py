"""Whether a run tells what it did not learn from its own rows, beside what the maximum probability tells: four data
sets beside others, each a cell.

    python benchmarks/unlike.py [--shared ../shared/data] [--others "drawn noise" …] [--ladders trained …] [--limit 120]
        [--seeds 0] [--again] [--show]

Each cell is a line in measured/unlike.jsonl, and a stopped script goes on; a cell that failed is said, and tried again
by the next start. A cell is one `pervade evaluate --unlike` of a run that one `pervade train --ladder … --time-limit …`
made; cells of one data set share it. The Hub is switched off. All cells take about ten minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
from busy import lines, note
from PIL import Image

NAME = "unlike.jsonl"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
DRAWN = 1000  # pictures of each kind
Cell = tuple[str, str, float, int]  # other data, ladder, limit, seed
SETS: dict[str, tuple[str, ...]] = {  # where the data are, and what else the command is told
    "mnist": ("mnist",),
    "fsdd": ("fsdd", "--label-pattern", r"^(\d)_", "--group-pattern", r"_(?P<speaker>.+)_"),
    "sst2": ("sst2",),
}


def drawn_noise(shared: Path, folder: Path) -> Path:
    rng = np.random.default_rng(0)
    return written(folder / "noise", [rng.integers(0, 256, (28, 28), dtype=np.uint8) for _ in range(DRAWN)])


def rotated_digits(shared: Path, folder: Path) -> Path:
    """Digits of the test split that lie on their side."""
    import pyarrow.parquet as pq

    held = pq.read_table(shared / "mnist" / "test.parquet")["image"]
    places = np.sort(np.random.default_rng(0).permutation(len(held))[:DRAWN]).tolist()
    digits = [np.asarray(Image.open(BytesIO(held[place].as_py()["bytes"]))) for place in places]
    return written(folder / "rotated", [np.rot90(digit).copy() for digit in digits])


def written(folder: Path, pictures: list[np.ndarray]) -> Path:
    folder.mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number}.png")
    return folder


OTHERS: dict[str, tuple[str, Callable[[Path, Path], Path]]] = {
    "drawn noise": ("mnist", drawn_noise),
    "rotated digits": ("mnist", rotated_digits),
    "read_speech": ("fsdd", lambda shared, folder: shared / "read_speech"),
    "sms_spam": ("sst2", lambda shared, folder: next((shared / "sms_spam").glob("*.tsv"))),
}


def train(name: str, ladder: str, limit: float, seed: int, shared: Path, runs: Path) -> str:
    """Empty, or why there is no run."""
    place, *more = SETS[name]
    command = [str(Path(sys.executable).with_name("pervade")), "train", str(shared / place), "--ladder", ladder]
    command += ["--time-limit", f"{limit:g}", "--seed", str(seed), "--name", name, "--runs", str(runs), *more]
    done = subprocess.run(command, capture_output=True, text=True)
    return "" if done.returncode == 0 else " ".join(done.stderr.strip().splitlines()[-1:]) or f"exit {done.returncode}"


def measure(run: Path, other: Path) -> dict[str, Any]:
    """What one cell came to."""
    import pervade

    try:
        result = pervade.load(run).evaluate(unlike=other)
    except Exception as error:  # whatever it is, the other cells are not to be lost by it
        return {"failed": f"{type(error).__name__}: {error}"}
    told = result["details"]["unlike"]
    about: dict[str, Any] = {"best": told["best"], "rows": told["rows"], "features": told["features"], "scores": {}}
    for score, measured in told["scores"].items():
        figures = {name: measured[name]["value"] for name in ("auroc", "flagged", "false_alarms")}
        gap = measured.get("difference", {})
        about["scores"][score] = {
            **{name: None if value is None else round(value, 5) for name, value in figures.items()},
            **{name: gap[name] for name in ("difference", "low", "high", "p") if name in gap},
        }
    return about


def latest() -> dict[Cell, dict[str, Any]]:
    return {(cell["other"], cell["ladder"], cell["limit"], cell["seed"]): cell for cell in lines(NAME)}


def show() -> None:
    from pervade.metrics.paired import holm

    done = latest().values()
    cells = [cell for cell in done if "failed" not in cell]
    print(f"{'data':>6} {'other':>15} {'ladder':>20} seed   AUROC by each score; flagged of the others, false alarms")
    for cell in cells:
        told = ", ".join(f"{score} {figures['auroc']:.4f}" for score, figures in cell["scores"].items())
        best = cell["scores"][cell["best"]]
        settled = f"{best['flagged']}, {best['false_alarms']}"
        print(f"{cell['data']:>6} {cell['other']:>15} {cell['ladder']:>20} {cell['seed']:>4}   {told}; {settled}")
    for cell in done:
        if "failed" in cell:
            print(f"{cell['other']}, {cell['ladder']}, seed {cell['seed']}: {cell['failed']}")
    own = [cell["scores"][cell["best"]] for cell in cells]
    adjusted = holm([figures.get("p", 1.0) if figures.get("p") is not None else 1.0 for figures in own])
    shown = [(figures.get("difference") or 0.0, p) for figures, p in zip(own, adjusted, strict=True)]
    print(f"\nof {len(done)} cells {len(done) - len(cells)} failed")
    print(f"below the maximum probability: {sum(gap < 0 for gap, _ in shown)} (asked: none)")
    print(f"better, by Holm over all cells: {sum(gap > 0 and p < 0.05 for gap, p in shown)} (asked: two of four)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--others", nargs="+", default=list(OTHERS), choices=list(OTHERS))
    parser.add_argument("--ladders", nargs="+", default=["trained"])
    parser.add_argument("--limit", type=float, default=120.0)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--again", action="store_true", help="Measure cells that are there already once more.")
    parser.add_argument("--show", action="store_true", help="Print what was measured, and measure nothing.")
    options = parser.parse_args()
    there = {cell for cell, done in latest().items() if "failed" not in done}
    ways = [(ladder, seed) for seed in options.seeds for ladder in options.ladders]
    for ladder, seed in [] if options.show else ways:
        with tempfile.TemporaryDirectory() as folder:
            trained: dict[str, str] = {}
            for other in options.others:
                cell, (name, make) = (other, ladder, options.limit, seed), OTHERS[other]
                if cell in there and not options.again:
                    continue
                load = round(os.getloadavg()[0], 2)  # of this machine, before the cell
                if name not in trained:
                    trained[name] = train(name, ladder, options.limit, seed, options.shared, Path(folder))
                fault = trained[name]
                made = Path(tempfile.mkdtemp(dir=folder))
                done = {"failed": fault} if fault else measure(Path(folder) / name, make(options.shared, made))
                about = {"data": name, "other": other, "ladder": ladder, "limit": options.limit, "seed": seed}
                note(NAME, about | {"load": load} | done)
                said = done.get("failed") or done["scores"][done["best"]]["auroc"]
                print(f"{name} beside {other}, {ladder}, seed {seed}: {said}", flush=True)
    show()


if __name__ == "__main__":
    main()
