"""The model beside what takes no learning at all, figure by figure."""

from __future__ import annotations

from typing import Any

from pervade.report import wording
from pervade.report.html import Section, render
from pervade.report.record import Figure, Record, Result

TEMPLATE = """\
<p>The baseline is {{ name }}. It is measured on the same rows as the model, so whatever the model adds is the distance
between the two.{% if apart %} The difference is paired: both are asked about the same rows, again and again
resampled.{% endif %}{% if constant %} Simpler still, {{ constant }}, stands in the last column.{% endif %}</p>
<div class="scroll"><table>
<thead><tr><th>Figure</th><th class="number">Model</th><th class="number">Baseline</th>
{% if apart %}<th class="number">Difference</th>{% endif %}
{% if constant %}<th class="number">Constant</th>{% endif %}</tr></thead>
<tbody>
{% for own, other, difference, simplest in pairs %}
<tr><th>{{ own.name|title_of }}<small class="block">n = {{ own.n|count }}</small></th>
<td class="number">{{ own|measured }}</td>
<td class="number">{{ other|measured }}</td>
{% if apart %}<td class="number">{{ difference }}</td>{% endif %}
{% if constant %}<td class="number">{% if simplest %}{{ simplest|measured }}{% endif %}</td>{% endif %}</tr>
{% endfor %}
</tbody></table></div>
{% for why in missing %}<p class="note">{{ why }}</p>{% endfor %}
"""


def section(detail: dict[str, Any], result: Result, record: Record) -> Section | None:
    stored = result.details.get("constant") or {}
    simplest = {name: Figure.of(name, each) for name, each in (stored.get("metrics") or {}).items()}
    apart = detail.get("differences") or {}
    pairs = [
        (result.figures[name], other, _difference(name, apart.get(name)), simplest.get(name))
        for name, other in result.baseline.items()
        if name in result.figures and not name.endswith("]")
    ]
    if not pairs:
        return None
    name = wording.label(detail.get("name", "not named"), most=200)
    missing = sorted({f"No interval of the baseline: {other.why}." for _, other, _, _ in pairs if other.why})
    constant = wording.label(stored.get("name", ""), most=200)
    body = render(TEMPLATE, name=name, pairs=pairs, missing=missing, apart=apart, constant=constant)
    return Section("baseline", "Against the baseline", body)


def _difference(name: str, stored: dict[str, Any] | None) -> str:
    """'+2.1 (+0.8 to +3.4) points': in points where people read percentages."""
    if stored is None or stored.get("difference") is None:
        return ""
    share = wording.is_share(name)
    scale, digits = (100, 1) if share else (1, 3)
    text = f"{stored['difference'] * scale:+.{digits}f}"
    if stored.get("low") is not None:
        text += f" ({stored['low'] * scale:+.{digits}f} to {stored['high'] * scale:+.{digits}f})"
    return f"{text} points" if share else text
