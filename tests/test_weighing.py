"""Weights for rare classes tried by folds: what is taken of which figures, what is seen of rows, and what there is no
room for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pervade.core.contracts import Context
from pervade.core.run import RunDirectory
from pervade.core.types import Rows
from pervade.domains.bag import Bag
from pervade.metrics.method import Method
from pervade.metrics.paired import Difference
from pervade.recipes import text
from pervade.run import overview, weighing
from pervade.run.rungs import climbable, plan
from pervade.run.training import Options
from pervade.tasks.classify import Classify
from pervade.train.imbalance.auto import Auto
from tests.test_rare_classes import Heard

COUNTED = Bag(labels=("a", "b"), counts=(90, 10), rows=100)


def apart(difference: float, sure: bool = True) -> Difference:
    """0.8 and so much more, shown where it is `sure`."""
    ends = sorted((difference / 2, 2 * difference)) if sure else (-0.1, 0.1)
    p = 0.01 if sure else 0.5
    return Difference(0.8, 0.8 + difference, difference, *ends, p, p, 100, Method())


def tried(gain: Difference, loss: Difference, answers: Difference) -> weighing.Tried:
    gained = {"balanced_accuracy": gain, "log_loss": loss, "ece": apart(0.0, False)}
    return weighing.Tried(gained, {"none": answers, "balanced": answers}, 1234, 5)


@pytest.mark.parametrize(
    ("gain", "loss", "answers", "taken"),
    [
        (apart(0.05), apart(-0.1), apart(0.1), ("balanced", "balanced")),
        (apart(0.05), apart(0.1, False), apart(-0.1, False), ("balanced", "balanced")),
        (apart(0.05), apart(0.1), apart(-0.1), ("none", "likeliest")),
        (apart(0.05, False), apart(-0.1), apart(0.1), ("none", "balanced")),
        (apart(-0.05), apart(-0.1), apart(0.1), ("none", "balanced")),
    ],
)
def test_only_what_is_shown_to_be_better_is_taken(
    gain: Difference, loss: Difference, answers: Difference, taken: tuple[str, str]
) -> None:
    own = tried(gain, loss, answers)
    assert (own.weights, own.answers) == taken
    assert ("; weights are taken; " in str(own)) == (taken[0] == "balanced")


def test_what_was_tried_is_said_with_its_figures() -> None:
    assert str(tried(apart(0.05), apart(0.1), apart(-0.1, False))) == (
        "rare classes: of 1,234 rows, each answered by one of 5 models without it, 80.0% are right without weights and "
        "85.0% with them, where each class counts the same (+5.0 points, +2.5 to +10.0: beyond chance; log-loss worse)"
        "; weights are not taken; answers that count each class the same are, 70.0% against 80.0% by the likeliest "
        "class, which is not shown to be better"
    )


def test_an_honest_head_says_the_same_as_one_that_is_corrected_afterwards() -> None:
    """At every temperature, since that divides what the loss was fitted to."""
    rng = np.random.default_rng(0)
    target = np.repeat([0, 1], [90, 10])
    rows = rng.normal(size=(100, 2)) + target[:, None]
    weighed = Classify(class_weights="balanced")
    honest = replace(weighed, honest_head=True)
    tables = []
    for task in (weighed, honest):
        head = task.fit_head(rows, target, np.arange(100), COUNTED, (1.0,))["logits"]
        output = {"logits": torch.from_numpy(head(rows))}
        context = Context(COUNTED, decision={"temperature": 1.7})
        tables.append(task.predictions(output, {"row": torch.arange(100)}, context)["probabilities"])
        if task is honest:  # what it says is of the classes as they are, and of weighed rows half would be "b"
            assert 0.05 < output["logits"].softmax(1)[:, 1].mean() < 0.2
    assert np.allclose(*tables)


def test_what_one_model_answers_by_no_prior_of_is_blended_by_the_shares() -> None:
    task = Classify(answering="auto")
    said = np.array([[0.8, 0.2], [0.95, 0.05]])
    share = np.array([0.9, 0.1])
    tables = [{"row": [0, 1], "probabilities": said, "prior": np.tile(share, (2, 1))}, {"probabilities": said}]
    together = task.blended(tables, [0.5, 0.5], COUNTED)
    assert np.allclose(together["probabilities"], said)
    assert together["prediction"].tolist() == [1, 0]  # 0.2 is twice its share, 0.05 half of it


@pytest.fixture
def plain() -> Any:
    recipe = climbable(plan(replace(text.scratch(), imbalance=Auto()), "text-classification", ("plain",)))["plain"]
    own, _ = Auto().settle(recipe, {"a": 95, "b": 5}, {"a": 9, "b": 1})
    return own


def rows(number: int, one_group: bool = False) -> Rows:
    half = number // 2
    columns = {"id": [f"{i}" for i in range(number)], "split": ["train"] * half + ["validation"] * (number - half)}
    more = {"group": ["all"] * number} if one_group else {}
    return Rows({**columns, "target": ["a"] * (number - 2) + ["b"] * 2, **more})


@pytest.mark.parametrize(
    ("number", "one_group", "why"),
    [(weighing.MOST + 1, False, "there are more than 100,000 rows"), (40, True, "the rows cannot be divided")],
)
def test_what_is_not_tried_is_said(plain: Any, tmp_path: Path, number: int, one_group: bool, why: str) -> None:
    screen, run = Heard(), RunDirectory(tmp_path)
    about = COUNTED, rows(number, one_group), torch.device("cpu"), Options(screen=screen)
    assert weighing.settled(run, plain, *about) == plain
    assert screen.lines == [f"rare classes: weights are not tried, since {why}; --imbalance weights takes them"]
    assert overview.kept(run) == screen.lines


def test_nothing_is_tried_where_nothing_is_open(plain: Any, tmp_path: Path) -> None:
    screen = Heard()
    about = COUNTED, rows(40), torch.device("cpu"), Options(screen=screen)
    for recipe in (
        text.scratch(),  # which learns step by step
        replace(plain, imbalance=None),
        replace(plain, imbalance=Auto(weights="none", answers="likeliest")),
        replace(plain, task=replace(plain.task, class_weights="effective")),
    ):
        assert weighing.settled(RunDirectory(tmp_path), recipe, *about) is recipe
    assert screen.lines == []
