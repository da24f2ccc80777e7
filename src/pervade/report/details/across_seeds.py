"""What several trainings of one recipe say together, after Agarwal et al. 2021 (arXiv:2108.13264)."""

from __future__ import annotations

from typing import Any, Literal

from pervade.core.words import FigureWords
from pervade.report import wording
from pervade.report.html import Section, render
from pervade.report.record import Figure, Record, Result

TEMPLATE = """\
<p>{{ runs|count }} trainings that differ in their seed alone, {{ episodes|count }} episodes in all; a training
counts by its mean return.</p>
<div class="scroll"><table>
<thead><tr><th>Figure</th><th class="number">Value and 95% interval</th></tr></thead>
<tbody>
{% for title, words, figure in rows %}
<tr><th>{{ title }}<small class="block">{{ words }}</small></th><td class="number">{{ figure|measured }}</td></tr>
{% endfor %}
</tbody></table></div>
<p class="note">Intervals: {{ method }}.{% if few %} Fewer than three trainings give none.{% endif %}
{% if alike %} Where every resample gives the same there is none either: seeds so alike cannot tell how sure it is.
{% endif %}
{% if 3 <= runs < 10 %} Of {{ runs|count }} trainings an interval is rough, and rather too narrow.{% endif %}</p>
"""


def section(detail: dict[str, Any], result: Result, record: Record) -> Section | None:
    runs = int(detail.get("runs") or 0)
    rows = []
    for key, unit, title, words in FIGURES:
        if (stored := detail.get(key)) and stored.get("value") is not None:
            rows.append((title, words, _figure(key, FigureWords(title, unit), stored, runs)))
    if not rows:
        return None
    alike = any(not figure.has_interval for *_, figure in rows) and runs >= 3
    body = render(
        TEMPLATE,
        runs=runs,
        episodes=int(detail.get("episodes") or 0),
        rows=rows,
        method=wording.label(detail.get("method", "not recorded"), 200),
        few=runs < 3,
        alike=alike,
    )
    return Section("across-seeds", "All seeds together", body)


# The detail's key, how it is written, its title, and what it is.
FIGURES: tuple[tuple[str, Literal["sum", "share"], str, str], ...] = (
    (
        "interquartile_mean",
        "sum",
        "Return, interquartile mean of the trainings",
        "of the middle half of them, so that one lucky or failed seed does not rule",
    ),
    (
        "better_than_chance",
        "share",
        "Probability of doing better than a random policy",
        "of a training drawn from these; 50% would be no better than chance",
    ),
)


def _figure(name: str, words: FigureWords, stored: dict[str, Any], runs: int) -> Figure:
    low, high = stored.get("low"), stored.get("high")
    if low == high:  # an interval of no width would claim a certainty that nobody has
        low = high = None
    return Figure(name, float(stored["value"]), low, high, runs, known=words)
