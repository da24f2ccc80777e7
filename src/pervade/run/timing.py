"""How fast models answer on this machine, and how much memory they take: measured, side beside side.

Each side is a fresh process (run/timed.py). They take turns, a moment each, so that whatever else the machine does
meanwhile meets all of them. Nothing is said of a speed that was not measured so.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pervade.core.errors import ResourceError
from pervade.core.types import Json

THREADS = 2
BATCH = 32  # rows of which the throughput is
ROUNDS = 7  # turns that each side has, of each size of batch,
TURN = 0.3  # seconds each; of a slow model one call
ROWS = 16  # different ones, of which single calls are
POWER = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Side:
    """`about` is what run/timed.py opens: "graph", the path of an ONNX graph, or "run" and "checkpoint". `bytes`: how
    large it is on the disk."""

    name: str
    about: Mapping[str, Json]
    bytes: int


def measure(sides: Sequence[Side], feeds: Sequence[Mapping[str, np.ndarray]], threads: int = THREADS) -> dict[str, Any]:
    """By the name of each side: "latency" and "latency_p99" (seconds of a call of one row), "throughput" (rows a second
    in batches of BATCH), "memory" (bytes at its peak; None where the system does not tell), "size" (bytes on the disk),
    "calls", and "energy" (joules a row in batches, of the whole processor) where the machine tells.

    `feeds` are single rows as the graph takes them. Raises ResourceError where a side does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="pervade-timing-") as folder, ExitStack() as stack:
        rows = list(feeds[:ROWS])
        stored = {f"{place}/{name}": value for place, feed in enumerate(rows) for name, value in feed.items()}
        np.savez(Path(folder, "feeds.npz"), allow_pickle=False, **stored)
        known = {"feeds": str(Path(folder, "feeds.npz")), "names": list(rows[0]), "rows": len(rows), "threads": threads}
        children = [
            stack.enter_context(_Child(side, Path(folder, f"{place}.json"), {**side.about, **known}))
            for place, side in enumerate(sides)
        ]
        single: list[list[float]] = [[] for _ in sides]
        batches: list[list[float]] = [[] for _ in sides]
        joules: list[list[float]] = [[] for _ in sides]
        for batch, taken in ((1, single), (BATCH, batches)):
            for round_number in range(ROUNDS):
                for place in range(len(sides))[:: -1 if round_number % 2 else 1]:
                    before = _energy()
                    seconds = children[place].ask({"batch": batch, "seconds": TURN})["seconds"]
                    if batch == BATCH and before is not None and (spent := _spent(before)) is not None:
                        joules[place].append(spent / (batch * len(seconds)))
                    taken[place] += seconds
        return {
            side.name: {
                "latency": float(np.median(single[place])),
                "latency_p99": float(np.percentile(single[place], 99)),
                "throughput": BATCH / float(np.median(batches[place])),
                "memory": children[place].ask({"memory": True})["bytes"],
                "size": side.bytes,
                "calls": len(single[place]),
                **({"energy": float(np.median(joules[place]))} if joules[place] else {}),
            }
            for place, side in enumerate(sides)
        }


class _Child:
    """One side's process, which answers a request with a line."""

    def __init__(self, side: Side, place: Path, about: Mapping[str, Any]) -> None:
        self.side = side
        place.write_text(json.dumps(about), encoding="utf-8")
        threads = str(about["threads"])
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.errors = place.with_suffix(".txt").open("w+", encoding="utf-8")
        command = [sys.executable, "-m", "pervade.run.timed", str(place)]
        self.process = subprocess.Popen(command, stderr=self.errors, env=environment, **pipes)

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *fault: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def ask(self, request: Mapping[str, Json]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ResourceError(f"{self.side.name} could not be timed: {self._last_words()}")
        return dict(json.loads(line))

    def _last_words(self) -> str:
        status = self.process.wait()
        if status == -signal.SIGKILL:  # as Linux does where memory has run out
            return "its process was killed; free some memory"
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors if line.strip()]
        return lines[-1][:200] if lines else f"its process ended with {status}"


def _energy() -> dict[Path, int] | None:
    """Microjoules that the processor has taken since some moment, by its packages; None where the machine does not
    tell, or only to others."""
    counters: dict[Path, int] = {}
    for place in sorted(POWER.glob("intel-rapl:?/energy_uj")):
        try:
            counters[place] = int(place.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
    return counters or None


def _spent(before: Mapping[Path, int]) -> float | None:
    """Joules since then; None where a counter began anew meanwhile."""
    now = _energy() or {}
    differences = [now.get(place, -1) - counter for place, counter in before.items()]
    return sum(differences) / 1e6 if min(differences) >= 0 else None


def processor() -> str:
    """What the processor is called."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
