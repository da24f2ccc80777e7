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
# Flags of /proc/cpuinfo: dot products of whole numbers in one instruction, without which int8 gains less.
WHOLE_NUMBERS = ("avx_vnni", "avx512_vnni", "avx_vnni_int8", "amx_int8")
CPUINFO = Path("/proc/cpuinfo")
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
    """Appends one cell, with the commit, the chip (and what it has for int8) and the date that it was measured at."""
    MEASURED.mkdir(exist_ok=True)
    about = {
        "commit": commit(),
        "chip": chip(),
        "whole_numbers": whole_numbers(),
        "date": datetime.date.today().isoformat(),
    }
    with (MEASURED / name).open("a") as file:
        file.write(json.dumps({**cell, **about}) + "\n")


def commit() -> str:
    asked = ["git", "-C", str(MEASURED.parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip() or "unknown"


def chip() -> str:
    named = cpuinfo()
    return f"{named.get('model name', 'unknown')} family {named.get('cpu family', '?')} model {named.get('model', '?')}"


def whole_numbers() -> list[str] | None:
    """Which instructions for int8 (VNNI, AMX) the processor has by its flags; None where there are none to read."""
    flags = cpuinfo().get("flags")
    return None if flags is None else sorted(set(WHOLE_NUMBERS) & set(flags.split()))


def cpuinfo() -> dict[str, str]:
    """What /proc/cpuinfo says of the last processor, by its own names; empty elsewhere than on Linux."""
    about = CPUINFO.read_text() if CPUINFO.exists() else ""
    return {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in about.splitlines()}
