"""What the report says first beside the figure: what an interval is, where the weights began, what was settled."""

from __future__ import annotations

from typing import Any

import pytest

from pervade.core import files
from pervade.core.run import RunDirectory
from pervade.report import verdict
from tests.report.test_report import read

PRETRAINED = {
    "init": {"use": "pretrained", "source": "weights.pth"},
    "summary": "2 of the body's 2 weights from weights.pth; the head is new (1,000 classes there, 3 here)",
    "loaded": ["body.<i>.weight", "body.0.bias"],
    "left_out": ["fc.weight: the head: 1,000 classes there, 3 here"],
    "new": ["head.weight: the head: 1,000 classes there, 3 here", "head.bias: the head"],
}


def first_lines(text: str) -> str:
    return text.split("Be careful")[0]


def test_an_interval_is_explained_where_it_is_met_first(run: RunDirectory) -> None:
    _, text = read(run)
    assert "The 95% interval is the range in which the true figure is to be looked for" in first_lines(text)
    assert "95 of 100 such ranges would hold it" in first_lines(text)


def test_weights_drawn_at_random(run: RunDirectory) -> None:
    files.write_json(run.init, {"init": {"use": "random"}, "summary": "9 weights drawn at random", "new": []})
    reader, text = read(run)
    assert "First weights: drawn at random." in first_lines(text)
    assert "#beginning" not in reader.links
    files.write_json(run.init, {"init": {"use": "random", "because": "no others are <within> reach"}})
    assert "First weights: drawn at random, since no others are <within> reach." in first_lines(read(run)[1])


def test_pretrained_weights_are_said_and_listed(run: RunDirectory) -> None:
    files.write_json(run.init, PRETRAINED)
    reader, text = read(run)
    assert (
        "First weights: 2 of the body's 2 weights from weights.pth; the head is new (1,000 classes there, 3 here). "
        "2 of 4 weights taken, 2 new." in first_lines(text)
    )
    assert "#beginning" in reader.links
    assert "body.<i>.weight" in text
    assert "fc.weight the head: 1,000 classes there, 3 here" in text
    assert text.count("left out: 1") == 1


def test_a_run_without_a_record_of_it_says_nothing(run: RunDirectory) -> None:
    assert "First weights" not in read(run)[1]


def test_calibration_is_said(run: RunDirectory) -> None:
    files.write_json(run.checkpoint("best") / "decision.json", {"temperature": 1.3249})
    reader, text = read(run)
    said = "Confidence was calibrated on the validation split (temperature 1.32)."
    assert said in first_lines(text)
    assert "#decision" in reader.links
    assert "makes the model less sure than training left it" in text
    assert "1.325" in text


def test_thresholds_are_listed_by_class(run: RunDirectory) -> None:
    files.write_json(run.checkpoint("best") / "decision.json", {"thresholds": [0.25, 0.5, 0.75]})
    _, text = read(run)
    assert "Thresholds were chosen on the validation split." in first_lines(text)
    assert "Thresholds: שלום0.75" in text  # two cells of a table


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        ({}, ""),
        ({"threshold": 0.3}, "The threshold was chosen on the validation split."),
        (
            {"temperature": 1.4, "thresholds": [0.1, 0.2]},
            "Confidence was calibrated on the validation split (temperature 1.40), thresholds were chosen on the "
            "validation split.",
        ),
        (  # tasks/classify.py: not made surer by one group or two
            {"temperature": 1.0},
            "Confidence stayed as training left it, since so few groups of the validation split cannot make it surer.",
        ),
        ({"prior_shift": [1]}, "Prior shift settled on the validation split."),
    ],
)
def test_what_was_settled_in_words(decision: dict[str, Any], words: str) -> None:
    assert verdict.settled(decision) == words


def test_a_task_without_classes_that_is_no_better_says_so(run: RunDirectory) -> None:
    def figure(low: float, high: float) -> dict[str, Any]:
        return {"value": (low + high) / 2, "low": low, "high": high, "n": 30, "higher_is_better": False}

    result = {"checkpoint": "best", "split": "test", "n": 30, "metrics": {"mean_absolute_error": figure(1.0, 2.0)}}
    baseline = {"name": "the mean", "metrics": {"mean_absolute_error": figure(1.5, 2.5)}}
    files.write_json(run.result("evaluate", "best"), {**result, "details": {"baseline": baseline}})
    _, text = read(run)
    assert "which is not shown to do better than its baseline" in first_lines(text)
    baseline["metrics"]["mean_absolute_error"] = figure(2.5, 3.5)
    files.write_json(run.result("evaluate", "best"), {**result, "details": {"baseline": baseline}})
    assert "not shown to do better" not in read(run)[1]
