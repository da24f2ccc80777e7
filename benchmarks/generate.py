"""What pictures are worth that were made: beside other libraries in the same time, by class, and in few steps.

    python benchmarks/generate.py [--shared ../shared/data] [--parts peers speed classes few rare] [--sets mnist …]
        [--sides diffusion …] [--seconds 900] [--seeds 0] [--again] [--show]

Each cell is a line in measured/generate.jsonl, and a stopped script goes on; a cell that failed is said, and tried
again by the next start. With 15 minutes a training all of it takes about ten hours.

peers: each side learns from the same PNGs of 32 x 32 (digits filled up to it), not by class, in the same time. Ours has
it for the whole command, reading, judging and reporting among it; the others (generate_peers.py) for training alone. As
many pictures as the test split has, 5,000 at most, are made and compared with the test split by one judge, a small
classifier of the same training split that each side is measured by alike. floor: the same of two halves of these test
pictures (few pictures do not bias the kernel distance, so the floor may be taken off it).

speed: images a second of a training step of UNet2DModel and of the same network here, the sides taking turns.

classes: ours by class, from the run's own results.

few: a network that takes noise away makes up to 1,000 pictures in 50 steps of DDIM and in 4 of DPM-Solver++, and one
that learnt of it (task.distil=4), for as long, in 4. The distance and the time of each are beside those of 50 steps.

rare: of x-rays, one sick person to twenty healthy ones in training and validation (rare_data.py, with each seed anew),
each cure has the same time: none; auto; augmentation, which draws both classes as often, each picture changed
anew; generate. A cell is one seed, with differences on the test split that are paired by row. Unless seeds are given:
0, 1, 2.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

from pervade.core import runtime

runtime.prepare()

import numpy as np
from busy import lines, note
from PIL import Image

NAME = "generate.jsonl"
HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared" / "data"
SIDE = 32
MOST = 5000  # pictures that are compared
OURS = {"gan": "dcgan", "vq-vae": "vq-vae", "diffusion": "diffusion"}  # sides that are ours, by the model
PEERS = ("diffusers", "dcgan")
PARTS = ("peers", "speed", "classes", "few", "rare")
STEPS, MANY = 4, 50  # evaluations of a network a picture, that are compared,
FEW = 1000  # and of how many pictures
CURES = {"none": "none", "auto": "auto", "augmentation": "oversample", "generate": "generate"}
FIGURES = ("accuracy", "balanced_accuracy", "ece")
Pair = tuple[np.ndarray, str]


def mnist(shared: Path, split: str) -> Iterator[Pair]:
    import pyarrow.parquet as pq

    table = pq.read_table(shared / "mnist" / f"{split}.parquet")
    for picture, label in zip(table["image"], table["label"].to_pylist(), strict=True):
        yield np.pad(np.asarray(Image.open(BytesIO(picture["bytes"].as_py()))), 2), str(label)


def pneumonia(shared: Path, split: str) -> Iterator[Pair]:
    arrays = np.load(shared / "pneumonia" / "pneumoniamnist.npz")
    for picture, label in zip(arrays[f"{split}_images"], arrays[f"{split}_labels"].ravel().tolist(), strict=True):
        yield np.pad(picture, 2, mode="edge"), str(label)


def cats_dogs(shared: Path, split: str) -> Iterator[Pair]:
    for path in sorted((shared / "cats_dogs" / split).rglob("*.jpg")):
        picture = Image.open(path).convert("RGB")
        left, top = (picture.width - min(picture.size)) // 2, (picture.height - min(picture.size)) // 2
        square = picture.crop((left, top, left + min(picture.size), top + min(picture.size)))
        yield np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC)), path.parent.name


SETS: dict[str, Callable[[Path, str], Iterator[Pair]]] = {
    "mnist": mnist,
    "pneumonia": pneumonia,
    "cats_dogs": cats_dogs,
}


def laid_out(name: str, shared: Path, folder: Path) -> Path:
    """<folder>/<split>/<class>/<number>.png."""
    for split in ("train", "test"):
        for number, (picture, label) in enumerate(SETS[name](shared, split)):
            place = folder / split / label
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(place / f"{number:05d}.png")
    return folder


def pixels(folder: Path, most: int | None = None) -> np.ndarray:
    """(n, h, w, c) uint8 of PNGs below it; of more than `most` some, drawn by chance."""
    paths = sorted(folder.rglob("*.png"))
    paths = [path for path in paths if path.name != "contact-sheet.png"]
    if most is not None and len(paths) > most:
        paths = [paths[place] for place in np.sort(np.random.default_rng(0).permutation(len(paths))[:most])]
    arrays = [np.asarray(Image.open(path)) for path in paths]
    return np.stack([array[..., None] if array.ndim == 2 else array for array in arrays])


def pervade(*words: str) -> float:
    """Seconds that a command took. Raises RuntimeError with what it said last where it failed."""
    began = time.monotonic()
    done = subprocess.run([str(Path(sys.executable).with_name("pervade")), *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(" ".join(done.stderr.strip().splitlines()[-1:]) or f"exit {done.returncode}")
    return time.monotonic() - began


class Bench:
    """One data set, laid out, with the judge that all sides are measured by."""

    def __init__(self, name: str, shared: Path, folder: Path) -> None:
        self.folder, self.runs = folder, folder / "runs"
        self.data = laid_out(name, shared, folder / "data")
        self.test = pixels(self.data / "test", MOST)
        asked = ("--task", "image-classification", "--ladder", "trained", "-o", f"domain.size={SIDE}")
        limit = ("--time-limit", "120", "--name", "judge", "--runs", str(self.runs))
        pervade("train", str(self.data), *asked, *limit)

    @property
    def judge(self) -> Path:
        return self.runs / "judge"

    def figures(self, made: np.ndarray) -> dict[str, float]:
        """Of as many pictures (n, h, w, c) uint8 as the test split has."""
        number = min(len(made), len(self.test))
        return self.between(made[:number], self.test[:number])

    def floor(self) -> dict[str, float]:
        order = np.random.default_rng(0).permutation(len(self.test))
        half = len(order) // 2
        return self.between(self.test[order[:half]], self.test[order[half : 2 * half]])

    def between(self, made: np.ndarray, real: np.ndarray) -> dict[str, float]:
        """Of pictures (n, h, w, c) uint8."""
        import pervade as package
        from pervade.engine.judging import Judge
        from pervade.metrics import generation

        loaded = package.load(self.judge).load()
        judge = Judge(loaded.network, loaded.domain.inputs(), loaded.task, loaded.domain.labels, "")
        told = generation.figures(judge(made)[0], judge(real)[0])
        return {"n": len(made), **{name: round(float(value), 6) for name, value in told.items()}}

    def ours(self, side: str, options: argparse.Namespace, seed: int, *more: str) -> Path:
        """The run of one training, in the time."""
        name = f"{side}-{seed}{'-by-class' if more else ''}"
        if (self.runs / name / "report.html").exists():  # another part has it
            return self.runs / name
        asked = ("--task", "unconditional-image-generation", "--model", OURS[side], "--judge", str(self.judge))
        limit = ("--time-limit", f"{options.seconds:g}", "--seed", str(seed), "--name", name, "--runs", str(self.runs))
        pervade("train", str(self.data), *asked, *limit, "-o", "validation=0.05", *more)
        return self.runs / name


def peers(bench: Bench, side: str, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    made = bench.folder / f"made-{side}-{seed}"
    if side in OURS:
        run = bench.ours(side, options, seed)
        took = pervade("predict", str(run), "--number", str(len(bench.test)), "-o", str(made), "--seed", str(10**6))
        about: dict[str, Any] = {"made": round(took, 1)}
    else:
        command = [sys.executable, str(HERE / "generate_peers.py"), side, str(bench.data / "train"), str(made)]
        command += ["--seconds", f"{options.seconds:g}", "--number", str(len(bench.test)), "--seed", str(seed)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(" ".join(done.stderr.strip().splitlines()[-1:]))
        about = json.loads(done.stdout.strip().splitlines()[-1])
    return {**about, "figures": bench.figures(pixels(made)), "floor": bench.floor()}


def classes(bench: Bench, side: str, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    import pervade as package

    results = package.load(bench.ours(side, options, seed, "--condition", "label")).results()
    told = {name: [own[end] for end in ("value", "low", "high")] for name, own in results["metrics"].items()}
    return {"n": results["n"], "figures": told, "between": results["details"].get("floor_and_ceiling", {})}


def few(bench: Bench, side: str, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    import pervade as package

    run, name = bench.ours(side, options, seed), f"few-{seed}"
    asked = ("--task", "unconditional-image-generation", "--init", str(run), "--judge", str(bench.judge))
    limit = ("--time-limit", f"{options.seconds:g}", "--seed", str(seed), "--name", name, "--runs", str(bench.runs))
    pervade("train", str(bench.data), *asked, *limit, "-o", f"task.distil={STEPS}", "-o", "validation=0.05")
    number = min(len(bench.test), FEW)
    ways: dict[str, tuple[Path, dict[str, Any]]] = {
        f"{MANY} of DDIM": (run, {"steps": MANY, "sampler": "ddim"}),
        f"{STEPS} of DPM-Solver++": (run, {"steps": STEPS, "sampler": "dpm-solver++"}),
        f"{STEPS}, learnt": (bench.runs / name, {}),
    }
    figures, took = {}, {}
    for way, (path, sampling) in ways.items():
        made = package.load(path)
        made.predict(number=1, **sampling)  # for taking memory
        began = time.monotonic()
        answers = made.predict(number=number, seed=10**6, **sampling)
        took[way] = round(time.monotonic() - began, 3)
        figures[way] = bench.figures(np.stack([answer["picture"] for answer in answers]))
    first = next(iter(ways))
    ratios = {
        way: {
            "distance": round(figures[way]["kernel_distance"] / figures[first]["kernel_distance"], 3),
            "time": round(took[way] / took[first], 4),
        }
        for way in ways
    }
    return {"n": number, "few": figures, "took": took, "ratios": ratios, "few_floor": bench.floor()}


def rare(shared: Path, seconds: float, seed: int) -> dict[str, Any]:
    from rare_data import rare_sick, trained

    from pervade.engine import predictions
    from pervade.metrics.paired import differences

    figures, tables, metrics = {}, {}, {}
    with tempfile.TemporaryDirectory() as place:
        made, runs = rare_sick(shared, Path(place), seed), Path(place) / "runs"
        for cure, setting in CURES.items():
            more = ("--ladder", "trained", "--time-limit", f"{seconds:g}", "--seed", str(seed), "--imbalance", setting)
            run = trained(made, runs, cure, *more)
            result, loaded = run.evaluate(), run.load()  # of all rows, for which a limit may have left no time
            tables[cure] = predictions.read_columns(run.path / result["predictions"])
            every, rarest = loaded.task.metrics(loaded.domain), f"recall[{result['details']['labels'][1]}]"
            metrics = {name: every[name] for name in (*FIGURES, rarest)}
            told = {name: [result["metrics"][name][end] for end in ("value", "low", "high")] for name in metrics}
            figures[cure] = {**told, "answers": loaded.decision.get("answers", "likeliest")}
    over: dict[str, Any] = {"over_none": {}, "over_auto": {}}
    for beside in ("none", "auto"):
        for cure in set(CURES) - {beside}:
            apart = differences(metrics, [tables[beside], tables[cure]])[0]
            own = {name: difference.as_dict() for name, difference in apart.items()}
            told = {name: [less[end] for end in ("difference", "low", "high")] for name, less in own.items()}
            over[f"over_{beside}"][cure] = told
    return {"n": len(tables["none"]["row"]), "cures": figures, **over}


def show() -> None:
    done = {(c["part"], c["set"], c["side"], c["seconds"], c["seed"]): c for c in lines(NAME)}
    for (part, name, side, seconds, seed), cell in done.items():
        shown = ("figures", "floor", "ratio", "rates", "few", "ratios", "took", "cures", "over_auto")
        told = cell.get("failed") or {key: cell[key] for key in cell if key in shown}
        print(f"{part} {name} {side} {seconds:g} s seed {seed}: {told}")
    print("\n| set | side | n | kernel distance | less the floor | of the better peer | Fréchet | precision | recall |")
    print("|---|---|---|---|---|---|---|---|---|")
    cells = {key: cell for key, cell in done.items() if key[0] == "peers" and "failed" not in cell}
    for (_, name, side, seconds, seed), cell in cells.items():
        own, less = cell["figures"], cell["figures"]["kernel_distance"] - cell["floor"]["kernel_distance"]
        others = [
            other["figures"]["kernel_distance"] - other["floor"]["kernel_distance"]
            for (_, where, peer, *rest), other in cells.items()
            if where == name and peer in PEERS and rest == [seconds, seed]
        ]
        ratio = f"{less / min(others):.2f}" if others and side in OURS else ""
        figures = f"{own['frechet_distance']:.2f} | {own['precision']:.3f} | {own['recall']:.3f}"
        print(f"| {name} | {side} | {own['n']:,} | {own['kernel_distance']:.4f} | {less:.4f} | {ratio} | {figures} |")


def speed(options: argparse.Namespace) -> dict[str, Any]:
    """Images a second of a training step, the sides taking turns: median of each turn's."""
    import torch
    from generate_peers import WIDTHS, diffusers_network
    from torch.nn import functional as F

    from pervade.core.contracts import Canvas
    from pervade.models.unet import UNet

    torch.manual_seed(0)
    theirs = diffusers_network(1)
    same = UNet(widths=WIDTHS, blocks=2, attention=(3,), head=8, groups=32, patch=1, told="shift")
    ours = same.build(Canvas((1, SIDE, SIDE)), {"output": 1})
    ours.to(memory_format=torch.channels_last)
    batch, when, target = torch.randn(16, 1, SIDE, SIDE), torch.randint(0, 1000, (16,)), torch.randn(16, 1, SIDE, SIDE)
    nobody = torch.zeros(16, dtype=torch.int64)
    sides = {
        "diffusers": (theirs, lambda: theirs(batch, when).sample),
        "ours": (ours, lambda: ours({"pixels": batch, "time": when, "class": nobody})["output"]),
        "ours, bf16": (ours, lambda: ours({"pixels": batch, "time": when, "class": nobody})["output"]),
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    optimizers = {name: torch.optim.AdamW(network.parameters(), 1e-4) for name, (network, _) in sides.items()}
    for turn in range(options.turns + 1):
        for name, (_, forward) in sides.items():
            began = time.monotonic()
            for _ in range(5):
                with torch.autocast("cpu", torch.bfloat16, enabled=name.endswith("bf16")):
                    loss = F.mse_loss(forward().float(), target)
                loss.backward()
                optimizers[name].step()
                optimizers[name].zero_grad()
            if turn:  # the first is for taking memory
                rates[name].append(80 / (time.monotonic() - began))
    weights = sum(p.numel() for p in ours.parameters()), sum(p.numel() for p in theirs.parameters())
    told = {name: [round(f(values), 2) for f in (median, min, max)] for name, values in rates.items()}
    return {"rates": told, "weights": weights, "ratio": round(told["ours"][0] / told["diffusers"][0], 3)}


def cell(part: str, name: str, side: str, seconds: float, seed: int, measure: Callable[[], dict[str, Any]]) -> None:
    began = time.monotonic()
    try:
        told = measure()
    except Exception as error:  # whatever it is, the other cells are not to be lost by it
        told = {"failed": f"{type(error).__name__}: {error}"}
    about = {"part": part, "set": name, "side": side, "seconds": seconds, "seed": seed}
    note(NAME, {**about, "used": round(time.monotonic() - began, 1), **told})
    print(*about.values(), told.get("failed", "measured"), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--sides", nargs="+", default=[*PEERS, *OURS], choices=[*PEERS, *OURS])
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--seeds", nargs="+", type=int, help="0, unless given; of rare 0, 1 and 2")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--again", action="store_true", help="Measure cells that are there already once more.")
    parser.add_argument("--show", action="store_true", help="Print what was measured, and measure nothing.")
    options = parser.parse_args()
    if options.show:
        show()
        return
    there = {
        tuple(c[key] for key in ("part", "set", "side", "seconds", "seed")) for c in lines(NAME) if "failed" not in c
    }
    ways: dict[str, Any] = {"peers": peers, "classes": classes, "few": few}
    for name in options.sets:
        wanted = [
            (part, side, seed)
            for seed in options.seeds or [0]
            for part in options.parts
            if part in ways
            for side in options.sides
            if part == "peers"
            or (
                (side == "diffusion" if part == "few" else side in OURS)
                and (options.again or (part, name, side, options.seconds, seed) not in there)
            )
        ]
        if not wanted:
            continue
        with tempfile.TemporaryDirectory() as place:
            bench = Bench(name, options.shared, Path(place))
            for part, side, seed in wanted:
                cell(part, name, side, options.seconds, seed, partial(ways[part], bench, side, options, seed))
    for seed in (options.seeds or [0, 1, 2]) if "rare" in options.parts else []:
        about = ("rare", "pneumonia 20:1", "ours", options.seconds, seed)
        if options.again or about not in there:
            cell(*about, partial(rare, options.shared, options.seconds, seed))
    if "speed" in options.parts and (options.again or not any(key[0] == "speed" for key in there)):
        cell("speed", "a step", "both", 0.0, 0, lambda: speed(options))
    show()


if __name__ == "__main__":
    main()
