"""Learning curves of several trainings in one: the interquartile mean of their returns, and how sure it is.

Axis letters: m members, g places on the common grid, r resamples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup

from pervade.core.words import counted, four
from pervade.metrics import returns
from pervade.report import chart, wording
from pervade.report.details.episode import LOOKS
from pervade.report.html import Section, render
from pervade.report.record import Record
from pervade.report.sections import learning

GRID = 100  # places
FEWEST = 3  # members whose spread says something

TEMPLATE = """\
<p>{{ facts }}</p>
<div class="beside">{{ chart }}</div>
<p class="note">{{ note }}</p>
"""


def section(record: Record) -> Section | None:
    if not record.members or record.search:
        return None
    curves = {name: points for name, lines in record.logs().items() if (points := _curve(lines))}
    if not curves:
        return None
    drawn, facts, note = _together(curves) if len(curves) >= FEWEST else _each(curves)
    note += " Returns in training are of actions that were drawn or tried by chance, while the agent still learnt."
    return Section("returns", "How training went", render(TEMPLATE, chart=drawn, facts=facts, note=note))


def _curve(lines: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """Returns over steps of the environment; none where the member is no agent."""
    if not any("environment_steps" in entry for entry in lines):
        return []
    return chart.thin(learning.curve(lines, "return", learning.progress(lines, [])), GRID)


def on_grid(curves: list[list[tuple[float, float]]]) -> tuple[np.ndarray, np.ndarray]:
    """Places (g,) where all have a return, and returns (m, g) there, each between its two nearest."""
    low, high = max(curve[0][0] for curve in curves), min(curve[-1][0] for curve in curves)
    grid = np.linspace(low, max(low, high), GRID)
    points = [np.array(curve) for curve in curves]
    return grid, np.stack([np.interp(grid, curve[:, 0], curve[:, 1]) for curve in points])


def bands(scores: np.ndarray, resamples: int = returns.RESAMPLES, seed: int = 0) -> tuple[np.ndarray, ...]:
    """The interquartile mean (g,) of scores (m, g), and the ends of its 95% percentile interval, members drawn anew.

    `returns.stratified_bootstrap` at every place, all of them at once: one by one would take seconds.
    """
    m = len(scores)
    ends = np.arange(m + 1) / m
    weight = np.diff(np.clip(ends, 0.25, 0.75)) / 0.5  # of the members in order
    drawn = np.random.default_rng(seed).integers(0, m, (resamples, m))
    means = np.stack([np.sort(column[drawn], axis=1) @ weight for column in scores.T])  # (g, r)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    return weight @ np.sort(scores, axis=0), low, high


def _together(curves: dict[str, list[tuple[float, float]]]) -> tuple[Markup, str, str]:
    grid, scores = on_grid(list(curves.values()))
    middle, low, high = bands(scores)
    count = wording.count(len(curves))
    line = chart.Line(f"interquartile mean of {count} seeds", list(zip(grid, middle, strict=True)), "first")
    band = chart.Band("its 95% interval", list(zip(grid, low, high, strict=True)), "first")
    begun, ended, least, most = (four(float(v)) for v in (middle[0], middle[-1], low[-1], high[-1]))
    summary = f"return, interquartile mean of {count} seeds, from {begun} to {ended} (95% interval {least} to {most})"
    drawn = chart.lines(_axis_x(grid[-1]), _axis_y(low.min(), high.max()), [line], summary, bands=[band])
    facts = f"{count} trainings, each followed over {counted(round(grid[-1]), *learning.STEPS)}."
    note = (
        "The band is the 95% interval of the interquartile mean at each place by itself, from "
        f"{wording.count(returns.RESAMPLES)} resamples of whole trainings (Agarwal et al. 2021)."
    )
    return drawn, facts, note


def _each(curves: dict[str, list[tuple[float, float]]]) -> tuple[Markup, str, str]:
    lines = [chart.Line(name, points, look) for (name, points), look in zip(curves.items(), LOOKS, strict=False)]
    values = [value for points in curves.values() for _, value in points]
    last = max(points[-1][0] for points in curves.values())
    ends = [(name, four(p[0][1]), four(p[-1][1])) for name, p in curves.items()]
    summary = wording.join([f"{name} from {begun} to {ended}" for name, begun, ended in ends])
    drawn = chart.lines(_axis_x(last), _axis_y(min(values), max(values)), lines, f"return of {summary}")
    facts = f"{counted(len(curves), 'training')}, up to {counted(round(last), *learning.STEPS)}."
    return drawn, facts, "Fewer than three trainings say nothing of their spread, so each is drawn by itself."


def _axis_x(last: float) -> chart.Axis:
    return chart.axis_x("steps of the environment", 0.0, float(last))


def _axis_y(least: float, most: float) -> chart.Axis:
    low, high = float(least), float(most)
    room = chart.room(low, high)
    return chart.axis_y("Return of an episode", low - room if low < 0 else max(low - room, 0.0), high + room)
