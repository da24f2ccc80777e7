"""How well --time-limit is kept: whole commands, from the start of the process to its end, with what they reached.

    python benchmarks/time_limit.py [--shared ../shared/data] [--cells pictures texts writing sounds acting questions]
        [--limits 30 120 600] [--busy 0 4] [--again] [--together]

Each cell is a line in measured/time_limit.jsonl, and a stopped script goes on. Data are read into the cache first, as
they are in any second run on them. More passes are asked for than there is time for, so that a command is to use its
limit: at most 3% over in every cell, and with no busy process beside at least 95% of it. All cells take two hours;
with --together the cells of one limit run at once, so that each has the others as the busy processes beside it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from busy import beside, lines, note

NAME = "time_limit.jsonl"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
CELLS: dict[str, tuple[str, list[str]]] = {
    "pictures": ("cats_dogs", ["--init", "random", "--ladder", "trained", "--epochs", "300"]),
    "texts": ("sms_spam/SMSSpamCollection.tsv", ["--init", "random", "--ladder", "trained", "--epochs", "300"]),
    "writing": ("", ["--epochs", "300"]),
    "sounds": (
        "fsdd",
        [
            "--label-pattern",
            r"^(\d)_",
            "--group-pattern",
            r"_(?P<speaker>.+)_",
            "--ladder",
            "trained",
            "--epochs",
            "2000",
        ],
    ),
    "acting": ("gym://CartPole-v1", ["--steps", "5000000"]),
    "questions": ("xquad/xquad.en.json", ["--init", "random", "--epochs", "300"]),
}


def source(cell: str, shared: Path, folder: Path) -> str:
    """Where the data are. Running text is Python's own documentation, one file a topic."""
    place = CELLS[cell][0]
    if place.startswith("gym://"):
        return place
    if place:
        return str(shared / place)
    from pydoc_data.topics import topics

    made = folder / "topics"
    made.mkdir(exist_ok=True)
    for name, text in topics.items():
        (made / f"{name.replace('/', '-')}.txt").write_text(text, encoding="utf-8")
    return str(made)


def command(data: str, runs: Path, name: str, more: list[str], most: float) -> float:
    """Seconds of `pervade train`, which must succeed, and is ended after `most`."""
    pervade = str(Path(sys.executable).with_name("pervade"))
    start = time.monotonic()
    asked = [pervade, "train", data, "--name", name, "--runs", str(runs), *more]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=most)
    except subprocess.TimeoutExpired:  # which is a result: that much over
        return most
    taken = time.monotonic() - start
    if done.returncode:
        sys.exit(done.stderr)
    return taken


def reached(run: Path) -> dict[str, Any]:
    """Passes done, the headline's figure and that of the baseline, where there are any."""
    path = run / "log.jsonl"
    log = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    results = sorted((run / "results").glob("evaluate*@*.json"))
    found = json.loads(results[0].read_text()) if results else {"metrics": {}, "details": {}}
    name = next(iter(found["metrics"]), None)
    baseline = ((found["details"].get("baseline") or {}).get("metrics") or {}).get(name) or {}
    return {
        "passes": max((entry["pass"] for entry in log if entry["event"] == "pass"), default=0),
        "steps": max((entry["step"] for entry in log), default=0),
        "metric": name,
        "figure": found["metrics"][name]["value"] if name else None,
        "baseline": baseline.get("value"),
        "left_out": found.get("left_out", []),
    }


def measure(cell: str, limit: float, busy: int, data: str, runs: Path) -> None:
    """Runs one cell and notes its line."""
    name = f"{cell}-{limit:g}-{busy}"
    used = command(data, runs, name, ["--time-limit", f"{limit:g}", *CELLS[cell][1]], 3 * limit)
    about = {"cell": cell, "busy": busy, "asked": limit, "used": round(used, 2)}
    note(NAME, {**about, "ratio": round(used / limit, 4), **reached(runs / name)})


def together(cells: list[str], limits: list[float], shared: Path) -> None:
    """All cells of one limit at once."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(cells)) as pool:
        runs = Path(folder)
        places = {cell: source(cell, shared, runs) for cell in cells}
        for cell in cells:
            command(places[cell], runs, f"{cell}-first", ["--time-limit", "20", *CELLS[cell][1]], 600)
        for limit in limits:
            list(pool.map(lambda cell: measure(cell, limit, len(cells) - 1, places[cell], runs), cells))  # noqa: B023


def show() -> None:
    print(f"{'data':>10}{'busy':>6}{'asked':>8}{'used':>9}{'ratio':>8}{'passes':>8}  figure (baseline)")
    for cell in lines(NAME):
        kept = cell["ratio"] <= 1.03 and (cell["busy"] > 0 or cell["ratio"] >= 0.95)
        baseline = "-" if cell["baseline"] is None else f"{cell['baseline']:.4g}"
        figure = "-" if cell["figure"] is None else f"{cell['metric']} {cell['figure']:.4g}"
        print(
            f"{cell['cell']:>10}{cell['busy']:>6}{cell['asked']:>7g}s{cell['used']:>8.1f}s{cell['ratio']:>8.1%}"
            f"{cell['passes']:>8g}  {figure} ({baseline}){'' if kept else '  MISSED'}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--limits", nargs="+", type=float, default=[30, 120, 600])
    parser.add_argument("--busy", nargs="+", type=int, default=[0, 4])
    parser.add_argument("--again", action="store_true", help="Measure cells that are there already once more.")
    parser.add_argument("--together", action="store_true", help="The cells of one limit at once.")
    options = parser.parse_args()
    if options.together:
        together(options.cells, options.limits, options.shared)
        show()
        return
    there = {(cell["cell"], cell["busy"], cell["asked"]) for cell in lines(NAME)}
    for cell in options.cells:
        wanted = [(limit, busy) for limit in options.limits for busy in options.busy]
        wanted = [each for each in wanted if options.again or (cell, each[1], each[0]) not in there]
        with tempfile.TemporaryDirectory() as folder:
            runs = Path(folder)
            data = source(cell, options.shared, runs)
            if wanted:
                command(data, runs, "first", ["--time-limit", "20", *CELLS[cell][1]], 600)
            for limit, busy in wanted:
                with beside(busy, 3 * limit):
                    measure(cell, limit, busy, data, runs)
    show()


if __name__ == "__main__":
    main()
