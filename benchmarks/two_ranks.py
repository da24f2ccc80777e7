"""The default recipe by one rank and by two, in fp32, at the same batches: is the loss curve the same?

    python benchmarks/two_ranks.py [DATA] [--passes 1] [--rows 2000]     some minutes; DATA: ../shared/data/cats_dogs

Two ranks are two processes under torchrun (gloo), one thread each; the one rank has one thread as well. Every step is
logged, in the first passes of a schedule that is planned for all of the recipe's.

Rounding makes two fp32 curves differ, and more than one would think: of ten million rectifiers some have inputs so near
zero that rounding switches them, so noise of 1e-6 in the activations is about 1e-3 of the gradient; the learning rate
decides what becomes of that. So more pairs stand beside it: one rank against one rank whose first weights differ in
their last digit (what rounding alone does); both again in double precision, where no rectifier switches (whether
anything but rounding differs); and one and two ranks at a low learning rate.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT = 1e-4
HERE = Path(__file__).resolve()
# name: settings of both, ranks of the second, what is done to both, what to the second alone
PAIRS = {
    "default recipe, fp32": ([], 2, "", ""),
    "one rank twice, fp32, last digit": ([], 1, "", "nudged"),
    "default recipe, double precision": ([], 2, "double", "double"),
    "one rank twice, double precision, last digit": ([], 1, "double", "double nudged"),
    "learning rate 0.001, fp32": (["optimizer.lr=0.001"], 2, "", ""),
}


def train(data: str, runs: str, name: str, passes: int, settings: list[str], change: str) -> None:
    """One run, as a process of its own (or as one of two)."""
    from pervade.core import runtime

    runtime.prepare()
    import torch

    import pervade
    from pervade.run import training
    from pervade.run.training import Options

    torch.set_num_threads(1)
    start, build = training.Training.__init__, training.build

    def first_passes(self, *arguments, **named):
        start(self, *arguments, **named)
        self.log_every = 1
        self.plan.passes = passes

    def changed(*arguments):
        network = build(*arguments)
        if "double" in change:
            network = network.double()
            torch.Tensor.float = torch.Tensor.double  # the task takes its loss in single precision
        if "nudged" in change:
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.copy_(torch.nextafter(parameter, torch.full_like(parameter, torch.inf)))
        return network

    training.Training.__init__, training.build = first_passes, changed
    settings = ["precision=fp32", "device=cpu", "init=random", *settings]
    pervade.fit(data, name=name, runs=runs, settings=settings, ladder=["trained"], options=Options()).evaluate()


def subset(data: Path, folder: Path, rows: int) -> Path:
    """Links to the first pictures of every class; half as many to test on."""
    for split, share in (("train", rows), ("test", rows // 2)):
        classes = sorted(each for each in (data / split).iterdir() if each.is_dir())
        for each in classes:
            (folder / split / each.name).mkdir(parents=True)
            for picture in sorted(each.iterdir())[: share // len(classes)]:
                (folder / split / each.name / picture.name).symlink_to(picture.resolve())
    return folder


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", default=str(HERE.parents[2] / "shared" / "data" / "cats_dogs"))
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("-o", dest="settings", action="append", default=[], help="a setting of the recipe, for all")
    parser.add_argument("--worker", nargs=3, metavar=("RUNS", "NAME", "CHANGE"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker:
        runs, name, change = chosen.worker
        train(chosen.data, runs, name, chosen.passes, chosen.settings, change)
        return
    place = Path(tempfile.mkdtemp(prefix="two-ranks-"))
    try:
        data = subset(Path(chosen.data), place / "pictures", chosen.rows)
        started: dict[tuple, Path] = {}

        def run(ranks: int, change: str, settings: list[str]) -> Path:
            key = (ranks, change, *settings)
            if key not in started:
                started[key] = place / f"run{len(started)}"
                torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
                command = [sys.executable, *(torchrun if ranks > 1 else []), str(HERE), str(data)]
                command += ["--passes", str(chosen.passes), *(each for s in settings for each in ("-o", s))]
                command += ["--worker", str(place), started[key].name, change]
                subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)
            return started[key]

        pairs = {}
        for name, (settings, ranks, both, second) in PAIRS.items():
            settings = [*settings, *chosen.settings]
            pairs[name] = run(1, both, settings), run(ranks, second, settings)
        report(pairs)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def log(run: Path, event: str) -> list[dict]:
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [each for each in entries if each["event"] == event]


def report(pairs: dict[str, tuple[Path, Path]]) -> None:
    print("| pair | steps | step 1 | 2 | 3 | 5 | 10 | 20 | largest | steps within 1e-4 | test accuracy | images/s |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for name, runs in pairs.items():
        losses = [[each["loss"] for each in log(run, "step")] for run in runs]
        apart = [abs(a - b) for a, b in zip(*losses, strict=True)]
        shown = [f"{apart[step - 1]:.0e}" if step <= len(apart) else "" for step in (1, 2, 3, 5, 10, 20)]
        within = next((number for number, each in enumerate(apart) if each > LIMIT), len(apart))
        results = [json.loads((run / "results" / "evaluate@best.json").read_text()) for run in runs]
        accuracy = ", ".join(f"{each['metrics']['accuracy']['value']:.3f}" for each in results)
        # Of the median step: the first are slower.
        rates = [sorted(each["rows_per_second"] for each in log(run, "step"))[len(apart) // 2] for run in runs]
        print(
            f"| {name} | {len(apart)} | {' | '.join(shown)} | {max(apart):.0e} | {within} | {accuracy} | "
            f"{rates[0]:.0f}, {rates[1]:.0f} |"
        )
    print(f"\nAsked: the same loss within {LIMIT:.0e} in fp32; differences are of the loss of single steps.")


if __name__ == "__main__":
    main()
