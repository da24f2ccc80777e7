"""A small run made by hand: no training, yet with everything that the report reads, and names chosen to break it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image as Pillow

from pervade.core import files, spec
from pervade.core.run import RunDirectory
from pervade.core.types import Rows
from pervade.domains.image import Image
from pervade.metrics.estimate import estimate
from pervade.tasks.classify import Classify

LABELS = ("<script>alert('猫')</script>", 'a "dog"\n| *bold*', "שלום")
ROWS = 60  # 20 to learn from, 10 to choose by, 30 to measure
WRONG = (33, 40, 47)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures and runs, that nobody changes."""
    folder = tmp_path_factory.mktemp("made")
    directory = RunDirectory(folder / "runs" / "pets & <more>")
    domain = Image(size=8, margin=1.0, channels=1, labels=LABELS, mean=(0.5,), deviation=(0.2,))
    write_beginning(directory, folder / "pictures")
    write_training(directory, domain)
    write_evaluation(directory, domain)
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> RunDirectory:
    """Finished after 3 passes, the second the best, evaluated: 27 of 30 right. A copy that a test may change."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    directory = RunDirectory(tmp_path / "runs" / "pets & <more>")
    for file in (directory.environment, directory.data):
        file.write_text(file.read_text("utf-8").replace(str(made), str(tmp_path)), "utf-8")
    return directory


def write_beginning(directory: RunDirectory, pictures: Path) -> None:
    recipe = {
        "format": 1,
        "domain": {"use": "image", "size": 8, "channels": 1},
        "task": {"use": "classify"},
        "model": {"use": "reference-mlp"},
        "epochs": 3,
        "batch_size": 4,
        "seed": 7,
    }
    files.write_text(directory.recipe, yaml.safe_dump(recipe))
    about = {
        "source": str(pictures),
        "command": ["pervade", "train", str(pictures), "--name", "pets & <more>"],
        "environment": {"python": "3.11", "memory_gb": 8.0, "gpus": [], "packages": {"pervade": "0.1.0"}},
    }
    files.write_json(directory.environment, about)
    pictures.mkdir()
    paths = [pictures / f"{i}.png" for i in range(ROWS)]
    generator = np.random.default_rng(0)
    for path in paths:
        Pillow.fromarray(generator.integers(0, 256, (8, 8), dtype=np.uint8)).save(path)
    columns = {
        "id": [f"<i>{i}</i>.png" for i in range(ROWS)],
        "path": [str(path) for path in paths],
        "target": [LABELS[i % 3] for i in range(ROWS)],
        "split": ["train"] * 20 + ["validation"] * 10 + ["test"] * 30,
        "hash": [files.sha256(path) for path in paths],
    }
    left_out = [{"source": "bad<b>.png", "reason": "this is not a picture"}]
    files.write_json(directory.data, {"source": str(pictures), "rows": ROWS, "columns": columns, "left_out": left_out})


def write_training(directory: RunDirectory, domain: Image) -> None:
    log: list[dict] = []
    for step in range(1, 16):
        number = (step - 1) // 5
        log.append({"event": "step", "step": step, "pass": number, "loss": 2 / step, "accuracy": 0.5, "lr": 0.1})
        if step % 5 == 0:
            value = (0.5, 0.9, 0.8)[number]
            log.append(
                {"event": "pass", "pass": number + 1, "step": step, "validation accuracy": value, "elapsed": 9.0}
            )
    log.append({"event": "decision", "step": 15, "pass": 3, "text": "stopped early: <no> better"})
    files.write_text(directory.log, "".join(json.dumps(entry) + "\n" for entry in log))
    extra = {"passes": 3, "best": 0.9, "best_pass": 2, "elapsed": 9.0, "finished": True}
    files.write_json(directory.state / "state.json", {"sha256": "", "state": {"extra": extra}})
    for name, passes in (("best", 2), ("last", 3)):
        about = {"parameters": 1234, "step": 5 * passes, "passes": passes}
        files.write_json(directory.checkpoint(name) / "architecture.json", about)
        files.write_json(directory.checkpoint(name) / "preprocess.json", {"domain": spec.encode(domain)})


def write_evaluation(directory: RunDirectory, domain: Image) -> None:
    rows = np.arange(30, 60)
    target = rows % 3
    prediction = np.where(np.isin(rows, WRONG), (target + 1) % 3, target)
    probabilities = np.full((30, 3), 0.05)
    probabilities[np.arange(30), prediction] = 0.9
    names = [f"<i>{row}</i>.png" for row in rows]
    path = directory.predictions("best", "test")
    path.parent.mkdir(parents=True)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(probabilities.reshape(-1)), 3)
    table = {"row": rows, "id": names, "group": rows, "target": target, "prediction": prediction}
    pq.write_table(pa.table({**table, "probabilities": flat}), path)
    columns = {**table, "probabilities": probabilities}
    train = Rows({"target": [LABELS[i % 3] for i in range(20)]})
    task = Classify()
    figures = estimate(dict(task.metrics(domain)), columns)
    result = {
        "meter": "evaluate",
        "checkpoint": "best",
        "split": "test",
        "n": 30,
        "metrics": {name: each.as_dict() for name, each in figures.items()},
        "details": {**task.details(columns, train, domain), "of a later domain": [1, 2]},
    }
    files.write_json(directory.result("evaluate", "best"), result)
