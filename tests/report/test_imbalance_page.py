"""Rare classes on the page: how rare, what was done, what was tried, and both figures in the headline."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from pervade.core import files
from pervade.core.run import RunDirectory
from pervade.report import record
from pervade.report.sections import imbalance
from tests.report.conftest import LABELS
from tests.report.test_report import read

TRIED = {
    "likeliest": {"accuracy": 0.95, "balanced_accuracy": 0.5},
    "balanced": {"accuracy": 0.85, "balanced_accuracy": 0.75},
}


def treat(run: RunDirectory, way: str, **decision: Any) -> None:
    """Of the 20 rows to learn from 18 of the first class, one of each other."""
    recipe = yaml.safe_load(run.recipe.read_text())
    recipe |= {"imbalance": {"use": way}, "early_stopping": {"metric": "balanced_accuracy"}}
    files.write_text(run.recipe, yaml.safe_dump(recipe))
    data = files.read_json(run.data)
    data["columns"]["target"][:20] = [LABELS[0]] * 18 + [LABELS[1], LABELS[2]]
    files.write_json(run.data, data)
    files.write_json(run.checkpoint("best") / "decision.json", decision)


def test_what_was_done_and_what_was_tried(run: RunDirectory) -> None:
    treat(run, "auto", answers="balanced", tried=TRIED)
    reader, text = read(run)
    assert "#imbalance" in reader.links
    assert "has 1 of the 20 pictures to learn from (5.0%); were all as frequent it would have 33.3%." in text
    assert "What was done (--imbalance auto): training itself is as usual." in text
    assert "chosen by “Right answers, each class counting the same (balanced accuracy)” on the validation" in text
    assert (
        "The class that is likelier than usual (so that each class counts the same) is answered, which was no worse "
        "there." in text
    )
    assert "The likeliest class 95.0%50.0%" in text
    assert "{" not in imbalance.section(record.read(run)).body  # type: ignore[union-attr]


def test_weights_that_auto_took_are_said(run: RunDirectory) -> None:
    treat(run, "auto", answers="balanced")
    recipe = yaml.safe_load(run.recipe.read_text())
    recipe["imbalance"] |= {"weights": "balanced", "answers": "balanced"}
    files.write_text(run.recipe, yaml.safe_dump(recipe))
    _, text = read(run)
    assert "What was done (--imbalance auto): in training a row weighs the more, the rarer its class is" in text


def test_a_promise_that_is_kept_says_what_is_answered(run: RunDirectory) -> None:
    treat(run, "auto", answers="balanced", tried=TRIED)
    path = run.result("evaluate", "best")
    result = files.read_json(path)
    told = {"sentence": "finds 95", "flag": "--min-recall <a>=0.95", "kept": True, "why": "", "n": 9, "decides": True}
    result["details"]["promises"] = [told]
    files.write_json(path, result)
    _, text = read(run)
    assert "What is answered is decided by --min-recall <a>=0.95." in text
    assert "is answered, which was no worse" not in text and "taken" not in text.split("Tried on")[1][:200]


@pytest.mark.parametrize("way", imbalance.WAYS)
def test_every_way_has_words(run: RunDirectory, way: str) -> None:
    treat(run, way, answers="likeliest", tried=TRIED)
    section = imbalance.section(record.read(run))
    assert section is not None
    assert "The likeliest class is answered, which was better there." in section.body
    assert "as “" not in section.body


def test_nothing_is_said_where_nothing_was_done(run: RunDirectory) -> None:
    assert imbalance.section(record.read(run)) is None


def test_the_headline_has_both_figures_where_classes_are_uneven(run: RunDirectory) -> None:
    assert "counts the same" not in read(run)[1].split("Be careful")[0]
    path = run.result("evaluate", "best")
    result = files.read_json(path)
    result["details"]["train_counts"] = [18, 1, 1]
    files.write_json(path, result)
    first = read(run)[1].split("Be careful")[0]
    # 9 of 10, 9 of 10, and 9 of 10 are right.
    assert "Where each class counts the same (balanced accuracy) it reaches 90.0% (" in first
    assert "against 33.3% of the baseline, which is shown to be better." in first
    assert "this model, each class counting the same" in first
    assert "Where each class counts the same" in run.model_card.read_text()
