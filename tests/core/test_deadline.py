"""What a time limit has no more room for is ended."""

from __future__ import annotations

import importlib
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from pervade.core import files
from pervade.core.deadline import done_by


def forever() -> None:
    while True:
        time.sleep(0.01)


def test_what_takes_too_long_is_ended_and_what_does_not_is_given() -> None:
    start, before = time.monotonic(), signal.getsignal(signal.SIGALRM)
    assert done_by(start + 0.1, forever) is None
    assert 0.1 <= time.monotonic() - start < 5
    assert done_by(time.monotonic() + 60, lambda: 3) == 3
    assert done_by(None, lambda: 4) == 4
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_what_is_late_already_is_not_begun() -> None:
    begun: list[int] = []
    assert done_by(time.monotonic() - 1, lambda: begun.append(1)) is None
    assert not begun


def test_it_is_no_fault_that_could_be_caught_and_faults_come_through() -> None:
    def stubborn() -> None:
        try:
            forever()
        except Exception:
            pytest.fail("it was taken for a fault")

    assert done_by(time.monotonic() + 0.05, stubborn) is None
    with pytest.raises(ZeroDivisionError):
        done_by(time.monotonic() + 60, lambda: 1 // 0)


def test_elsewhere_than_in_the_main_thread_it_runs_to_its_end() -> None:
    found: list[int | None] = []

    def work() -> int:
        time.sleep(0.2)
        return 1

    thread = threading.Thread(target=lambda: found.append(done_by(time.monotonic() + 0.05, work)))
    thread.start()
    thread.join()
    assert found == [1]


def test_what_is_cut_while_it_writes_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("whole")

    def write(name: str) -> None:
        with files.replacing(tmp_path / name) as work, work.open("wb") as file:
            file.write(b"half")
            file.flush()
            forever()

    assert done_by(time.monotonic() + 0.05, lambda: write("new")) is None
    assert done_by(time.monotonic() + 0.05, lambda: write("old")) is None
    assert [each.name for each in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_text() == "whole"


def test_a_module_that_is_being_loaded_is_loaded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_to_load.py").write_text("import time\ntime.sleep(0.1)\nwhole = True\n")
    monkeypatch.syspath_prepend(tmp_path)

    def load() -> None:
        importlib.import_module("slow_to_load")
        forever()

    assert done_by(time.monotonic() + 0.02, load) is None
    assert sys.modules.pop("slow_to_load").whole
