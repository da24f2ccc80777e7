"""What a person sees while work goes on: a bar where there is a terminal, plain lines where there is none."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Protocol, cast

from pervade.core.terminal import SafeStderr, tell, visible

PLAIN_EVERY = 10.0  # seconds between plain lines


class Screen(Protocol):
    def say(self, text: str) -> None:
        """One line to read."""

    def bar(self, title: str) -> Any:
        """A context manager that gives `update(done, total, **figures)`; figures are shown as they come."""


class Silent:
    def say(self, text: str) -> None:
        del text

    @contextmanager
    def bar(self, title: str) -> Iterator[Callable[..., None]]:
        yield lambda done, total, **figures: None


class Plain:
    """Lines on standard error, one in ten seconds at most for each bar."""

    def say(self, text: str) -> None:
        tell(text)

    @contextmanager
    def bar(self, title: str) -> Iterator[Callable[..., None]]:
        clock = Clock()
        last = time.monotonic()

        def update(done: float, total: float, **figures: Any) -> None:
            nonlocal last
            clock.note(done)
            if time.monotonic() - last >= PLAIN_EVERY:
                last = time.monotonic()
                shown = ", ".join(f"{spaced(name)} {_figure(value)}" for name, value in figures.items())
                self.say(f"{title}: {done / max(total, 1):.0%}, {clock.left(total)} left{', ' if shown else ''}{shown}")

        yield update


class Prefixed:
    """Another screen, whose lines begin with what they are about."""

    def __init__(self, screen: Screen, name: str) -> None:
        self.screen, self.name = screen, name

    def say(self, text: str) -> None:
        self.screen.say(f"{self.name}: {text}")

    def bar(self, title: str) -> Any:
        return self.screen.bar(f"{self.name}: {title}")


class Rich:
    """A bar on the terminal, with the figures and the time left."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(file=cast(IO[str], SafeStderr(sys.stderr)), highlight=False, markup=False, emoji=False)

    def say(self, text: str) -> None:
        self.console.print(visible(text), soft_wrap=True)

    @contextmanager
    def bar(self, title: str) -> Iterator[Callable[..., None]]:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[figures]}", markup=False),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            job = progress.add_task(visible(title), total=None, left="", figures="")
            clock = Clock()

            def update(done: float, total: float, **figures: Any) -> None:
                clock.note(done)
                shown = "  ".join(f"{spaced(name)} {_figure(value)}" for name, value in figures.items())
                progress.update(job, completed=done, total=total, left=f"{clock.left(total)} left", figures=shown)

            yield update


class Clock:
    """Time left, from the pace of the last minute rather than of all the time, since start-up is slow and machines
    change pace."""

    def __init__(self, window: float = 60.0) -> None:
        self.window = window
        self.notes: list[tuple[float, float]] = []

    def note(self, done: float) -> None:
        now = time.monotonic()
        if self.notes and now - self.notes[-1][0] < 0.2:
            return
        self.notes.append((now, done))
        while len(self.notes) > 2 and now - self.notes[0][0] > self.window:
            self.notes.pop(0)

    def left(self, total: float) -> str:
        """The time in words; "?" until there is a pace to judge by."""
        if len(self.notes) < 2 or self.notes[-1][1] <= self.notes[0][1]:
            return "?"
        (start, before), (end, after) = self.notes[0], self.notes[-1]
        return duration((total - after) * (end - start) / (after - before))


def duration(seconds: float) -> str:
    """
    >>> duration(75)
    '1 min 15 s'
    """
    seconds = max(round(seconds), 0)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def spaced(name: str) -> str:
    """The name of a figure as it is read.

    >>> spaced("word_error_rate")
    'word error rate'
    """
    return name.replace("_", " ")


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def screen() -> Screen:
    """The one that fits where standard error goes. Of several processes (torchrun) the first alone speaks."""
    if os.environ.get("RANK", "0") != "0":
        return Silent()
    return Rich() if sys.stderr is not None and sys.stderr.isatty() else Plain()
