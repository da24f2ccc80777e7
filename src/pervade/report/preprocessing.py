"""What the report asks of a checkpoint's own domain and task: to show a row, and what its metrics mean.

Both are read from the checkpoint's files without loading its weights. Parts that are not registered here (a user's own
domain, a newer version) are no fault of the run: the report then does without.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from pervade.core import spec
from pervade.core.contracts import Domain, Task
from pervade.core.errors import PervadeError
from pervade.engine.checkpoint import read_domain
from pervade.report import wording
from pervade.report.record import Record

DIRECTIONS = {True: "higher is better", False: "lower is better", None: ""}


def domain(record: Record, checkpoint: str) -> Domain | None:
    """Of several members that of the first, since they show and measure rows alike."""
    path = record.run.checkpoint(checkpoint) / "preprocess.json"
    if record.together and not path.exists():
        name, first = next(iter(record.together["members"].items()))
        path = record.run.member(name).checkpoint(str(first.get("checkpoint"))) / "preprocess.json"
    try:
        return read_domain(path)
    except PervadeError:
        return None


def task(record: Record) -> Task | None:
    try:
        return cast(Task, spec.decode(record.part("task"), Task))
    except PervadeError:
        return None


def metric_words(record: Record, checkpoint: str, names: Iterable[str]) -> dict[str, str]:
    """What each metric is, and whether higher or lower is better; empty where nobody knows."""
    known_domain, known_task = domain(record, checkpoint), task(record)
    known = known_task.metrics(known_domain) if known_domain is not None and known_task is not None else {}
    words = {}
    for name in names:
        parts = [known[name].description, DIRECTIONS[known[name].higher_is_better]] if name in known else []
        words[name] = wording.label("; ".join(part for part in parts if part), most=400)
    return words
