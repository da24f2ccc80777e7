"""Kills a resnet18 run at 20 random moments, resumes each, and compares the final weights with those of a run that was
never stopped.

    python benchmarks/resume_kills.py [KILLS]        about 10 minutes

Five kills or more fall into a save (the script watches for the temporary folder that a save writes) and three or more
before the first save; the rest anywhere. SIGKILL: nothing is cleaned up. The pictures are scikit-learn's digits.
"""

from __future__ import annotations

import collections
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pervade.core import files
from pervade.data import digits

KILLS, DURING_SAVE, BEFORE_FIRST = 20, 6, 4
TRAIN = """
import sys, pervade
from pervade.training import Options
data, run = sys.argv[1:]
pervade.fit(data, model="resnet18", init="random", name=run.rpartition("/")[2], runs=run.rpartition("/")[0],
    epochs=2, lr=0.02, seed=3,
    settings=["domain.size=16", "domain.flip=false"], options=Options(save_every=0.3))
"""
RESUME = """
import sys, pervade
from pervade.training import Options
pervade.resume(sys.argv[1], options=Options(save_every=0.3))
"""


def python(code: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"exit status {process.returncode}:\n{errors}")


def wait_for(process: subprocess.Popen, condition) -> bool:
    """Whether `condition` came true before the process ended."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(0.0005)
    return False


def saving(run: Path) -> bool:
    return any(each.name.startswith(".state.") for each in os.scandir(run)) if run.is_dir() else False


def weights(run: Path) -> str:
    return files.sha256(run / "checkpoints" / "last" / "model.safetensors")


def kill(data: Path, run: Path, when: str, whole: float, rng: random.Random) -> str:
    """Starts a run and kills it; returns what it was doing."""
    process = python(TRAIN, str(data), str(run))
    if when == "during a save":
        for _ in range(rng.randint(1, 6)):
            wait_for(process, lambda: saving(run))
            wait_for(process, lambda: not saving(run))
        wait_for(process, lambda: saving(run))
        time.sleep(rng.uniform(0, 0.15))
    elif when == "before the first save":
        wait_for(process, lambda: (run / "recipe.yaml").exists())
        time.sleep(rng.uniform(0, 0.5))
    else:
        time.sleep(rng.uniform(0.35, 0.95) * whole)
    # stopped first, so that what is looked at is what is killed
    process.send_signal(signal.SIGSTOP)
    if process.poll() is not None:
        return "finished before the kill"
    was = "during a save" if saving(run) else "between saves"
    if not (run / "state").exists() and was != "during a save":
        was = "before the first save"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return was


def main(kills: int) -> None:
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        data = digits.write(Path(folder) / "digits")
        start = time.perf_counter()
        finish(python(TRAIN, str(data), str(Path(folder) / "whole")))
        whole = time.perf_counter() - start
        expected = weights(Path(folder) / "whole")
        plan = ["during a save"] * DURING_SAVE + ["before the first save"] * BEFORE_FIRST
        plan += ["any moment"] * (kills - len(plan))
        seen: collections.Counter = collections.Counter()
        same = 0
        for number, when in enumerate(plan):
            run = Path(folder) / f"killed-{number}"
            was = kill(data, run, when, whole, rng)
            finish(python(RESUME, str(run)))
            equal = weights(run) == expected
            same += equal
            seen[was] += 1
            print(f"kill {number + 1}: {was}; final weights {'identical' if equal else 'DIFFERENT'}", file=sys.stderr)
    print("| killed | times |\n|---|---|")
    for was, times in seen.items():
        print(f"| {was} | {times} |")
    print(f"| **final weights identical** | **{same} of {len(plan)}** |")
    met = same == len(plan) and seen["during a save"] >= 5 and seen["before the first save"] >= 3
    print(f"\nAsked: {KILLS} of {KILLS}, 5 during a save, 3 before the first. {'Met' if met else 'MISSED'}.")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else KILLS)
