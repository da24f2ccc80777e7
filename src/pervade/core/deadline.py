"""Ends what takes too long, wherever it is: what a time limit has no more room for.

A price that was found beforehand can be wrong, on a machine that becomes busy most of all; an alarm cannot. It rings in
the main thread, between two operations of Python, as Ctrl-C does, so a single long operation is waited for. Where there
are no alarms (Windows, another thread) what is inside runs to its end.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

AGAIN = 0.2  # seconds after which it rings once more, where the first was lost (in a destructor, say)


class _TimeUp(BaseException):
    """No `except Exception` takes it for a fault."""


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being loaded: half of one would stay behind. It rings again."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def done_by(until: float | None, make: Callable[[], T]) -> T | None:
    """What `make` gives, or None where it was not done by `until` (time.monotonic; None: it may take as long as it
    likes), and was left there.

    It must be something that may be left undone: as after Ctrl-C, only what it keeps by `finally` holds.
    """
    if until is None:
        return make()
    if time.monotonic() >= until:
        return None
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        return make()
    inside = True

    def ring(number: int, frame: FrameType | None) -> None:
        if inside and not _imports(frame):
            raise _TimeUp

    before = signal.signal(signal.SIGALRM, ring)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, max(until - time.monotonic(), 1e-6), AGAIN)
            return make()
        finally:
            inside = False
    except _TimeUp:
        return None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
