"""Where the answer is several labels: the labels most wrongly said and most surely missed, each with its picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from pervade.report import preprocessing, wording
from pervade.report.html import Section, render
from pervade.report.record import Record
from pervade.report.sections.mistakes import MOST, media, predictions, row_of

TEMPLATE = """\
<p>{{ wrong|count }} of {{ n|count }} {{ many }} have a label too many or too few{% if shown %}. These are the
{{ shown|length }} where the model was surest of what was wrong. Some labels may be missing in the data: look before you
blame the model{% endif %}.</p>
{% if shown %}<div class="gallery">
{% for mistake in shown %}
<figure>{{ mistake.media }}
<figcaption>
{% for label, share in mistake.extra %}said <b>{{ label|label(40) }}</b>, {{ share|percent }} sure<br>{% endfor %}
{% for label, share in mistake.missed %}missed <b>{{ label|label(40) }}</b>, given {{ share|percent }}<br>{% endfor %}
rightly said: {{ mistake.right|label(80) if mistake.right else "nothing" }}
<small class="block file">{{ mistake.id|label(80) }}</small></figcaption></figure>
{% endfor %}
</div>{% endif %}
"""


def section(record: Record) -> Section | None:
    result = record.main
    table = predictions(record, {"row", "target", "prediction", "probabilities"})
    if result is None or table is None or table["target"].ndim != 2 or not result.labels:
        return None
    target, said, probabilities = table["target"], table["prediction"], table["probabilities"]
    # How sure it was of each wrong answer; 0 where it was right.
    sure = np.where(said > 0, probabilities, 1 - probabilities) * (said != target)
    wrong = np.flatnonzero(sure.any(axis=1))
    surest = wrong[np.argsort(-sure[wrong].max(axis=1), kind="stable")][:MOST]
    domain = preprocessing.domain(record, result.checkpoint)
    shown = []
    for index in surest.tolist():
        row = row_of(record, table, index)
        named = [(label, float(p)) for label, p in zip(result.labels, probabilities[index], strict=True)]
        extra = [label for label, s, t in zip(named, said[index], target[index], strict=True) if s > t]
        missed = [label for label, s, t in zip(named, said[index], target[index], strict=True) if s < t]
        right = [label[0] for label, s, t in zip(named, said[index], target[index], strict=True) if s and t]
        answer: dict[str, Any] = {"label": ", ".join(label for label, _ in extra)}
        shown.append(
            {
                "media": media(domain, row, answer),
                "extra": extra,
                "missed": missed,
                "right": wording.join(right),
                "id": row["id"],
            }
        )
    n = len(target)
    body = render(TEMPLATE, wrong=len(wrong), n=n, shown=shown, many=wording.noun(record, n))
    return Section("mistakes", "Mistakes it was surest of", body)
