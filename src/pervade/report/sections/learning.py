"""How training went: every logged loss and metric, the validation after each pass, and what was decided on the way."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from pervade.core.words import NUMBER, FigureWords, Words, counted, titled
from pervade.report import chart, wording
from pervade.report.html import Section, render
from pervade.report.record import Record

NOT_CURVES = {"event", "step", "pass", "total_steps", "lr", "rows_per_second", "elapsed"}
STEPS = ("step of the environment", "steps of the environment")
COUNTERS = {"environment_steps", "episodes", "crashes"}  # of an agent; only how far it came is told
FIRST = ("return", "episode_length")  # what an agent's training is about
Points: TypeAlias = list[tuple[float, float]]
VALIDATION = "validation "
SMOOTHED = 30  # a line of more points is drawn faint, with its moving mean over it

TEMPLATE = """\
<p>{{ facts }}</p>
{% if charts %}<div class="beside">{% for chart in charts %}{{ chart }}{% endfor %}</div>
<p class="note">{{ note }}</p>{% elif not once %}<p class="note">Nothing was logged yet.</p>{% endif %}
{% if once %}<p class="note">Logged once: {{ once|join("; ") }}.</p>{% endif %}
{% if decisions %}
<ul class="decisions">{% for sign, text in decisions %}<li><b>{{ sign }}</b> {{ text }}</li>{% endfor %}</ul>
{% endif %}
"""


def section(record: Record) -> Section | None:
    if record.members:  # each of its runs has learnt, and has a page of its own
        return None
    over = progress(record.steps, record.passes)
    names = [name for name in _names(record.steps) if not name.startswith(VALIDATION)]
    judged = [name.removeprefix(VALIDATION) for name in _names(record.passes) if name.startswith(VALIDATION)]
    names += [name for name in judged if name not in names]
    names = [*(name for name in FIRST if name in names), *(name for name in names if name not in FIRST)]
    signs = [chr(ord("A") + i % 26) for i in range(len(record.decisions))]
    once = [told for name in names if (told := _once(record, name, over))]
    charts = [drawn for name in names if (drawn := _chart(record, name, over, signs)) is not None]
    if record.lr_find:
        charts.append(_range_test(record))
    one = wording.passes(record, 1)
    decisions = [
        (
            sign,
            f"{_when(entry, one)}: {entry['text']}",
        )
        for sign, entry in zip(signs, record.decisions, strict=True)
    ]
    note = record.words.fill(record.words.task.curves)
    return Section(
        "learning",
        "How training went",
        render(TEMPLATE, facts=_facts(record), charts=charts, once=once, decisions=decisions, note=note),
    )


def _when(entry: dict[str, Any], one: str) -> str:
    return f"{wording.after(entry.get('at', entry.get('pass', 0)), one)}, step {wording.count(entry.get('step', 0))}"


def _range_test(record: Record) -> Any:
    """The range test that the learning rate comes from."""
    test = record.lr_find
    at = [math.log10(rate) for rate in test["rates"]]
    tests = list(zip(at, test["losses"], strict=True))
    smooth = list(zip(at, test["smoothed"], strict=True))
    # What ran away would press all else to the floor.
    low, high = min(loss for _, loss in tests), 2 * max(smooth[0][1], tests[0][1])
    shown = [
        chart.Line("one step", [(a, min(loss, high)) for a, loss in tests], "first faint"),
        chart.Line("smoothed", [(a, min(loss, high)) for a, loss in smooth], "first"),
    ]
    chosen = math.log10(test["lr"])
    x = chart.axis_x("learning rate, as a power of ten", min(at[0], chosen), max(at[-1], chosen))
    y = chart.axis_y("Loss while the learning rate grew", min(low, 0.9 * low), high)
    summary = f"learning rate {test['lr']:g} was chosen: {test['reason']}"
    return chart.lines(x, y, shown, summary, [chart.Mark(chosen, f"{test['lr']:g}")])


def _facts(record: Record) -> str:
    if record.acts:
        return _environment_steps(record)
    steps = max((entry.get("step", 0) for entry in record.log), default=0)
    parts = [f"{record.done:g} {'pass' if record.done == 1 else 'passes'} over the data"]
    parts.append(counted(steps, "step"))
    if record.elapsed is not None:
        parts.append(f"{wording.duration(record.elapsed)} with validation and saving")
    trained = record.split_counts.get("train")
    if record.elapsed and record.finished and trained:
        # Validation and saving included: what a reader gets who divides the two himself.
        rate = round(record.done * trained / record.elapsed)
        parts.append(f"{wording.count(rate)} {wording.noun(record)} a second")
    best = record.plan.get("best_pass")
    chosen = f" The best checkpoint was kept {wording.after(best)}." if best else ""
    unfinished = "" if record.finished else " Training has not finished."
    return f"{', '.join(parts)}.{chosen}{unfinished}"


def _environment_steps(record: Record) -> str:
    """An agent's training: how many steps of environments, and how often each was learnt from."""
    acted = int(max((entry.get("environment_steps", 0) for entry in record.steps), default=0))
    learnt = max((entry.get("step", 0) for entry in record.log), default=0)
    parts = [counted(acted, *STEPS), counted(learnt, "optimiser step")]
    if record.elapsed is not None:
        parts.append(wording.duration(record.elapsed))
    if record.elapsed and record.finished and acted:
        parts.append(f"{counted(round(acted / record.elapsed), *STEPS)} a second")
    return f"{', '.join(parts)}.{'' if record.finished else ' Training has not finished.'}"


def _names(entries: list[dict[str, Any]]) -> list[str]:
    seen = {name: None for entry in entries for name, value in entry.items() if isinstance(value, (int, float))}
    return [name for name in seen if name not in NOT_CURVES | COUNTERS]


@dataclass(frozen=True)
class Progress:
    """What all charts are drawn over, and where a line of the log stands on it."""

    title: str
    place: Callable[[dict[str, Any]], float]


def progress(lines: list[dict[str, Any]], passes: list[dict[str, Any]]) -> Progress:
    """Steps of the environment for an agent; else passes, or steps before the first pass is over."""
    acted = [entry for entry in lines if "environment_steps" in entry]
    if acted:
        steps = np.array([0, *(entry["step"] for entry in acted)], np.float64)
        lived = np.array([0, *(entry["environment_steps"] for entry in acted)], np.float64)

        def place(entry: dict[str, Any]) -> float:
            known = entry.get("environment_steps")  # a judgement or a decision has the optimiser's step alone
            return float(np.interp(entry.get("step", 0), steps, lived) if known is None else known)

        return Progress("steps of the environment", place)
    first = next((entry for entry in passes if entry.get("step") and entry["pass"]), None)
    unit = first["step"] / first["pass"] if first else 1.0
    title = "passes over the training data" if first else "steps"
    return Progress(title, lambda entry: entry.get("step", 0) / unit)


def curve(entries: list[dict[str, Any]], name: str, over: Progress) -> list[tuple[float, float]]:
    """One quantity's points. A rollout is learnt from several times over: what stands at one place becomes its mean."""
    values_at: dict[float, list[float]] = {}
    for entry in entries:
        if isinstance(entry.get(name), (int, float)):
            values_at.setdefault(over.place(entry), []).append(float(entry[name]))
    return [(at, sum(values) / len(values)) for at, values in values_at.items()]


def _curves(record: Record, name: str, over: Progress) -> tuple[Points, Points]:
    """Of one quantity in training and in validation."""
    return curve(record.steps, name, over), curve(record.passes, VALIDATION + name, over)


def _once(record: Record, name: str, over: Progress) -> str:
    """A quantity of which there is no curve, only a point; else empty."""
    trained, validated = _curves(record, name, over)
    words = record.words.figure(name)
    if max(len(trained), len(validated)) > 1 or _never_there(name, words, trained, validated):
        return ""
    parts = [
        f"{words.written(points[0][1])} in {which}"
        for which, points in (("training", trained), ("validation", validated))
        if points
    ]
    return f"{called(record.words, name).title}: {wording.join(parts)}" if parts else ""


def called(words: Words, name: str) -> FigureWords:
    """What a logged quantity is called in training and in validation."""
    return titled(words.task.logged.get(name) or words.figures.get(name, NUMBER), name)


def _chart(record: Record, name: str, over: Progress, signs: list[str]) -> Any:
    """One quantity: training, and validation if there is; None of a single point."""
    trained, validated = _curves(record, name, over)
    points = [*trained, *validated]
    words = record.words.figure(name)
    if max(len(trained), len(validated)) < 2 or _never_there(name, words, trained, validated):
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
        marked = next((over.place(e) for e in record.passes if best and abs(e.get("pass", 0) - best) < 0.01), None)
        shown.append(
            chart.Line("validation, best ringed" if marked else "validation", validated, "second", True, marked)
        )
    low, high = min(value for _, value in points), max(value for _, value in points)
    room = chart.room(low, high)
    marks = [chart.Mark(over.place(entry), sign) for sign, entry in zip(signs, record.decisions, strict=True)]
    x = chart.axis_x(over.title, 0.0, max([at for at, _ in points] + [mark.x for mark in marks]))
    y = chart.axis_y(
        called(record.words, name).title,
        max(low - room, 0.0) if low >= 0 else low - room,
        min(high + room, 1.0) if words.is_share else high + room,
        words.in_percent,
    )
    return chart.lines(x, y, shown, _summary(name, words, trained, validated), marks)


def _never_there(name: str, words: FigureWords, trained: Points, validated: Points) -> bool:
    """Whether a part of the loss was 0 from beginning to end: what it counts (rows that do not fit) never happened. Of
    the loss itself, of returns, of answers and of what validation judges, 0 throughout is news."""
    told = name in ("loss", *FIRST) or words.is_share or bool(validated)
    return not told and not any(value for _, value in trained)


def _summary(name: str, words: FigureWords, trained: Points, validated: Points) -> str:
    parts = [
        f"{which} from {words.written(points[0][1])} to {words.written(points[-1][1])}"
        for which, points in (("in training", trained), ("in validation", validated))
        if points
    ]
    return f"{name.replace('_', ' ')} {wording.join(parts)}"
