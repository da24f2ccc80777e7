"""The figures over all rows, and the one line at the top that compares the most important of them with the baseline."""

from __future__ import annotations

from markupsafe import Markup

from pervade.report import preprocessing, standing, wording
from pervade.report.html import Section, render
from pervade.report.record import Record

COMPARISON = """\
<div class="comparison">
{% for name, figure, kind in rows %}
<div class="compared"><span class="name">{{ name }}</span>
<span class="amount">{{ figure|measured }}</span>{{ track(figure, kind) }}</div>
{% endfor %}
<div class="scale" aria-hidden="true"><span>0%</span>
<span>{{ "lower is better" if lower else "50%" }}</span><span>100%</span></div>
</div>
"""

TABLE = """\
<p>{% if acts %}Measured in episodes that training cannot meet, with
{% else %}Measured on {% if other %}“{{ other }}”{% else %}the split “{{ result.split }}” of the data{% endif %}, with
{% endif %}
{% if of_seeds %}
several models that differ in their seed alone: each figure is their mean, and its interval is over seeds.</p>
{% else %}
the checkpoint “{{ result.checkpoint }}”. If this were repeated on other {{ many }} of the same kind, {{ level }} of
100 such intervals would hold the true value.</p>
{% endif %}
<div class="scroll"><table>
<thead><tr><th>Figure</th><th class="number">Value and {{ level }}% interval</th><th class="number">n</th></tr></thead>
<tbody>
{% for figure in figures %}
<tr><th>{{ figure.words.title }}
{% if words[figure.name] %}<small class="block">{{ words[figure.name] }}</small>{% endif %}</th>
<td class="number">{{ figure|measured }}</td>
<td class="number">{{ figure.n|count }}</td></tr>
{% endfor %}
</tbody></table></div>
<p class="note">How the intervals were found: {{ methods }}.</p>
{% for why in missing %}<p class="note">{{ why }}</p>{% endfor %}
"""


def section(record: Record) -> Section | None:
    result = record.main
    if result is None:
        return None
    figures = list(result.overall.values())
    unknown: dict[str, list[str]] = {}
    for figure in figures:
        if figure.why:
            unknown.setdefault(figure.why, []).append(figure.words.title)
    missing = [f"{'; '.join(names)}: {why}." for why, names in unknown.items()]
    methods: dict[str, list[str]] = {}
    for figure in figures:
        if figure.has_interval:
            methods.setdefault(str(figure.how), []).append(figure.words.title)
    named = "; ".join(f"{method} for {wording.join(titles)}" for method, titles in methods.items())
    body = render(
        TABLE,
        result=result,
        of_seeds=record.together.get("kind") == "seeds",
        figures=figures,
        words=preprocessing.metric_words(record, result.checkpoint, result.overall),
        acts=record.acts,
        other=record.other_data,
        level=round(100 * (figures[0].level if figures else 0.95)),
        methods=named or "there are none",
        missing=missing,
        many=wording.noun(record),
    )
    return Section("figures", "All figures", body)


def comparison(record: Record) -> Markup | None:
    """The headline of every result of the same kind, on one scale: this model, its baseline."""
    result = record.main
    headline = result.headline if result else None
    if result is None or headline is None or not headline.words.in_percent:
        return None
    rows = [("this model", headline, "first")]
    other = result.baseline.get(headline.name)
    if other is not None and other.value is not None:
        rows.append((wording.label(result.details["baseline"].get("name", "baseline"), most=120), other, "second"))
    if (balanced := standing.balanced(result.stored)) is not None:
        pair = (("this model", balanced, "first"), ("the baseline", result.baseline.get(balanced.name), "second"))
        rows += [
            (f"{name}, each class counting the same", figure, kind)
            for name, figure, kind in pair
            if figure is not None and figure.value is not None
        ]
    # An error rate may exceed 100%, where this scale ends.
    if any((figure.high or figure.value or 0.0) > 1 for _, figure, _ in rows):
        return None
    return render(COMPARISON, rows=rows, lower=headline.higher_is_better is False)
