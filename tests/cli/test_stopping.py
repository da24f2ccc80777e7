"""Ctrl-C and SIGTERM: while it trains it saves first, afterwards the process ends at once; both say how to go on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from pervade.core.run import RunDirectory
from pervade.engine import predictor
from tests.cli.small import SMALL
from tests.trainings import assert_same_state, killed_at, logged


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_it_trains(pervade, photos: Path, number: int) -> None:
    """It saves and says how to go on, and what is resumed is as if it had never been stopped."""
    asked = ("train", photos, *SMALL, "--epochs", "3", "-obatch_size=4")
    assert pervade(*asked, "--name", "whole").status == 0
    with killed_at(4, lambda: os.kill(os.getpid(), number)):
        outcome = pervade(*asked, "--name", "pets")
    assert outcome.status == 128 + number
    assert "pervade resume runs/pets" in outcome.err
    assert "Traceback" not in outcome.err
    whole, stopped = (RunDirectory(Path("runs") / name) for name in ("whole", "pets"))
    assert not stopped.checkpoint("last").exists()
    assert pervade("resume", "runs/pets").status == 0
    assert_same_state(whole, stopped)
    assert logged(whole) == logged(stopped)
    # resuming what is complete changes nothing
    before = (stopped.state / "state.safetensors").stat().st_mtime_ns
    assert pervade("resume", "runs/pets").status == 0
    assert (stopped.state / "state.safetensors").stat().st_mtime_ns == before


def arrange(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The signal comes in the middle of writing the predictions of the test split."""

    def interrupted(*arguments: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(30)

    monkeypatch.setattr(predictor, "_write_shard", interrupted)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("several", [(), ("--seeds", "2")])
def test_while_it_is_evaluated(
    pervade, photos: Path, monkeypatch: pytest.MonkeyPatch, number: int, several: tuple[str, ...]
) -> None:
    with monkeypatch.context() as patch:
        arrange(patch, number)
        outcome = pervade("train", photos, "--name", "pets", *SMALL, *several)
    assert outcome.status == 128 + number
    assert outcome.err.splitlines()[-1] == "stopped and saved; go on with: pervade resume runs/pets"
    assert not list(Path("runs/pets").rglob("*shard*"))
    resumed = pervade("resume", "runs/pets")
    assert resumed.status == 0
    assert Path("runs/pets/report.html").exists()


def test_while_it_is_evaluated_by_itself(pervade, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrange(monkeypatch, signal.SIGINT)
    # Who starts the tests in the background may have told them to ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        outcome = pervade("evaluate", run)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (outcome.status, outcome.complaints) == (130, ["pervade: stopped"])
