"""Rows on which one of two models is right and the other is not, to look at: both ways."""

from __future__ import annotations

from typing import Any

import numpy as np

from pervade.evaluate.compare import Comparison
from pervade.evaluate.sides import Side
from pervade.report import compare_words, wording
from pervade.report.html import Section, render
from pervade.report.sections.mistakes import media

MOST = 8  # examples of each kind

TEMPLATE = """\
{% for part in parts %}
{% if parts|length > 1 %}<h3>{{ part.title }}</h3>{% endif %}
{% if part.counts %}
<div class="scroll"><table class="counts"><thead><tr><th></th><th class="number">{{ part.second|label(40) }} right</th>
<th class="number">{{ part.second|label(40) }} wrong</th></tr></thead><tbody>
<tr><th>{{ part.first|label(40) }} right</th><td class="number">{{ part.counts.both|count }}</td>
<td class="number"><b>{{ part.counts.only_first|count }}</b></td></tr>
<tr><th>{{ part.first|label(40) }} wrong</th><td class="number"><b>{{ part.counts.only_second|count }}</b></td>
<td class="number">{{ part.counts.neither|count }}</td></tr>
</tbody></table></div>
{% endif %}
{% for words, shown in part.galleries %}
<p>{{ words }}</p>
{% if shown %}<div class="gallery">
{% for one in shown %}
<figure>{{ one.media }}
<figcaption>{{ one.first_name|label(24) }} said <b>{{ one.first|label(40) }}</b><br>
{{ one.second_name|label(24) }} said <b>{{ one.second|label(40) }}</b><br>
is <b>{{ one.true|label(40) }}</b><small class="block file">{{ one.id|label(80) }}</small></figcaption></figure>
{% endfor %}
</div>{% endif %}
{% endfor %}
{% endfor %}
"""


def section(comparison: Comparison) -> Section | None:
    """None where the rows have neither right and wrong answers nor numbers that are near or far."""
    parts = [_part(comparison, index) for index in range(1, len(comparison.sides))]
    shown = [part for part in parts if part is not None]
    return Section("disagree", "Where they disagree", render(TEMPLATE, parts=shown)) if shown else None


def _part(comparison: Comparison, index: int) -> dict[str, Any] | None:
    first, second = comparison.sides[0], comparison.sides[index]
    many = compare_words.noun(comparison)
    galleries: list[tuple[str, np.ndarray]] = []
    error, other_error = _error(first), _error(second)
    right, also = (_right(comparison, side) for side in (first, second))
    if error is not None and other_error is not None:
        for own, nearer in ((first, other_error - error), (second, error - other_error)):
            order = np.argsort(-nearer, kind="stable")[:MOST]
            galleries.append((f"{many.capitalize()} on which {own.name} is nearer by most:", order[nearer[order] > 0]))
    elif right is not None and also is not None:
        for own, other, only in ((first, second, right & ~also), (second, first, also & ~right)):
            chosen = np.flatnonzero(only)
            order = chosen[np.argsort(-_confidence(other)[chosen], kind="stable")][:MOST]
            shown = f", the {len(order)} that {other.name} was surest of first" if len(order) < len(chosen) else ""
            words = f"{wording.count(len(chosen))} that {own.name} has right and {other.name} wrong{shown}"
            galleries.append((f"{words}{':' if len(chosen) else '.'}", order))
    else:
        return None
    return {
        "title": f"{second.name} and {first.name}",
        "first": first.name,
        "second": second.name,
        "counts": comparison.discordant[index - 1],
        "galleries": [(words, [_shown(comparison, index, int(at)) for at in order]) for words, order in galleries],
    }


def _right(comparison: Comparison, side: Side) -> np.ndarray | None:
    """(n,) whether each row is right, by the first metric that is a share of all rows."""
    for metric in comparison.metrics.values():
        trials = metric.trials(side.columns) if metric.trials is not None else ()
        if len(trials) == comparison.n:
            return np.asarray(trials, bool)
    return None


def _error(side: Side) -> np.ndarray | None:
    """(n,) distance of the answer from the target, where both are numbers."""
    pair = [side.columns.get(name) for name in ("prediction", "target")]
    if not all(isinstance(column, np.ndarray) and column.ndim == 1 and column.dtype.kind == "f" for column in pair):
        return None
    return np.abs(np.asarray(pair[0]) - np.asarray(pair[1]))


def _confidence(side: Side) -> np.ndarray:
    """(n,) the probability of what was answered; the same for all where there are none."""
    probabilities, prediction = (side.columns.get(name) for name in ("probabilities", "prediction"))
    n = len(side.columns["row"])
    if not isinstance(probabilities, np.ndarray) or probabilities.ndim != 2:
        return np.zeros(n)
    if isinstance(prediction, np.ndarray) and prediction.shape == (n,):  # which need not be the likeliest
        return np.asarray(probabilities[np.arange(n), prediction])
    return np.asarray(probabilities.max(axis=1))


def _shown(comparison: Comparison, index: int, at: int) -> dict[str, Any]:
    first, second = comparison.sides[0], comparison.sides[index]
    row = first.row(at)
    return {
        "media": media(
            first.domain, {**row, "id": str(row["id"])}, {"label": _answer(comparison, first, "prediction", at)}
        ),
        "first": _answer(comparison, first, "prediction", at),
        "second": _answer(comparison, second, "prediction", at),
        "first_name": first.name,
        "second_name": second.name,
        "true": _answer(comparison, first, "target", at),
        "id": row["id"],
    }


def _answer(comparison: Comparison, side: Side, column: str, at: int) -> str:
    """One class, several of them, or a number; with how sure the model was of its class."""
    labels = comparison.sides[0].labels  # by which every side's classes are numbered here
    values = side.columns.get(column)
    if not isinstance(values, np.ndarray):
        return str(values[at]) if values is not None else "–"
    value = values[at]
    if values.ndim == 2 and values.shape[1] == len(labels):
        return wording.join([label for label, there in zip(labels, value, strict=True) if there]) or "none"
    if values.dtype.kind in "iu" and labels:
        sure = f" ({wording.percent(_confidence(side)[at], 0)})" if column == "prediction" else ""
        return f"{labels[int(value)]}{sure}"
    return f"{value:.4g}" if values.dtype.kind == "f" else str(value)
