"""Bad inputs, odd settings, damaged runs and hostile files: `benchmarks/fuzz.py` finds no fault, and would find one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"


def fuzz(*arguments: str) -> str:
    made = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout[-6000:] + made.stderr[-2000:]
    assert made.stdout.rstrip().splitlines()[-2] == "faults: none"
    return made.stdout


def test_some_cases(tmp_path: Path) -> None:
    """It takes more than 5 s, since every library is loaded once and forty commands run, each in a process."""
    assert "\nall " in fuzz("--small", "--scratch", str(tmp_path))


@pytest.mark.slow
def test_all_cases(tmp_path: Path) -> None:
    fuzz("--scratch", str(tmp_path))
