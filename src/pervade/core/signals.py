"""Signals that ask for a stop: Ctrl-C, SIGTERM, and a terminal that is closed (SIGHUP)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Windows has no SIGHUP.
ASKING = tuple(number for number in signal.Signals if number.name in ("SIGINT", "SIGTERM", "SIGHUP"))


class WorkerStopped(KeyboardInterrupt):
    """A worker process ended because a stop was asked for. No `except Exception` takes it for a fault."""


_asked = [0]


def asked() -> int:
    """The signal that this process was asked to stop by; 0 where it was not."""
    return _asked[0]


@contextmanager
def answered(answer: Callable[[int], None], again: bool = True) -> Iterator[None]:
    """Inside, the first such signal calls `answer`; a second one does what it did before, unless `again` is off:
    torchrun passes on what the whole process group has got already. A SIGHUP that is ignored (nohup) stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    taken = False

    def take(number: int, frame: Any) -> None:
        nonlocal taken
        if not taken:
            taken, _asked[0] = True, number
            if again:
                restore()
            answer(number)

    def restore() -> None:
        for asking, handler in before.items():
            signal.signal(asking, handler)

    watched = [number for number in ASKING if number.name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN]
    outer, _asked[0] = _asked[0], 0
    before = {number: signal.signal(number, take) for number in watched}
    try:
        yield
    finally:
        restore()
        _asked[0] = outer


@contextmanager
def held_back() -> Iterator[None]:
    """Inside, a process that is started cannot be ended by them (nor by Ctrl-\\) before it has come to answer them
    itself; what comes to this process meanwhile it gets afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*ASKING, signal.SIGQUIT))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def left_to_parent() -> None:
    """In a worker process: what is asked of the whole process group is the parent's to answer, and the worker ends when
    the parent goes away. The handlers do nothing; signals that are ignored would be so in programs that the worker
    starts, too."""
    import multiprocessing
    from multiprocessing import connection
    from os import _exit
    from time import sleep

    for number in (*ASKING, signal.SIGQUIT):
        signal.signal(number, lambda number, frame: None)
        signal.siginterrupt(number, False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*ASKING, signal.SIGQUIT))
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            connection.wait([parent.sentinel])
            sleep(10)  # for the way out that closes environments; one that hangs never comes there
            _exit(1)

    threading.Thread(target=watch, daemon=True).start()
