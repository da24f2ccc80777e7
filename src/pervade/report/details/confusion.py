"""What is taken for what: the confusion matrix, and in words the pairs that are confused most.

Rows are the true class, columns the answer. Few classes make a table of counts; more make a picture without numbers,
and beyond that only the list is left, for nobody reads ten thousand cells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from pervade.core.words import SHARE
from pervade.metrics.interval import wilson
from pervade.report import wording
from pervade.report.html import Section, render
from pervade.report.record import Figure, Record, Result

MOST_IN_TABLE = 20
MOST_IN_PICTURE = 100
MOST_PAIRS = 10

TEMPLATE = """\
{% if matrix %}
<p>Each row holds the {{ many }} of one class and each column one answer; the diagonal is right. Stronger colour: a
larger share of the row. n = {{ n|count }}.</p>
{{ matrix }}
{% endif %}
{% if large %}<p class="note">A matrix of {{ large|count }} classes is not drawn; the predictions file holds every
answer.</p>{% endif %}
{% if pairs %}
<h3>Confused most often</h3>
<ol class="pairs">
{% for pair in pairs %}
<li>{{ pair.true|label }} <span class="arrow">taken for</span> {{ pair.answer|label }}:
<span class="amount">{{ pair.count|count }} of {{ pair.figure.n|count }},</span>
<span class="amount"><b>{{ pair.figure.value|percent }}</b> <small>{{ pair.figure|interval }}</small></span></li>
{% endfor %}
</ol>
{% if more %}<p class="note">{{ more|count }} more pairs were confused at least once.</p>{% endif %}
{% elif not matrix %}
<p>Nothing was taken for anything else: all {{ n|count }} answers were right.</p>
{% endif %}
"""

TABLE = """\
<div class="scroll"><table class="confusion{{ ' wide' if labels|length > 8 }}">
<thead><tr><th></th><th colspan="{{ labels|length }}" class="over">what the model said</th><th></th></tr>
<tr><th>what it was</th>
{% for name in labels %}
<th class="cell" scope="col" title="{{ name|line }}">{% if numbered %}{{ loop.index }}{% else %}{{ name|label(24) }}
{%- endif %}</th>
{% endfor %}<th class="number">n</th></tr></thead>
<tbody>
{% for row in rows %}
<tr><th scope="row">{% if numbered %}<span class="ordinal">{{ loop.index }}</span> {% endif %}
{{- row.name|label(24) }}</th>
{% for cell in row.cells %}
<td class="cell{{ ' right' if cell.right }}{{ cell.depth }}" style="--shade:{{ cell.shade }}"
title="{{ cell.words }}">
{{- cell.count|count if cell.count else "·" }}</td>
{% endfor %}<td class="number">{{ row.total|count }}</td></tr>
{% endfor %}
</tbody></table></div>
"""

PICTURE = """\
<figure class="chart heat"><svg viewBox="-1 -1 {{ size + 2 }} {{ size + 2 }}" role="img" aria-label="{{ summary }}">
<title>{{ summary }}</title>
<rect class="ground" x="0" y="0" width="{{ size }}" height="{{ size }}"/>
{% for x, y, share, right in cells %}
<rect{% if right %} class="right"{% endif %} x="{{ x }}" y="{{ y }}" width="1" height="1" fill-opacity="{{ share }}"/>
{% endfor %}</svg>
<figcaption>Down: what it was. Across: what the model said. Both in the order of the names; a good model draws one
line from corner to corner.</figcaption></figure>
"""


@dataclass(frozen=True)
class Pair:
    true: str
    answer: str
    count: int
    figure: Figure  # the share of the true class's rows


def section(detail: list[list[int]], result: Result, record: Record) -> Section | None:
    """`detail`: the matrix; empty where there are too many classes for one."""
    labels = result.labels
    if detail and len(labels) != len(detail):
        labels = [str(index) for index in range(len(detail))]
    stored = result.details.get("confused")
    confused = pairs(detail, labels) if stored is None else [_stored(pair, labels) for pair in stored["pairs"]]
    kinds = len(confused) if stored is None else stored["kinds"]
    body = render(
        TEMPLATE,
        matrix=_matrix(detail, labels, record) if detail else None,
        large=len(result.labels) if not detail else None,
        many=wording.noun(record),
        pairs=confused[:MOST_PAIRS] if len(labels) != 2 else [],
        more=max(kinds - MOST_PAIRS, 0),
        n=sum(map(sum, detail)) or result.n,
    )
    return Section("confusion", "What is taken for what", body)


def _stored(entry: dict[str, Any], labels: list[str]) -> Pair:
    share = replace(Figure.of("recall", entry), known=SHARE)
    return Pair(labels[entry["true"]], labels[entry["answer"]], entry["count"], share)


def pairs(matrix: list[list[int]], labels: list[str]) -> list[Pair]:
    """The confusions that happened, the most frequent first: of results of before they were written down."""
    confused = []
    for i, row in enumerate(matrix):
        total = sum(row)
        for j, count in enumerate(row):
            if i != j and count:
                low, high = wilson(count, total)
                share = Figure("recall", count / total, low, high, total, known=SHARE)
                confused.append(Pair(labels[i], labels[j], count, share))
    return sorted(confused, key=lambda pair: (-pair.count, -(pair.figure.value or 0.0), pair.true, pair.answer))


def _matrix(matrix: list[list[int]], labels: list[str], record: Record) -> Markup | None:
    if len(labels) <= MOST_IN_TABLE:
        # Long names would make the columns wider than any screen: numbers stand for them.
        numbered = len(labels) > 2 and max(map(len, labels)) > 4 + 8 // len(labels)
        rows = [_row(i, row, labels, record) for i, row in enumerate(matrix)]
        return render(TABLE, labels=labels, rows=rows, numbered=numbered)
    if len(labels) <= MOST_IN_PICTURE:
        cells = [
            (j, i, f"{max(_shade(count / sum(row)), 0.2):.2f}".lstrip("0"), i == j)
            for i, row in enumerate(matrix)
            for j, count in enumerate(row)
            if count
        ]
        return render(PICTURE, size=len(labels), cells=cells, summary=f"Confusion matrix of {len(labels)} classes")
    return None


def _row(index: int, row: list[int], labels: list[str], record: Record) -> dict[str, Any]:
    total = sum(row)
    cells = []
    for j, count in enumerate(row):
        share = count / total if total else 0.0
        words = (
            f"{wording.counted(record, count)} of {wording.quoted(labels[index])} called {wording.quoted(labels[j])}: "
            f"{wording.percent(share)} of {wording.count(total)}"
        )
        shade = _shade(share)
        # Where text must change its colour to be read; bright colours on dark reach that point sooner.
        depth = " strong full" if shade > 0.82 else " strong" if shade > 0.6 else ""
        cells.append({"count": count, "shade": shade, "depth": depth, "right": index == j, "words": words})
    return {"name": labels[index], "total": total, "cells": cells}


def _shade(share: float) -> float:
    """How strong the colour is. The power keeps 5% apart from nothing, which a straight scale would not on a screen."""
    return round(share**0.6, 3)
