"""Busy processes beside a measurement, and lines of results that a stopped script goes on from."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MEASURED = Path(__file__).resolve().parent / "measured"
SPIN = "import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"


@contextmanager
def beside(number: int, seconds: float) -> Iterator[None]:
    """Inside, so many processes keep a core busy each; they end by themselves after `seconds` whatever happens."""
    code = SPIN.format(seconds=seconds)
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(number)]
    try:
        yield
    finally:
        for each in processes:
            each.kill()
            each.wait()


def lines(name: str) -> list[dict[str, Any]]:
    path = MEASURED / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def note(name: str, cell: dict[str, Any]) -> None:
    """Appends one cell, with the commit, the chip and the date that it was measured at."""
    MEASURED.mkdir(exist_ok=True)
    about = {"commit": commit(), "chip": chip(), "date": datetime.date.today().isoformat()}
    with (MEASURED / name).open("a") as file:
        file.write(json.dumps({**cell, **about}) + "\n")


def commit() -> str:
    asked = ["git", "-C", str(MEASURED.parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip() or "unknown"


def chip() -> str:
    about = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    named = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in about.splitlines()}
    return f"{named.get('model name', 'unknown')} family {named.get('cpu family', '?')} model {named.get('model', '?')}"
