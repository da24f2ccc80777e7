"""What to be careful of where something was made: that it is told from what is real, or is not what was asked for."""

from __future__ import annotations

from pervade.core.words import percent
from pervade.report import wording
from pervade.report.record import Record

FAR = 0.1  # of the way from two halves of the real data to chance
LESS = 0.05  # named as asked less often than real rows are
ALIKE = 0.1  # how far from one another those made are, real rows being 1: below, they are one and the same
FEW = 100  # measured rows


def too_few(record: Record) -> str | None:
    """Where so few rows were measured that the figures hardly tell anything."""
    result = record.main
    between = result.details.get("floor_and_ceiling") or {} if result else {}
    headline = result.headline if result else None
    if headline is None or not between:
        return None
    floor, ceiling = (between.get(end, {}).get(headline.name) for end in ("floor", "ceiling"))
    loose = None not in (headline.low, headline.high, floor, ceiling) and (
        (headline.high or 0.0) - (headline.low or 0.0) > abs(ceiling - floor)
    )
    if headline.n >= FEW and not loose:
        return None
    trained = record.split_counts.get("train")
    why = (
        f"the interval of the {headline.words.quantity} is wider than the whole way from the real data to chance"
        if loose
        else "what is told by them is partly luck"
    )
    return (
        f"Only {wording.counted(record, headline.n)} were measured"
        f"{f', after {wording.count(trained)} to learn from' if trained else ''}, which is too few to tell how good "
        f"this is: {why}."
    )


def all_alike(record: Record) -> str | None:
    """Where one and the same is made again and again: then some of the figures mean something else."""
    if not _alike(record):
        return None
    by_class = (record.main.details.get("named") or {}).get("by_class") if record.main else False
    often = f"again and again{' of a class' if by_class else ''}"
    return (
        f"It makes all but the same {wording.noun(record, 1)} {often}. Figures that count how many of them lie near "
        "real ones (precision, density, copies) then tell of that one alone, and are 0 or large by its luck."
    )


def _alike(record: Record) -> bool:
    between = (record.main.details.get("floor_and_ceiling") or {}) if record.main else {}
    return bool(between.get("apart", 1.0) < ALIKE)


def copied(record: Record) -> str | None:
    """Where more of what was made is shown to lie near training rows than real ones do."""
    figures = record.main.figures if record.main else {}
    shown = [figures[name] for name in ("copies_pixels", "copies_features") if name in figures]
    shown = [figure for figure in shown if figure.low is not None and figure.low > 0]
    if not shown or _alike(record):
        return None
    told = wording.join([f"{wording.measured(figure)} ({figure.words.inside})" for figure in shown])
    return (
        f"It may repeat what it learnt from: {told} more of what it makes lies as near to a training "
        f"{wording.noun(record, 1)} as the nearest hundredth of the real ones. Look at the nearest ones below."
    )


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
    if (ceiling > floor) == (headline.higher_is_better is not False):  # chance is the better one here
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
