"""Where the answer is a number: the rows whose answers are farthest off, each with its picture."""

from __future__ import annotations

import numpy as np

from pervade.report import preprocessing, wording
from pervade.report.html import Section, render
from pervade.report.record import Record
from pervade.report.sections.mistakes import MOST, media, predictions, row_of

TEMPLATE = """\
<p>These are the {{ shown|length }} of {{ n|count }} {{ many }} whose answers are farthest off. Some may carry a wrong
number: look at them before you blame the model.</p>
<div class="gallery">
{% for row in shown %}
<figure>{{ row.media }}
<figcaption>said <b>{{ row.said }}</b><br>is <b>{{ row.true }}</b>, {{ row.off }} {{ row.way }}
<small class="block file">{{ row.id|label(80) }}</small></figcaption></figure>
{% endfor %}
</div>
"""


def section(record: Record) -> Section | None:
    result = record.main
    table = predictions(record, {"row", "target", "prediction"})
    if result is None or table is None:
        return None
    target, said = table["target"], table["prediction"]
    if not isinstance(target, np.ndarray) or target.ndim != 1 or target.dtype.kind != "f":
        return None
    farthest = np.argsort(-np.abs(said - target), kind="stable")[:MOST]
    domain = preprocessing.domain(record, result.checkpoint)
    shown = []
    for index in farthest.tolist():
        row = row_of(record, table, index)
        difference = float(said[index] - target[index])
        answer, true = wording.number(said[index]), wording.number(target[index])
        shown.append(
            {
                "media": media(domain, row, {"label": answer}),
                "said": answer,
                "true": true,
                "off": wording.number(abs(difference)),
                "way": "too much" if difference > 0 else "too little",
                "id": row["id"],
            }
        )
    n = len(target)
    body = render(TEMPLATE, n=n, shown=shown, many=wording.noun(record, n))
    return Section("mistakes", "Largest errors", body)
