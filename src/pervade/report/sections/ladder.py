"""A ladder: what each way of learning came to, in how long, and which one was taken."""

from __future__ import annotations

from typing import Any

from pervade.core.download import megabytes
from pervade.core.words import FigureWords
from pervade.report import chart
from pervade.report.html import Section, render
from pervade.report.record import Record

NAMES = {
    "plain": "a simple model, found at once: linear on simple features, or n-grams",
    "frozen": "a published network that stays as it is, with a linear head",
    "trained": "the network, trained",
    "blend": "the others as one network, each with its weight",
}

BY_VALIDATION = "Rungs are chosen by the validation split alone, on the rows that all of them were judged by"
CROSSED = (
    "Rows are few, so rungs are chosen by cross-validation: each was trained anew without each fold of the rows that "
    "train and validate, and judged on it. One that was not has to be shown to be better on the validation split"
)

TEMPLATE = """\
<p>{{ what }}</p>
{{ picture }}
<div class="scroll"><table>
<thead><tr><th>Rung</th><th>what it is</th><th class="number">validation</th><th class="number">95% interval</th>
<th class="number">n</th><th class="number">seconds</th><th class="number">size</th>
{% if timed %}<th class="number">ms a row</th>{% endif %}</tr></thead>
<tbody>
{% for row in rows %}
<tr><th>{{ row.name }}{% if row.taken %} <small>taken</small>{% endif %}</th><td>{{ row.what }}</td>
<td class="number">{{ row.value }}</td><td class="number">{{ row.interval }}</td><td class="number">{{ row.n }}</td>
<td class="number">{{ row.seconds }}</td><td class="number">{{ row.size }}</td>
{% if timed %}<td class="number">{{ row.speed }}</td>{% endif %}</tr>
{% endfor %}
</tbody></table></div>
<p class="note">{{ note }}</p>
"""


def section(record: Record) -> Section | None:
    rungs = record.ladder.get("rungs")
    if not rungs:
        return None
    metric, taken = str(record.ladder.get("metric")), record.ladder.get("taken")
    words = record.words.figure(metric)
    rows = [_row(rung, words, taken) for rung in rungs]
    done = [rung for rung in rungs if rung["value"] is not None]
    what = f"{taken} was taken: {record.ladder.get('why')}." if taken else "The ladder goes on: no rung is taken yet."
    note = (
        f"{CROSSED if any(rung.get('folds') for rung in rungs) else BY_VALIDATION}; the test split "
        "met the one that was taken, and no other. Each rung is a run inside members/, which can be compared. A "
        "blend is judged here by weights that each half of the rows found for the other half."
    )
    picture = _picture(rungs, words) if len(done) > 1 else ""
    timed = any(rung["row_seconds"] is not None for rung in rungs)
    body = render(TEMPLATE, what=what, picture=picture, rows=rows, note=note, timed=timed)
    return Section("ladder", "Which model was taken", body)


def _row(rung: dict[str, Any], words: FigureWords, taken: str | None) -> dict[str, Any]:
    passed = rung["state"] == "passed by"
    low, high = rung["low"], rung["high"]
    return {
        "name": rung["name"],
        "what": NAMES.get(rung["name"], rung["name"]) + (f"; passed by: {rung['reason']}" if passed else ""),
        "taken": rung["name"] == taken,
        "value": words.written(rung["value"]),
        "interval": "" if low is None or high is None else f"{words.written(low)} to {words.written(high)}",
        "n": f"{rung['n']:,}" if rung["n"] else "",
        "seconds": f"{rung['seconds']:.0f}",
        "speed": "" if rung["row_seconds"] is None else f"{1000 * rung['row_seconds']:.3g}",
        "size": megabytes(rung["bytes"]) if rung["bytes"] else "",
    }


def _picture(rungs: list[dict[str, Any]], words: FigureWords) -> Any:
    """A dot a rung with its interval, against the minutes that had passed when it was there."""
    at, passed, done = 0.0, [], []
    for rung in rungs:
        at += rung["seconds"] / 60
        if rung["value"] is not None:
            passed.append(at)
            done.append(rung)
    ends = [float(rung[name]) for rung in done for name in ("value", "low", "high") if rung[name] is not None]
    low, high = min(ends), max(ends)
    room = 0.05 * (high - low) or 0.05
    x = chart.axis_x("minutes", 0.0, passed[-1] * 1.05)
    y = chart.axis_y(
        f"Validation: {words.inside}",
        low - room,
        min(high + room, 1.0) if words.is_share else high + room,
        words.in_percent,
    )
    shown = []
    for look, minute, rung in zip(("first", "second", "third", "fourth"), passed, done, strict=False):
        if rung["low"] is not None and rung["high"] is not None:
            shown.append(chart.Line("", [(minute, rung["low"]), (minute, rung["high"])], f"{look} faint"))
        shown.append(chart.Line(rung["name"], [(minute, float(rung["value"]))], look, dots=True))
    summary = "; ".join(f"{rung['name']} {words.written(rung['value'])}" for rung in done)
    return chart.lines(x, y, shown, f"validation: {words.inside} of each rung: {summary}")
