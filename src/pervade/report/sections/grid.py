"""Checkpoints by measurements: what was made in this run, and what was measured of each."""

from __future__ import annotations

from typing import Any

from pervade.report import wording
from pervade.report.html import Section, render
from pervade.report.record import Record

TEMPLATE = """\
<div class="scroll"><table>
<thead><tr><th>Checkpoint</th><th class="number">after</th><th class="number">weights</th>
{% for meter in meters %}<th>{{ meter }}</th> {% endfor %}</tr></thead>
<tbody>
{% for row in rows %}
<tr><th>{{ row.name|label(40) }}{% if row.note %}<small class="block">{{ row.note }}</small>{% endif %}</th>
<td class="number">{{ row.after }}</td><td class="number">{{ row.weights }}</td>
{% for figure in row.cells %}
<td>{% if figure %}{{ figure.words.title }} {{ figure|measured }} <small>n = {{ figure.n|count }}</small>
{%- else %}<span class="note">not measured</span>{% endif %}</td>
{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% if not meters %}<p class="note">Nothing was measured yet.</p>{% endif %}
"""


def section(record: Record) -> Section | None:
    names = sorted({*record.checkpoints, *(result.checkpoint for result in record.results)})
    if not names or record.together:  # which has no checkpoint of its own
        return None
    meters = sorted({result.meter for result in record.results})
    headlines = {(result.checkpoint, result.meter): result.headline for result in record.results}
    rows = [_row(record, name, [headlines.get((name, meter)) for meter in meters]) for name in names]
    return Section("checkpoints", "Checkpoints and measurements", render(TEMPLATE, meters=meters, rows=rows))


def _row(record: Record, name: str, cells: list[Any]) -> dict[str, Any]:
    about = record.checkpoints.get(name, {})
    passes, parameters = about.get("passes"), about.get("parameters")
    validated = record.split_counts.get("validation", 0)
    notes = [
        f"validation: {words.inside} {words.written(value)}, n = {wording.count(validated)}"
        for key, value in about.items()
        if key.startswith("validation ") and isinstance(value, float)
        for words in [record.words.figure(key.removeprefix("validation "))]
    ]
    return {
        "name": name,
        "note": "; ".join(notes) if about else "its folder is gone or damaged",
        "after": f"{wording.passes(record, 1)} {passes}" if passes is not None else "–",
        "weights": wording.count(parameters) if parameters is not None else "–",
        "cells": cells,
    }
