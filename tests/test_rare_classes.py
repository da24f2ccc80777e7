"""Trainings on classes of which one is rare: what is said, stored and answered, resumed bit for bit, and in rungs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import pervade
from pervade.core import files
from pervade.core.contracts import Context
from pervade.core.errors import ConfigError
from pervade.core.run import RunDirectory
from pervade.core.types import Rows
from pervade.data.rows.samplers.class_balanced import ClassBalanced
from pervade.data.rows.sources.dataset import Dataset
from pervade.engine import checkpoint, origin
from pervade.engine.predictions import read_columns
from pervade.promises.coverage import Coverage
from pervade.promises.threshold import Threshold
from pervade.run import imbalance, overview, weighing
from pervade.run.progress import Silent
from pervade.run.stopping import Stopped
from pervade.run.training import Options
from pervade.train.imbalance.auto import Auto
from pervade.train.imbalance.oversample import Oversample
from pervade.train.imbalance.weights import Weights
from tests import texts
from tests.data.drawing import encoded, pixels
from tests.small_run import recipe, same, stop_at, weights

__all__ = ["stop_at"]


def reviews(path: Path, good: int, bad: int) -> Path:
    """Texts of which few are bad, and of these every third says so by no word."""
    every = texts.reviews(2 * max(good, 3 * bad))
    kept = [row for row in every if row[1] == "good"][:good]
    kept += [
        (text if number % 3 else " ".join(word for word in text.split() if word not in texts.BAD), label)
        for number, (text, label) in enumerate([row for row in every if row[1] == "bad"][:bad])
    ]
    return texts.write(path, kept)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Forty of "cat", four of "dog"."""
    for colour, (name, count) in enumerate((("cat", 40), ("dog", 4))):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for seed in range(count):
            (tmp_path / "pets" / name / f"{seed}.png").write_bytes(encoded(pixels(colour, seed)))
    return tmp_path / "pets"


class Heard(Silent):
    """A screen that keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_auto_is_settled_said_stored_and_answers_by_it(tmp_path: Path) -> None:
    data, screen = reviews(tmp_path / "reviews.tsv", 150, 12), Heard()
    run = pervade.fit(
        data, task="text-classification", ladder=["plain"], name="a", runs=tmp_path, options=Options(screen=screen)
    )
    own = checkpoint.read_recipe(run.directory.recipe)
    assert own.imbalance == Auto(answers="balanced", weights=own.imbalance.weights)
    assert own.imbalance.weights != "auto"
    assert (own.task.answering, own.early_stopping.metric) == ("balanced", "balanced_accuracy")
    assert own.task.honest_head == (own.task.class_weights == "balanced") == (own.imbalance.weights == "balanced")
    assert files.read_json(run.directory.origin)["recipe"]["task"]["answers"] == "balanced"
    (before,) = (line for line in screen.lines if line.startswith("classes: "))
    assert before.startswith("classes: bad 7.")
    (tried,) = (line for line in screen.lines if line.startswith("rare classes: "))
    assert "; answers that count each class the same are, " in tried
    assert {before, tried} <= set(overview.kept(run.directory))
    result = run.evaluate()
    assert result["metrics"]["balanced_accuracy"]["words"]["beside"]
    table = read_columns(run.directory.predictions("best", "test"))
    counts = np.array(run.load().domain.counts)
    assert table["prediction"].tolist() == (table["probabilities"] / counts).argmax(1).tolist()
    assert origin.check(run.directory, own) == []
    lines = len(screen.lines)
    pervade.resume(run.path, options=Options(screen=screen))  # settled again it is the same, and nothing new is said
    assert not [line for line in screen.lines[lines:] if "classes: " in line]
    assert checkpoint.read_recipe(run.directory.recipe) == own


def test_what_auto_takes_is_what_weights_do(tmp_path: Path) -> None:
    """The head holds what is otherwise taken out afterwards, and both say the same."""
    data = reviews(tmp_path / "reviews.tsv", 90, 8)
    taken = ["imbalance.weights=balanced", "imbalance.answers=balanced"]
    more = {"task": "text-classification", "ladder": ["plain"], "runs": tmp_path, "options": Options()}
    asked = pervade.fit(data, name="asked", imbalance="weights", **more)
    auto = pervade.fit(data, name="auto", settings=taken, **more)
    task = checkpoint.read_recipe(auto.directory.recipe).task
    assert (task.class_weights, task.honest_head, task.answering) == ("balanced", True, "balanced")
    for run in (asked, auto):
        run.evaluate()
    said, own = (read_columns(run.directory.predictions("best", "test")) for run in (asked, auto))
    assert np.allclose(said["probabilities"], own["probabilities"], atol=1e-5)
    assert said["prediction"].tolist() == own["prediction"].tolist()


def test_where_there_is_no_time_validation_rows_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weighing, "SHARE", 0.0)
    data, screen = reviews(tmp_path / "reviews.tsv", 150, 12), Heard()
    options = Options(screen=screen)
    run = pervade.fit(
        data, task="text-classification", ladder=["plain"], time_limit=60, name="a", runs=tmp_path, options=options
    )
    assert "rare classes: weights are not tried, since there is no time for it; --imbalance weights takes them" in (
        overview.kept(run.directory)
    )
    own = checkpoint.read_recipe(run.directory.recipe)
    assert (own.imbalance, own.task.answering, own.task.class_weights) == (Auto(), "auto", "none")
    decision = run.directory.of_checkpoint("best", "decision.json")
    (after,) = (line for line in screen.lines if line.startswith("answers tried"))
    assert f"{decision['answers']} is" in after
    assert set(decision["tried"]) == {"likeliest", "balanced"}


def test_what_a_promise_decides_is_not_said_to_be_taken() -> None:
    tried = {"likeliest": {"accuracy": 0.9, "balanced_accuracy": 0.5}, "balanced": {"balanced_accuracy": 0.8}}
    decision = {"answers": "balanced", "tried": tried}
    assert imbalance.told(decision)[0].endswith("; balanced is taken, which is no worse there")
    assert imbalance.told(decision, [Coverage()]) == imbalance.told(decision)
    (told,) = imbalance.told(decision, [Coverage(), Threshold({"a": 0.9})])
    assert told.endswith("; neither is taken where --min-recall a=0.9 can be kept, which decides what is answered")


def test_even_classes_leave_no_trace(shapes: Path, tmp_path: Path) -> None:
    left, none = (
        pervade.fit(shapes, recipe=recipe(imbalance=cure), name=name, runs=tmp_path, options=Options())
        for name, cure in (("auto", Auto()), ("none", None))
    )
    assert checkpoint.read_recipe(left.directory.recipe) == checkpoint.read_recipe(none.directory.recipe)
    assert same(weights(left.directory), weights(none.directory))
    assert set(left.directory.of_checkpoint("last", "decision.json")) == {"format"}


def test_drawn_evenly_a_stopped_run_goes_on_to_the_same(pictures: Path, tmp_path: Path, stop_at) -> None:
    asked = recipe(imbalance=Oversample(), validation=0.2, test=0.2)
    whole = pervade.fit(pictures, recipe=asked, name="whole", runs=tmp_path, options=Options())
    own = checkpoint.read_recipe(whole.directory.recipe)
    assert own.source == Dataset(ClassBalanced("data"))
    assert own.task.evenly_drawn
    stop_at(5)
    with pytest.raises(Stopped):
        pervade.fit(pictures, recipe=asked, name="stopped", runs=tmp_path, options=Options())
    again = pervade.resume(tmp_path / "stopped", options=Options())
    assert same(weights(whole.directory), weights(again.directory))


def test_a_network_from_python_answers_as_was_settled(pictures: Path, tmp_path: Path) -> None:
    """No file holds its recipe's model; the checkpoint's task is taken all the same."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
    settings = ("domain.size=16", "epochs=2", "workers=0", "validation=0.2", "test=0.2")
    run = pervade.fit(
        pictures, model=network, settings=settings, imbalance="weights", name="a", runs=tmp_path, options=Options()
    )
    loaded = run.load()
    assert loaded.task.class_weights == "balanced"
    output = {"logits": torch.zeros(1, 2)}
    table = loaded.task.predictions(output, {"row": torch.arange(1)}, Context(loaded.domain))
    counts = np.array(loaded.domain.counts)
    assert table["probabilities"][0].tolist() == pytest.approx((counts / counts.sum()).tolist())


def test_rungs_are_settled_and_judged_alike(tmp_path: Path) -> None:
    data, screen = reviews(tmp_path / "reviews.tsv", 240, 20), Heard()
    asked = texts.recipe(epochs=1, imbalance=Oversample())
    more = {"ladder": ["plain", "trained", "blend"], "name": "run", "runs": tmp_path}
    run = pervade.fit(data, recipe=asked, task="text-classification", options=Options(screen=screen), **more)
    record = files.read_json(run.path / "ladder.json")
    assert record["metric"] == "balanced_accuracy"
    plain, trained = (
        checkpoint.read_recipe(run.path / "members" / name / "recipe.yaml") for name in ("plain", "trained")
    )
    assert (plain.task.class_weights, plain.task.evenly_drawn) == ("balanced", False)
    assert (trained.task.class_weights, trained.task.evenly_drawn) == ("none", True)
    assert len([line for line in screen.lines if line.startswith("classes: ")]) == 1
    assert any(line.startswith("classes: bad 7.") for line in overview.kept(run.directory))
    undecided = read_columns(run.path / "members/plain/predictions/best@undecided.parquet")
    # Honest before anything is decided: of weighed rows half would be expected to be bad.
    assert undecided["probabilities"][:, run.labels.index("bad")].mean() < 0.25
    assert run.results()["metrics"]["balanced_accuracy"]["value"] > 0.6


def test_a_rare_class_of_two_rows(tmp_path: Path) -> None:
    """It trains by one and is tested by one, or none validates; either way all is said in words."""
    data = reviews(tmp_path / "reviews.tsv", 60, 2)
    for name in ("auto", "undersample"):
        screen = Heard()
        run = pervade.fit(
            *(data,), task="text-classification", ladder=["plain"], imbalance=name, name=name, runs=tmp_path,
            options=Options(screen=screen),
        )  # fmt: skip
        assert any(line.startswith("classes: bad ") for line in screen.lines)
        assert run.evaluate()["metrics"]["accuracy"]["value"] > 0.5


def test_what_has_no_classes_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    numbers = texts.write(tmp_path / "numbers.tsv", [(text, i * 0.5) for i, (text, _) in enumerate(texts.reviews(40))])
    with pytest.raises(ConfigError, match="--imbalance weights is for one class out of several, and not for the task"):
        pervade.fit(numbers, task="text-regression", imbalance="weights", name="a", runs=tmp_path, options=Options())
    with pytest.raises(ConfigError, match="and not for the task language-model"):
        pervade.fit(numbers, task="text-generation", imbalance="auto", name="a", runs=tmp_path, options=Options())
    assert not (tmp_path / "a").exists()


def test_what_is_not_in_the_rows_is_counted_as_nothing() -> None:
    rows = Rows({"id": list("abc"), "split": ["train", "train", "test"], "target": [["x", "y"], ["x"], ["z"]]})
    assert imbalance.counts(rows, "train") == {"x": 2, "y": 1}
    assert imbalance.counts(rows, "validation") == {}
    assert imbalance.counts(Rows({"id": ["a"]}), "train") == {}
    untouched = recipe()
    assert imbalance.settled(RunDirectory(Path("nowhere")), replace(untouched, imbalance=None), rows, print) is not None


def test_weighed_classes_of_before_answer_as_they_did() -> None:
    """Recipes of before answers could be chosen, whose network was asked as it was trained."""
    old = {"use": "classify", "class_weights": "balanced"}
    assert checkpoint.as_today({"task": dict(old)})["task"]["answers"] == "balanced"
    assert "answers" not in checkpoint.as_today({"task": {"use": "classify", "class_weights": "none"}})["task"]
    assert checkpoint.as_today({"task": {**old, "answers": "likeliest"}})["task"]["answers"] == "likeliest"
    around = checkpoint.as_today({"task": {"use": "around", "task": dict(old)}})["task"]
    assert around == {"use": "around", "task": {**old, "answers": "balanced"}}
    assert Weights().answers == "balanced"
