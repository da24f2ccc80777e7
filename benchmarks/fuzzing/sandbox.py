"""One call of the command line in a process of its own, bounded and watched.

The process is forked from one that has loaded everything, so a call costs a fraction of a second. What it may take is
bounded; what it opens, starts and imports is noted by an audit hook, and canaries say what ran.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import re
import resource
import signal
import stat
import sys
import sysconfig
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pervade.cli import NET

SECONDS = 20.0  # of a processor that a case may take; or of doing nothing: by the clock a busy machine takes longer
MEMORY = 4 << 30  # bytes, what the forked process has already included
FILE_SIZE = 512 << 20  # bytes of one written file
OPEN_FILES = 512
CANARY = "canary_module"  # may be imported by nobody


class Place(NamedTuple):
    """What a case has to write its files with."""

    folder: Path  # empty, and the current one
    rng: random.Random
    bases: Path  # trained runs, one folder each
    canary: Path  # a file that nobody may write

    def run(self, name: str) -> Path:
        """A copy of a trained run, in runs/, and beside it what it was trained on."""
        import shutil

        base = self.bases / name
        for each in base.iterdir():
            if each.name == "runs":
                shutil.copytree(each / name, self.folder / "runs" / name, symlinks=True)
            elif each.is_dir():
                shutil.copytree(each, self.folder / each.name, dirs_exist_ok=True)
            else:
                shutil.copy(each, self.folder / each.name)
        return self.folder / "runs" / name

    def plant(self) -> None:
        """A module in the current folder that writes the canary when it is imported."""
        code = f"open({str(self.canary)!r}, 'w').close()\n\n\nclass Canary:\n    pass\n\n\ndef canary(*a, **k): pass\n"
        (self.folder / f"{CANARY}.py").write_text(code)


@dataclass(frozen=True)
class Case:
    """`make` writes the files and returns the arguments of the command line."""

    name: str
    make: Callable[[Place], list[str]]
    closed: tuple[int, ...] = ()  # streams that are closed: 0, 1, 2
    full: tuple[int, ...] = ()  # streams that write to a full disk
    feed: bytes = b""  # standard input
    alone: bool = False  # in a new interpreter: what Python does at its end counts too
    told: bool = False  # the command line itself names the canary: its import is allowed
    base: str = ""  # the trained run that it needs
    unlimited: bool = False  # makes a run that others need

    def rng(self, seed: int) -> random.Random:
        return random.Random(f"{seed}/{self.name}")


@dataclass
class Outcome:
    case: Case
    status: int = 0  # negative: the signal that ended it
    seconds: float = 0.0
    processor: float = 0.0
    memory: int = 0  # bytes at most
    arguments: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    last: list[str] = field(default_factory=list)  # lines of what it said


INSTALLED = tuple(
    os.path.realpath(each)
    for each in {*sysconfig.get_paths().values(), *(p for p in sys.path if p.endswith(("-packages", "lib-dynload")))}
)


class _Watch:
    """Notes what a process does that it should not. It cannot be taken off again: for a forked process alone."""

    def __init__(self, own: Path, source: Path) -> None:
        hub = os.environ.get("HF_HOME", str(own))  # read once, when the library was imported
        self.own = (str(own), hub, "/dev/", "/proc/self")
        self.source, self.events, self.before, self.on = str(source), [], set(sys.modules), True
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in ("os.system", "os.exec", "os.posix_spawn", "pty.spawn") or event == "subprocess.Popen":
            called = arguments[1] if event == "subprocess.Popen" else arguments[:2]
            if not re.search(
                r"ffmpeg|uname|nvidia-smi|lscpu|sysctl|ldconfig|resource_tracker|spawn_main|pervade\.core\.bounded",
                str(called),
            ):
                self.events.append(f"ran a command: {event} {called!r}"[:300])
        elif event == "socket.connect" and isinstance(arguments[1], tuple):
            self.events.append(f"connected to {arguments[1]!r}")
        elif event == "open" and isinstance(arguments[0], str) and isinstance(arguments[2], int):
            writes = arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and not os.path.abspath(arguments[0]).startswith(self.own):  # noqa: PTH100
                self.events.append(f"wrote outside its folder: {arguments[0]!r}"[:300])

    def told(self) -> list[str]:
        self.on = False
        found = list(self.events)
        for name in set(sys.modules) - self.before:
            file = getattr(sys.modules[name], "__file__", None)
            known = file is None or os.path.realpath(file).startswith((*INSTALLED, self.source))
            if not known:
                found.append(f"imported {name} from {file}")
        return found


def start(case: Case, folder: Path, bases: Path, seed: int) -> int:
    """Forks; returns the number of the process. `folder` gets work/ and what was said and noted."""
    work = folder / "work"
    for each in (work, folder / "home", folder / "tmp"):
        each.mkdir(parents=True)
    number = os.fork()
    if number:
        return number
    status = 70
    try:
        os.setsid()
        _limit(case)
        os.environ.update(
            PERVADE_CACHE=str(folder / "cache"), HOME=str(folder / "home"), TMPDIR=str(folder / "tmp"), COLUMNS="100"
        )
        tempfile.tempdir = None  # it remembers the parent's
        os.chdir(work)
        os.umask(0o022)
        place = Place(work, case.rng(seed), bases, folder / "CANARY")
        arguments = [os.fsdecode(each) if isinstance(each, bytes) else str(each) for each in case.make(place)]
        before = {} if case.unlimited else kept(work)
        (folder / "begun.json").write_text(json.dumps({"arguments": arguments, "kept": before}))
        _redirect(case, folder)
        status = _call(case, folder, arguments)
    except BaseException:
        with open(folder / "broken", "w") as file:  # noqa: PTH123
            traceback.print_exc(file=file)
    finally:
        os._exit(status)
    raise AssertionError


def _limit(case: Case) -> None:
    for kind, most in (
        (resource.RLIMIT_DATA, MEMORY),
        (resource.RLIMIT_FSIZE, FILE_SIZE),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _redirect(case: Case, folder: Path) -> None:
    (folder / "in").write_bytes(case.feed)
    targets = [os.open(folder / "in", os.O_RDONLY)]
    targets += [
        os.open("/dev/full" if i in case.full else folder / name, os.O_WRONLY | os.O_CREAT)
        for i, name in ((1, "out"), (2, "err"))
    ]
    for i, target in enumerate(targets):
        os.dup2(target, i)
    if case.alone:
        for i in case.closed:
            os.close(i)
        return
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False), encoding="utf-8")  # noqa: SIM115
    sys.stderr = io.TextIOWrapper(
        open(2, "wb", closefd=False, buffering=0),  # noqa: SIM115
        encoding="utf-8",
        errors="backslashreplace",
        write_through=True,
    )


def _call(case: Case, folder: Path, arguments: list[str]) -> int:
    if case.alone:
        code = "import sys; from pervade.cli import main; main()"
        os.execv(sys.executable, [sys.executable, "-c", code, *arguments])
    from pervade import cli

    watch = _Watch(folder, Path(cli.__file__).parents[1])
    sys.argv = ["pervade", *arguments]
    try:
        cli.main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    noted = watch.told()
    sys.stdout.flush()
    (folder / "noted.json").write_text(json.dumps(noted))
    return status


def kept(work: Path) -> dict[str, str]:
    """Hashes of the checkpoints and states of all runs in a case's folder."""
    found = {}
    for run in sorted(work.glob("runs/*")):
        for top, _, names in os.walk(run):
            for name in names:
                path = Path(top) / name
                inside = path.relative_to(run).parts
                if {"checkpoints", "state"} & set(inside) and stat.S_ISREG(path.lstat().st_mode):
                    content = path.read_bytes() if path.stat().st_size < 64 << 20 else b""
                    found[os.fsdecode(path.relative_to(work))] = hashlib.sha256(content).hexdigest()
    return found


def judge(outcome: Outcome, folder: Path, over: bool) -> None:
    """Fills in the faults, from what the process left behind."""
    case, faults = outcome.case, outcome.faults
    said = {name: _read(folder / name) for name in ("out", "err")}
    both = said["out"] + said["err"]
    outcome.last = [line for line in both.splitlines() if line.strip()][-12:]
    begun = json.loads(_read(folder / "begun.json") or "{}")
    outcome.arguments = begun.get("arguments", [])
    if broken := _read(folder / "broken"):
        faults.append("case")
        outcome.last = broken.splitlines()[-6:]
    if over:
        faults.append("hang")
    elif outcome.status < 0:
        faults.append(f"signal {-outcome.status}")
    if "Traceback (most recent call last)" in both or re.search(r"thread '.*' panicked", both):
        faults.append("traceback")
    if NET in both:
        faults.append("net alone")
        for file in sorted((folder / "tmp").glob("pervade-fault-*")):
            outcome.last += file.read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
    if outcome.status > 0 and not both.strip() and 2 not in (*case.closed, *case.full):
        faults.append("silent")
    noted = json.loads(_read(folder / "noted.json") or "[]")
    if noted and not (case.told and all(CANARY in each for each in noted)):
        faults.append("code or files")
        outcome.last += noted[:4]
    if (folder / "CANARY").exists() and not case.told:
        faults.append("canary")
    if not case.unlimited:
        faults += _lost(folder / "work", begun.get("kept", {}), outcome)


def _lost(work: Path, before: dict[str, str], outcome: Outcome) -> Iterator[str] | list[str]:
    after = kept(work)
    merged = "merge" in outcome.arguments[:1]
    trained = "resume" in outcome.arguments[:1] and any("stopped" in each for each in outcome.arguments)
    gone = [name for name in before if name not in after and not trained]
    other = [name for name, digest in before.items() if name in after and after[name] != digest and not trained]
    if trained and not any(name.endswith("model.safetensors") for name in after):
        gone.append("every checkpoint")
    if gone or (other and not merged):
        outcome.last.append(f"gone: {gone[:3]}; changed: {other[:3]}")
        return ["lost"]
    return []


def _read(path: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()[-200_000:].decode("utf-8", "backslashreplace")
    return ""


def run(
    cases: list[Case], scratch: Path, bases: Path, seed: int, workers: int, seconds: float, keep: bool
) -> Iterator[Outcome]:
    """All cases, a few at once, as they end."""
    import shutil

    waiting, live = list(reversed(cases)), {}
    worked: dict[int, tuple[float, float]] = {}  # how much each had worked when it last did
    while waiting or live:
        while waiting and len(live) < workers:
            case = waiting.pop()
            folder = scratch / hashlib.sha256(case.name.encode()).hexdigest()[:12]
            if folder.exists():
                shutil.rmtree(folder)
            number, now = start(case, folder, bases, seed), time.monotonic()
            live[number], worked[number] = (case, folder, now), (0.0, now)
        time.sleep(0.005)
        for number, (case, folder, began) in list(live.items()):
            ended, code, usage = os.wait4(number, os.WNOHANG)
            limit = 10 * seconds if case.unlimited else seconds
            over = False
            if not ended:
                spent, now = _processor(number), time.monotonic()
                if spent > worked[number][0]:
                    worked[number] = spent, now
                if spent < limit and now - worked[number][1] < limit:
                    continue
                over = True
                os.killpg(number, signal.SIGKILL)
                _, code, usage = os.wait4(number, 0)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(number, signal.SIGKILL)  # whatever it started
            outcome = Outcome(case, os.waitstatus_to_exitcode(code), time.monotonic() - began)
            outcome.processor, outcome.memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10
            judge(outcome, folder, over)
            del live[number]
            yield outcome
            if not (keep or case.unlimited):
                shutil.rmtree(folder, ignore_errors=True)


def _processor(number: int) -> float:
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    return 0.0
