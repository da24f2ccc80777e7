"""Whether the confidence can be believed: the reliability diagram, its bars, and one sentence."""

from __future__ import annotations

import math
from typing import Any

from pervade.report import calibration, chart, wording
from pervade.report.html import Section, render
from pervade.report.record import Record, Result

HEIGHT = 400  # of the drawing, so that the plot is nearly square
BASE = HEIGHT - chart.BOTTOM  # of the columns
STRIP = 50  # the lower part of it, where the counts stand as columns

TEMPLATE = """\
<p><b>{{ verdict }}</b> {{ sentence }}{% if ece %} Expected calibration error, the mean distance between claim and
truth: {{ ece|figure }} ({{ ece|interval }}, n = {{ ece.n|count }}; lower
is better).{% endif %}</p>
<div class="beside">
<figure class="chart">
<figcaption><b>Share that was right</b><span class="key second">measured, with 95% interval</span>
<span class="key ideal">where claim and truth agree</span></figcaption>
<svg viewBox="0 0 {{ width }} {{ height }}" role="img" aria-label="{{ summary }}">
<title>{{ summary }}</title>
{{ frame }}
<line class="ideal" x1="{{ x.place(x.low) }}" y1="{{ y.place(x.low) }}" x2="{{ x.place(1) }}" y2="{{ y.place(1) }}"/>
{% for bar in bars %}
<g{% if bar.count < few %} class="few"{% endif %}><title>{{ bar.words }}</title>
<rect class="column" x="{{ bar.left }}" width="{{ bar.width }}" y="{{ base - bar.tall }}" height="{{ bar.tall }}"/>
<text class="small" x="{{ bar.middle }}" y="{{ base - bar.tall - 4 }}" text-anchor="middle">{{ bar.n }}</text>
<line class="whisker second" x1="{{ bar.x }}" x2="{{ bar.x }}" y1="{{ bar.low }}" y2="{{ bar.high }}"/>
<circle class="dot second" cx="{{ bar.x }}" cy="{{ bar.y }}" r="4.5"/></g>
{% endfor %}
</svg>
</figure>
<div>
<p class="note">Each dot is a group of {{ many }} about which the model was equally sure. On the dashed line it is right
as often as it claims; below the line it claims too much, above it too little. The columns at the foot count the
{{ many }} of each group; a dot from fewer than {{ few }} says little and is drawn faint.</p>
<details><summary>The numbers</summary><div class="scroll"><table>
<thead><tr><th>It claimed</th><th class="number">on average</th><th class="number">was right</th>
<th class="number">n</th></tr></thead>
<tbody>{% for bar in bars %}
<tr><td>{{ bar.range }}</td><td class="number">{{ bar.claimed }}</td>
<td class="number"><b>{{ bar.right }}</b> <small>{{ bar.interval }}</small></td>
<td class="number">{{ bar.count|count }}</td></tr>
{% endfor %}</tbody></table></div></details>
</div></div>
"""

VERDICTS = {
    "over-confident": "It is surer than it should be (over-confident):",
    "under-confident": "It is less sure than it could be (under-confident):",
    "uneven": "Its confidence fits on average, but cannot be believed everywhere:",
    "undecided": "Whether its confidence can be believed, so few rows cannot tell:",
    "believable": "Its confidence can be believed on the whole:",
}


def section(detail: list[dict[str, Any]], result: Result, record: Record) -> Section | None:
    judgement = calibration.judge(result)
    if judgement is None:
        return None
    filled = [bar for bar in detail if bar["count"]]
    # Confidence starts at one over the number of classes, so with two of them half the drawing would be empty.
    low = math.floor(5 * min(bar["low"] for bar in filled)) / 5
    x = chart.axis_x("how sure the model was", low, 1.0, share=True)
    y = chart.axis_y("", 0.0, 1.0, share=True, foot=BASE - STRIP)
    most = max(bar["count"] for bar in filled)
    body = render(
        TEMPLATE,
        verdict=VERDICTS[judgement.kind],
        sentence=judgement.sentence,
        ece=result.figures.get("ece"),
        bars=[_drawn(bar, x, y, most) for bar in filled],
        x=x,
        y=y,
        frame=chart.frame(x, y, BASE),
        base=BASE,
        few=calibration.FEWEST_ROWS,
        width=chart.WIDTH,
        height=HEIGHT,
        summary=f"Reliability diagram: {judgement.sentence}",
        many=wording.noun(record),
    )
    return Section("reliability", "Can its confidence be believed?", body)


def _drawn(bar: dict[str, Any], x: chart.Axis, y: chart.Axis, most: int) -> dict[str, Any]:
    """Places in the drawing, and the words for the table and for whoever points at the dot."""
    left, right = x.place(max(bar["low"], x.low)), x.place(bar["high"])
    claimed, was_right = wording.percent(bar["confidence"]), wording.percent(bar["accuracy"])
    interval = f"{wording.percent(bar['accuracy_low']).removesuffix('%')} to {wording.percent(bar['accuracy_high'])}"
    return {
        "left": round(left + 1, 1),
        "middle": round((left + right) / 2, 1),
        "width": round(max(right - left - 2, 1), 1),
        "tall": round(max((STRIP - 16) * bar["count"] / most, 1), 1),
        "n": _short(bar["count"]),
        "x": x.place(max(bar["confidence"], x.low)),
        "y": y.place(bar["accuracy"]),
        "low": y.place(bar["accuracy_low"]),
        "high": y.place(bar["accuracy_high"]),
        "words": f"claimed {claimed}, was right on {was_right} ({interval}), n = {wording.count(bar['count'])}",
        "range": f"{wording.percent(bar['low'], 0).removesuffix('%')} to {wording.percent(bar['high'], 0)}",
        "claimed": claimed,
        "right": was_right,
        "interval": interval,
        "count": bar["count"],
    }


def _short(number: int) -> str:
    """A count of at most four signs, for a narrow column: 1.2k, 34k."""
    if number < 1000:
        return str(number)
    return (
        f"{number / 1000:.1f}k"
        if number < 9950
        else f"{number / 1000:.0f}k"
        if number < 999_500
        else f"{number / 1e6:.1f}M"
    )
