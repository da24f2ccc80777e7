"""Small pictures from random weights, by the recipe that is chosen for them: MNIST at its own 28 x 28.

    python benchmarks/small_pictures.py [--shared ../shared/data] [--cells rows-2000 whole] [--limits 120 600]
        [--note "what else the machine did"]

Each cell is a whole `pervade train --init random --time-limit` and a line in measured/small_pictures.jsonl; the test
split of 10,000 rows is read once, at its end. Of `rows-2000` the training split
has every 30th row, 2,000 in all (they lie sorted by digit). By default 2,000 rows have 2 minutes and all rows 10:
wanted of all, on 2 quiet cores without a GPU, are 99.3%.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from busy import lines, note
from time_limit import SHARED, command, reached

NAME = "small_pictures.jsonl"
CELLS = {"rows-2000": (2_000, 120.0), "whole": (None, 600.0)}  # rows to learn from, seconds


def source(shared: Path, rows: int | None, folder: Path) -> Path:
    """MNIST as it lies there, or with so many rows to learn from."""
    import pyarrow.parquet as pq

    there = shared / "mnist"
    if rows is None:
        return there
    made = folder / "mnist"
    made.mkdir()
    for split, most in (("train", rows), ("test", None)):
        table = pq.read_table(there / f"{split}.parquet")
        kept = list(range(0, len(table), len(table) // most)) if most else list(range(len(table)))
        pq.write_table(table.take(kept), made / f"{split}.parquet")
    return made


def measure(cell: str, limit: float, shared: Path, beside: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = str(source(shared, CELLS[cell][0], folder))
        return {"cell": cell, "beside": beside, **trained(data, folder, cell, limit)}


def trained(data: str, folder: Path, name: str, limit: float, *more: str) -> dict[str, Any]:
    """One whole command from random weights, and what it reached. Rows are read into the cache first, as they are in
    any second run on them."""
    command(data, folder, f"{name}-first", ["--init", "random", "--dry-run"], 600)
    used = command(data, folder, name, ["--init", "random", "--time-limit", f"{limit:g}", *more], 3 * limit)
    run = folder / name
    # Of a ladder the network's own training is a run inside.
    training = next(path for path in (run / "members" / "trained", run) if (path / "log.jsonl").is_file())
    log = [json.loads(line) for line in (training / "log.jsonl").read_text().splitlines()]
    first = next(entry for entry in log if entry["event"] == "pass")
    found = {**reached(run), **{key: reached(training)[key] for key in ("passes", "steps")}}
    return {
        "asked": limit,
        "used": round(used, 2),
        **{key: found[key] for key in ("passes", "steps", "metric", "figure", "baseline")},
        **_certainty(run),
        "first": {key: first[key] for key in ("pass", "elapsed", f"validation {found['metric']}")},
    }


def _certainty(run: Path) -> dict[str, Any]:
    """Of the figure: its interval, and of how many rows it is; under load there is time for few."""
    results = sorted((run / "results").glob("evaluate*@*.json"))
    found = next(iter(json.loads(results[0].read_text())["metrics"].values()))
    return {"interval": [found["low"], found["high"]], "n": found["n"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--limits", nargs="+", type=float, help="Seconds; the cell's own unless given.")
    parser.add_argument("--note", default="", help="What else the machine did meanwhile.")
    options = parser.parse_args()
    there = {(cell["cell"], cell["asked"]) for cell in lines(NAME)}
    for cell in options.cells:
        for limit in options.limits or [CELLS[cell][1]]:
            if (cell, limit) not in there:
                note(NAME, measure(cell, limit, options.shared, options.note))
    for cell in lines(NAME):
        figure = f"{cell['metric']} {cell['figure']:.4g} {cell['interval']} n={cell['n']}"
        passes = f"{cell['passes']:g} passes, {figure} {cell['beside']}"
        print(f"{cell['cell']:>10}{cell['used']:>8.1f}s of {cell['asked']:g}s, {passes}")


if __name__ == "__main__":
    main()
