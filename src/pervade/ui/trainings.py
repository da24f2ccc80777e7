"""Trainings that the page starts: a form becomes the line of a command, and the line a process of its own.

No shell reads it: every field is one word of the command, and what a field may hold is checked here, so that none is
taken for a flag. What the form does not have, the command line has. A training goes on when the page's server ends.
"""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pervade.core.errors import BusyError, CheckpointError, ConfigError
from pervade.report import wording

COMMAND = (sys.executable, "-P", "-m", "pervade.cli")  # -P: what lies in the folder is no module
AT_ONCE = 4  # trainings that are started here and still run
SHOWN = 64 << 10  # bytes of a training's output that the page is given: the last
LONGEST = 4096  # letters of a field


@dataclass(frozen=True)
class Field:
    """One field of the form: the flag that it becomes, and what it may hold."""

    name: str
    flag: str
    fits: Callable[[str], bool]
    allowed: str
    several: bool = False  # words, each of which gets the flag


def _number(least: int, most: int) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(r"[0-9]{1,19}", text) is not None and least <= int(text) <= most


def _like(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(pattern, text) is not None


def _rate(text: str) -> bool:
    try:
        return text == "find" or 0 < float(text) < math.inf
    except ValueError:
        return False


WORD = r"[A-Za-z0-9][\w.:/@+-]*"
FIELDS = (
    Field("task", "--task", _like(r"[a-z][a-z-]*"), "a name of `pervade tasks`"),
    Field("model", "--model", _like(WORD), "a name of `pervade models`"),
    Field("time_limit", "--time-limit", _like(r"[0-9]+(\.[0-9]+)?(s|m|min|h)?"), "a duration such as 90s, 10m or 1.5h"),
    Field("epochs", "--epochs", _number(1, 10**9), "a whole number from 1"),
    Field("batch_size", "--batch-size", _number(1, 10**6), "a whole number from 1 to 1000000"),
    Field("lr", "--lr", _rate, "a number above 0, or find"),
    Field("seed", "--seed", _number(0, 2**62 - 1), "a whole number from 0"),
    Field("init", "--init", _like(WORD), "random, pretrained, hf:NAME or the name of a run"),
    Field("label_column", "--label-column", _like(r"[^-].*"), "the name of a column, which begins with no dash"),
    Field(
        "settings",
        "-o",
        _like(r"[A-Za-z_][\w.-]*=\S+( +[A-Za-z_][\w.-]*=\S+)*"),
        "settings as NAME=VALUE, with a space between two, such as domain.size=128 optimizer=sgd",
        several=True,
    ),
    Field("name", "--name", _like(r"[^-./\\\0][^/\\\0]*"), "a folder's name, without slashes, dash or dot in front"),
)


def command(given: Mapping[str, Any], runs: Path) -> list[str]:
    """The words of the command that the form stands for, `pervade` first; `runs` is the folder of the page's own runs.

    Raises ConfigError with every field that does not fit.
    """
    known = {field.name: field for field in FIELDS}
    problems = [f"the form has no field {name[:60]!r}" for name in given if name not in known and name != "data"]
    texts = {name: value.strip() for name, value in given.items() if isinstance(value, str)}
    problems += [f"{name}: {given[name]!r:.60} is no text" for name in given if name not in texts]
    data = texts.pop("data", "")
    if not data or data.startswith("-") or not _printable(data):
        problems.append(
            f"data: {data[:60]!r} is no folder, file or address; of one that begins with a dash write ./ first"
        )
    words = ["pervade", "train", data]
    for name, text in texts.items():
        if name in known and text:
            if not _printable(text) or not known[name].fits(text):
                problems.append(f"{name}: {text[:60]!r} does not fit; it must be {known[name].allowed}")
            for word in text.split() if known[name].several else [text]:
                words += [known[name].flag, word]
    if problems:
        raise ConfigError(*problems)
    return [*words, "--runs", str(runs)]


def _printable(text: str) -> bool:
    return len(text) <= LONGEST and not any(ord(letter) < 32 or ord(letter) == 127 for letter in text)


@dataclass
class Started:
    """A training that was started here. Its output goes to a file without a name, which ends with the last who has it
    open."""

    number: int
    words: list[str]
    process: subprocess.Popen[bytes]
    output: BinaryIO
    began: float = field(default_factory=time.time)

    def told(self) -> dict[str, Any]:
        status = self.process.poll()
        return {
            "number": self.number,
            "process": self.process.pid,
            "command": wording.command(*self.words),
            "began": self.began,
            "status": status,  # None: it still runs
            "output": self._end(),
        }

    def _end(self) -> str:
        size = os.fstat(self.output.fileno()).st_size
        data = os.pread(self.output.fileno(), SHOWN, max(size - SHOWN, 0))
        return data.decode("utf-8", "replace")


class Trainings:
    """Those that were started since this process began."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self._started: list[Started] = []
        self._turn = threading.Lock()

    def start(self, given: Mapping[str, Any], shown: str) -> Started:
        """Starts what `given` stands for, in the folder of this process. `shown` is the line that its user has read.

        Raises ConfigError where a field does not fit or the line is another, BusyError where enough of them run.
        """
        words = command(given, self.runs)
        if wording.command(*words) != shown:
            raise ConfigError(f"the line that was shown is not what would run: {wording.command(*words)}")
        with self._turn:
            running = [one for one in self._started if one.process.poll() is None]
            if len(running) >= AT_ONCE:
                raise BusyError(f"{len(running)} trainings that were started here still run; stop one, or wait for it")
            output = tempfile.TemporaryFile()  # noqa: SIM115  (as long as its training)
            process = subprocess.Popen(
                [*COMMAND, *words[1:]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C at the server's terminal is not meant for it
            )
            self._started.append(Started(len(self._started) + 1, words, process, output))
            return self._started[-1]

    def told(self) -> list[dict[str, Any]]:
        """The latest first."""
        return [one.told() for one in reversed(self._started)]

    def stop(self, number: int) -> int:
        """Asks one of them to save and stop. Gives its process's number. Raises CheckpointError where there is none."""
        one = next((one for one in self._started if one.number == number), None)
        if one is None or one.process.poll() is not None:
            raise CheckpointError(f"training {number} does not run any more, so there is nothing to stop")
        one.process.send_signal(signal.SIGINT)
        return one.process.pid
