"""A run's own rows as embeddings: what something new is compared with.

The embeddings are the predictions files of the run's splits, predictions/<checkpoint>@<split>.parquet; one that is not
there yet, or is of other weights, is written when it is first needed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pervade.core.errors import CheckpointError
from pervade.core.run import RunDirectory
from pervade.core.types import Rows
from pervade.engine import predictions
from pervade.engine.checkpoint import Loaded
from pervade.engine.predictor import Predictor


@dataclass(frozen=True)
class Gallery:
    """Axis letters: n rows of the gallery, q that ask, d features."""

    embedding: np.ndarray  # (n, d), of length 1
    ids: Sequence[str]  # (n,)
    names: Sequence[str]  # (n,) who is shown
    paths: Sequence[str]  # (n,) "" where there is none
    threshold: float | None = None  # similarity from which on two are taken for one person

    def nearest(self, embedding: np.ndarray, top: int, asking: Sequence[str]) -> list[list[dict[str, Any]]]:
        """Of each of (q, d) the `top` nearest: "label", "similarity" (cosine), "same" (None without a threshold), "id".
        `asking` (q,) are its paths, for a file is not its own neighbour."""
        similarity = np.asarray(embedding, np.float64) @ self.embedding.T
        places: dict[str, list[int]] = {}
        for place, path in enumerate(self.paths):
            places.setdefault(path, []).append(place)
        answers = []
        for scores, path in zip(similarity, asking, strict=True):
            own = places.get(os.path.abspath(path), []) if path else []  # noqa: PTH100  (resolving asks the disk)
            scores[own] = -np.inf
            order = np.argsort(-scores, kind="stable")[: min(top, len(scores) - len(own))]
            answers.append([self._told(int(place), float(scores[place])) for place in order])
        return answers

    def _told(self, place: int, similarity: float) -> dict[str, Any]:
        same = same_person(similarity, self.threshold)
        return {"label": self.names[place], "similarity": similarity, "same": same, "id": self.ids[place]}


def same_person(similarity: float, threshold: float | None) -> bool | None:
    return None if threshold is None else similarity >= threshold


def embeds(loaded: Loaded) -> bool:
    """Whether the checkpoint answers with embeddings."""
    return "embedding" in loaded.task.outputs(loaded.domain)


def of_run(
    run: RunDirectory, loaded: Loaded, read: Callable[[], Rows], progress: Callable[[int, int], None]
) -> Gallery:
    """All rows of the run. `read` gives them ready to be used, and is called only where a file must be written; where
    the run cannot be written to, its rows are embedded anew each time.

    Raises DataError, by `read`, where the run's data is not there any more.
    """
    stored = run.read_data()["columns"]
    splits = list(dict.fromkeys(stored["split"]))
    missing = [split for split in splits if not _is_there(run.predictions(loaded.name, split), loaded)]
    made: dict[str, dict[str, Any]] = {}
    if missing:
        rows = read()
        about = {"checkpoint": loaded.name, "precision": "fp32", "weights": loaded.architecture["sha256"]}
        for split in missing:
            path, chosen = run.predictions(loaded.name, split), rows.where("split", split)
            if os.access(run.path, os.W_OK):
                Predictor.of(loaded).write(path, chosen, {**about, "split": split}, progress)
            else:
                made[split] = Predictor.of(loaded).table(chosen)
    tables = [made.get(split) or predictions.read_columns(run.predictions(loaded.name, split)) for split in splits]
    row = np.concatenate([np.asarray(table["row"]) for table in tables])
    paths = stored.get("path", [""] * len(stored["id"]))
    if sorted(row) != list(range(len(stored["id"]))):
        raise CheckpointError(
            f"{run.path / 'predictions'} does not hold each row of data.json once; remove that folder"
        )
    return Gallery(
        np.concatenate([np.asarray(table["embedding"], np.float64) for table in tables]),
        [stored["id"][i] for i in row],
        [stored["target"][i] for i in row],
        [os.path.abspath(paths[i]) if paths[i] else "" for i in row],  # noqa: PTH100
        loaded.decision.get("threshold"),
    )


def _is_there(path: Path, loaded: Loaded) -> bool:
    try:
        return path.exists() and predictions.read_about(path).get("weights") == loaded.architecture["sha256"]
    except CheckpointError:  # damaged: written anew
        return False
