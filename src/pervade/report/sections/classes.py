"""How well each class is recognised, and how far each answer can be trusted."""

from __future__ import annotations

from typing import Any

from pervade.report import wording
from pervade.report.html import Section, render
from pervade.report.record import Figure, Record

MOST_IN_ORDER = 30  # more classes are sorted, the worst first
MOST_AT_ONCE = 30  # the rest is folded away
MOST = 300  # beyond which the page would be all table

TEMPLATE = """\
<p><b>Recognised</b> (recall): of the {{ many }} {{ "with this label" if several else "of this class" }}, the share that
was given this answer. <b>Trusted</b> (precision): of the {{ many }} that were given this answer, the share that was
right.{% if several %} A label is <b>said from</b> its own probability on.{% endif %}
{% if sorted %} The least recognised come first.{% endif %}</p>
{{ table(shown) }}
{% if folded %}
<details><summary>{{ folded|length|count }} more classes</summary>{{ table(folded) }}</details>
{% endif %}
{% if more %}<p class="note">{{ more|count }} more are not shown; their figures stand in the results.</p>{% endif %}
"""

TABLE = """\
<div class="scroll"><table class="classes">
<thead><tr><th>{{ "Label" if several else "Class" }}</th><th>Recognised</th><th>Trusted</th>
{% for name in others %}<th>{{ name }}</th>{% endfor %}{% if several %}<th class="number">Said from</th>{% endif %}
<th class="number">{{ counted }}</th></tr></thead>
<tbody>
{% for row in rows %}
<tr><th>{{ row.name|label(40) }}</th>
{% for figure, kind in row.pair %}
<td>{% if figure and figure.value is not none %}{{ figure|measured }}{{ track(figure, kind) }}
<small>n = {{ figure.n|count }}</small>
{%- else %}–{% endif %}</td>
{% endfor %}
{% for figure in row.others %}
<td>{% if figure and figure.value is not none %}{{ figure|measured }}
{%- if figure.words.is_share %}{{ track(figure, "third") }}{% endif %}
<small class="block">n = {{ figure.n|count }}</small>{% else %}–{% endif %}</td>
{% endfor %}
{% if several %}<td class="number">{{ row.threshold|percent if row.threshold is not none else "–" }}</td>{% endif %}
<td class="number">{{ row.train|count if row.train is not none else "–" }}{% if row.share is not none %}
<small class="block">{{ row.share|percent }}</small>{% endif %}</td></tr>
{% endfor %}
</tbody></table></div>
"""


def section(record: Record) -> Section | None:
    result = record.main
    if result is None or not result.by_class:
        return None
    trained = dict(zip(result.labels, result.details.get("train_counts") or [], strict=False))
    thresholds = dict(zip(result.labels, result.details.get("thresholds") or [], strict=False))
    # Groups have figures of their own, too.
    by_class = {name: own for name, own in result.by_class.items() if name in result.labels or not result.labels}
    others = _others(by_class)
    rows = [_row(name, figures, others, trained, thresholds) for name, figures in by_class.items()]
    many = len(rows) > MOST_IN_ORDER
    if many:
        rows.sort(key=lambda row: (row["sort"], row["name"]))
    titles = [record.words.figure(name).title for name in others]
    # Each model of a fold learnt from the rows of the others alone.
    counted = "In all folds" if record.together.get("kind") == "folds" else "Learnt from"
    body = render(
        TEMPLATE,
        table=lambda some: render(TABLE, rows=some, others=titles, several=bool(thresholds), counted=counted),
        several=bool(thresholds),
        shown=rows[:MOST_AT_ONCE],
        folded=rows[MOST_AT_ONCE:MOST],
        more=max(len(rows) - MOST, 0),
        sorted=many,
        many=wording.noun(record),
    )
    return Section("classes", "Label by label" if thresholds else "Class by class", body)


def _others(by_class: dict[str, dict[str, Figure]]) -> list[str]:
    """What else is measured of a class, of some alone where something is promised of these."""
    names = dict.fromkeys(name for figures in by_class.values() for name in figures)
    return [name for name in names if name not in ("recall", "precision")]


def _row(
    name: str,
    figures: dict[str, Figure],
    others: list[str],
    trained: dict[str, int],
    thresholds: dict[str, float],
) -> dict[str, Any]:
    recall, precision, learnt = figures.get("recall"), figures.get("precision"), sum(trained.values())
    return {
        "name": name,
        "pair": [(recall, "first"), (precision, "second")],
        "others": [figures.get(name) for name in others],
        "train": trained.get(name),
        # Of several labels a row may have more than one, so that shares would not add up.
        "share": trained[name] / learnt if name in trained and learnt and not thresholds else None,
        "threshold": thresholds.get(name),
        "sort": recall.value if recall is not None and recall.value is not None else 2.0,
    }
