"""Being asked to stop, by Ctrl-C or a signal: what is raised once everything is saved."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pervade.core import signals
from pervade.engine import ranks


class Stopped(Exception):
    """Training was asked to stop and has saved its state. Not an error; carries the signal's number."""

    def __init__(self, number: int, path: Path) -> None:
        super().__init__(f"stopped by signal {number}")
        self.number, self.path = number, path


class Paused(Exception):
    """Training came to where it was to pause (`Options.pause_at`), and has saved its state. Not an error."""


@contextmanager
def stopping_at_once(path: Path) -> Iterator[None]:
    """Inside, Ctrl-C, SIGTERM and SIGHUP raise Stopped wherever the process is: for what is made anew when the run in
    `path` is resumed (an evaluation). A second one does what it did before. Where a member of the run was stopped,
    Stopped says the run, which is what is to be resumed."""
    asked: int = signal.SIGINT

    def ask(number: int) -> None:
        nonlocal asked
        asked = number
        raise KeyboardInterrupt  # no `except Exception` on the way takes it for a fault

    try:
        with signals.answered(ask, again=ranks.world() == 1):
            yield
    except KeyboardInterrupt:
        raise Stopped(asked, path) from None
    except Stopped as stop:
        raise Stopped(stop.number, path) from None
