"""The model beside what takes no learning at all, figure by figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from pervade.core.words import FigureWords
from pervade.metrics.method import Method
from pervade.report import wording
from pervade.report.html import Section, render
from pervade.report.record import Record, Result

# How the interval of a difference is found; of a single group of rows there is none.
HOW = {"bootstrap": ", again and again resampled", "jackknife": ", of which one group at a time was left out"}

TEMPLATE = """\
<p>The baseline is {{ name }}. It is measured {{ rows }}, so whatever the model adds is the distance
between the two.{% if apart %} The difference is paired: both had the same {{ many }}{{ how }}.
{% endif %}{% if constant %} Simpler still, {{ constant }}, stands in the last column.{% endif %}</p>
<div class="scroll"><table>
<thead><tr><th>Figure</th><th class="number">Model</th><th class="number">Baseline</th>
{% if apart %}<th class="number">Difference</th>{% endif %}
{% if constant %}<th class="number">Constant</th>{% endif %}</tr></thead>
<tbody>
{% for own, other, difference, simplest in pairs %}
<tr><th>{{ own.words.title }}<small class="block">n = {{ own.n|count }}
{%- if own|direction %}, {{ own|direction }}{% endif %}</small></th>
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
    simplest = result.beside("constant")
    # Of several seeds the figures are means, and a difference that one of them has is not theirs.
    apart = {} if record.together.get("kind") == "seeds" else detail.get("differences") or {}
    pairs = [
        (result.figures[name], other, _difference(other.words, apart.get(name)), simplest.get(name))
        for name, other in result.baseline.items()
        if name in result.figures and not name.endswith("]")
    ]
    if not pairs:
        return None
    name = wording.label(detail.get("name", "not named"), most=200)
    missing = sorted({f"No interval of the baseline: {other.why}." for _, other, _, _ in pairs if other.why})
    told = [apart[own.name] for own, *_ in pairs if own.name in apart]
    known = {Method.of(entry).kind for entry in told if entry.get("low") is not None}
    missing += sorted({f"No interval of the difference: {entry['why']}." for entry in told if entry.get("why")})
    rows = f"in the same {wording.noun(record)} as the agent" if record.acts else "on the same rows as the model"
    constant = wording.label(stored.get("name", ""), most=200)
    many = wording.noun(record) if record.acts else "rows"
    body = render(
        TEMPLATE,
        name=name,
        rows=rows,
        many=many,
        pairs=pairs,
        missing=missing,
        apart=apart,
        how=next((words for kind, words in HOW.items() if kind in known), ""),
        constant=constant,
    )
    return Section("baseline", "Against the baseline", body)


def _difference(words: FigureWords, stored: dict[str, Any] | None) -> Markup | str:
    """'+2.1 points', and small beside it '+0.8 to +3.4': in points where people read percentages."""
    if stored is None or stored.get("difference") is None:
        return ""
    if words.in_percent:
        return _signed(stored, lambda value: f"{value * 100:+.1f}", " points")
    if words.unit == "sum":
        return _signed(stored, lambda value: ("+" if value > 0 else "") + words.written(value))
    return _signed(stored, lambda value: f"{value:+.3f}")


def _signed(stored: dict[str, Any], words: Callable[[float], str], unit: str = "") -> Markup:
    low, high = stored.get("low"), stored.get("high")
    interval = "no interval" if low is None or high is None else f"{words(low)} to {words(high)}"
    return Markup("<b>{}{}</b> <small>{}</small>").format(words(stored["difference"]), unit, interval)
