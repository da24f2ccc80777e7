"""Where the answer is a piece of a text: the wrong answers that the model was surest of, each in its text."""

from __future__ import annotations

from typing import Any

import numpy as np

from pervade.core.contracts.capabilities import Answerable
from pervade.metrics import span
from pervade.report import preprocessing, wording
from pervade.report.html import Section, render
from pervade.report.record import Record
from pervade.report.sections.mistakes import MOST, predictions, row_of

AROUND = 160  # characters of the text on either side of an answer

TEMPLATE = """\
<p>{{ wrong|count }} of {{ n|count }} questions got an answer that shares no word with the right one. These are the
{{ shown|length }} that the model was surest about. Some may be marked wrongly: look at them before you blame the
model.</p>
<div class="answers">
{% for row in shown %}
<figure><p dir="auto"><b>{{ row.question }}</b></p>
<blockquote dir="auto">{{ row.before }}<mark>{{ row.answer }}</mark>{{ row.after }}</blockquote>
<figcaption>said <b>{{ row.answer or "no answer" }}</b>, {{ row.confidence|percent }} sure<br>
is <b>{{ row.true or "no answer" }}</b><small class="block file">{{ row.id|label(80) }}</small></figcaption></figure>
{% endfor %}
</div>
"""


def section(record: Record) -> Section | None:
    result = record.main
    table = predictions(record, {"row", "target", "prediction", "start", "end", "candidates", "probability"})
    if result is None or table is None:
        return None
    domain = preprocessing.domain(record, result.checkpoint)
    f1 = span.scores(table, isinstance(domain, Answerable) and domain.by_character)[1]
    wrong = np.flatnonzero(f1 == 0)
    sure = np.asarray(table["probability"])
    surest = wrong[np.argsort(-sure[wrong], kind="stable")][:MOST]
    shown = [_shown(record, table, int(index)) for index in surest]
    if not shown:
        return None
    body = render(TEMPLATE, wrong=len(wrong), n=len(f1), shown=shown)
    return Section("mistakes", "Mistakes it was surest of", body)


def _shown(record: Record, table: dict[str, Any], index: int) -> dict[str, Any]:
    row = row_of(record, table, index)
    context, start, end = str(row.get("context", "")), int(table["start"][index]), int(table["end"][index])
    start, end = (start, end) if start >= 0 else (0, 0)
    before, after = context[max(start - AROUND, 0) : start], context[end : end + (AROUND if end else 2 * AROUND)]
    return {
        "question": str(row.get("question", ""))[:300],
        "before": ("…" if start > AROUND else "") + before,
        "answer": context[start:end],
        "after": after + ("…" if end + len(after) < len(context) else ""),
        "true": " / ".join(dict.fromkeys(wording.label(answer, most=80) for answer in table["target"][index])),
        "confidence": float(table["probability"][index]),
        "id": row["id"],
    }
