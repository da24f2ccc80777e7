"""What is found first: person by person, how often the nearest other row is of the same one."""

from __future__ import annotations

from typing import Any

from pervade.core.words import SHARE
from pervade.metrics.interval import wilson
from pervade.report import wording
from pervade.report.html import Section, render
from pervade.report.record import Figure, Record, Result

MOST = 30

TEMPLATE = """\
<p>Each of the {{ many }} asked for the one most alike to it among all the others. Of {{ people|count }} people
{{ perfect|count }} were found each time{% if shown %}; the others, the least found first{% endif %}. The intervals take
the {{ many }} of one person as independent, which they are not quite.</p>
{% if shown %}<div class="scroll"><table class="classes">
<thead><tr><th>Person</th><th>Found first</th><th class="number">n</th></tr></thead>
<tbody>
{% for name, figure in shown %}
<tr><th>{{ name|label(40) }}</th><td>{{ figure|measured }}{{ track(figure, "first") }}</td>
<td class="number">{{ figure.n|count }}</td></tr>
{% endfor %}
</tbody></table></div>{% endif %}
{% if more %}<p class="note">{{ more|count }} more people were not found each time.</p>{% endif %}
"""


def section(detail: list[dict[str, Any]], result: Result, record: Record) -> Section | None:
    targets = record.columns.get("target") or []
    missed = [person for person in detail if person["found"] < person["n"]]
    shown = []
    for person in missed[:MOST]:
        low, high = wilson(person["found"], person["n"])
        name = str(targets[person["row"]]) if person["row"] < len(targets) else "?"
        shown.append((name, Figure("recall", person["found"] / person["n"], low, high, person["n"], known=SHARE)))
    body = render(
        TEMPLATE,
        many=wording.noun(record),
        people=len(detail),
        perfect=len(detail) - len(missed),
        shown=shown,
        more=max(len(missed) - MOST, 0),
    )
    return Section("retrieval", "Is the right one found first?", body)
