"""What is advised where a model learnt hardly more than the commonest answer: what was seen decides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pervade.core import files
from pervade.core.run import RunDirectory
from pervade.report import advice, cautions
from pervade.report.record import Figure, Record, read

RANDOM = {"init": {"use": "random"}}
UNEVEN = {"target": ["free"] * 30 + ["crack"] * 3, "split": ["train"] * 33}


def of_classes(record: Record, answered: int, classes: int = 6) -> Record:
    """Of so many classes the last were never answered; the last of three passes was the best."""
    figures: dict[str, Figure] = {}
    for number in range(classes):
        known = {"n": 9} if number < answered else {"n": 0}
        share = 0.5 if number < answered else None
        figures[f"precision[{number}]"] = Figure(f"precision[{number}]", share, None, None, **known)
        figures[f"recall[{number}]"] = Figure(f"recall[{number}]", share or 0.0, None, None, 9)
    assert record.main is not None
    main = replace(record.main, figures=figures, details={})
    return replace(record, results=[main], init=RANDOM, data={"columns": UNEVEN}, plan={**record.plan, "best_pass": 3})


@pytest.fixture
def record(run: RunDirectory) -> Record:
    return read(run)


def test_nothing_is_advised_where_every_class_is_answered(record: Record) -> None:
    found = of_classes(record, 6)
    assert advice.instead(found) is None
    assert "try more passes" in (cautions.still_improving(found) or "")


def test_of_classes_never_answered_other_things_than_passes_are_advised(record: Record) -> None:
    found = of_classes(record, 2)
    assert advice.instead(found) == (
        "What may help, rather than more passes: rare classes that weigh more (--imbalance weights or --imbalance "
        "oversample), a network whose weights were published (--init pretrained) or whole pictures (-o domain.fit=pad "
        "-o domain.crop_area=1.0)."
    )
    assert cautions.still_improving(found) is None
    said = cautions.of(found)
    assert said[said.index(cautions.never_answered(found) or "") + 1] == advice.instead(found)


def test_one_of_many_that_is_never_answered_leaves_passes_open(record: Record) -> None:
    found = of_classes(record, 19, classes=20)
    assert (advice.instead(found) or "").startswith("What may help: rare classes that weigh more")
    assert "try more passes" in (cautions.still_improving(found) or "")


def test_what_was_done_already_is_not_advised_again(record: Record, run: RunDirectory) -> None:
    found = of_classes(record, 2)
    weighed = replace(found, recipe={**found.recipe, "imbalance": {"use": "weights"}})
    assert "(--imbalance oversample or --imbalance focal)" in (advice.instead(weighed) or "")
    assert "--init" not in (advice.instead(replace(found, init={"init": {"use": "pretrained"}})) or "")
    even = replace(found, data={"columns": {**UNEVEN, "target": ["free", "crack", "hole"] * 11}})
    assert "--imbalance" not in (advice.instead(even) or "")
    path = run.checkpoint("best") / "preprocess.json"
    stored = files.read_json(path)
    stored["domain"] |= {"fit": "squash", "crop_area": 1.0}
    files.write_json(path, stored)
    assert "whole" not in (advice.instead(found) or "")
    assert advice.instead(replace(even, init={})) == (
        "What may help, rather than more passes: more pictures of the rare classes."
    )


def test_several_labels_are_not_drawn_more_often(record: Record) -> None:
    labels = [["free"]] * 30 + [["crack"]] * 3
    several = replace(of_classes(record, 2), data={"columns": {**UNEVEN, "target": labels}})
    assert "rare labels that weigh more (--imbalance weights or --imbalance focal)" in (advice.instead(several) or "")


def test_what_is_no_better_than_always_one_class_is_advised_alike(record: Record) -> None:
    """Though every class was answered now and then."""
    found = of_classes(record, 6)
    assert found.main is not None
    own = {"accuracy": Figure("accuracy", 0.72, 0.66, 0.77, 200), **found.main.figures}
    constant: dict[str, Any] = {
        "name": "always 'free'",
        "metrics": {"accuracy": {"value": 0.71, "low": 0.65, "high": 0.76}},
    }
    main = replace(found.main, figures=own, details={"baseline": constant})
    said = advice.instead(replace(found, results=[main])) or ""
    assert said.startswith("What may help, rather than more passes: rare classes")
    # Of a simple model that is as good it cannot be said that nothing was learnt.
    linear = replace(main, details={"baseline": {**constant, "predictions": "predictions/plain@test.parquet"}})
    assert advice.instead(replace(found, results=[linear])) is None
