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
    told = [_floor(result), _discordant(result), _classes(result)]
    return [sentence for sentence in told if sentence]


def _floor(result: Mapping[str, Any]) -> str:
    """What two halves of the real data come to, where what was made is measured by them."""
    name = baseline.headline(result)
    detail = (result.get("details") or {}).get("floor_and_ceiling") or {}
    value = (detail.get("floor") or {}).get(name)
    if name is None or value is None:
        return ""
    written = Figure.of(name, result["metrics"][name]).words.written(value)
    return f"Two halves of the real data, of {detail['n']:,} each, come to {written}."


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


def balanced(result: Mapping[str, Any]) -> Figure | None:
    """Balanced accuracy, where classes are so uneven that accuracy alone says little, or something is done about it."""
    stored = result["metrics"].get(baseline.BALANCED) or {}
    if stored.get("value") is None or baseline.headline(result) != "accuracy":
        return None
    figure = Figure.of(baseline.BALANCED, stored)
    return replace(figure, known=SHARE) if figure.words.beside or baseline.uneven(result) else None


def balance(result: Mapping[str, Any]) -> str:
    """What it reaches then, to be said beside the accuracy; else empty."""
    own, better = balanced(result), baseline.better_by_balance(result)
    if own is None:
        return ""
    text = f"Where each class counts the same (balanced accuracy) it reaches {wording.measured(own)}"
    if better is None:
        return f"{text}."
    other = result["details"]["baseline"]["metrics"][baseline.BALANCED]["value"]
    shown = "which is shown to be better" if better else "which is NOT shown to be better"
    return f"{text}, against {percent(other)} of the baseline, {shown}."


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
