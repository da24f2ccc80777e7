"""What was settled on the validation split once training was over: temperature, thresholds."""

from __future__ import annotations

from typing import Any

from pervade.core.words import Words
from pervade.report import verdict, wording
from pervade.report.html import Section, render
from pervade.report.record import Record

MOST_VALUES = 100
ELSEWHERE = ("promises", "answers", "answers_temperature", "tried")  # parts of their own tell these

TEMPLATE = """\
<p>{{ sentence }} It is applied wherever this model answers: in evaluation, prediction and what is exported.</p>
{% if temperature %}<p class="note">{{ temperature }}</p>{% endif %}
<details{{ " open" if rows|length <= 8 }}><summary>The values</summary>
<div class="scroll"><table class="facts"><tbody>
{% for name, value in rows %}<tr><th>{{ name|label(60) }}</th><td>{{ value }}</td></tr>
{% endfor %}</tbody></table></div>
{% if more %}<p class="note">{{ more|count }} more stand in decision.json.</p>{% endif %}</details>
"""


def section(record: Record) -> Section | None:
    result = record.main
    stored = record.settled.get(result.checkpoint, {}) if result else {}
    settled = {name: value for name, value in stored.items() if name not in ELSEWHERE}
    if result is None or not settled:
        return None
    rows = _rows(settled, result.labels, record.words)
    body = render(
        TEMPLATE,
        sentence=verdict.settled(stored),
        temperature=_temperature(settled.get("temperature"), stored.get("answers") == "balanced"),
        rows=rows[:MOST_VALUES],
        more=max(len(rows) - MOST_VALUES, 0),
    )
    return Section("decision", "Settled on the validation split", body)


def _temperature(value: Any, balanced: bool) -> str:
    if not isinstance(value, (int, float)):
        return ""
    effect = "less sure" if value > 1 else "surer"
    changed = f"it makes the model {effect} than training left it" if round(value, 2) != 1 else "it changes nothing"
    answers = "" if balanced else ", and no answer changes"
    return f"The temperature divides the scores before they become probabilities: {changed}{answers}."


def _rows(settled: dict[str, Any], labels: list[str], words: Words) -> list[tuple[str, str]]:
    """One line a value; of a list as long as there are classes, one line a class."""
    rows: list[tuple[str, str]] = []
    for name, value in settled.items():
        if name == "confidence":  # a slope and an offset, of which the sentence says what they do
            continue
        title = words.figure(name).title
        if isinstance(value, dict):
            rows += [(f"{title}: {key}", _text(part)) for key, part in value.items()]
        elif isinstance(value, list) and len(value) == len(labels):
            rows += [(f"{title}: {label}", _text(part)) for label, part in zip(labels, value, strict=True)]
        else:
            rows.append((title, _text(value)))
    return rows


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else wording.label(value, most=300)
