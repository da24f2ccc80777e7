"""Whether the model's confidence can be believed, in one plain sentence, from the bars of the reliability diagram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pervade.metrics.interval import wilson
from pervade.report import wording
from pervade.report.record import Result

FEWEST_ROWS = 20  # of a bar that may stand as an example
WIDEST = 0.2  # interval of the share that was right beyond which nothing can be said of how well it fits


@dataclass(frozen=True)
class Judgement:
    kind: str  # over-confident, under-confident, believable, or undecided
    sentence: str
    confidence: float  # mean of the top probabilities
    accuracy: float
    n: int


def judge(result: Result | None) -> Judgement | None:
    """None where there are no probabilities to judge.

    Over- or under-confident is what lies outside Wilson's interval of the share that was right; where that is wide,
    lying inside says nothing.
    """
    bars = [bar for bar in (result.details.get("reliability") or [] if result else []) if bar["count"]]
    total = sum(bar["count"] for bar in bars)
    if not total:
        return None
    hits = sum(bar["count"] * bar["accuracy"] for bar in bars)
    confidence = sum(bar["count"] * bar["confidence"] for bar in bars) / total
    low, high = wilson(min(max(hits, 0.0), total), total)
    kind = "over-confident" if confidence > high else "under-confident" if confidence < low else "believable"
    if kind == "believable" and high - low > WIDEST:
        kind = "undecided"
    sentence = (
        f"on average it claimed to be {wording.percent(confidence)} sure, and it was right on "
        f"{wording.percent(hits / total)} ({wording.percent(low).removesuffix('%')} to {wording.percent(high)}, "
        f"n = {wording.count(total)}).{_example(bars)}"
    )
    return Judgement(kind, sentence, confidence, hits / total, total)


def _example(bars: list[dict[str, Any]]) -> str:
    """The surest bar that has enough rows, in words."""
    enough = [bar for bar in bars if bar["count"] >= FEWEST_ROWS]
    if not enough:
        return ""
    bar = enough[-1]
    return (
        f" Where it was surest ({wording.percent(bar['confidence'], 0)} on average), it was right on "
        f"{wording.percent(bar['accuracy'], 0)} ({wording.percent(bar['accuracy_low'], 0).removesuffix('%')} to "
        f"{wording.percent(bar['accuracy_high'], 0)}, n = {wording.count(bar['count'])})."
    )
