"""How training went: every logged loss and metric, the validation after each pass, and what was decided on the way."""

from __future__ import annotations

import math
from typing import Any

from pervade.report import chart, wording
from pervade.report.html import Section, render
from pervade.report.record import Record

NOT_CURVES = {"event", "step", "pass", "lr", "rows_per_second", "elapsed"}
VALIDATION = "validation "
SMOOTHED = 30  # a line of more points is drawn faint, with its moving mean over it

TEMPLATE = """\
<p>{{ facts }}</p>
{% if charts %}<div class="beside">{% for each in charts %}{{ each }}{% endfor %}</div>
<p class="note">{{ note }}</p>{% else %}<p class="note">Nothing was logged yet.</p>{% endif %}
{% if decisions %}
<ul class="decisions">{% for sign, text in decisions %}<li><b>{{ sign }}</b> {{ text }}</li>{% endfor %}</ul>
{% endif %}
"""


def section(record: Record) -> Section | None:
    if record.members:  # each of its runs has learnt, and has a page of its own
        return None
    per_pass = _steps_per_pass(record)
    names = [name for name in _names(record.steps) if not name.startswith(VALIDATION)]
    judged = [name.removeprefix(VALIDATION) for name in _names(record.passes) if name.startswith(VALIDATION)]
    names += [name for name in judged if name not in names]
    signs = [chr(ord("A") + i % 26) for i in range(len(record.decisions))]
    charts = [each for name in names if (each := _chart(record, name, per_pass, signs, name in judged)) is not None]
    if record.lr_find:
        charts.append(_found(record))
    decisions = [
        (sign, f"after pass {entry.get('pass', '?')}, step {wording.count(entry.get('step', 0))}: {entry['text']}")
        for sign, entry in zip(signs, record.decisions, strict=True)
    ]
    note = (
        f"Training lines are means over the {wording.noun(record)} of a few steps, taken while the weights still "
        "changed and with whatever augmentation the recipe has, so they may lie below the validation."
    )
    return Section(
        "learning",
        "How training went",
        render(TEMPLATE, facts=_facts(record), charts=charts, decisions=decisions, note=note),
    )


def _found(record: Record) -> Any:
    """The range test that the learning rate comes from."""
    found = record.lr_find
    at = [math.log10(rate) for rate in found["rates"]]
    tests = list(zip(at, found["losses"], strict=True))
    smooth = list(zip(at, found["smoothed"], strict=True))
    # What ran away would press all else to the floor.
    low, high = min(loss for _, loss in tests), 2 * max(smooth[0][1], tests[0][1])
    shown = [
        chart.Line("one step", [(a, min(loss, high)) for a, loss in tests], "first faint"),
        chart.Line("smoothed", [(a, min(loss, high)) for a, loss in smooth], "first"),
    ]
    x = chart.axis_x("learning rate, as a power of ten", at[0], at[-1])
    y = chart.axis_y("Loss while the learning rate grew", min(low, 0.9 * low), high)
    summary = f"learning rate {found['lr']:g} was chosen: {found['reason']}"
    return chart.lines(x, y, shown, summary, [chart.Mark(math.log10(found["lr"]), f"{found['lr']:g}")])


def _facts(record: Record) -> str:
    steps = max((entry.get("step", 0) for entry in record.log), default=0)
    parts = [f"{record.done:g} {'pass' if record.done == 1 else 'passes'} over the data"]
    parts.append(f"{wording.count(steps)} steps")
    if record.elapsed is not None:
        parts.append(wording.duration(record.elapsed))
    trained = record.split_counts.get("train")
    if record.elapsed and record.finished and trained:
        # Validation and saving included: what a reader gets who divides the two himself.
        rate = round(record.done * trained / record.elapsed)
        parts.append(f"{wording.count(rate)} {wording.noun(record)} a second")
    best = record.plan.get("best_pass")
    chosen = f" The best checkpoint is from pass {best:g}." if best else ""
    unfinished = "" if record.finished else " Training has not finished."
    return f"{', '.join(parts)}.{chosen}{unfinished}"


def _names(entries: list[dict[str, Any]]) -> list[str]:
    seen = {name: None for entry in entries for name, value in entry.items() if isinstance(value, (int, float))}
    return [name for name in seen if name not in NOT_CURVES]


def _steps_per_pass(record: Record) -> float | None:
    first = next((entry for entry in record.passes if entry.get("step")), None)
    return first["step"] / first["pass"] if first else None


def _chart(record: Record, name: str, per_pass: float | None, signs: list[str], judged: bool) -> Any:
    """One quantity over the passes (or steps, before the first pass is over): training, and validation if there is."""
    unit = per_pass or 1.0
    trained = [(e["step"] / unit, float(e[name])) for e in record.steps if isinstance(e.get(name), (int, float))]
    key = VALIDATION + name
    validated = [(e["step"] / unit, float(e[key])) for e in record.passes if isinstance(e.get(key), (int, float))]
    points = [*trained, *validated]
    if not points:
        return None
    shown = []
    if len(trained) > SMOOTHED:
        shown += [
            chart.Line("", trained, "first faint"),
            chart.Line("training (moving mean)", chart.smooth(trained, max(2, len(trained) // 40)), "first"),
        ]
    elif trained:
        shown.append(chart.Line("training", trained, "first"))
    if validated:
        best = record.plan.get("best_pass")
        marked = next((at for at, _ in validated if abs(at - (best or 0)) < 0.01), None) if per_pass else None
        shown.append(
            chart.Line("validation, best ringed" if marked else "validation", validated, "second", True, marked)
        )
    share = wording.is_share(name)
    low, high = min(value for _, value in points), max(value for _, value in points)
    room = 0.05 * (high - low) or 0.05
    x = chart.axis_x("passes over the training data" if per_pass else "steps", 0.0, max(at for at, _ in points))
    y = chart.axis_y(
        name[:1].upper() + name[1:].replace("_", " "),
        max(low - room, 0.0) if low >= 0 else low - room,
        min(high + room, 1.0) if share else high + room,
        share,
    )
    marks = [chart.Mark(entry.get("step", 0) / unit, sign) for sign, entry in zip(signs, record.decisions, strict=True)]
    return chart.lines(x, y, shown, _summary(name, trained, validated), marks)


def _summary(name: str, trained: list[tuple[float, float]], validated: list[tuple[float, float]]) -> str:
    parts = [
        f"{which} from {wording.value(name, points[0][1])} to {wording.value(name, points[-1][1])}"
        for which, points in (("in training", trained), ("in validation", validated))
        if points
    ]
    return f"{name.replace('_', ' ')} {wording.join(parts)}"
