"""One machine stands for several: the numeric tests again, with the instructions of lesser processors and with another
number of threads. A tolerance that fits one chip alone, or bits that are equal by luck, fail here.

ATEN_CPU_CAPABILITY says which of torch's own kernels are taken, ONEDNN_MAX_CPU_ISA which of oneDNN's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
NUMERIC = ("nn", "models", "metrics", "engine", "train", "init", "data", "tasks", "test_toys.py", "test_training.py")
PROCESSORS = {
    "as-it-is": {},
    "without-vectors": {"ATEN_CPU_CAPABILITY": "default"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
}


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_numbers_hold(processor: str, threads: str) -> None:
    environment = {**os.environ, **PROCESSORS[processor], "OMP_NUM_THREADS": threads}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(str(TESTS / each) for each in NUMERIC)]
    done = subprocess.run(command, env=environment, cwd=TESTS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
