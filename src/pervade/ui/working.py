"""Which process works on which run, and how it is asked to save and stop.

Whoever trains a run holds its lock file open as long as that takes (core/run.py: lock). So nothing has to be written
down that a kill would leave behind: the processes themselves are asked (psutil), and no lock is touched, since a
training that begins at that moment would find it taken. Only processes of the user who asks are looked at.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

import psutil

from pervade.core import files
from pervade.core.errors import BusyError, CheckpointError
from pervade.core.run import RunDirectory

TRAINING = ("train", "resume", "tune", "demo")  # verbs that save, and say how to go on, when they are asked to stop
COMMANDS = ("pervade", "pervade.exe", "pervade.cli")  # the last as `python -m` names it


@dataclass(frozen=True)
class Worker:
    """A process that holds a run's lock. `verb` is what its command line says that it does; empty where that is no
    command of Pervade's."""

    process: psutil.Process
    verb: str

    @property
    def trains(self) -> bool:
        return self.verb in TRAINING


def workers() -> dict[Path, Worker]:
    """Run folder, as it is without links, to the process that holds its lock; of a process and its children, which have
    the file from it, the first."""
    holding: dict[Path, dict[int, psutil.Process]] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.uids().real != os.getuid() or process.pid == os.getpid():
                continue
            for opened in process.open_files():
                path = Path(opened.path)
                if path.name == files.LOCK and not path.parent.name.endswith(
                    ".tmp"
                ):  # half-written files have one, too
                    holding.setdefault(path.parent, {})[process.pid] = process
    named: dict[Path, Worker] = {}
    for folder, processes in holding.items():
        with suppress(psutil.Error, OSError):
            first = next((one for one in processes.values() if one.ppid() not in processes), None)
            if first is not None:
                named[folder] = Worker(first, _verb(first.cmdline()))
    return named


def _verb(command: list[str]) -> str:
    """
    >>> _verb(["/usr/bin/python3", "/home/me/bin/pervade", "train", "photos"]), _verb(["python3", "mine.py", "train"])
    ('train', '')
    """
    for place, word in enumerate(command[:-1]):
        if PurePath(word).name in COMMANDS:
            return command[place + 1]
    return ""


def worker_of(run: RunDirectory, known: dict[Path, Worker]) -> Worker | None:
    """Who works on the run, or on a run inside it."""
    path = run.path.resolve()
    inside = (worker for folder, worker in known.items() if path in folder.parents)
    return known.get(path) or next(inside, None)


def stop(run: RunDirectory) -> int:
    """Sends the process that trains the run what Ctrl-C sends; it saves and ends. Gives its number.

    Raises CheckpointError where nobody works on the run, BusyError where who does is not a training by Pervade's
    command, which may not answer by saving.
    """
    worker = worker_of(run, workers())
    if worker is None:
        raise CheckpointError(f"no process works on {run.name!r}, so there is nothing to stop")
    if not worker.trains:
        what = f"pervade {worker.verb}" if worker.verb else "a program of its own"
        raise BusyError(
            f"process {worker.process.pid} ({what}) works on {run.name!r}, which is no training; stop it there"
        )
    try:
        worker.process.send_signal(signal.SIGINT)  # psutil looks first whether the number is still that process's
    except psutil.Error as error:
        raise CheckpointError(f"the process that worked on {run.name!r} cannot be stopped ({error})") from None
    return int(worker.process.pid)
