"""A published network that stays as it is, with a head: figures beside the plain model's, seconds, bytes, and speed.

    python benchmarks/frozen.py [--shared ../shared/data] [--cells sst2-1000 sst2 sms_spam cats_dogs] [--again]

Each cell is a ladder of the rungs that are named below, by one thread, and a line in measured/frozen.jsonl; a stopped
script goes on. The network must lie here (docs/weights.md). "sst2-1000" is 1,000 rows of the training table, drawn
once, with the published validation and test tables; its third rung is one pass of fine-tuning, for how long such a
network takes to predict, and not for how good it may become. The test split is read once, by the delivered rung and by
the linear model beside it. Features of a run before are in the cache, so seconds are those of a first run only in a new
one: set PERVADE_CACHE to an empty folder.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

from pervade.core import runtime

runtime.prepare(threads=1)

from busy import lines, note

import pervade

NAME = "frozen.jsonl"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
CELLS: dict[str, tuple[str, list[str]]] = {
    "sst2-1000": ("sst2", ["--ladder", "plain,frozen,trained", "--epochs", "1"]),
    "sst2": ("sst2", ["--ladder", "plain,frozen"]),
    "sms_spam": ("sms_spam/SMSSpamCollection.tsv", ["--ladder", "plain,frozen"]),
    "cats_dogs": ("cats_dogs", ["--ladder", "plain,frozen"]),
}
ASKED = 500  # rows that are predicted to see how long it takes


def source(cell: str, shared: Path, folder: Path) -> Path:
    place = shared / CELLS[cell][0]
    if cell != "sst2-1000":
        return place
    made = folder / "sst2-1000"
    made.mkdir(exist_ok=True)
    rows = (place / "train.tsv").read_text(encoding="utf-8").splitlines()
    drawn = random.Random(0).sample(rows, 1000)
    (made / "train.tsv").write_text("\n".join(drawn) + "\n", encoding="utf-8")
    for name in ("dev.tsv", "test.tsv"):
        (made / name).write_bytes((place / name).read_bytes())
    return made


def inputs(run: pervade.Run) -> list[str]:
    """What is predicted: texts, or files, of the run."""
    columns = json.loads((run.path / "data.json").read_text())["columns"]
    return [str(value) for value in columns.get("text") or columns["path"]][:ASKED]


def speed(run: pervade.Run, asked: list[str]) -> float:
    """Rows a second, the best of three."""
    run.predict(asked[:20])
    seconds = []
    for _ in range(3):
        start = time.monotonic()
        run.predict(asked)
        seconds.append(time.monotonic() - start)
    return round(len(asked) / min(seconds), 1)


def measure(cell: str, shared: Path, folder: Path) -> None:
    data, runs = source(cell, shared, folder), folder / "runs"
    command = [str(Path(sys.executable).with_name("pervade")), "train", str(data), "--name", cell, "--runs", str(runs)]
    start = time.monotonic()
    done = subprocess.run([*command, *CELLS[cell][1], "-o", "threads=1"], capture_output=True, text=True)
    used = time.monotonic() - start
    if done.returncode:
        sys.exit(done.stderr)
    run = pervade.load(runs / cell)
    ladder = json.loads((run.path / "ladder.json").read_text())
    results = run.results()
    metric = next(iter(results["metrics"]))
    beside = results["details"]["baseline"]
    asked = inputs(run)
    rungs = {
        rung["name"]: {name: rung[name] for name in ("state", "seconds", "bytes", "value")}
        | {"rows_a_second": speed(pervade.load(run.path / "members" / rung["name"]), asked)}
        for rung in ladder["rungs"]
        if rung["state"] == "complete"
    }
    about: dict[str, Any] = {"cell": cell, "used": round(used, 1), "taken": ladder["taken"], "metric": metric}
    about |= {"test": results["metrics"][metric], "beside": beside["name"], "baseline": beside["metrics"][metric]}
    note(NAME, {**about, "rungs": rungs})


def show() -> None:
    for cell in lines(NAME):
        test, baseline = cell["test"], cell["baseline"]
        print(
            f"{cell['cell']}: {cell['taken']} taken after {cell['used']:g} s; {cell['metric']} on the test split "
            f"{test['value']:.4f} ({test['low']:.4f} to {test['high']:.4f}), {cell['beside']} {baseline['value']:.4f}"
        )
        for name, rung in cell["rungs"].items():
            print(
                f"  {name:>8}  validation {rung['value']:.4f}  {rung['seconds']:>7.1f} s  "
                f"{rung['bytes'] / 1e6:>7.2f} MB  {rung['rows_a_second']:>8,.0f} rows a second"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--again", action="store_true", help="Measure cells that are there already once more.")
    options = parser.parse_args()
    there = {cell["cell"] for cell in lines(NAME)}
    with tempfile.TemporaryDirectory() as folder:
        for cell in options.cells:
            if options.again or cell not in there:
                measure(cell, options.shared, Path(folder))
    show()


if __name__ == "__main__":
    main()
