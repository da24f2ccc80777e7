"""The runs of a folder, each as a line of the list: what it learns, what it reached, how it stands.

A run is asked for by its name in this list and by nothing else: "pets", or "pets/seed-1" for one that it holds. So no
part of a request ever becomes a path. Runs are read again when one of their files has changed; of the file that has an
entry for every row of the data nothing is read.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pervade.core.errors import CheckpointError, PervadeError, nearest
from pervade.core.run import RunDirectory
from pervade.report import record as records
from pervade.report import verdict, wording
from pervade.report.record import Figure, Record, used
from pervade.ui.working import Worker, worker_of, workers

DEEPEST = 3  # runs inside runs inside runs
MOST_FIGURES = 60  # of one run; of more, those of single classes are left to its report
FRESH = 1.0  # seconds for which it is known who works
# What a line is made of. Folders' own times tell that something came or went inside them.
WATCHED = (
    *("recipe.yaml", "words.json", "environment.json", "members.json", "ladder.json", "search.json", "origin.json"),
    *("state/state.json", "results", "checkpoints", "members", "report.html", "MODEL_CARD.md", "predictions"),
)


@dataclass
class Folder:
    """A folder of runs, and what is known of them already."""

    path: Path
    _known: dict[Path, tuple[Any, dict[str, Any]]] = field(default_factory=dict)
    _working: tuple[float, dict[Path, Worker]] = (float("-inf"), {})

    def names(self) -> dict[str, RunDirectory]:
        """Every run by its name, in the order of the names, those that a run holds behind it."""
        return dict(_named(self.path, "", DEEPEST))

    def find(self, name: str) -> RunDirectory:
        """Raises CheckpointError, with the nearest name, where there is none."""
        there = self.names()
        if name not in there:
            raise CheckpointError(f"there is no run {name[:200]!r} here; {nearest(name[:200], there)}")
        return there[name]

    def inside(self, name: str) -> dict[str, RunDirectory]:
        """The runs that a run holds."""
        return {one: run for one, run in self.names().items() if one.startswith(f"{name}/")}

    def working(self) -> dict[Path, Worker]:
        if time.monotonic() - self._working[0] > FRESH:
            self._working = time.monotonic(), workers()
        return self._working[1]

    def lines(self) -> list[dict[str, Any]]:
        """A line for every run."""
        there, working = self.names(), self.working()
        gone = self._known.keys() - {run.path for run in there.values()}
        for path in gone:
            self._known.pop(path, None)  # another request may have done so
        return [self.line(name, run, working) for name, run in there.items()]

    def line(self, name: str, run: RunDirectory, working: dict[Path, Worker]) -> dict[str, Any]:
        signature = _signature(run)
        before = self._known.get(run.path)
        if before is None or before[0] != signature:
            before = self._known[run.path] = signature, _told(run)
        worker = worker_of(run, working)
        told = {"name": name, "inside": name.rpartition("/")[0], **before[1]}
        if worker is not None:
            stoppable = worker.trains
            told |= {"state": "working", "process": worker.process.pid, "verb": worker.verb, "stoppable": stoppable}
        return told


def _named(folder: Path, before: str, deep: int) -> list[tuple[str, RunDirectory]]:
    try:
        there = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except OSError:
        return []
    named: list[tuple[str, RunDirectory]] = []
    for name in there:
        path = folder / name
        if name.startswith(".") or not (path / "recipe.yaml").exists():
            continue
        named.append((before + name, RunDirectory(path)))
        if deep > 1:
            named += _named(path / "members", f"{before}{name}/", deep - 1)
    return named


def _signature(run: RunDirectory) -> tuple[Any, ...]:
    paths = [run.path / name for name in WATCHED]
    results = sorted((run.path / "results").glob("*.json"))
    return tuple(_stamp(path) for path in (*paths, *results))


def _stamp(path: Path) -> tuple[str, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return path.name, found.st_mtime_ns, found.st_size


def _told(run: RunDirectory) -> dict[str, Any]:
    try:
        return _line(records.read(run, rows=False))
    except PervadeError as error:
        return {"state": "damaged", "damaged": [_within(run, str(error))], "figures": {}}
    except Exception as error:  # a run may come from anybody, and one must not cost the list of all others
        return {"state": "damaged", "damaged": [f"it cannot be read ({type(error).__name__})"], "figures": {}}


def _within(run: RunDirectory, text: str) -> str:
    return wording.label(text.replace(f"{run.path}/", ""), most=400)


def _line(record: Record) -> dict[str, Any]:
    main = record.main
    figures = {} if main is None else main.figures if len(main.figures) <= MOST_FIGURES else main.overall
    about = record.checkpoints.get(main.checkpoint if main else "best") or record.checkpoints.get("last") or {}
    return {
        "state": "finished" if record.finished else "unfinished",
        "damaged": [wording.label(text, most=400) for text in record.damaged],
        "does": verdict.claim(record),
        "task": record.words.pipeline or record.words.name,
        "model": used(record.part("model")),
        "data": wording.label(record.about.get("source", ""), most=200),
        "rows": None if main is None else main.measured,
        "noun": list(record.words.domain.noun),
        "split": "" if main is None else main.split,
        "checkpoint": "" if main is None else main.checkpoint,
        "headline": main.headline.name if main and main.headline else "",
        "beats_baseline": None if main is None else main.beats_baseline,
        "figures": {name: told(figure) for name, figure in figures.items()},
        "parameters": about.get("parameters"),
        "seconds": record.elapsed,
        "made": _made(record.run),
        "members": len(record.members.get("members") or {}) if isinstance(record.members.get("members"), dict) else 0,
        "report": record.run.report.is_file(),
        "card": record.run.model_card.is_file(),
        "others": record.run.other_pages(),
    }


def told(figure: Figure) -> dict[str, Any]:
    """A figure with its own words: title, direction, and how it is written."""
    return {
        "title": _title(figure),
        "value": figure.value,
        "text": wording.figure(figure),
        "interval": wording.interval(figure) if figure.has_interval else "",
        "higher_is_better": figure.higher_is_better,
        "percent": figure.words.in_percent,
        "why": wording.label(figure.why, most=200),
    }


def _title(figure: Figure) -> str:
    """With the class that it is of, where the words are of its kind alone."""
    of_class = figure.name.partition("[")[2].removesuffix("]")
    title = figure.words.title
    return title if not of_class or of_class in title else f"{title}: {wording.label(of_class)}"


def _made(run: RunDirectory) -> float | None:
    """When it began, in seconds since 1970: its recipe is written first; environment.json is never written again."""
    for path in (run.environment, run.recipe):
        try:
            return path.stat().st_mtime
        except OSError:
            continue
    return None
