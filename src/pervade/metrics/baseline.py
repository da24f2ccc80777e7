"""Whether a model does better than its baseline: one answer for the terminal, the report and the model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OVER_SEEDS = "t over"  # how the method of a mean over several trainings begins (members.py)


def headline(result: Mapping[str, Any]) -> str | None:
    """The metric that a verdict is about: the first with a value, since a task lists its metrics by importance.

    `result` is as evaluate writes it: "metrics" by name, each with "value", "low" and "high".
    """
    return next((name for name, each in result["metrics"].items() if each.get("value") is not None), None)


def beats_baseline(result: Mapping[str, Any]) -> bool | None:
    """Whether the headline's interval lies wholly on the better side of the baseline's, or of its value where it has no
    interval. None where there is nothing to compare: no baseline for this metric, no interval, or neither way better.

    That two intervals do not overlap is more than a paired test would ask: who passes here is better indeed. Where
    paired differences are known, their interval decides.
    """
    name = headline(result)
    found = (result.get("details") or {}).get("baseline") or {}
    baseline = found.get("metrics") or {}
    if name is None or name not in baseline:
        return None
    own, other = result["metrics"][name], baseline[name]
    higher = own.get("higher_is_better", True)  # results of before it was written down are of classifiers
    if higher is None or own.get("low") is None or own.get("high") is None or other.get("value") is None:
        return None
    apart = (found.get("differences") or {}).get(name) or {}
    if apart.get("low") is not None:
        return bool(apart["low"] > 0 if higher else apart["high"] < 0)
    if higher:
        return bool(own["low"] > _first(other.get("high"), other["value"]))
    return bool(own["high"] < _first(other.get("low"), other["value"]))


def falls_behind(result: Mapping[str, Any]) -> bool:
    """Whether the headline is shown to be worse than the baseline's, where paired differences are known."""
    name = headline(result)
    found = (result.get("details") or {}).get("baseline") or {}
    apart = (found.get("differences") or {}).get(name) or {}
    if name is None or apart.get("low") is None:
        return False
    higher = result["metrics"][name].get("higher_is_better", True)
    return bool(apart["high"] < 0 if higher else apart["low"] > 0)


def never_answered(result: Mapping[str, Any]) -> dict[str, int]:
    """Classes that are among the measured rows, with the number of these, and that no row was called. None of several
    trainings, of which each answered otherwise."""
    figures: Mapping[str, Any] = result["metrics"]
    found: dict[str, int] = {}
    for name, each in figures.items():
        if name.startswith("precision[") and not each["n"]:
            label = name.removeprefix("precision[").removesuffix("]")
            recall = figures.get(f"recall[{label}]") or {}
            if recall.get("n") and not str(recall.get("method", "")).startswith(OVER_SEEDS):
                found[label] = int(recall["n"])
    return found


def _first(end: float | None, value: float) -> float:
    return value if end is None else end
