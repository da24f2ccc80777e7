"""What students are worth on this machine: beside their teachers, and beside themselves where nobody taught them.

    python benchmarks/deploy_students.py [--shared ../shared/data] [--cells resnet18 minilm] [--limit 600] [--again]
        [--show]

A cell trains a teacher, then a student by `compress(steps=["distil"])` (with int8 on top where that is asked), and the
same student from the same first weights, by the same recipe, from the true labels alone (`distil.share=1`). Each of the
three trainings has `--limit` seconds at most. Kept are the headline on the test split with its interval, paired by
rows, of the student less its teacher and less the untaught one, weights, and the speeds that `compress` measures. Each
cell is a line in measured/deploy_students.jsonl, and a stopped script goes on. Take a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

from pervade.core import runtime

runtime.prepare(threads=2)

from busy import lines, note
from encoder import encoder

import pervade
from pervade.core.errors import PervadeError

NAME = "deploy_students.jsonl"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
TAUGHT, UNTAUGHT = "distil", "untaught"  # checkpoints of the teacher's run


@dataclass(frozen=True)
class Cell:
    data: str
    model: Callable[[], str]
    steps: tuple[str, ...]
    lower: dict[str, float]  # points, at most, by checkpoint
    faster: dict[str, float]  # times, at least, than the teacher in eager fp32
    weights: float = float("inf")  # of the student, at most


CELLS = {
    "resnet18": Cell(
        "cats_dogs",
        lambda: "resnet18",
        ("distil", "int8"),
        {TAUGHT: 1.0, "distil-int8": 2.0},
        {"distil-int8": 12.0},
        2.8e6,
    ),
    "minilm": Cell("sst2", lambda: f"hf:{encoder()}", ("distil",), {TAUGHT: 3.0}, {TAUGHT: 4.0}),
}


def measure(cell: Cell, shared: Path, limit: float, runs: Path) -> dict[str, Any]:
    settings = {"model": cell.model(), "time_limit": limit, "ladder": ["trained"]}
    try:
        run = pervade.fit(shared / cell.data, name="teacher", runs=runs, **settings)
        made = run.compress(steps=cell.steps, time_limit=limit)
        run.compress(steps=["distil"], name=UNTAUGHT, settings=["distil.share=1"], time_limit=limit)
        gap = pervade.compare([run, run], checkpoints=[UNTAUGHT, TAUGHT])
    except PervadeError as error:  # the other cells are not to be lost by it
        return {"failed": f"{type(error).__name__}: {error}"}
    taught = gap.differences[0][gap.headline]
    counted = {one: run.directory.of_checkpoint(one, "architecture.json")["parameters"] for one in ("best", TAUGHT)}
    return {
        "n": gap.n,
        "parameters": counted,
        "less_untaught": taught.as_dict(),
        "made": {one["checkpoint"]: one["details"]["compressed"] for one in made},
    }


def show() -> None:
    for name, done in {line["cell"]: line for line in lines(NAME)}.items():
        if "failed" in done:
            print(f"{name}: {done['failed']}")
            continue
        asked, weights = CELLS[name], done["parameters"]
        print(f"{name}: {weights['best']:,} weights to {weights[TAUGHT]:,} (asked at most {asked.weights:,.0f})")
        for made, told in done["made"].items():
            gap = told["differences"][told["headline"]]
            print(
                f"  {made}: {told['headline']} {gap['first']:.4f} -> {points(gap)} (n = {done['n']:,}; asked at most "
                f"{asked.lower[made]:g} lower)"
            )
            if speeds := told.get("speeds"):
                faster = speeds["eager"]["latency"] / speeds["compressed"]["latency"]
                graph = speeds["graph"]["latency"] / speeds["compressed"]["latency"]
                wanted = f" (asked {asked.faster[made]:g})" if made in asked.faster else ""
                print(f"    {faster:.2f} times eager fp32{wanted}, {graph:.2f} times the teacher's fp32 graph")
            else:
                print(f"    {told.get('untimed')}")
        print(f"  beside the same student untaught: {points(done['less_untaught'])} (asked above 0)")


def points(gap: dict[str, Any]) -> str:
    low, high = gap["low"], gap["high"]
    told = "" if low is None or high is None else f" ({100 * low:+.2f} to {100 * high:+.2f})"
    return f"{gap['second']:.4f}: {100 * gap['difference']:+.2f} points{told}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--limit", type=float, default=600.0, help="Seconds of each training, at most.")
    parser.add_argument("--again", action="store_true", help="Measure cells that are there already once more.")
    parser.add_argument("--show", action="store_true", help="Print what was measured, and measure nothing.")
    options = parser.parse_args()
    there = {line["cell"] for line in lines(NAME) if "failed" not in line}
    for name in [] if options.show else options.cells:
        if name in there and not options.again:
            continue
        load = round(os.getloadavg()[0], 2)  # of this machine, before the cell
        with tempfile.TemporaryDirectory() as folder:
            told = measure(CELLS[name], options.shared, options.limit, Path(folder))
        note(NAME, {"cell": name, "limit": options.limit, "load": load, **told})
    show()


if __name__ == "__main__":
    main()
