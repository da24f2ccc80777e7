"""What a classifier calls what was made, class by class, beside what it calls real rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pervade.core.words import SHARE
from pervade.report import wording
from pervade.report.html import Section, render
from pervade.report.record import Figure, Record, Result

TEMPLATE = """\
{% if by_class %}
<p>Of the {{ many }} that were asked for by class, how many {{ judge }} calls so, and beside it how many of as many real
ones: it is not always right about those either.</p>
{% else %}
<p>What {{ judge }} calls the {{ many }} that were made, and real ones: as it was not asked for classes, both shares
should be alike. A class with a smaller share is made too rarely.</p>
{% endif %}
<div class="scroll"><table class="classes">
<thead><tr><th>Class</th><th>Made</th><th>Real</th><th class="number">n</th></tr></thead>
<tbody>
{% for label, made, real in rows %}
<tr><th>{{ label|label(40) }}</th><td>{{ made|measured }}{{ track(made, "first") }}</td>
<td>{{ real|measured }}{{ track(real, "second") }}</td><td class="number">{{ made.n|count }}</td></tr>
{% endfor %}
</tbody></table></div>
"""


def section(detail: dict[str, Any], result: Result, record: Record) -> Section | None:
    rows = []
    for entry in detail.get("classes") or []:
        made, real = (replace(Figure.of(side, entry[side]), known=SHARE) for side in ("made", "real"))
        rows.append((entry["label"], made, real))
    if not rows:
        return None
    by_class = bool(detail.get("by_class"))
    told = {"judge": wording.label(detail["judge"], 120), "many": wording.noun(record), "by_class": by_class}
    title = "Is it what was asked for?" if by_class else "Which classes it makes"
    return Section("named", title, render(TEMPLATE, rows=rows, **told))
