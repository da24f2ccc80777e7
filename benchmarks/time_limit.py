"""How well --time-limit is kept: whole commands, from the start of the process to its end, with what they reached.

    python benchmarks/time_limit.py [--data ../shared/data/cats_dogs] [--limits 20 60 180] [--model resnet] [-o …]

The pictures are decoded into the cache first, as they are in any second run on the same data. More passes are asked for
than there is time for, so that a command is to use its limit: at most 5% over, at least 90% of it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "cats_dogs"
BETWEEN = (0.90, 1.05)


def command(data: str, runs: Path, name: str, more: list[str]) -> float:
    """Seconds of `pervade train`, which must succeed."""
    pervade = str(Path(sys.executable).with_name("pervade"))
    start = time.monotonic()
    done = subprocess.run(
        [pervade, "train", data, "--name", name, "--runs", str(runs), "--init", "random", *more],
        capture_output=True,
        text=True,
    )
    taken = time.monotonic() - start
    if done.returncode:
        sys.exit(done.stderr)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=str(DATA))
    parser.add_argument("--limits", nargs="+", type=float, default=[20, 60, 180])
    parser.add_argument("--epochs", default="300")
    options, more = parser.parse_known_args()
    print(f"{os.cpu_count()} cores, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}")
    print(f"{'asked':>8}{'taken':>9}{'share':>8}{'passes':>8}{'last rate / peak':>18}{'accuracy':>10}  kept")
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        command(options.data, runs, "first", ["--time-limit", "1", *more])
        for limit in options.limits:
            name = f"{limit:g}"
            taken = command(options.data, runs, name, ["--time-limit", name, "--epochs", options.epochs, *more])
            log = [json.loads(line) for line in (runs / name / "log.jsonl").read_text().splitlines()]
            rates = [entry["lr"] for entry in log if entry["event"] == "step"]
            passes = max(entry["pass"] for entry in log if entry["event"] == "pass")
            results = list((runs / name / "results").glob("evaluate@*.json"))
            accuracy = json.loads(results[0].read_text())["metrics"]["accuracy"]["value"]
            kept = BETWEEN[0] <= taken / limit <= BETWEEN[1]
            last = rates[-1] / max(rates) if rates else float("nan")
            print(
                f"{limit:7g}s{taken:8.1f}s{taken / limit:8.1%}{passes:8g}{last:18.2g}{accuracy:10.1%}  {kept}",
                flush=True,
            )


if __name__ == "__main__":
    main()
