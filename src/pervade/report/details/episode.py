"""One episode to watch: the film, and below it what the agent made of what it saw, step by step."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from pervade.core.contracts.capabilities import Acting
from pervade.report import chart, inside, preprocessing, wording
from pervade.report.html import Section, render
from pervade.report.record import Record, Result

LOOKS = ("first", "second", "third", "fourth", "fifth", "sixth")
SMOOTHED = 60  # steps; of longer episodes a line is drawn faint, with its moving mean over it

TEMPLATE = """\
<p>The first of the measured episodes, played again: seed {{ seed }}, {{ best }} each time. It lasted
{{ length|count }} {{ "step" if length == 1 else "steps" }}, and its return is {{ total }}.</p>
{% if source %}
<figure class="film"><img src="{{ source }}" alt="Film of the episode: {{ caption }}">
<figcaption>{{ caption }}</figcaption></figure>
{% else %}<p class="note">{{ why }}</p>{% endif %}
<div class="beside">{% for chart in charts %}{{ chart }}{% endfor %}</div>
<p class="note">{{ note }}</p>
"""


def section(detail: dict[str, Any], result: Result, record: Record) -> Section | None:
    source, why = "", "The environment draws nothing, so there is no film of it."
    if detail.get("film"):
        source, why = inside.address(detail["film"], record, "film")
    charts = [chart for chart in (_actions(detail, result, record), _value(detail)) if chart is not None]
    body = render(
        TEMPLATE,
        seed=detail.get("seed", "not recorded"),
        best=record.words.task.best,
        length=int(detail.get("length") or 0),
        total=record.words.figure("return").written(detail.get("return")),
        source=source,
        why=why,
        caption=wording.label((detail.get("film") or {}).get("caption", ""), 200),
        charts=charts,
        note=_note(detail, _space(result, record)),
    )
    return Section("episode", "One episode", body)


def _actions(detail: dict[str, Any], result: Result, record: Record) -> Markup | None:
    """A line an action: its chance, or the value the agent gives it, or what it means to do."""
    key = "values" if "values" in detail else "chances"
    rows = detail.get(key) or []
    if not rows:
        return None
    numbers = _is_continuous(rows, result, record) and key == "chances"
    columns = list(zip(*rows, strict=True))
    # What is weighed most is shown: the largest chances or values, or the actions that move most.
    weights = [max(column) - min(column) if numbers else sum(column) for column in columns]
    shown = sorted(sorted(range(len(columns)), key=lambda i: (-weights[i], i))[: len(LOOKS)])
    title = {"values": "Value of every action", "chances": "Chance of every action"}[key]
    title = "Action it means to take" if numbers else title
    if len(shown) < len(columns):
        title += f", the {len(shown)} weightiest of {len(columns)}"
    named = _names(len(columns), numbers, result, record)
    points = [_points(detail, columns[i]) for i in shown]
    share = key == "chances" and not numbers
    ends = [value for line in points for _, value in line]
    low, high = (0.0, 1.0) if share else _room(min(ends), max(ends))
    y = chart.axis_y(title, low, high, share)
    lines = [
        line
        for i, line_points, look in zip(shown, points, LOOKS, strict=False)
        for line in _lines(named[i], line_points, look, len(shown) <= 2)
    ]
    means = [f"{named[i]} {_said(line_points, share)}" for i, line_points in zip(shown, points, strict=True)]
    return chart.lines(_steps(detail), y, lines, f"{title}, means over the episode: {wording.join(means, most=6)}")


def _value(detail: dict[str, Any]) -> Markup | None:
    points = _points(detail, detail.get("value") or [])
    if not points:
        return None
    y = chart.axis_y("Value of the state", *_room(min(b for _, b in points), max(b for _, b in points)))
    summary = f"value of the state from {wording.number(points[0][1])} to {wording.number(points[-1][1])}"
    return chart.lines(_steps(detail), y, [chart.Line("", points, "first")], summary)


def _note(detail: dict[str, Any], space: dict[str, Any]) -> str:
    text = (
        "The value is what the agent takes the rest of the episode to be worth, as it learnt it: later rewards count "
        "less, and rewards may have been scaled in training."
    )
    if space.get("kind") == "continuous" and space.get("scale"):
        text += " Actions are in units of their range: -1 is its lower end and 1 its upper one, where it has both."
    if len(detail.get("value") or []) > SMOOTHED:
        text += " Of the actions, faint lines are single steps, and the others their moving means."
    return text


def _is_continuous(rows: list[list[float]], result: Result, record: Record) -> bool:
    """Whether actions are numbers. Where the checkpoint does not tell, chances are known by their sum."""
    kind = _space(result, record).get("kind")
    return bool(kind == "continuous" if kind else any(abs(sum(row) - 1) > 0.01 for row in rows))


def _space(result: Result, record: Record) -> dict[str, Any]:
    domain = preprocessing.domain(record, result.checkpoint)
    return domain.action if isinstance(domain, Acting) else {}


def _names(count: int, numbers: bool, result: Result, record: Record) -> list[str]:
    """Actions are numbered as Gymnasium numbers them, from 0; of several choices at once each has its own numbers."""
    sizes = [] if numbers else _space(result, record).get("sizes") or []
    if len(sizes) > 1 and sum(sizes) == count:
        return [f"choice {i}, action {j}" for i, size in enumerate(sizes) for j in range(size)]
    if numbers:
        return [f"number {i}" for i in range(count)] if count > 1 else [""]
    return [f"action {i}" for i in range(count)]


def _points(detail: dict[str, Any], values: Any) -> list[tuple[float, float]]:
    every = int(detail.get("every") or 1)
    return [(float(i * every), float(value)) for i, value in enumerate(values)]


def _lines(name: str, points: list[tuple[float, float]], look: str, faint: bool) -> list[chart.Line]:
    """Single steps behind the moving mean, unless so many lines would hide one another."""
    if len(points) <= SMOOTHED:
        return [chart.Line(name, points, look)]
    behind = [chart.Line("", points, f"{look} faint")] if faint else []
    return [*behind, chart.Line(name, chart.smooth(points, max(2, len(points) // 40)), look)]


def _steps(detail: dict[str, Any]) -> chart.Axis:
    return chart.axis_x("steps of the episode", 0.0, float(max(int(detail.get("length") or 1) - 1, 1)))


def _room(low: float, high: float) -> tuple[float, float]:
    room = chart.room(low, high)
    return low - room, high + room


def _said(points: list[tuple[float, float]], share: bool) -> str:
    mean = sum(value for _, value in points) / len(points)
    return wording.percent(mean, 0) if share else wording.number(mean)
