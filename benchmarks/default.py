"""Whether what a ladder delivers is ever beaten by the simple thing: every data set, budget and seed, each a cell.

    python benchmarks/default.py [--shared ../shared/data] [--sets sst2 mnist …] [--limits 30 120 600] [--seeds 0 1 2]
        [--busy 0 4] [--again] [--show]

Each cell is a line in measured/default.jsonl, and a stopped script goes on; a cell that failed is said, and tried again
by the next start. A cell is one `pervade train --ladder plain,frozen,trained,blend --time-limit …`; the test split then
meets the other rungs, outside of the budget, so that what was delivered stands beside the plain rung (paired) and
beside the best of them. The encoder is found where the Hub's cache or an installed package has it; the Hub is switched
off. All cells take about five hours.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
from busy import beside, lines, note

NAME = "default.jsonl"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
RUNGS = "plain,frozen,trained,blend"
MOST = 3  # limits, after which a command is ended
Made = tuple[str, list[str]]  # where the data are, and what else the command is told
Cell = tuple[str, float, int, int]  # data, limit, seed, busy processes beside


def whole(place: str, *more: str) -> Callable[[Path, Path], Made]:
    return lambda shared, folder: (str(shared / place), list(more))


def uneven_pneumonia(shared: Path, folder: Path) -> Made:
    """One sick person to twenty healthy ones in training; validation and test as they are."""
    (source,) = (shared / "pneumonia").glob("*.npz")
    held = dict(np.load(source))
    label = held["train_labels"].ravel()
    common, rare = (np.flatnonzero(label == value) for value in (0, 1))
    kept = np.sort(np.concatenate([common, rare[: len(common) // 20]]))
    held |= {name: held[name][kept] for name in ("train_images", "train_labels")}
    np.savez(folder / "uneven.npz", **held)
    return str(folder / "uneven.npz"), []


def some_digits(shared: Path, folder: Path) -> Made:
    import pyarrow.parquet as pq

    made = folder / "mnist"
    made.mkdir()
    table = pq.read_table(shared / "mnist" / "train.parquet")  # in the order of the classes
    drawn = np.sort(np.random.default_rng(0).permutation(len(table))[:2000])
    pq.write_table(table.take(drawn), made / "train.parquet")
    shutil.copyfile(shared / "mnist" / "test.parquet", made / "test.parquet")
    return str(made), []


def noisy_words(shared: Path, folder: Path) -> Made:
    """One word of each text says which class it is, but for a tenth of them: nobody can be right on more than 90%."""
    rng = np.random.default_rng(0)
    filling = [f"word{number}" for number in range(500)]
    told = (["good", "fine", "great", "lovely"], ["bad", "poor", "awful", "dull"])
    rows = []
    for number in range(4000):
        label = number % 2
        words = [*rng.choice(filling, 12), rng.choice(told[label])]
        rng.shuffle(words)
        rows.append(f"{' '.join(words)}\t{label if rng.random() < 0.9 else 1 - label}")
    (folder / "words.tsv").write_text("text\tlabel\n" + "\n".join(rows) + "\n")
    return str(folder / "words.tsv"), []


def noisy_stripes(shared: Path, folder: Path) -> Made:
    """Stripes that lie or stand, under noise, of 24 x 24; a tenth is named wrongly, as above."""
    rng = np.random.default_rng(0)
    pictures, labels = [], []
    for number in range(3000):
        lies = number % 2
        wave = np.sin(np.arange(24) * rng.uniform(0.6, 1.4) + rng.uniform(0, 6))
        stripes = np.broadcast_to(wave[:, None] if lies else wave[None, :], (24, 24))
        pictures.append(np.clip(128 + 30 * stripes + rng.normal(0, 40, (24, 24)), 0, 255).astype(np.uint8))
        labels.append(lies if rng.random() < 0.9 else 1 - lies)
    cut = 2000
    np.savez(
        folder / "stripes.npz",
        train_images=np.stack(pictures[:cut]),
        train_labels=np.array(labels[:cut]),
        test_images=np.stack(pictures[cut:]),
        test_labels=np.array(labels[cut:]),
    )
    return str(folder / "stripes.npz"), []


SETS: dict[str, Callable[[Path, Path], Made]] = {
    "cats_dogs": whole("cats_dogs"),
    "pneumonia": whole("pneumonia"),
    "pneumonia 20:1": uneven_pneumonia,
    "orl_faces": whole("orl_faces", "--task", "image-classification"),
    "mnist 2,000": some_digits,
    "sst2": whole("sst2"),
    "sms_spam": whole("sms_spam"),
    "chnsenticorp": whole("chnsenticorp"),
    "fsdd by speaker": whole("fsdd", "--label-pattern", r"^(\d)_", "--group-pattern", r"_(?P<speaker>.+)_"),
    "noisy words": noisy_words,
    "noisy stripes": noisy_stripes,
}
LONG = ("cats_dogs", "mnist 2,000", "sst2", "chnsenticorp")  # of 10 minutes, by one seed
BUSY = ("cats_dogs", "sst2")  # with other processes beside


def wanted(limits: list[float], seeds: list[int], busy: list[int]) -> list[Cell]:
    cells: list[Cell] = [(name, limit, seed, 0) for limit in limits if limit < 600 for seed in seeds for name in SETS]
    cells += [(name, 600.0, seeds[0], 0) for name in LONG if 600 in limits]
    return cells + [(name, limit, seeds[0], more) for more in busy if more for limit in limits for name in BUSY]


def measure(name: str, limit: float, seed: int, busy: int, made: Made, runs: Path) -> dict[str, Any]:
    """What one cell came to."""
    place, more = made
    pervade = str(Path(sys.executable).with_name("pervade"))
    command = [pervade, "train", place, "--ladder", RUNGS, "--time-limit", f"{limit:g}", "--seed", str(seed)]
    command += ["--name", "run", "--runs", str(runs), *more]
    began = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MOST * limit + 120)
    except subprocess.TimeoutExpired:
        return {"failed": f"ended after {time.monotonic() - began:.0f} s, having a limit of {limit:g}"}
    used = round(time.monotonic() - began, 2)
    if done.returncode:
        return {"used": used, "failed": " ".join(done.stderr.strip().splitlines()[-1:]) or f"exit {done.returncode}"}
    try:
        return {"used": used, **compared(runs / "run")}
    except Exception as error:  # whatever it is, the other cells are not to be lost by it
        return {"used": used, "failed": f"{type(error).__name__} when the rungs were compared: {error}"}


def compared(path: Path) -> dict[str, Any]:
    """What was delivered, beside every rung on the test split."""
    import pervade
    from pervade.engine import predictions
    from pervade.metrics.paired import differences

    ladder = json.loads((path / "ladder.json").read_text())
    taken, delivered = ladder["taken"], pervade.load(path)
    loaded = delivered.load()
    metrics = dict(loaded.task.metrics(loaded.domain))
    headline = next(iter(metrics))
    tables, tests = {}, {}

    def meet(name: str, run: pervade.Run, result: dict[str, Any]) -> None:
        tables[name] = predictions.read_columns(run.path / result["predictions"])
        tests[name] = round(result["metrics"][headline]["value"], 5)

    meet(taken, delivered, delivered.results())
    rows = json.loads((path / "data.json").read_text())["columns"]["split"].count("test")
    for rung in ladder["rungs"]:
        # The one that was delivered met it already, unless its time sufficed for some of the rows alone.
        if rung["state"] == "complete" and (rung["name"] != taken or len(tables[taken]["row"]) < rows):
            member = pervade.load(path / "members" / rung["name"])
            meet(rung["name"], member, member.evaluate())
    about: dict[str, Any] = {"metric": headline, "taken": taken, "test": tests}
    about |= {"validation": {rung["name"]: rung["value"] for rung in ladder["rungs"]}}
    about |= {"seconds": {rung["name"]: rung["seconds"] for rung in ladder["rungs"]}}
    if "plain" in tables:
        less = differences({headline: metrics[headline]}, [tables["plain"], tables[taken]])[0][headline].as_dict()
        about |= {"over_plain": less["difference"], **{name: less[name] for name in ("low", "high", "p")}}
    return about


def latest() -> dict[Cell, dict[str, Any]]:
    return {(cell["set"], cell["limit"], cell["seed"], cell["busy"]): cell for cell in lines(NAME)}


def show() -> None:
    from pervade.metrics.paired import holm

    done = latest().values()
    cells = [cell for cell in done if "failed" not in cell]
    adjusted = holm([cell["p"] if cell.get("over_plain", 0.0) < 0 and cell["p"] is not None else 1.0 for cell in cells])
    print(f"{'data':>16}{'limit':>7}{'seed':>6}{'busy':>6}{'load':>6}{'used':>8}  taken     test by rung")
    for cell, p in zip(cells, adjusted, strict=True):
        test = ", ".join(f"{name} {value:.4f}" for name, value in cell["test"].items())
        beaten = "  BEATEN BY THE PLAIN RUNG" if p < 0.05 else ""
        late = "" if in_time(cell) else "  LATE"
        load = f"{cell['load']:.1f}" if "load" in cell else "?"
        print(
            f"{cell['set']:>16}{cell['limit']:>6g}s{cell['seed']:>6}{cell['busy']:>6}{load:>6}{cell['used']:>7.1f}s  "
            f"{cell['taken']:<9} {test}{beaten}{late}"
        )
    for cell in done:
        if "failed" in cell:
            print(f"{cell['set']}, {cell['limit']:g} s, seed {cell['seed']}, {cell['busy']} busy: {cell['failed']}")
    if cells:
        beaten = sum(p < 0.05 for p in adjusted)
        late = sum(not in_time(cell) for cell in cells)
        print(f"\nof {len(done)} cells {len(done) - len(cells)} failed")
        print(f"worse than the plain rung, by Holm over all cells: {beaten} (asked: none)")
        print(f"more than 3% over the limit: {late} (asked: none); in time: {1 - late / len(cells):.0%}")
    for limit in sorted({cell["limit"] for cell in cells}):
        behind = [
            max(cell["test"].values()) - cell["test"][cell["taken"]]
            for cell in cells
            if cell["limit"] == limit and cell["metric"] == "accuracy"
        ]
        if behind:
            points = 100 * np.mean(behind)
            print(f"{limit:g} s: {points:.2f} points behind each cell's best rung, mean of {len(behind)} (asked: 0.3)")


def in_time(cell: dict[str, Any]) -> bool:
    return cell["used"] <= 1.03 * cell["limit"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--limits", nargs="+", type=float, default=[30, 120, 600])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--busy", nargs="+", type=int, default=[0, 4])
    parser.add_argument("--again", action="store_true", help="Measure cells that are there already once more.")
    parser.add_argument("--show", action="store_true", help="Print what was measured, and measure nothing.")
    options = parser.parse_args()
    there = {cell for cell, done in latest().items() if "failed" not in done}
    for cell in [] if options.show else wanted(options.limits, options.seeds, options.busy):
        name, limit, seed, busy = cell
        if name not in options.sets or (cell in there and not options.again):
            continue
        load = round(os.getloadavg()[0], 2)  # of this machine, before the cell
        with tempfile.TemporaryDirectory() as folder, beside(busy, (MOST + 1) * limit + 120):
            made = SETS[name](options.shared, Path(folder))
            done = measure(name, limit, seed, busy, made, Path(folder) / "runs")
        about = {"set": name, "limit": limit, "seed": seed, "busy": busy, "load": load}
        note(NAME, about | done)
        said = done.get("failed") or f"{done['taken']} {done['test'][done['taken']]:.4f} after {done['used']:g} s"
        print(f"{name}, {limit:g} s, seed {seed}, {busy} busy: {said}", flush=True)
    show()


if __name__ == "__main__":
    main()
