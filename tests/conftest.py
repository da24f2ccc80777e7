"""What all tests share. The process is set up as the command line sets it up."""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pervade.core import runtime

# One thread, unless asked for another number, so that bits do not hang on what else the machine does; started processes
# inherit it.
runtime.prepare(threads=int(os.environ.get("OMP_NUM_THREADS", "1")))

# Modules and collected tests live as long as the process: to look through them for garbage, again and again, took a
# quarter of the time of collecting, and some of every test.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's caches, or downloads; within one test session our own is shared, as on a real
    machine."""
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("PERVADE_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.getbasetemp() / "torch"))
    # The Hub's library reads its folder once, when it is imported.
    monkeypatch.setenv("HF_HOME", str(tmp_path_factory.getbasetemp() / "hub"))
    if "huggingface_hub.constants" in sys.modules:
        cache = str(tmp_path_factory.getbasetemp() / "hub" / "hub")
        monkeypatch.setattr(sys.modules["huggingface_hub.constants"], "HF_HUB_CACHE", cache)
    # Nor weights that an installed package happens to carry.
    monkeypatch.setattr("pervade.weights.packages.PACKAGES", {})


@pytest.fixture(scope="session", autouse=True)
def _no_cross_validation() -> Iterator[None]:
    """The few rows of tests would have every rung of a ladder trained six times over; test_cross_validation.py asks
    for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pervade.run.cross_validation.FEW", 0)
        yield


@pytest.fixture(scope="session", autouse=True)
def _made_once_and_not_waited_for() -> Iterator[None]:
    """Of what a process does once: the commands are made of their functions at the first call of `main`, not at every
    one. No test cuts the power, so none waits for the disk: tests/core/test_files.py looks for the calls."""
    import typer.main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        patch.setattr(os, "fsync", os.fstat)  # which refuses what is no open file, too
        yield


@pytest.fixture(scope="session", autouse=True)
def _few_resamples() -> Iterator[None]:
    """Intervals of figures take a quarter of the time of a small run: as few resamples as a large file gets. Of the
    session, as its runs are. Tests of the figures themselves, in tests/metrics, have as many as users do."""
    from pervade.metrics import estimate
    from tests import resamples

    with resamples.of(estimate.FEWEST_RESAMPLES):
        yield


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes that are easy to tell apart: 60 pictures of 24 x 20 pixels, bright on the left or on the right."""
    import numpy as np
    from PIL import Image

    folder = tmp_path_factory.mktemp("data") / "shapes"
    rng = np.random.default_rng(0)
    for number in range(60):
        label = ("left", "right")[number % 2]
        pixels = rng.integers(0, 120, (20, 24, 3), dtype=np.uint8)
        pixels[:, slice(0, 12) if label == "left" else slice(12, 24)] += 100
        path = folder / label / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder
