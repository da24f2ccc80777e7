"""What to be careful of where something was made: that it is told from what is real, or is not what was asked for."""

from __future__ import annotations

from pervade.core.words import percent
from pervade.report import wording
from pervade.report.record import Record

FAR = 0.1  # of the way from two halves of the real data to chance
LESS = 0.05  # named as asked less often than real rows are


def unlike_the_real(record: Record) -> str | None:
    """Where the headline stands clearly nearer to chance than two halves of the real data do."""
    result = record.main
    between = result.details.get("floor_and_ceiling") or {} if result else {}
    headline = result.headline if result else None
    if headline is None or headline.value is None:
        return None
    floor, ceiling = (between.get(end, {}).get(headline.name) for end in ("floor", "ceiling"))
    if floor is None or ceiling is None or floor == ceiling:
        return None
    way = (headline.value - floor) / (ceiling - floor)
    ends = [(end - floor) / (ceiling - floor) for end in (headline.low, headline.high) if end is not None]
    if way <= FAR or min(ends, default=way) <= 0:  # or it may be as good as can be
        return None
    return (
        f"What it makes is told from real {wording.noun(record)}: by the {headline.words.quantity} it stands "
        f"{percent(min(way, 1.0), 0)} of the way from the real data to chance."
    )


def not_as_asked(record: Record) -> str | None:
    """Where a classifier calls fewer of those made what was asked for than it does of real rows."""
    result = record.main
    figure = result.figures.get("named_as_asked") if result else None
    floor = (result.details.get("floor_and_ceiling") or {}).get("floor", {}).get("named_as_asked") if result else None
    if figure is None or figure.high is None or floor is None or figure.high >= floor - LESS:
        return None
    return (
        f"It does not always make what it is asked for: the judge calls {wording.measured(figure)} so, and "
        f"{percent(floor)} of real {wording.noun(record)}."
    )
