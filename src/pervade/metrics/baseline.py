"""Whether a model does better than its baseline: one answer for the terminal, the report and the model card."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pervade.metrics.columns import Columns
from pervade.metrics.estimate import Metric, estimate
from pervade.metrics.method import Method
from pervade.metrics.paired import RESAMPLES, differences, discordant, holm

BALANCED = "balanced_accuracy"
UNEVEN = 3.0  # largest class by smallest
MOST_SINGLE = 300  # figures of single classes of a baseline that are kept: three of each of a hundred


def headline(result: Mapping[str, Any]) -> str | None:
    """The metric that a verdict is about: the first with a value, since a task lists its metrics by importance.

    `result` is as evaluate writes it: "metrics" by name, each with "value", "low" and "high".
    """
    return next((name for name, figure in result["metrics"].items() if figure.get("value") is not None), None)


def beside(
    name: str, metrics: Mapping[str, Metric], other: Columns, columns: Columns, *, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """A baseline's answers `other` beside the model's, `columns`, to the same rows: "name", "metrics" of the baseline,
    paired "differences" (model - baseline), and "discordant", on how many rows just one of them is right, where a row
    is right or wrong. Of many classes the figures of single ones are left out, which would be most of the file."""
    single = [name for name in metrics if name.endswith("]")]
    if len(single) > MOST_SINGLE:
        metrics = {name: metric for name, metric in metrics.items() if name not in single}
    measured = estimate(metrics, other, resamples=resamples)
    apart = differences(metrics, [other, columns], resamples=resamples)[0]
    counts = discordant(next(iter(metrics.values())), other, columns)
    counted = {"only_baseline": counts.only_first, "only_model": counts.only_second} if counts else None
    return {
        "name": name,
        "metrics": {name: figure.as_dict() for name, figure in measured.items()},
        "differences": {name: gap.as_dict() for name, gap in apart.items()},
        **({"discordant": counted} if counted else {}),
    }


def beats_baseline(result: Mapping[str, Any]) -> bool | None:
    """Whether the model is shown to be better than its baseline: in the headline, or, where classes are uneven, in
    balanced accuracy. None where there is nothing to compare: no baseline for this metric, no interval, or neither way
    better.

    A paired difference decides where it is known (`Difference.shown`). Where it is not, the headline's interval must
    lie wholly on the better side of the baseline's, or of its value where it has no interval, which is more than a
    paired test would ask: who passes here is better indeed.
    """
    side = _side(result, headline(result))
    return None if side is None else side > 0 or better_by_balance(result) is True


def falls_behind(result: Mapping[str, Any]) -> bool:
    """Whether the headline is shown to be worse than the baseline's, and nothing beside it to be better."""
    return (_side(result, headline(result)) or 0) < 0 and better_by_balance(result) is not True


def against_constant(result: Mapping[str, Any]) -> int | None:
    """Where what takes no learning (always one class, the mean) stands beside a simple model: 1 where this model is
    shown to be better than even that, by balance too, -1 where it is shown to be worse, else 0. None where there is
    nothing to compare, or that is the baseline itself."""
    side = _side(result, headline(result), "constant")
    by_balance = headline(result) == "accuracy" and uneven(result) and _side(result, BALANCED, "constant")
    return 1 if side is not None and by_balance == 1 else side


def better_by_balance(result: Mapping[str, Any]) -> bool | None:
    """Whether the model is shown to be better than the baseline in balanced accuracy, in which a rare class counts as
    much as a frequent one. None where that is not asked: accuracy is not the headline, classes are even, or their
    figures are not compared."""
    if headline(result) != "accuracy" or not uneven(result):
        return None
    side = _side(result, BALANCED)
    return None if side is None else side > 0


def only_by_balance(result: Mapping[str, Any]) -> bool:
    """Whether balanced accuracy alone shows the model to be better."""
    return better_by_balance(result) is True and (_side(result, headline(result)) or 0) <= 0


def uneven(result: Mapping[str, Any]) -> bool:
    """Whether the largest class has `UNEVEN` times as many rows as the smallest: in training, where that is known."""
    counts = (result.get("details") or {}).get("train_counts")
    counts = counts or [figure["n"] for name, figure in result["metrics"].items() if name.startswith("recall[")]
    there = [count for count in counts if count]
    return len(there) > 1 and max(there) >= UNEVEN * min(there)


def better_classes(result: Mapping[str, Any]) -> dict[str, float]:
    """Classes of which the model is shown to recognise more than the baseline, and by how much (of recall), the largest
    first; p is corrected after Holm, as so many classes are asked at once."""
    baseline = (result.get("details") or {}).get("baseline") or {}
    own = {name: apart for name, apart in (baseline.get("differences") or {}).items() if name.startswith("recall[")}
    adjusted = holm([math.nan if gap["p"] is None else gap["p"] for gap in own.values()])
    better = {
        name.removeprefix("recall[").removesuffix("]"): gap["difference"]
        for (name, gap), p in zip(own.items(), adjusted, strict=True)
        if gap["shown"] and gap["difference"] > 0 and p < 1 - gap["level"]
    }
    return dict(sorted(better.items(), key=lambda pair: -pair[1]))


def _side(result: Mapping[str, Any], name: str | None, other_model: str = "baseline") -> int | None:
    """1 where this figure is shown to be better than the baseline's, -1 where it is shown to be worse, else 0; None
    where there is nothing to compare."""
    beside = (result.get("details") or {}).get(other_model) or {}
    baseline = beside.get("metrics") or {}
    if name is None or name not in baseline or name not in result["metrics"]:
        return None
    own, other = result["metrics"][name], baseline[name]
    higher = own.get("higher_is_better", True)  # results of before it was written down are of classifiers
    if higher is None or own.get("value") is None or other.get("value") is None:
        return None
    turn = 1 if higher else -1
    apart = (beside.get("differences") or {}).get(name) or {}
    if apart.get("p") is not None:
        return 0 if not apart["shown"] else turn if apart["difference"] > 0 else -turn
    if own.get("low") is None or own.get("high") is None:
        return None
    if own["low"] > _first(other.get("high"), other["value"]):
        return turn
    return -turn if own["high"] < _first(other.get("low"), other["value"]) else 0


def never_answered(result: Mapping[str, Any]) -> dict[str, int]:
    """Classes that are among the measured rows, with the number of these, and that no row was called. None of several
    trainings, of which each answered otherwise."""
    figures: Mapping[str, Any] = result["metrics"]
    rows: dict[str, int] = {}
    for name, figure in figures.items():
        if name.startswith("precision[") and not figure["n"]:
            label = name.removeprefix("precision[").removesuffix("]")
            recall = figures.get(f"recall[{label}]") or {}
            if recall.get("n") and Method.of(recall).kind != "trainings":
                rows[label] = int(recall["n"])
    return rows


def _first(end: float | None, value: float) -> float:
    return value if end is None else end
