"""What comes in to a served model is compared with rows of its run that it did not learn from (serve/watch.py): what it
answered to these, and what they hold, as far as both are still there. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pervade.core.errors import PervadeError
from pervade.core.run import RunDirectory
from pervade.data.read import embedded
from pervade.engine import predictions
from pervade.engine.loaded import Loaded
from pervade.serve import watch

SPLITS = ("validation", "test")  # the first of which there are predictions by the served weights
MOST = 2000  # rows, evenly spaced
OPENED = 200  # of these, whose files are opened
COLUMNS = {"text": "text", "picture": "path", "sound": "path"}  # of data.json, by kind of field


def reference(run: RunDirectory, loaded: Loaded, weights: str | None, kinds: Sequence[str]) -> dict[str, list[float]]:
    """Values of each statistic on held-out rows; empty where no predictions by these weights (SHA-256) are there, or
    answers are not about rows. `kinds` of the fields that make an input."""
    held = next((split for split in SPLITS if _is_there(run, loaded.name, split, weights)), None)
    if held is None:
        return {}
    try:
        table = predictions.read_columns(run.predictions(loaded.name, held), run.path)
        columns = run.read_data()["columns"]
    except PervadeError:  # what is damaged is no reason to serve nothing
        return {}
    if "prediction" not in table:
        return {}
    rows = np.asarray(table["row"], np.int64)
    some = np.arange(0, len(rows), max(len(rows) // MOST, 1))
    values: dict[str, list[float]] = {}
    if "probabilities" in table:
        chosen = {name: predictions.in_order(column, some) for name, column in table.items()}
        sure = map(watch.confidence, loaded.task.answers(chosen, loaded.domain, 1))
        values["confidence"] = [one for one in sure if one is not None]
    if len(kinds) == 1 and kinds[0] in COLUMNS and COLUMNS[kinds[0]] in columns:
        own = [row for row in rows[some] if not _given(columns, "piece", row) and not _given(columns, "second", row)]
        for row in own[:: 1 if kinds[0] == "text" else max(len(own) // OPENED, 1)]:
            for name, value in _statistics(kinds[0], columns[COLUMNS[kinds[0]]][row]).items():
                values.setdefault(name, []).append(value)
    return values


def beside(graph: Path, loaded: Loaded, weights: str | None, kinds: Sequence[str]) -> dict[str, list[float]]:
    """The same of an exported graph that lies in its run."""
    run = RunDirectory(graph.parent.resolve().parent.parent)
    return reference(run, loaded, weights, kinds) if run.recipe.is_file() else {}


def _is_there(run: RunDirectory, name: str, split: str, weights: str | None) -> bool:
    path = run.predictions(name, split)
    try:
        return path.exists() and weights is not None and predictions.read_about(path).get("weights") == weights
    except PervadeError:
        return False


def _given(columns: dict[str, list[Any]], name: str, row: int) -> bool:
    return bool(columns[name][row]) if name in columns else False


def _statistics(kind: str, stored: Any) -> dict[str, float]:
    if kind == "text":
        return watch.statistics(kind, str(stored))
    try:
        return watch.statistics(kind, embedded.read(str(stored)))
    except OSError:  # the data may have been moved
        return {}
