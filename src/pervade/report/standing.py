"""The model against its baseline, in sentences: the same ones for the terminal, the page and the card.

What is shown is decided in metrics/baseline.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pervade.core.words import SHARE, percent
from pervade.metrics import baseline
from pervade.report import wording
from pervade.report.record import Figure

MOST_CLASSES = 5  # named


def sentences(result: Mapping[str, Any]) -> list[str]:
    """`result` is as evaluate writes it. Empty where paired differences are not known."""
    told = [_discordant(result), _balance(result), _classes(result)]
    return [sentence for sentence in told if sentence]


def _discordant(result: Mapping[str, Any]) -> str:
    """Row by row: on how many just one of them is right."""
    beside = (result.get("details") or {}).get("baseline") or {}
    counts, name = beside.get("discordant"), baseline.headline(result)
    apart = (beside.get("differences") or {}).get(name)
    if counts is None or apart is None:
        return ""
    won, lost = counts["only_model"], counts["only_baseline"]
    p = "" if apart["p"] is None else f" (p {_probability(apart['p'])})"
    if won == lost == 0:
        return "Each is right on the very rows on which the other is."
    return (
        f"It is right on {wording.count(won)} that the baseline has wrong, and wrong on {wording.count(lost)} that the "
        f"baseline has right{p}."
    )


def _balance(result: Mapping[str, Any]) -> str:
    better = baseline.better_by_balance(result)
    if better is None:
        return ""
    own = replace(Figure.of(baseline.BALANCED, result["metrics"][baseline.BALANCED]), known=SHARE)
    other = result["details"]["baseline"]["metrics"][baseline.BALANCED]["value"]
    shown = "which is shown to be better" if better else "which is not shown to be better"
    return (
        f"The classes are uneven; where each counts the same (balanced accuracy) it reaches {wording.measured(own)} "
        f"against {percent(other)}, {shown}."
    )


def _classes(result: Mapping[str, Any]) -> str:
    """Which classes it finds better, where the total does not tell."""
    if baseline.beats_baseline(result) and not baseline.uneven(result):
        return ""
    names = [f"{wording.quoted(name)} (+{100 * by:.0f} points)" for name, by in baseline.better_classes(result).items()]
    if not names:
        return ""
    return f"It is shown to recognise more than the baseline of {wording.join(names, most=MOST_CLASSES)}."


def _probability(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"
