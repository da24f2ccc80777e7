"""A training under way: its log, read on from where a page has it, with what was decided on the way.

`read_on` gives columns, of which a page draws its curves; what each is called, and whether it is a share, stands in the
run's own words.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pervade.core import files
from pervade.core.errors import CheckpointError
from pervade.core.run import RunDirectory
from pervade.core.words import Words
from pervade.engine import wording
from pervade.report.sections.learning import COUNTERS, NOT_CURVES, VALIDATION, called

MOST_BYTES = 32 << 20  # of a log that are read at once; of a longer one the last
MOST_POINTS = 2000  # of the curves in one answer; of more, evenly spaced ones


@dataclass(frozen=True)
class Place:
    """How far a log was read: which file it was, since a resumed run writes it anew, and at which byte."""

    file: int = 0
    byte: int = 0

    @staticmethod
    def of(text: str) -> Place:
        """Of what `str` gave; of anything else the beginning."""
        file, _, byte = text.partition(".")
        return Place(int(file), int(byte)) if file.isdecimal() and byte.isdecimal() and len(text) < 60 else Place()

    def __str__(self) -> str:
        return f"{self.file}.{self.byte}"


def read_on(run: RunDirectory, place: Place) -> dict[str, Any]:
    """What was logged since `place`: "points" for curves, "decisions" in words, "place" to go on from, and "anew" where
    the page is to forget what it has. Raises CheckpointError where a line is damaged."""
    lines, now, anew = _lines(run, place)
    words = wording.read(run)
    points = [entry for entry in lines if entry.get("event") in ("step", "pass")]
    every = -(-len(points) // MOST_POINTS)
    kept = [entry for i, entry in enumerate(points) if entry["event"] == "pass" or not i % max(every, 1)]
    names = {name: None for entry in kept for name in _figures(entry)}
    known = [entry for entry in lines if entry.get("total_steps")]
    return {
        "place": str(now),
        "anew": anew,
        "points": [_point(entry) for entry in kept],
        "figures": {name: _called(words, name) for name in names},
        "decisions": [_decision(entry) for entry in lines if entry.get("event") == "decision"],
        "total_steps": known[-1]["total_steps"] if known else None,
    }


def _lines(run: RunDirectory, place: Place) -> tuple[list[dict[str, Any]], Place, bool]:
    try:
        with files.open_regular(run.log) as file:
            about = os.fstat(file.fileno())
            anew = about.st_ino != place.file or about.st_size < place.byte
            begin = 0 if anew else place.byte
            cut = about.st_size - begin > MOST_BYTES
            file.seek(about.st_size - MOST_BYTES if cut else begin)
            data = file.read(MOST_BYTES)
    except FileNotFoundError:
        return [], Place(), place != Place()
    except OSError as error:
        raise CheckpointError(f"{run.log} cannot be read ({error.strerror or error})") from None
    end = data.rfind(b"\n") + 1  # a line may be half written
    entries = []
    for line in data[:end].split(b"\n")[1 if cut else 0 :]:
        if line:
            try:
                entry = files.parse_json(line.decode())
                entries.append({**entry, "step": int(entry["step"]), "pass": float(entry["pass"])})
            except (ValueError, TypeError, KeyError):
                raise CheckpointError("log.jsonl is damaged: a line is no entry of a log") from None
    return entries, Place(about.st_ino, about.st_size - len(data) + end if not cut else about.st_size), anew or cut


def _figures(entry: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in entry.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and name not in NOT_CURVES | COUNTERS
    }


def _point(entry: Mapping[str, Any]) -> dict[str, Any]:
    """`acted`: steps of the environment, of an agent."""
    acted = entry.get("environment_steps")
    known = {"step": entry["step"], "pass": entry["pass"], "seconds": entry.get("elapsed"), "values": _figures(entry)}
    return known | ({"judged": True} if entry["event"] == "pass" else {}) | ({} if acted is None else {"acted": acted})


def _called(words: Words, name: str) -> dict[str, Any]:
    """`of` is the quantity, which is drawn in one picture in training and in validation."""
    own = name.removeprefix(VALIDATION)
    named = called(words, own)
    return {"of": own, "title": named.title, "percent": words.figure(own).in_percent, "judged": own != name}


def _decision(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"step": entry["step"], "text": str(entry.get("text", ""))[:600]}
