"""What was answered against what is true, a dot for each row; on the diagonal an answer is right."""

from __future__ import annotations

from typing import Any

from pervade.report import chart, wording
from pervade.report.html import Section, render
from pervade.report.record import Record, Result

HEIGHT = 400  # of the drawing, so that the plot is nearly square

TEMPLATE = """\
<div class="beside">
<figure class="chart">
<figcaption><b>The model's answer</b><span class="key">one of {{ points|length|count }} {{ many }}</span>
<span class="key ideal">where answer and truth agree</span></figcaption>
<svg viewBox="0 0 {{ width }} {{ height }}" role="img" aria-label="{{ summary }}">
<title>{{ summary }}</title>
{% if band %}<polygon class="column" points="{{ band }}"/>{% endif %}
{{ frame }}
<line class="ideal" x1="{{ x.place(low) }}" y1="{{ y.place(low) }}" x2="{{ x.place(high) }}" y2="{{ y.place(high) }}"/>
{% for at_x, at_y, words in points %}
<circle class="dot first" cx="{{ at_x }}" cy="{{ at_y }}" r="3"><title>{{ words }}</title></circle>
{% endfor %}
</svg>
</figure>
<div>
<p>{{ summary }}</p>
<p class="note">Each dot is one of the {{ many }} measured{% if n > points|length %} ({{ points|length|count }} of
{{ n|count }}, evenly spaced in the data){% endif %}. Above the dashed line the answer is too large, below it too small.
A cloud flatter than the line means that the model keeps to the middle: it calls large ones too small and small ones too
large.{% if reach %} The shaded band is what the model gives with its answers: ± {{ reach }}, which was to hold
90% of the truths.{% if coverage %} It holds {{ coverage|measured }} of these.{% endif %}{% endif %}</p>
</div></div>
"""


def section(detail: list[list[float]], result: Result, record: Record) -> Section | None:
    targets, answers = [point[0] for point in detail], [point[1] for point in detail]
    low, high = min(targets + answers), max(targets + answers)
    room = 0.04 * (high - low) or 1.0
    low, high = low - room, high + room
    x = chart.axis_x("what is true", low, high)
    y = chart.axis_y("", low, high, foot=HEIGHT - chart.BOTTOM)
    reach = result.details.get("reach")
    body = render(
        TEMPLATE,
        points=[(x.place(t), y.place(a), f"said {wording.number(a)}, is {wording.number(t)}") for t, a in detail],
        x=x,
        y=y,
        low=low,
        high=high,
        band=_band(x, y, reach) if reach else "",
        reach=wording.number(reach) if reach else "",
        coverage=_known(result, "coverage"),
        frame=chart.frame(x, y),
        width=chart.WIDTH,
        height=HEIGHT,
        n=result.n,
        many=wording.noun(record),
        summary=_summary(result),
    )
    return Section("scatter", "Answer against truth", body)


def _summary(result: Result) -> str:
    parts = [
        f"{words} {wording.measured(figure)}"
        for name, words in (("r2", "the share of variance explained is"), ("spearman", "the correlation of ranks"))
        if (figure := _known(result, name)) is not None
    ]
    text = wording.join(parts)
    return (
        f"{text[:1].upper()}{text[1:]}, n = {wording.count(result.n)}." if text else f"n = {wording.count(result.n)}."
    )


def _known(result: Result, name: str) -> Any:
    figure = result.figures.get(name)
    return figure if figure is not None and figure.value is not None else None


def _band(x: chart.Axis, y: chart.Axis, reach: float) -> str:
    """A polygon around the diagonal, cut off at the frame."""
    low, high = x.low, x.high
    corners = [(low, low - reach), (low, low + reach), (high - reach, high), (high, high), (high, high - reach)]
    corners = (
        [*corners, (low + reach, low)] if reach < high - low else [(low, low), (low, high), (high, high), (high, low)]
    )
    inside = [(a, min(max(b, low), high)) for a, b in corners]
    return " ".join(f"{x.place(a)},{y.place(b)}" for a, b in inside)
