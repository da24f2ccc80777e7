"""pervade train --task unconditional-image-generation, and predict --number -o: from pictures to PNG files."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pervade import api
from tests.data.drawing import class_folders

TASK = ("--task", "unconditional-image-generation", "--model", "dcgan", "--epochs", "1", "--workers", "0")
SMALL = ("domain.size=8", "model.width=4", "model.noise=4", "batch_size=5", "threads=1")
ASKED = (*TASK, *(f"-o{each}" for each in (*SMALL, "validation=0", "test=0")))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "data", count=5)


def test_from_pictures_to_pictures(pervade, data: Path, tmp_path: Path) -> None:
    trained = pervade("train", data, *ASKED, "--condition", "label", "--name", "r")
    assert trained.status == 0, trained
    assert not (tmp_path / "runs" / "r" / "members").exists()  # nothing is measured, so there is nothing to judge
    asked = ("predict", "r", "--label", "dog", "--seed", 4, "-o", tmp_path / "made", "--json")
    rows = [json.loads(line) for line in pervade(*asked, "--number", 3).out.splitlines()]
    assert [(Path(row["file"]).name, row["label"], row["seed"]) for row in rows] == [
        ("dog-4.png", "dog", 4),
        ("dog-5.png", "dog", 5),
        ("dog-6.png", "dog", 6),
    ]
    there = {path.name for path in (tmp_path / "made").iterdir()}
    assert there == {"dog-4.png", "dog-5.png", "dog-6.png", "contact-sheet.png"}
    # The same seed and class make the same picture, whichever others are made; and in Python.
    before = np.asarray(Image.open(tmp_path / "made" / "dog-6.png")).astype(int)
    shutil.rmtree(tmp_path / "made")
    pervade("predict", "r", "--number", 1, "--label", "dog", "--seed", 6, "-o", tmp_path / "made")
    again = np.asarray(Image.open(tmp_path / "made" / "dog-6.png")).astype(int)
    run = api.load("r")
    made = run.predict(number=4, seed=5)
    assert [(row["label"], row["seed"]) for row in made] == [("cat", 5), ("dog", 6), ("cat", 7), ("dog", 8)]
    for other in (again, made[1]["picture"]):
        assert before.shape == (8, 8, 3) and np.abs(before - other).max() <= 1  # rounding, where batches differ
    # More than memory holds come one by one.
    assert [row["seed"] for row in itertools.islice(run.stream(number=10**12), 2)] == [0, 1]
    pervade("predict", "r", "--number", 3).refuses("this model makes pictures", "-o FOLDER")
    pervade("predict", "r", "--label", "dig", "-o", "x").refuses("it learnt no label 'dig'; did you mean 'dog'?")
    pervade("predict", "r", "dog", "--number", 3, "-o", "x").refuses("each label that is given is one picture")
    unknown = pervade("predict", "r", "dog", "dig", "-o", tmp_path / "named")
    assert unknown.status == 0 and "left out: 'dig': it learnt no label 'dig'" in unknown.err
    assert (tmp_path / "named" / "dog-0.png").exists()


def test_what_cannot_be_learnt_to_make_is_refused(pervade, data: Path, tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.mkdir()
    shutil.copy(data / "cat" / "0.png", one)
    pervade("train", one, *ASKED).refuses("1 picture to learn from cannot show what such pictures have in common")
    flat = pervade("train", data / "cat", *ASKED, "--condition", "label")
    flat.refuses("but no class folders", "leave out --condition label")
    single = class_folders(tmp_path / "single", ["cat"], count=5)
    pervade("train", single, *ASKED, "--condition", "label").refuses("--condition label makes pictures by class")
    pervade("train", data, *ASKED, "--tta").refuses("views (--tta): a picture that is made is whole")
    pervade("train", data, *ASKED, "--folds", "2").refuses("take --seeds 2")
    pervade("train", data, *TASK, "--model", "dit", "--folds", "2").refuses("--judge RUN", "--seeds")
    pervade("train", data, *TASK, "--model", "resnet18").refuses("resnet18 makes no pictures")
    pervade("train", data, "--condition", "label").refuses("--condition 'label' is not for pictures")


def test_a_dry_run_refuses_what_a_training_does(pervade, data: Path, tmp_path: Path) -> None:
    settings = [f"-o{setting}" for setting in SMALL]
    told = pervade("train", data, "--model", "dcgan", "--dry-run", *settings)
    assert told.status == 0 and "task: unconditional-image-generation, which the model is for" in told.err, told
    assert pervade("train", data, *ASKED, "--name", "r").status == 0
    pervade("train", data, *TASK, *settings, "--judge", "r", "--dry-run").refuses("is no run that classifies pictures")
    distil = ("--task", TASK[1], "-otask.distil=4", "-odomain.size=8", "--dry-run")
    pervade("train", data, *distil).refuses("task.distil learns from the network that training begins with", "--init")
    assert not (tmp_path / "runs" / "data-dcgan").exists()


def test_what_is_made_goes_to_no_file(pervade, data: Path, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("")
    pervade("train", data, *ASKED, "--name", "r")
    pervade("predict", "r", "-o", tmp_path / "log").refuses("log is a file", "a folder")
    pervade("predict", "r", "--steps", 10, "-o", tmp_path / "made").refuses("sampling.steps 10 is for", "leave it out")


def test_who_makes_no_pictures_takes_no_number(pervade, run: Path) -> None:
    pervade("predict", run, "--number", 3).refuses("--number and --label are for models that make pictures")
