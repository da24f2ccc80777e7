"""Runs made by hand, with just what a comparison reads: no training, and right answers where the test wants them."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml
from PIL import Image as Pillow

from pervade.core import files, spec
from pervade.core.run import RunDirectory
from pervade.domains.image import Image
from pervade.engine import predictions

LABELS = ("cat", "dog")
ROWS = 60  # the first 20 to learn from, the others to measure; of the labels in turn


def make(
    place: Path,
    wrong: Collection[int] = (),
    /,
    *,
    labels: tuple[str, ...] = LABELS,
    test: Sequence[int] = range(20, ROWS),
    checkpoint: str = "best",
    task: str = "classify",
    recipe: dict[str, Any] | None = None,
    **columns: Sequence[Any] | None,
) -> RunDirectory:
    """A run that is wrong about these rows of `test`. `columns` replaces some of data.json's, or with None removes."""
    run = RunDirectory(place)
    names = sorted(labels)
    settings = {
        "format": 1,
        "domain": {"use": "image", "size": 8, "channels": 1},
        "task": {"use": task},
        "model": {"use": "reference-mlp"},
        "seed": 7,
        **(recipe or {}),
    }
    stored = {
        "id": [f"{i}.png" for i in range(ROWS)],
        "target": [names[i % len(names)] for i in range(ROWS)],
        "split": ["test" if i in test else "train" for i in range(ROWS)],
        "hash": [f"hash of {i}" for i in range(ROWS)],
        **columns,
    }
    stored = {name: list(values) for name, values in stored.items() if values is not None}
    folder = run.checkpoint(checkpoint)
    for file in (run.recipe, folder / "recipe.yaml"):
        files.write_text(file, yaml.safe_dump(settings))
    files.write_json(run.data, {"source": "/photos", "rows": ROWS, "columns": stored})
    files.write_text(run.log, json.dumps({"event": "pass", "pass": 3, "step": 9, "elapsed": 90.0}) + "\n")
    domain = Image(size=8, channels=1, labels=labels, mean=(0.5,), deviation=(0.2,))
    files.write_json(folder / "preprocess.json", {"domain": spec.encode(domain)})
    files.write_json(folder / "architecture.json", {"parameters": 1234, "passes": 2, "sha256": "of these weights"})
    write_predictions(run, checkpoint, stored, list(test), set(wrong), labels)
    return run


def write_predictions(
    run: RunDirectory,
    checkpoint: str,
    stored: dict[str, list[Any]],
    test: list[int],
    wrong: set[int],
    labels: tuple[str, ...],
    weights: str = "of these weights",
) -> None:
    rows = np.array(test)
    target = np.array([labels.index(stored["target"][i]) for i in test])
    answer = np.array([labels.index(sorted(labels)[i % len(labels)]) for i in test])
    prediction = np.where([i in wrong for i in test], (answer + 1) % len(labels), answer)
    # Every row has its own confidence, as real models have, so that rankings have no ties.
    sure = 0.6 + 0.39 * np.random.default_rng(0).random(ROWS)[rows]
    probabilities = np.repeat((1 - sure)[:, None] / (len(labels) - 1), len(labels), axis=1)
    probabilities[np.arange(len(rows)), prediction] = sure
    group = np.unique(np.asarray(stored.get("group", stored["id"]))[rows], return_inverse=True)[1]
    table = {
        "row": rows,
        "id": [stored["id"][i] for i in test],
        "group": group,
        "target": target,
        "prediction": prediction,
        "probabilities": probabilities,
    }
    about = {"format": 1, "checkpoint": checkpoint, "split": "test", "weights": weights}
    path = run.predictions(checkpoint, "test")
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(predictions.to_arrow(table).replace_schema_metadata({"pervade": json.dumps(about)}), path)


def draw(folder: Path) -> list[str]:
    """A small picture for each row."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    paths = [folder / f"{i}.png" for i in range(ROWS)]
    for path in paths:
        Pillow.fromarray(generator.integers(0, 256, (8, 8), dtype=np.uint8)).save(path)
    return [str(path) for path in paths]
