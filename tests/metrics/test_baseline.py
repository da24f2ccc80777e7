"""Better than the baseline or not: whichever way is better, and no answer where there is none."""

from typing import Any

import numpy as np
import pytest

from pervade.cli import outcome
from pervade.metrics.baseline import (
    against_constant,
    beats_baseline,
    better_by_balance,
    better_classes,
    falls_behind,
    headline,
    only_by_balance,
    uneven,
)
from pervade.metrics.classification import classification_metrics, majority_baseline
from pervade.metrics.estimate import estimate
from pervade.report import standing


def result(own: dict[str, Any], other: dict[str, Any] | None, name: str = "it") -> dict[str, Any]:
    details = {} if other is None else {"baseline": {"name": "always 1", "metrics": {name: other}}}
    return {"metrics": {"undefined": {"value": None}, name: own}, "details": details}


def figure(low: float | None, high: float | None, value: float | None = 0.5, **more: Any) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, **more}


@pytest.mark.parametrize(
    ("own", "other", "beats"),
    [
        (figure(0.6, 0.8), figure(0.4, 0.5), True),
        (figure(0.6, 0.8), figure(0.4, 0.6), False),
        (figure(0.6, 0.8), figure(None, None, value=0.5), True),
        (figure(0.6, 0.8, higher_is_better=True), figure(0.7, 0.9), False),
        (figure(0.1, 0.2, higher_is_better=False), figure(0.3, 0.4), True),
        (figure(0.1, 0.3, higher_is_better=False), figure(0.3, 0.4), False),
        (figure(0.1, 0.3, higher_is_better=False), figure(None, None, value=0.31), True),
        (figure(0.6, 0.8, higher_is_better=None), figure(0.4, 0.5), None),
        (figure(None, None), figure(0.4, 0.5), None),
        (figure(0.6, 0.8), figure(None, None, value=None), None),
        (figure(0.6, 0.8), None, None),
    ],
)
def test_the_interval_must_lie_on_the_better_side(own: dict[str, Any], other: Any, beats: bool | None) -> None:
    assert beats_baseline(result(own, other)) is beats


def test_a_baseline_of_zero_has_an_end_at_zero() -> None:
    assert beats_baseline(result(figure(0.1, 0.2), figure(0.0, 0.0, value=0.0))) is True


def test_the_headline_is_the_first_that_is_defined() -> None:
    assert headline(result(figure(0.1, 0.2), None)) == "it"
    assert headline({"metrics": {"it": {"value": None}}}) is None
    assert beats_baseline({"metrics": {}, "details": {}}) is None


# six classes, the first with 60 of 100 rows, the others with eight each

SIX = ["a", "b", "c", "d", "e", "f"]
TARGET = np.array([0] * 60 + [1 + i % 5 for i in range(40)])


def measured(prediction: np.ndarray, group: np.ndarray | None = None) -> dict[str, Any]:
    """A result as evaluate writes it, beside always 'a'."""
    rows = np.arange(len(TARGET))
    columns = {"row": rows, "group": rows if group is None else group, "target": TARGET, "prediction": prediction}
    chosen = {n: each for n, each in classification_metrics(SIX).items() if "roc" not in n and "pr_" not in n}
    chosen = {n: each for n, each in chosen.items() if n not in ("log_loss", "brier", "ece")}
    figures = {n: each.as_dict() | {"higher_is_better": True} for n, each in estimate(chosen, columns).items()}
    counts = np.bincount(TARGET).tolist()
    return {
        "metrics": figures,
        "details": {"train_counts": counts, "baseline": majority_baseline(columns, SIX, 0)},
        "split": "test",
        "checkpoint": "best",
        "n": len(TARGET),
    }


def test_nine_to_none_is_better_though_the_intervals_overlap() -> None:
    """By hand: accuracy 69 against 60 of 100, intervals 0.59 to 0.77 and 0.50 to 0.69; McNemar 2 / 2^9 = 0.0039."""
    found = measured(np.where((TARGET == 0) | (np.arange(100) < 69), TARGET, 0))
    own, other = found["metrics"]["accuracy"], found["details"]["baseline"]["metrics"]["accuracy"]
    assert (own["value"], other["value"]) == (0.69, 0.60)
    assert own["low"] < other["high"]
    apart = found["details"]["baseline"]["differences"]["accuracy"]
    assert apart["p"] == pytest.approx(2 / 2**9)
    assert found["details"]["baseline"]["discordant"] == {"only_baseline": 0, "only_model": 9}
    assert beats_baseline(found) is True
    assert not falls_behind(found)
    assert not only_by_balance(found)
    # (1 + 2/8 + 2/8 + 2/8 + 2/8 + 1/8) / 6, and the constant's 1/6.
    told = standing.sentences(found)
    assert (
        told[0]
        == "It is right on 9 that the baseline has wrong, and wrong on 0 that the baseline has right (p = 0.0039)."
    )
    balance = standing.balance(found)
    assert "(balanced accuracy) it reaches 35.4%" in balance
    assert balance.endswith(", against 16.7% of the baseline, which is shown to be better.")


def test_rare_classes_at_the_cost_of_the_frequent_one_are_better_by_balance_alone() -> None:
    """Right on 16 of the 40 rare rows, and wrong on 16 of the 60 others: accuracy 60% as the baseline's, balanced
    accuracy (44/60 + 16/8) / 6 = 45.6% against 16.7%; of class b all 8 are found."""
    rare = np.where(np.isin(TARGET, [1, 2]), TARGET, 0)
    found = measured(np.where((TARGET == 0) & (np.arange(100) < 16), 1, rare))
    assert found["metrics"]["accuracy"]["value"] == 0.6
    assert found["metrics"]["balanced_accuracy"]["value"] == pytest.approx((44 / 60 + 2) / 6)
    assert beats_baseline(found) is True
    assert only_by_balance(found)
    # 8 to 0 in each: p = 2 / 2^8, times up to six classes after Holm: 0.047.
    assert better_classes(found) == {"b": 1.0, "c": 1.0}
    assert standing.sentences(found)[1].endswith("of “b” (+100 points) and “c” (+100 points).")


def test_what_is_only_worse_is_worse() -> None:
    found = measured(np.where(np.arange(100) < 20, 1, 0))
    assert falls_behind(found)
    assert beats_baseline(found) is False


@pytest.mark.parametrize(
    ("prediction", "side"),
    [
        (np.where(np.arange(100) < 20, 1, 0), -1),
        (np.zeros(100, int), 0),
        (np.where((TARGET == 0) | (np.arange(100) < 69), TARGET, 0), 1),
        # Accuracy as the constant's, balanced accuracy shown to be better.
        (np.where((TARGET == 0) & (np.arange(100) < 16), 1, np.where(np.isin(TARGET, [1, 2]), TARGET, 0)), 1),
    ],
)
def test_always_one_class_is_to_be_beaten_too_where_a_linear_model_stands_beside(
    prediction: np.ndarray, side: int
) -> None:
    found = measured(prediction)
    constant = found["details"].pop("baseline")
    linear = {"name": "TF-IDF", "metrics": {"accuracy": {"value": 0.1, "low": None, "high": None}}}
    found["details"] |= {"baseline": linear, "constant": constant}
    assert against_constant(found) == side
    told = outcome._sentences(found, None)
    assert any("which takes no learning" in line for line in told) == (side < 1)
    assert any(line.startswith("WORSE than always 'a'") for line in told) == (side < 0)


def test_even_classes_are_judged_by_accuracy() -> None:
    found = measured(np.where((TARGET == 0) | (np.arange(100) < 69), TARGET, 0))
    found["details"]["train_counts"] = [10] * 6
    assert not uneven(found)
    assert better_by_balance(found) is None
    assert len(standing.sentences(found)) == 1


def test_of_rows_in_groups_whole_groups_decide() -> None:
    """The nine rows that it has right beyond the baseline are of one group in twenty: that may be chance."""
    found = measured(np.where((TARGET == 0) | (np.arange(100) < 69), TARGET, 0), np.minimum(np.arange(100) // 9, 9))
    assert found["details"]["baseline"]["differences"]["accuracy"]["shown"] is False
    assert "by group" in found["details"]["baseline"]["differences"]["accuracy"]["method"]


def test_intervals_that_lie_apart_the_wrong_way_are_worse() -> None:
    assert falls_behind(result(figure(0.1, 0.2), figure(0.4, 0.5)))
    assert falls_behind(result(figure(0.4, 0.5, higher_is_better=False), figure(0.1, 0.2)))
    assert not falls_behind(result(figure(0.1, 0.45), figure(0.4, 0.5)))
