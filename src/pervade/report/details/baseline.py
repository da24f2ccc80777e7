"""The model beside what takes no learning at all, figure by figure."""

from __future__ import annotations

from typing import Any

from pervade.report import wording
from pervade.report.html import Section, render
from pervade.report.record import Record, Result

TEMPLATE = """\
<p>The baseline is {{ name }}. It is measured on the same rows as the model, so whatever the model adds is the distance
between the two.</p>
<div class="scroll"><table>
<thead><tr><th>Figure</th><th class="number">Model</th><th class="number">Baseline</th></tr></thead>
<tbody>
{% for own, other in pairs %}
<tr><th>{{ own.name|title_of }}<small class="block">n = {{ own.n|count }}</small></th>
<td class="number">{{ own|measured }}</td>
<td class="number">{{ other|measured }}</td></tr>
{% endfor %}
</tbody></table></div>
{% for why in missing %}<p class="note">{{ why }}</p>{% endfor %}
"""


def section(detail: dict[str, Any], result: Result, record: Record) -> Section | None:
    pairs = [(result.figures[name], other) for name, other in result.baseline.items() if name in result.figures]
    if not pairs:
        return None
    name = wording.label(detail.get("name", "not named"), most=200)
    missing = sorted({f"No interval of the baseline: {other.why}." for _, other in pairs if other.why})
    return Section("baseline", "Against the baseline", render(TEMPLATE, name=name, pairs=pairs, missing=missing))
