"""Whom it serves how well: the figure of the verdict by group of rows (of speech: by speaker), and by duration."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from pervade.report import dots, wording
from pervade.report.html import Section, render
from pervade.report.record import Figure, Record
from pervade.report.subsets import Measured, measured

MOST = 40  # groups that are shown; of more the worst
FEWEST_EACH = 5  # rows a group, on average: with fewer a group's figure is chance
PARTS = 4  # quarters of the rows by their duration
FEWEST_ROWS = 20  # that are cut in quarters

GROUPS = """\
<p>{{ spread }}{% if more %} Shown are the {{ shown|count }} worst; the worst of so many are in part the unluckiest.
{% endif %}</p>
{{ table }}
<p class="note">{{ meaning }} Each interval is of the {{ one }}'s own {{ many }}, taken as independent of one another:
it says how sure the figure of this {{ one }} is, and nothing of the next one.</p>
"""

DURATIONS = """\
<p>The {{ many }} sorted by their length and cut into {{ parts }} parts
{%- if even %} of nearly equal number{% else %}, which are of unequal number since many are equally long{% endif %}.</p>
{{ table }}
"""


def section(record: Record) -> list[Section]:
    scores = measured(record)
    if scores is None:
        return []
    parts = [_groups(record, scores), _covered(record), _durations(record, scores)]
    return [part for part in parts if part is not None]


def _covered(record: Record) -> Section | None:
    """How often the truth is in the sets or ranges that were promised, where groups count in that."""
    known = record.main is not None and "coverage_of_groups" in record.main.figures
    scores = measured(record, "coverage") if known else None
    return None if scores is None else _groups(record, scores, "covered", ": how often the truth is in what is said")


def _groups(record: Record, scores: Measured, name: str = "groups", of: str = "") -> Section | None:
    names = scores.column(record, "group") if "group" in record.columns else None
    if names is None or record.held_out_groups:  # which the section of all members shows
        return None
    places = _places(names)
    if len(places) < 2 or len(names) < FEWEST_EACH * len(places):
        return None
    rows = [dots.Row(name, figure) for name, at in places.items() if (figure := scores.figure(at, apart=True))]
    if len(rows) < 2:
        return None
    lower = scores.metric.higher_is_better is False
    rows.sort(key=lambda row: ((row.figure.value or 0.0) * (-1 if lower else 1), row.name))
    one, groups = wording.group(record, 1), wording.group(record)
    many = wording.noun(record)
    body = render(
        GROUPS,
        spread=spread(rows, one, groups),
        more=len(rows) > MOST,
        shown=MOST,
        table=dots.table(rows[:MOST], one.capitalize(), many, _overall(record, scores), f"all {groups} together"),
        meaning=meaning(record),
        one=one,
        many=many,
    )
    return Section(name, f"{one.capitalize()} by {one}{of}", body)


def _places(names: list[Any]) -> dict[str, list[int]]:
    """Positions of the measured rows of each group."""
    places: dict[str, list[int]] = defaultdict(list)
    for position, name in enumerate(names):
        places[str(name)].append(position)
    return places


def spread(rows: list[dots.Row], one: str, many: str) -> str:
    """How far apart the groups lie, in a sentence; the rows stand from worst to best."""
    worst, best = rows[0], rows[-1]
    values = np.array([row.figure.value for row in rows], np.float64)
    words, apart = worst.figure.words, values.std(ddof=1)
    deviation = f"{100 * apart:.1f} points" if words.in_percent else wording.number(apart)
    return (
        f"From {one} to {one} the {words.quantity} differs: {wording.figure(worst.figure)} with "
        f"{wording.quoted(worst.name)}, the worst, and {wording.figure(best.figure)} with {wording.quoted(best.name)}, "
        f"the best of {wording.count(len(rows))} {many}. The standard deviation between {many} is {deviation}."
    )


def meaning(record: Record) -> str:
    one = wording.group(record, 1)
    if one == "group":
        return "A group is what the data says belongs together."
    return f"For a {one} is taken what the data gives as a group (its column, or --group-by, or --group-pattern)."


def _durations(record: Record, scores: Measured) -> Section | None:
    column = scores.column(record, "seconds")
    if column is None or not all(isinstance(length, (int, float)) for length in column):
        return None
    seconds = np.asarray(column, np.float64)
    if len(seconds) < FEWEST_ROWS or not np.isfinite(seconds).all():
        return None
    edges = np.unique(np.quantile(seconds, np.linspace(0, 1, PARTS + 1)))
    if len(edges) < 3:  # all of nearly one length
        return None
    part = np.clip(np.searchsorted(edges, seconds, side="right") - 1, 0, len(edges) - 2)
    rows = []
    for number in range(len(edges) - 1):
        at = np.flatnonzero(part == number).tolist()
        figure = scores.figure(at) if at else None
        if figure is not None and not figure.has_interval:  # every speaker alike, say: 20 right of 20
            figure = scores.figure(at, apart=True)
        if figure is not None:
            rows.append(dots.Row(_range(edges[number], edges[number + 1]), figure))
    if len(rows) < 2:
        return None
    many = wording.noun(record)
    numbers = [row.figure.n for row in rows]
    body = render(
        DURATIONS,
        even=max(numbers) <= 1.25 * min(numbers) + 1,
        parts=wording.NUMBERS.get(len(rows), str(len(rows))),
        many=many,
        table=dots.table(rows, "Duration", many, _overall(record, scores), f"all {many} together"),
    )
    return Section("durations", "Short and long ones", body)


def _range(low: float, high: float) -> str:
    digits = 2 if high < 10 else 1
    return f"{low:.{digits}f} to {high:.{digits}f} s"


def _overall(record: Record, scores: Measured) -> Figure | None:
    return record.main.figures.get(scores.name) if record.main is not None else None
