"""What was promised of answers: whether it is kept, what it costs, and the curve on which that was chosen.

Each promise says its own sentence and draws its own curve (core/contracts/promises.py: Told); none is known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from pervade.report import chart, promised, wording
from pervade.report.html import Section, render
from pervade.report.record import Record

FLAT = 0.01  # of where a curve ends
LONGEST = 60  # letters at the foot of a drawing
WIDEST = 0.5  # interval of a share of which something is known

TEMPLATE = """\
{% if promises|selectattr("n")|list %}
<p>What is promised of answers was settled on {{ many }} that chose nothing else: no pass, no model, no temperature. It
holds of {{ many }} like those, and is kept wherever this model answers.</p>
{% endif %}
{% for promise in promises %}
<h3><code>{{ promise.flag|label(200) }}</code></h3>
<p>{{ promise.sentence }}{% if promise.n %} Settled on {{ promise.n|count }} {{ many }}.{% endif %}</p>
{{ promise.picture }}
{% if promise.across %}<p class="note">Across: {{ promise.across }}</p>{% endif %}
{% endfor %}
"""

MEMBERS = """\
<p>Each of the {{ members|length }} {{ kind }} settled its own promises, on {{ many }} that chose nothing else
in it.</p>
<div class="scroll"><table>
<thead><tr><th></th><th>Promised</th><th>What became of it</th><th class="number">Settled on</th></tr></thead>
<tbody>
{% for name, promises in members.items() %}{% for promise in promises %}
<tr><th class="amount"><a href="members/{{ name|urlencode }}/report.html">{{ name|label(40) }}</a></th>
<td><code>{{ promise.flag|label(200) }}</code></td><td>{{ promise.sentence }}</td>
<td class="number">{{ promise.n|count }}</td></tr>
{% endfor %}{% endfor %}
</tbody></table></div>
"""


def section(record: Record) -> Section | None:
    if members := record.promises_of_members:
        told = {name: [_told(promise) for promise in promises] for name, promises in members.items()}
        kind = str(record.together.get("kind"))
        body = render(MEMBERS, members=told, kind=kind, many=wording.noun(record))
    elif record.main is not None and (stored := record.main.promises):
        body = render(TEMPLATE, promises=[_told(promise) for promise in stored], many=wording.noun(record))
    else:
        return None
    return Section("promises", "What is promised", body)


def _told(promise: Mapping[str, Any]) -> dict[str, Any]:
    curve = promise.get("curve") or {}
    return {
        "flag": promise["flag"],
        "sentence": promised.sentence(promise),
        "n": promise.get("n") or 0,
        "picture": _picture(promise["flag"], curve),
        "across": "" if _fits(curve) else curve.get("x_title"),
    }


def _fits(curve: Mapping[str, Any]) -> bool:
    """Whether what is across can stand at the foot of a drawing: it may hold the name of a class."""
    return len(curve.get("x_title") or "") <= LONGEST


def _picture(flag: str, curve: Mapping[str, Any]) -> Markup:
    """The curve with its interval as a band, and the chosen point ringed; beside it what was promised, and the point
    of the likeliest answers."""
    points = _known(curve)
    if len(points) < 2:
        return Markup("")
    chosen, likeliest = ([tuple(curve[name])] if curve.get(name) else [] for name in ("at", "likeliest"))
    across_promised, promised = (curve.get(f"promised_{axis}") for axis in "xy")
    asked = [] if across_promised is None else [across_promised]
    end = max([_rises_to(points), *(3 * at for at, _ in chosen), *(1.1 * at for at, _ in likeliest), *asked])
    line = [(x, y) for x, y, _, _ in points if x <= end]
    band = [(x, low, high) for x, _, low, high in points if x <= end and low is not None and high is not None]
    marked = [*line, *chosen, *likeliest]
    values = [y for _, y in marked] + [bound for _, low, high in band for bound in (low, high)]
    values += [] if promised is None else [promised]
    across, title = str(curve["x_title"]), str(curve["y_title"])
    x = _axis(chart.axis_x, across if _fits(curve) else "", [*(at for at, _ in marked), *asked])
    y = _axis(chart.axis_y, f"{title[:1].upper()}{title[1:]}", values)
    lines, bands = [chart.Line("", line, "first")], [chart.Band("its interval", band, "first")] if band else []
    summary = f"{title} against {across}, for {flag}"
    if promised is not None:
        lines.append(chart.Line("promised", [(x.low, promised), (x.high, promised)], "second faint"))
        summary += f"; promised {y.text(promised)}"
    if across_promised is not None:
        name = "promised" if promised is None else ""
        lines.append(chart.Line(name, [(across_promised, y.low), (across_promised, y.high)], "second faint"))
        summary += f"; promised at most {x.text(across_promised)} across"
    for at, value in likeliest:
        lines.append(chart.Line("the likeliest answers", [(at, value)], "third", over=across))
        summary += f"; the likeliest answers at {x.text(at)}, {y.text(value)}"
    for at, value in chosen:
        lines.append(chart.Line("as settled", chosen, "second", dots=True, marked=at, over=across))
        summary += f"; settled at {across} {x.text(at)}, {title} {y.text(value)}"
    return chart.lines(x, y, lines, summary, bands=bands)


def _known(curve: Mapping[str, Any]) -> list[tuple[float, float, float | None, float | None]]:
    """The points (x, y, low, high), without those at its beginning that are of so few rows that they say nothing."""
    ends = [curve.get(name) or [None] * len(curve.get("x") or []) for name in ("low", "high")]
    points = list(zip(curve.get("x") or [], curve.get("y") or [], *ends, strict=True))
    told = [i for i, (_, _, low, high) in enumerate(points) if low is None or high is None or high - low < WIDEST]
    return points[told[0] :] if told else points


def _rises_to(points: Sequence[tuple[float, float, Any, Any]]) -> float:
    """The x from which on the curve is about where it ends: beyond, there is nothing to see."""
    last = points[-1][1]
    far = [i for i, (_, y, _, _) in enumerate(points) if abs(y - last) > FLAT * abs(last)]
    return points[min(far[-1] + 1, len(points) - 1)][0] if far else points[-1][0]


def _axis(make: Any, title: str, values: Sequence[float]) -> chart.Axis:
    """From 0, unless all is far from it, to a little above the largest."""
    low, high = min(values), max(values)
    room, share = chart.room(low, high), low >= 0 and high <= 1
    least = 0.0 if 0 <= low < 0.5 else low - room
    axis: chart.Axis = make(title, least, min(high + room, 1.0) if share else high + room, share)
    return axis
