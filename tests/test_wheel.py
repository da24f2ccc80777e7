"""What is published works without this checkout: a wheel, in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def ran(*command: str | Path, **settings: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **settings)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return str(done.stdout)


@pytest.mark.slow  # PyTorch is installed once more, which takes minutes and the package index
def test_a_wheel_runs_the_demo_in_an_empty_environment(tmp_path: Path) -> None:
    ran(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT)
    wheel = next(tmp_path.glob("pervade-*.whl"))
    ran(sys.executable, "-m", "venv", tmp_path / "empty")
    binaries = tmp_path / "empty" / "bin"
    ran(binaries / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    # Nothing of this process is handed on: neither paths to its packages, nor its caches, nor that it is offline.
    environment = {"PATH": f"{binaries}:{os.defpath}", "HOME": str(tmp_path), "PERVADE_CACHE": str(tmp_path / "cache")}
    said = ran(binaries / "pervade", "demo", cwd=tmp_path, env=environment)
    assert "right on" in said
    assert list((tmp_path / "runs").glob("*/report.html")), "no report was written"
