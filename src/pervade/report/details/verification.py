"""Can it tell whether two rows are of one person? The ROC curve, the settled threshold, the pairs it finds hardest."""

from __future__ import annotations

from typing import Any

from pervade.report import chart, preprocessing, wording
from pervade.report.html import Section, render
from pervade.report.record import Record, Result
from pervade.report.sections import mistakes

NARROWEST = 0.05  # share of false accepts that the chart reaches at least

TEMPLATE = """\
<p>Every two of the {{ n|count }} {{ many }} were compared: {{ same|count }} pairs of one person,
{{ different|count }} of different people{% if drawn %}, of each kind {{ drawn|count }} drawn at random{% endif %}.
Two are taken for one person when they are more alike than some threshold; a stricter one accepts fewer strangers and
turns away more pairs of one person. Intervals come from drawing people, not {{ many }}, again and again.</p>
<div class="beside">
{{ drawing }}
<div><div class="scroll"><table><tbody>
{% for figure in figures %}
<tr><th>{{ figure.words.title }}</th><td class="number">{{ figure|measured }}</td></tr>
{% endfor %}
</tbody></table></div>
<p class="note">{% if threshold is not none %}The threshold, a cosine of {{ "%.3f"|format(threshold) }}, was settled on
the validation split, where both kinds of error were equally frequent. {% endif %}
{%- if known %}{{ known }}{% endif %}</p></div></div>
{% for title, pairs in kinds %}{% if pairs %}
<h3>{{ title }}</h3>
<div class="gallery">
{% for pair in pairs %}
<figure><div class="duo">{{ pair.media[0] }}{{ pair.media[1] }}</div>
<figcaption>{{ pair.names[0]|label(30) }}{% if pair.names[0] != pair.names[1] %} and
{{ pair.names[1]|label(30) }}{% endif %}, similarity <b>{{ "%.2f"|format(pair.similarity) }}</b>
<small class="block file">{{ pair.ids[0]|label(60) }}<br>{{ pair.ids[1]|label(60) }}</small></figcaption></figure>
{% endfor %}
</div>{% endif %}{% endfor %}
"""


def section(detail: dict[str, Any], result: Result, record: Record) -> Section | None:
    shown = ("equal_error_rate", "roc_auc", "threshold_accuracy", "threshold_far", "threshold_frr")
    names = [name for name in result.figures if name in shown or name.startswith("tar_at_far")]
    pairs = [_pair(pair, result, record) for pair in detail["mistakes"]]
    body = render(
        TEMPLATE,
        n=result.n,
        many=wording.noun(record, result.n),
        same=detail["same"],
        different=detail["different"],
        drawn=detail["drawn"] if detail["drawn"] < max(detail["same"], detail["different"]) else 0,
        drawing=_drawing(detail["points"], result),
        figures=[result.figures[name] for name in names if result.figures[name].value is not None],
        threshold=detail["threshold"],
        known=_known(result.details.get("people") or {}),
        kinds=[
            ("Different people, and most alike", [pair for pair in pairs if not pair["same"]]),
            ("One person, and least alike", [pair for pair in pairs if pair["same"]]),
        ],
    )
    return Section("verification", "Are these two of one person?", body)


def _drawing(points: list[list[float]], result: Result) -> Any:
    """As far to the right as the curve has something to show."""
    figure = result.figures.get("equal_error_rate")
    rate = figure.value if figure is not None and figure.value is not None else 0.0
    end = min(max(NARROWEST, 4 * rate, next((far for far, tar in points if tar >= 0.99), 1.0)), 1.0)
    x = chart.axis_x("different people accepted (FAR)", 0.0, end, share=True)
    y = chart.axis_y("One person accepted (TAR)", 0.0, 1.0, share=True)
    inside = [(far, tar) for far, tar in points if far <= end]
    over = next(((far, tar) for far, tar in points if far > end), None)
    if over is not None and inside:  # the line goes on to the edge
        far, tar = inside[-1]
        share = (end - far) / (over[0] - far)
        inside.append((end, tar + share * (over[1] - tar)))
    summary = f"ROC curve: equal error rate {wording.percent(rate)}"
    return chart.lines(x, y, [chart.Line("", inside, "first")], summary)


def _known(people: dict[str, Any]) -> str:
    trained, measured = people.get("trained"), people.get("measured")
    if trained is None or measured is None:
        return ""
    known = people.get("both", 0)
    seen = "none of whom it was trained on" if not known else f"{wording.count(known)} of whom it was trained on"
    return f"It was trained on {wording.count(trained)} people and measured on {wording.count(measured)}, {seen}."


def _pair(pair: dict[str, Any], result: Result, record: Record) -> dict[str, Any]:
    domain = preprocessing.domain(record, result.checkpoint)
    rows = []
    for number in pair["rows"]:
        row = {name: values[number] for name, values in record.columns.items() if number < len(values)}
        rows.append({**row, "row": number, "id": str(row.get("id", number))})
    return {
        **pair,
        "media": [mistakes.media(domain, row, {"similarity": pair["similarity"]}) for row in rows],
        "names": [str(row.get("target", "?")) for row in rows],
        "ids": [row["id"] for row in rows],
    }
