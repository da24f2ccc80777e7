"""What all tests share. The process is set up as the command line sets it up."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pervade.core import runtime

# One thread, unless asked for another number, so that bits do not hang on what else the machine does; started processes
# inherit it.
runtime.prepare(threads=int(os.environ.get("OMP_NUM_THREADS", "1")))


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
