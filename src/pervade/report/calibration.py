"""Whether the model's confidence can be believed, in one plain sentence, from the bars of the reliability diagram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pervade.metrics.interval import wilson
from pervade.report import wording
from pervade.report.record import Result

FEWEST_ROWS = 20  # of a bar that may stand as an example
APART = 0.02  # claim and truth over all rows that lie nearer agree for whoever uses them, however sure the distance is
WORST = 0.05  # the same of a single bar
WIDEST = 0.2  # interval of the share that was right beyond which nothing can be said of how well it fits


@dataclass(frozen=True)
class Judgement:
    kind: str  # over-confident, under-confident, uneven (right on average, not everywhere), believable, or undecided
    sentence: str
    confidence: float  # mean of the top probabilities
    accuracy: float
    n: int


def judge(result: Result | None) -> Judgement | None:
    """None where there are no probabilities to judge.

    Over- or under-confident is what lies outside Wilson's interval of the share that was right, and not just beside it;
    where that is wide, lying inside says nothing. Where it fits on average, the worst bar decides.
    """
    bars = [bar for bar in (result.details.get("reliability") or [] if result else []) if bar["count"]]
    total = sum(bar["count"] for bar in bars)
    if not total:
        return None
    hits = sum(bar["count"] * bar["accuracy"] for bar in bars)
    confidence = sum(bar["count"] * bar["confidence"] for bar in bars) / total
    low, high = _interval(result, hits / total, total)
    kind = "over-confident" if confidence > high else "under-confident" if confidence < low else "believable"
    if abs(confidence - hits / total) < APART:
        kind = "believable"
    worst, outside = _worst(bars)
    if kind == "believable" and worst is not None:
        kind = "uneven"
    elif kind == "believable" and high - low > WIDEST:
        kind = "undecided"
    # Costs, thresholds and rare classes may have others answered.
    of = ", and it" if _is_accuracy(result, hits / total) is not False else " of the likeliest class, and that"
    sentence = (
        f"on average it claimed to be {wording.percent(confidence)} sure{of} was right on "
        f"{wording.percent(hits / total)} ({wording.percent(low).removesuffix('%')} to {wording.percent(high)}, "
        f"n = {wording.count(total)}).{_example(bars, worst)}"
    )
    if worst is not None:
        which = f"the farthest off of {wording.count(outside)} of the {wording.count(len(bars))} groups"
        if outside == 1:
            which = f"the one of {wording.count(len(bars))} groups" if len(bars) > 1 else "the one group"
        chance = " (one in twenty would not by chance)" if outside == 1 and len(bars) > 1 else ""
        sentence += (
            f" {'But where' if kind == 'uneven' else 'Where'} it claimed {_claims(worst)}, {which} whose interval does "
            f"not hold the claim{chance}."
        )
    return Judgement(kind, sentence, confidence, hits / total, total)


def _interval(result: Result | None, share: float, total: int) -> tuple[float, float]:
    """Of the share that was right: that of the accuracy, where it is the same share, so that one page has one interval
    for it; else Wilson's."""
    known = result.figures.get("accuracy") if result else None
    if known is not None and _is_accuracy(result, share) and known.low is not None and known.high is not None:
        return known.low, known.high
    return wilson(min(max(share * total, 0.0), total), total)


def _is_accuracy(result: Result | None, share: float) -> bool | None:
    """Whether the likeliest class is right as often as the answer; None where that is not known."""
    known = result.figures.get("accuracy") if result else None
    return None if known is None or known.value is None else abs(known.value - share) < 1e-9


def _worst(bars: list[dict[str, Any]]) -> tuple[dict[str, Any] | None, int]:
    """The bar whose claim lies farthest from its truth, of those whose interval does not hold the claim, and how many
    these are."""
    wrong = [
        bar
        for bar in bars
        if not bar["accuracy_low"] <= bar["confidence"] <= bar["accuracy_high"]
        and abs(bar["confidence"] - bar["accuracy"]) >= WORST
    ]
    return max(wrong, key=lambda bar: abs(bar["confidence"] - bar["accuracy"]), default=None), len(wrong)


def _claims(bar: dict[str, Any]) -> str:
    return (
        f"{wording.percent(bar['confidence'], 0)}, it was right on {wording.percent(bar['accuracy'], 0)} "
        f"({wording.percent(bar['accuracy_low'], 0).removesuffix('%')} to {wording.percent(bar['accuracy_high'], 0)}, "
        f"n = {wording.count(bar['count'])})"
    )


def _example(bars: list[dict[str, Any]], told: dict[str, Any] | None) -> str:
    """The surest bar that has enough rows, in words, unless it is `told` anyway."""
    enough = [bar for bar in bars if bar["count"] >= FEWEST_ROWS]
    if not enough or enough[-1] is told:
        return ""
    bar = enough[-1]
    return (
        f" Where it was surest ({wording.percent(bar['confidence'], 0)} on average), it was right on "
        f"{wording.percent(bar['accuracy'], 0)} ({wording.percent(bar['accuracy_low'], 0).removesuffix('%')} to "
        f"{wording.percent(bar['accuracy_high'], 0)}, n = {wording.count(bar['count'])})."
    )
