"""The plain rung of pictures and of sound: what is easy is solved, for every kind of target, and what is saved answers
as what was trained."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import pervade
from pervade.core.errors import TrainingError
from pervade.engine import predictions
from pervade.engine.checkpoint import read_recipe
from pervade.recipes import image, sound
from pervade.run.training import Options
from pervade.train.optim.linear_solver import LinearSolver
from tests.data.drawing import class_folders, encoded
from tests.data.sounds import tone, write


def climb(data: Path, runs: Path, **more) -> pervade.Run:
    run = pervade.fit(data, ladder=["plain"], runs=runs, name="run", seed=3, options=Options(), **more)
    run.evaluate()
    return run


def answers_as_it_was_trained(run: pervade.Run, data: Path) -> None:
    """From the checkpoint, one by one, as the predictions file has it."""
    columns = predictions.read_columns(run.directory.predictions("best", "test"))
    paths = [str(data / each) for each in columns["id"]]
    loaded = pervade.load(run.path)
    alone = np.concatenate([loaded.predict_proba([path]) for path in paths[:3]])
    np.testing.assert_allclose(alone, np.asarray(columns["probabilities"])[:3], atol=1e-6)


def test_pictures_of_two_colours(tmp_path: Path) -> None:
    data = class_folders(tmp_path / "data", ("red", "green", "blue"), count=20)
    run = climb(data, tmp_path / "runs")
    assert run.results()["metrics"]["accuracy"]["value"] == 1
    assert not run.directory.members.exists()  # one rung alone is a run as any other
    answers_as_it_was_trained(run, data)
    assert "linear" in run.report().read_text(encoding="utf-8")


def test_tones_of_two_pitches(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name, hertz in (("low", 400), ("high", 900)):
        for number in range(20):
            wave = tone(hertz + 5 * number, 0.1 + 0.01 * number, loud=0.1 + 0.04 * number)
            write(data / name / f"{number}.wav", wave)
    run = climb(data, tmp_path / "runs")
    assert run.results()["metrics"]["accuracy"]["value"] == 1
    answers_as_it_was_trained(run, data)


def test_some_weights_are_found_where_there_is_no_time_to_choose(tmp_path: Path) -> None:
    """A penalty in the middle is taken at once, by the later of the two deadlines; by then there must be one."""
    loaded = climb(class_folders(tmp_path / "data", ("red", "green"), count=20), tmp_path / "runs").load()
    (layer,) = loaded.network.head.values()
    features = torch.eye(layer.in_features)[:20]
    piece = {"input": features, "target": torch.arange(20) % 2, "row": torch.arange(20)}
    about, now = (loaded.network, loaded.task, loaded.domain, [piece]), time.monotonic()
    assert LinearSolver().solve(*about, None, None) == ""
    assert "did not suffice to choose the penalty" in LinearSolver().solve(*about, now - 1, now + 60)
    with pytest.raises(TrainingError, match="does not suffice to fit a linear model to 20 rows"):
        LinearSolver().solve(*about, now - 2, now - 1)


def table(folder: Path, column: str, said: list[str], pictures: list[np.ndarray]) -> Path:
    (folder / "pictures").mkdir(parents=True)
    with (folder / "rows.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", column])
        for number, (picture, target) in enumerate(zip(pictures, said, strict=True)):
            (folder / "pictures" / f"{number}.png").write_bytes(encoded(picture))
            rows.writerow([f"pictures/{number}.png", target])
    return folder / "rows.csv"


def test_how_bright_a_grey_picture_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(40, 216, 80)
    pictures = [(level + rng.integers(-30, 30, (16, 16))).astype(np.uint8) for level in levels]
    data = table(tmp_path / "data", "label", [str(level) for level in levels], pictures)
    run = climb(data, tmp_path / "runs", task="image-regression")
    assert run.results()["metrics"]["mean_absolute_error"]["value"] < 5


def test_which_halves_are_lit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lit = rng.integers(0, 2, (80, 2)).astype(bool)
    pictures = []
    for left, right in lit:
        picture = rng.integers(0, 60, (16, 16, 3), dtype=np.uint8)
        picture[:, :8] += np.uint8(120 * left)
        picture[:, 8:] += np.uint8(120 * right)
        pictures.append(picture)
    said = ["|".join(name for name, on in zip(("left", "right"), each, strict=True) if on) for each in lit]
    data = table(tmp_path / "data", "labels", said, pictures)
    run = climb(data, tmp_path / "runs", task="image-multi-label-classification")
    assert run.results()["metrics"]["mean_average_precision"]["value"] > 0.99


def test_who_is_who_among_strangers(tmp_path: Path) -> None:
    """Everybody has a colour of their own, in pictures that are more or less bright."""
    rng = np.random.default_rng(0)
    for number in range(12):
        colour = rng.integers(60, 190, 3)
        for picture in range(4):
            pixels = colour * rng.uniform(0.8, 1.2) + rng.integers(0, 20, (16, 16, 3))
            file = tmp_path / "data" / f"p{number}" / f"{picture}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encoded(pixels.astype(np.uint8)))
    more = {"task": "image-feature-extraction", "init": "random", "settings": ("validation=0.25", "test=0.25")}
    run = climb(tmp_path / "data", tmp_path / "runs", **more)
    assert run.results()["metrics"]["roc_auc"]["value"] > 0.9
    columns = predictions.read_columns(run.directory.predictions("best", "test"))
    assert np.linalg.norm(np.asarray(columns["embedding"]), axis=1) == pytest.approx(1, abs=1e-5)
    (near,) = run.predict([tmp_path / "data" / "p0" / "0.png"])
    assert near["neighbours"][0]["similarity"] > 0.8
    recipe = read_recipe(run.path / "recipe.yaml")
    assert (recipe.task.loss_name, recipe.task.whitening) == ("triplet", None)


@pytest.mark.parametrize("recipe", [image.recipe, sound.recipe])
def test_what_a_rung_reads_is_what_the_recipe_reads(recipe) -> None:
    asked = recipe()
    domain = (image if recipe is image.recipe else sound).plain(asked).domain
    changed = {"augment", "views", "masked", "flip"}
    same = {name for name in vars(asked.domain) if name not in changed}
    assert all(getattr(domain, name) == getattr(asked.domain, name) for name in same)
    assert domain.views == 1
    assert not domain.augment
