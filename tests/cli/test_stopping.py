"""Ctrl-C and SIGTERM once training is over: the process ends at once, and says how to go on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from pervade.engine import predictor
from tests.cli.small import SMALL


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
