"""A disk that fills up in the middle of a save loses nothing that was saved before."""

from __future__ import annotations

import contextlib
import errno
import json
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from pervade import api
from pervade.core import files
from pervade.core.errors import ResourceError
from pervade.core.run import RunDirectory
from pervade.engine.checkpoint import load_checkpoint, save_checkpoint
from tests.cli.small import SMALL

KILOBYTE = 1024


@contextlib.contextmanager
def file_limit(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: what a quota does, and much like a full disk. Works everywhere."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("no small file system can be mounted here (that takes root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, leave: int) -> Path:
    """Takes all of the disk but `leave` bytes."""
    filler = folder / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(folder).free - leave))
    return filler


def save_again(run: Path) -> None:
    """Saves the best checkpoint with other weights."""
    directory = RunDirectory(run)
    loaded = load_checkpoint(directory, "best")
    with torch.no_grad():
        for parameter in loaded.network.parameters():
            parameter.add_(1.0)
    save_checkpoint(directory, "best", loaded.network, api.load(run).recipe(), loaded.domain, {})


def assert_nothing_lost(run: Path, before: dict[str, torch.Tensor]) -> None:
    load_checkpoint(RunDirectory(run), "best")
    after = safetensors.torch.load_file(run / "checkpoints" / "best" / "model.safetensors")
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["best", "last"]


def test_save_beyond_a_quota(run: Path) -> None:
    before = safetensors.torch.load_file(run / "checkpoints" / "best" / "model.safetensors")
    with (
        file_limit(4 * KILOBYTE),
        pytest.raises(ResourceError, match=r"best: .*File too large.*; what was there before"),
    ):
        save_again(run)
    assert_nothing_lost(run, before)


@pytest.mark.parametrize("leave", [0, 8, 12, 16])
def test_save_on_a_full_disk(leave: int, run: Path, disk: Path) -> None:
    moved = shutil.copytree(run, disk / "pets")
    before = safetensors.torch.load_file(run / "checkpoints" / "best" / "model.safetensors")
    filler = fill(disk, leave * KILOBYTE)
    with pytest.raises(ResourceError, match=r"best: .*No space left on device.*; what was there before"):
        save_again(moved)
    assert_nothing_lost(moved, before)
    filler.unlink()
    save_again(moved)


@pytest.mark.parametrize("leave", [0, 12, 24, 40])
def test_train_on_a_full_disk_and_go_on(leave: int, pervade, photos: Path, disk: Path) -> None:
    """Wherever the disk fills up, one line says so; once there is space the run goes on, or starts anew."""
    filler = fill(disk, leave * KILOBYTE)
    outcome = pervade("train", photos, *SMALL, "--runs", disk / "runs", "--name", "one")
    outcome.refuses("No space left on device")
    filler.unlink()
    if (disk / "runs" / "one").exists():
        outcome = pervade("resume", disk / "runs" / "one")
    else:
        outcome = pervade("train", photos, *SMALL, "--runs", disk / "runs", "--name", "one")
    assert outcome.status == 0, outcome.err
    assert json.loads((disk / "runs" / "one" / "checkpoints" / "last" / "architecture.json").read_text())["passes"] == 1


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("predictions", "results", "report.html")]


@pytest.mark.parametrize("place", ["state", "log.jsonl", *SLOW])
def test_wherever_it_fills_up_what_was_learnt_stays(
    place: str, pervade, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first checkpoint on nothing is removed, the message says what there is, and the run can go on."""
    run = Path("runs/one")
    original, opened = files._sync, Path.open

    def full(path: Path) -> None:
        if place != "log.jsonl" and any(f"one/{each}" in str(path) for each in (f".{place}.", f"{place}/.")):
            raise OSError(errno.ENOSPC, "No space left on device")
        original(path)

    def full_log(self: Path, *arguments: Any, **settings: Any) -> Any:
        file = opened(self, *arguments, **settings)
        return Full(file) if place == self.name == "log.jsonl" and arguments == ("a",) else file

    with monkeypatch.context() as patch:
        patch.setattr(files, "_sync", full)
        patch.setattr(Path, "open", full_log)
        outcome = pervade("train", photos, *SMALL, "--name", "one")
    outcome.refuses("cannot write runs/one", place, "No space left on device; ", "then: pervade resume runs/one")
    assert "runs/one holds checkpoint 'best' (pass 1) and " in outcome.err
    load_checkpoint(RunDirectory(run), "best")
    assert not list(run.rglob(".*.tmp"))
    assert pervade("resume", run).status == 0
    assert json.loads((run / "checkpoints" / "last" / "architecture.json").read_text())["passes"] == 1


class Full:
    """A file on a disk that fills up once something was logged."""

    def __init__(self, file: Any) -> None:
        self.file, self.lines = file, 0

    def write(self, text: str) -> None:
        self.lines += 1
        if '"event": "pass"' in text:
            self.file.write(text[: len(text) // 2])
            self.file.flush()
            raise OSError(errno.ENOSPC, "No space left on device")
        self.file.write(text)

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.file.close()


def test_cache_on_a_full_disk(pervade, photos: Path, disk: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    """The cache is for speed only: without it training goes on, and says so."""
    monkeypatch.setenv("PERVADE_CACHE", str(disk))
    fill(disk, 0)
    outcome = pervade("train", photos, *SMALL)
    assert outcome.status == 0, outcome.err
    assert "files are decoded anew each time" in caplog.text
