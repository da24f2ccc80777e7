"""Values of one kind below one another on a common scale: groups, lengths, held-out speakers. HTML, as `html.track` is:
names may be of any length and wrap, and on a phone the line stands below its figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pervade.report import chart, wording
from pervade.report.html import render
from pervade.report.record import Figure

TEMPLATE = """\
<div class="scroll"><table class="dots">
<thead><tr><th>{{ what }}</th><th>{{ title }}</th><th class="drawn"></th>
<th class="number">{{ many }}</th></tr></thead>
<tbody>
{% for row in rows %}
<tr><th>{% if row.link %}<a href="{{ row.link }}">{{ row.name|label(40) }}</a>{% else %}{{ row.name|label(40) }}
{%- endif %}{% if row.note %}<small class="block">{{ row.note }}</small>{% endif %}</th>
<td>{{ row.figure|measured }}</td><td class="drawn">{{ track(row.figure, "", scale, beside) }}</td>
<td class="number">{{ row.figure.n|count }}</td></tr>
{% endfor %}
</tbody>
<tfoot aria-hidden="true"><tr><td></td><td></td><td class="drawn"><div class="ticks">{% for at, text in ticks %}
<span style="left:{{ at }}%">{{ text }}</span>{% endfor %}</div></td><td></td></tr></tfoot></table></div>
<p class="note">Each dot is one of the lines, with its interval as a bar{% if beside is not none %}; the upright line
is {{ beside_name }}, {{ beside_text }}{% endif %}.{% if lower %} Further to the left is better.{% endif %}</p>
"""


@dataclass(frozen=True)
class Row:
    name: str
    figure: Figure
    note: str = ""
    link: str = ""


def table(
    rows: Sequence[Row], what: str, many: str, beside: Figure | None = None, beside_name: str = "all together"
) -> Markup:
    """`what` heads the names and `many` the numbers of rows; every row's figure is of the same metric."""
    first = rows[0].figure
    axis = _axis([row.figure for row in rows], beside)
    return render(
        TEMPLATE,
        rows=rows,
        what=what,
        title=first.words.title,
        many=many,
        scale=(axis.low, axis.high),
        ticks=axis.ticks,
        beside=None if beside is None else beside.value,
        beside_name=beside_name,
        beside_text="" if beside is None else wording.figure(beside),
        lower=first.higher_is_better is False,
    )


def _axis(figures: Sequence[Figure], beside: Figure | None) -> chart.Axis:
    """As wide as the values and their intervals ask for; its places are percent of the width."""
    shown = [*figures, *([beside] if beside is not None else [])]
    ends = [end for figure in shown for end in (figure.low, figure.value, figure.high) if end is not None]
    low, high = min(ends), max(ends)
    room = chart.room(low, high)
    words = figures[0].words
    top = min(high + room, 1.0) if words.is_share else high + room
    bottom = max(low - room, 0.0) if low >= 0 else low - room
    return chart.Axis("", bottom, top if top > bottom else bottom + 1, 0.0, 100.0, words.in_percent)
