"""Several runs of one recipe, by seeds or folds: each one's own figure with its interval, and how they spread."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from pervade.metrics.interval import student
from pervade.report import chart, dots, wording
from pervade.report.html import Section, render
from pervade.report.record import Figure, Record
from pervade.report.sections import groups

MOST = 8  # figures in the table
ROW = 22  # units of the drawing that a member takes

TEMPLATE = """\
<p>{{ what }}</p>
{{ picture }}
<div class="scroll"><table>
<thead><tr><th>Figure</th><th class="number">mean</th><th class="number">deviation</th><th class="number">lowest</th>
<th class="number">highest</th><th>95% interval</th></tr></thead>
<tbody>
{% for row in rows %}
<tr><th>{{ row.title }}{% if row.direction %} <small class="block">{{ row.direction }}</small>{% endif %}</th>
<td class="number">{{ row.mean }}</td><td class="number">{{ row.deviation }}</td>
<td class="number">{{ row.low }}</td><td class="number">{{ row.high }}</td>
<td>{{ row.together }}{{ row.interval }} <small class="block">{{ row.method }}</small></td></tr>
{% endfor %}
</tbody></table></div>
<p class="note">Each has its own page: {% for name in names %}
<a href="members/{{ name|urlencode }}/report.html">{{ name }}</a>
{%- if not loop.last %}, {% endif %}{% endfor %}.</p>
"""

PICTURE = """\
<figure class="chart">
<figcaption><b>{{ title }}</b> <span class="key first">each of them, with the 95% interval of its own rows</span>
<span class="key second">their mean</span></figcaption>
<svg viewBox="0 0 {{ width }} {{ height }}" role="img" aria-label="{{ summary }}">
<title>{{ summary }}</title>
{% for place, text in x.ticks %}
<line class="grid" x1="{{ place }}" x2="{{ place }}" y1="{{ top }}" y2="{{ base }}"/>
<text x="{{ place }}" y="{{ base + 18 }}" text-anchor="middle">{{ text }}</text>
{% endfor %}
<line class="axis" x1="{{ x.start }}" x2="{{ x.stop }}" y1="{{ base }}" y2="{{ base }}"/>
{% for name, at, low, high, y, words in dots %}
<text x="{{ x.start - 7 }}" y="{{ y + 4.5 }}" text-anchor="end">{{ name }}</text>
{% if low is not none %}
<line class="line first faint" x1="{{ low }}" x2="{{ high }}" y1="{{ y }}" y2="{{ y }}"/>
{% endif %}
<circle class="dot first" cx="{{ at }}" cy="{{ y }}" r="4"><title>{{ words }}</title></circle>
{% endfor %}
<line class="line second" x1="{{ mean }}" x2="{{ mean }}" y1="{{ top }}" y2="{{ base }}"/>
</svg>
</figure>
"""


def section(record: Record) -> Section | None:
    result = record.together
    if not result:
        return None
    names = list(result["members"])
    metrics = {name: summary for name, summary in result["metrics"].items() if summary.get("mean") is not None}
    first = next(iter(metrics), None)
    if record.held_out_groups and first is not None:
        picture = _by_group(first, metrics[first], record)
    else:
        picture = Markup("") if first is None else _picture(first, metrics[first], record)
    body = render(
        TEMPLATE,
        what=_what(result, record),
        picture=picture,
        rows=[_row(record, name, metrics[name]) for name in [name for name in metrics if "[" not in name][:MOST]],
        names=names,
    )
    if record.held_out_groups:
        one = wording.group(record, 1)
        return Section("members", f"Each {one} held out in turn", body)
    return Section("members", f"{len(names)} {result['kind']}", body)


def _what(result: dict[str, Any], record: Record) -> str:
    count = len(result["members"])
    if record.acts:
        return (
            f"The same recipe was trained {count} times in the same environment; only the seed differs. The interval "
            "of the mean is over seeds: how far another set of seeds might lie from it, in these very episodes."
        )
    if result["kind"] == "seeds":
        return (
            f"The same recipe was trained {count} times on the same split; only the seed differs. The interval of the "
            "mean is over seeds: how far another set of seeds might lie from it, on these very rows."
        )
    if record.held_out_groups:
        many = wording.group(record)
        return (
            f"Each of the {count} {many} was tested by a model that was trained on the others and never met this one. "
            f"The verdict's figures are of all {wording.count(result['n'])} predictions together, each row once."
        )
    return (
        f"The rows were divided into {count} folds, and each was tested by a model that was trained on the others. The "
        f"figures are of all {wording.count(result['n'])} predictions together, each row once."
    )


def _row(record: Record, name: str, summary: dict[str, Any]) -> dict[str, Any]:
    values = [own["value"] for own in summary["members"].values()]
    figure = Figure.of(name, summary, record.words)
    words = figure.words
    # Of folds the interval is that of all predictions together, whose figure need not be the mean.
    together = "" if summary["value"] in (None, summary["mean"]) else f"{words.written(summary['value'])} together, "
    return {
        "title": words.title,
        "direction": wording.direction(figure),
        "mean": words.written(summary["mean"]),
        "deviation": words.written(summary["deviation"]),
        "low": words.written(min(values)),
        "high": words.written(max(values)),
        "interval": "none" if None in (summary["low"], summary["high"]) else wording.interval(figure),
        "together": together,
        "method": str(figure.how),
    }


BY_GROUP = """\
<p>{{ spread }} {{ mean }}</p>
{{ table }}
<p class="note">{{ meaning }} The interval of each {{ one }} is of the {{ one }}'s own {{ rows }} alone.</p>
"""


def _by_group(metric: str, summary: dict[str, Any], record: Record) -> Markup:
    """A line a held-out group with its page, the worst first, and what they say of a group that is still to come."""
    named, whole = record.held_out_groups, Figure.of(metric, summary, record.words)
    rows = []
    for name, own in summary["members"].items():
        figure = replace(whole, **{key: own[key] for key in ("value", "low", "high", "n")})
        rows.append(dots.Row(named.get(name, name), figure, link=f"members/{quote(name)}/report.html"))
    rows.sort(key=lambda row: ((row.figure.value or 0.0) * (-1 if whole.higher_is_better is False else 1), row.name))
    one, many = wording.group(record, 1), wording.group(record)
    mean = replace(whole, value=summary["mean"], low=None, high=None, n=len(rows))
    return render(
        BY_GROUP,
        spread=groups.spread(rows, one, many),
        mean=_mean(mean, np.array([row.figure.value for row in rows], np.float64), summary.get("bounds"), one, many),
        table=dots.table(rows, one.capitalize(), wording.noun(record), mean, f"the mean of the {many}"),
        meaning=groups.meaning(record),
        one=one,
        rows=wording.noun(record),
    )


def _mean(whole: Figure, values: np.ndarray, bounds: Any, one: str, many: str) -> str:
    """Each group counting the same: what is to be expected of a group that nobody has met, as far as these tell."""
    least, most = bounds or ((0.0, 1.0) if whole.words.is_share else (None, None))
    low, high = student(values)
    low, high = low if least is None else max(low, least), high if most is None else min(high, most)
    mean = replace(whole, value=float(values.mean()), low=low, high=high)
    if values.std(ddof=1) < 1e-12:
        return f"The mean, each {one} counting the same, is {wording.figure(mean)}."
    return (
        f"The mean, each {one} counting the same, is {wording.figure(mean)}; the 95% interval over {many} "
        f"({wording.interval(mean)}, t of {len(values) - 1} degrees of freedom) is where the mean of other {many} like "
        "these is to be looked for."
    )


def _picture(name: str, metric: dict[str, Any], record: Record) -> Markup:
    """A line a member: its value, and as a bar the interval of its own rows; the mean goes through all."""
    own, figure = metric["members"], Figure.of(name, metric, record.words)
    words = figure.words
    ends = [end for one in own.values() for end in (one["low"], one["value"], one["high"]) if end is not None]
    low, high = min(ends), max(ends)
    room = 0.05 * (high - low) or 0.05
    top = min(high + room, 1.0) if words.is_share else high + room
    x = chart.axis_x(name, max(low - room, 0.0) if low >= 0 else low - room, top)
    start = 78.0  # room for the members' names
    x = chart.Axis(x.title, x.low, x.high, start, x.stop, words.in_percent)
    top, dots = 8, []
    for number, (name, one) in enumerate(own.items()):
        bars = (None, None) if one["low"] is None else (x.place(one["low"]), x.place(one["high"]))
        told = f"{name}: {words.written(one['value'])}, n = {wording.count(one['n'])}"
        dots.append((name, x.place(one["value"]), *bars, top + ROW * (number + 0.5), told))
    base = top + ROW * len(own)
    summary = f"{words.title} of {wording.join([told for *_, told in dots])}"
    return render(
        PICTURE,
        title=words.title + (f" ({lower})" if (lower := wording.direction(figure)) else ""),
        width=chart.WIDTH,
        height=base + 26,
        x=x,
        top=top,
        base=base,
        dots=dots,
        mean=x.place(metric["mean"]),
        summary=summary,
    )
