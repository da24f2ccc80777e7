"""Work on what somebody else wrote (a chat template, a tokenizer's patterns), in a process of its own that may take so
much time and memory and no more.

The kernel keeps the limits: a timer of processor time whose signal nothing in the work can catch or delay, and a bound
on its memory. So a loop of a billion, a power, a pattern that goes back and forth for ever all end alike, and a busy
machine makes no difference. The process is started when it is first asked, and answers again and again: 0.1 s, then
0.1 ms each.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from pervade.core.errors import PervadeError

MEGABYTES = 2048
NO_MEMORY = 3  # what it leaves with where Python has none
# And what others do where they have none; -9 is SIGKILL, which Windows does not name.
FULL = (NO_MEMORY, -signal.SIGABRT, -signal.SIGSEGV, -9)


class LimitExceeded(PervadeError):
    """The work took more than it may; the message says of what."""


class Bounded:
    """`answer` is "module:function", ours: JSON in, JSON out, and nothing that takes long to import."""

    def __init__(self, answer: str, seconds: float) -> None:
        self.answer, self.seconds = answer, seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, question: Any) -> Any:
        """Raises LimitExceeded where the work took more than `seconds` of processor time or too much memory,
        RuntimeError where `answer` is at fault."""
        with self._lock:
            process = self._process or self._start()
            if process.stdin is None or process.stdout is None:
                raise ValueError("a process without pipes")
            try:
                with contextlib.suppress(BrokenPipeError):  # found out in the answer
                    process.stdin.write(json.dumps(question).encode() + b"\n")
                    process.stdin.flush()
                line = process.stdout.readline()
            except BaseException:  # Ctrl-C: what comes then is no answer to what is asked next
                self._end(process, kill=True)
                raise
            if line.endswith(b"\n"):
                return json.loads(line)
            status = self._end(process)
            if status == -signal.SIGPROF:
                raise LimitExceeded(f"took more than {self.seconds:g} s")
            if status in FULL:
                raise LimitExceeded(f"took more than {MEGABYTES:,} MB")
            raise RuntimeError(f"the process for {self.answer} ended with status {status}")

    def close(self) -> None:
        """Ends the process; it is started again when it is next asked."""
        with self._lock:
            if self._process is not None:
                self._end(self._process, kill=True)

    def _start(self) -> subprocess.Popen[bytes]:
        command = f"from pervade.core.bounded import serve; serve({self.answer!r}, {self.seconds})"
        path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
        # A group of its own, so that Ctrl-C is the parent's to answer. Without -P it would look in the current folder.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false"},
        )
        atexit.register(self.close)
        return self._process

    def _end(self, process: subprocess.Popen[bytes], kill: bool = False) -> int:
        self._process = None
        atexit.unregister(self.close)
        if kill:
            process.kill()
        status = process.wait()
        with contextlib.suppress(BrokenPipeError), process:  # closes the pipes
            return status
        return status


def serve(answer: str, seconds: float) -> None:
    """In that process: reads questions, a line each, until there are no more."""
    import resource

    module, _, name = answer.partition(":")
    function = getattr(importlib.import_module(module), name)
    with contextlib.suppress(ValueError, OSError):  # macOS has no such bound
        resource.setrlimit(resource.RLIMIT_AS, (MEGABYTES << 20, MEGABYTES << 20))
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            told = json.dumps(function(json.loads(line))).encode()
        except MemoryError:
            os._exit(NO_MEMORY)
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.buffer.write(told + b"\n")
        sys.stdout.buffer.flush()
