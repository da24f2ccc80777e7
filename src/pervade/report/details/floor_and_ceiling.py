"""Each figure between what two halves of the real data come to, and what chance does."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from pervade.report import wording
from pervade.report.html import Section, render, track
from pervade.report.record import Figure, Record, Result

TEMPLATE = """\
<p>A distance alone says little. So each is measured three times beside half of the real {{ many }} that were measured,
with {{ n|count }} on either side, in the {{ features|count }} features of {{ judge }}: for the other half, which is as
good as can be (the left end of a line, the floor); for what was made; and for {{ many }} whose values are drawn one by
one, each by the mean and the deviation that it has in training (the right end, the ceiling).
{%- if training %} Training {{ many }} beside measured ones come to {{ training[1] }} by the {{ training[0] }}: more
than the floor, since the two were taken in other ways{% if not random %}, or the judge knows the first by heart
{%- endif %}.{% endif %}</p>
<div class="scroll"><table class="dots">
<thead><tr><th>Figure</th><th>Made</th><th class="drawn">From the floor to the ceiling</th>
<th class="number">n</th></tr></thead>
<tbody>
{% for figure, floor, ceiling, drawn, why in rows %}
<tr><th>{{ figure.words.title }}{% if figure|direction %}<small class="block">{{ figure|direction }}</small>{% endif %}
</th><td>{{ figure|measured }}</td><td class="drawn">{{ drawn }}
{% if why %}<small>{{ why }}</small>{% else %}
<div class="scale"><span>{{ floor }}</span><span>{{ ceiling }}</span></div>{% endif %}</td>
<td class="number">{{ figure.n|count }}</td></tr>
{% endfor %}
</tbody></table></div>
<p class="note">In figures is what all made ones come to; where that hangs on how many there are, {{ n|count }} of
them are drawn, without an interval. What lies beyond an end is drawn at it: a model that makes the same picture again
and again may be worse than chance.{% if random %} Weights that learnt nothing see less than those that did, so these
figures say less, too.{% endif %}{% if folder %} What was measured is kept with its seeds in
<code>{{ folder }}</code>, the real ones beside it, so that others can measure it too.{% endif %}</p>
"""


def section(detail: dict[str, Any], result: Result, record: Record) -> Section | None:
    floor, ceiling = detail.get("floor") or {}, detail.get("ceiling") or {}
    rows, of_as_many = [], detail.get("made") or {}
    for name, figure in result.figures.items():
        ends = floor.get(name), ceiling.get(name)
        if figure.value is not None and ends != (None, None):
            same = name not in of_as_many
            shown = figure if same else replace(figure, value=of_as_many[name], low=None, high=None, n=int(detail["n"]))
            drawn, why = _drawn(shown, *ends)
            rows.append((figure, *(figure.words.written(end) for end in ends), drawn, why))
    if not rows:
        return None
    headline, training = result.headline, detail.get("training")
    beside = headline and training is not None and training > floor.get(headline.name, math.inf)
    body = render(
        TEMPLATE,
        n=int(detail["n"]),
        features=int(detail["features"]),
        judge=wording.label(detail["judge"], 120),
        random=bool(detail.get("random")),
        many=wording.noun(record),
        training=(headline.words.quantity, headline.words.written(training)) if headline and beside else None,
        rows=rows,
        folder=wording.label((result.details.get("kept") or {}).get("folder", ""), 120),
    )
    return Section("floor-and-ceiling", "Between the real data and chance", body)


def _drawn(figure: Figure, floor: float | None, ceiling: float | None) -> tuple[str, str]:
    """Its place between the two, or else why it has none; neither where one of them is not known."""
    written = figure.words.written
    if floor is None or ceiling is None:
        return "", ""
    if floor == ceiling:
        return "", f"chance and two halves of the real data both come to {written(floor)}: nothing to be told by"
    if (ceiling > floor) == (figure.higher_is_better is not False):
        return "", f"chance ({written(ceiling)}) is not worse here than two halves of the real data ({written(floor)})"
    return track(figure, "first", (floor, ceiling)), ""
