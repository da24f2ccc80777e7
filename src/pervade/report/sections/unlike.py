"""How well rows unlike what was learnt are told from the run's own: of each data that `--unlike` named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from pervade.core.words import Words
from pervade.core.words import measured as interval_of
from pervade.report import chart, wording
from pervade.report.html import Section, render
from pervade.report.record import Figure, Record

LOOKS = ("first", "second", "third")

TEMPLATE = """\
<h3>{{ name|label(60) }}</h3>
{% for sentence in sentences %}<p>{{ sentence[0]|upper }}{{ sentence[1:] }}.</p>{% endfor %}
<div class="scroll"><table>
<thead><tr><th>Score</th><th>AUROC</th><th>above that of the maximum probability</th><th>flagged</th>
<th>false alarms</th><th>AUROC of its validation rows among its training rows</th></tr></thead><tbody>
{% for row in rows %}
<tr><th>{{ row.called }}</th><td>{{ row.auroc|measured }}</td><td>{{ row.more }}</td><td>{{ row.flagged|measured }}</td>
<td>{{ row.false_alarms|measured }}</td><td>{% if row.taken %}{{ row.taken|measured }}{% else %}–{% endif %}</td></tr>
{% endfor %}
</tbody></table></div>
<div class="beside">
{{ drawing }}
<p class="note">{{ other|count }} {{ many }} of {{ name|label(60) }}, {{ test|count }} of the test split. A row is
flagged above a threshold that was settled on {{ settling|count }} {{ settled_on }} {{ many }}; no row of the test
split, nor of {{ name|label(60) }}, had a say in it. T is where the run's own score has it on the test split. The run's
own score is the first that tells its own validation rows from its training rows no more than the maximum probability
does, or hardly.</p></div>
"""


def section(record: Record) -> Section | None:
    told = [result.details["unlike"] for result in record.results if "unlike" in result.details]
    if not told:
        return None
    parts = [_part(measured, record.words) for measured in told]
    return Section("unlike", "Unlike what was learnt", Markup("\n").join(parts))


def sentences(told: Mapping[str, Any], words: Words) -> list[str]:
    """What came of it, in plain words."""
    own, many = told["scores"][told["best"]], words.domain.noun[1]
    best = _figures(own)
    beside = [
        f"{wording.figure(_figures(measured)['auroc'])} by {measured['called']}"
        for name, measured in told["scores"].items()
        if name != told["best"]
    ]
    first = f"tells {told['name']} from its own {many}: AUROC {wording.measured(best['auroc'])} by {own['called']}"
    said = [", ".join([first, *beside]) + _shown(told), *_passed_by(told, many)]
    if best["flagged"].value is None:
        return [*said, f"no threshold is settled, since {best['flagged'].why}", told["features"]]
    said.append(
        f"at {100 * told['asked']:g} false alarms in 100 it flags {_of_100(own['flagged'])} of {told['name']}; "
        f"of its own test {many} it flagged {_of_100(own['false_alarms'])}"
    )
    return [*said, f"the distance is {told['features']}"]


def _passed_by(told: Mapping[str, Any], many: str) -> list[str]:
    """Why scores that come before the run's own were not taken for it."""
    names = list(told["scores"])
    return [
        f"not by {measured['called']}, which takes its own validation {many} for unlike those it learnt from: AUROC "
        f"{wording.measured(Figure.of('taken', measured['taken']))}"
        for measured in (told["scores"][name] for name in names[: names.index(told["best"])])
        if "taken" in measured
    ]


def _shown(told: Mapping[str, Any]) -> str:
    """Whether the run's own score is better than the plainest one."""
    difference = told["scores"][told["best"]].get("difference")
    if difference is None or difference.get("shown"):
        return ""
    return ": NOT shown to be better than by the maximum probability"


def _of_100(share: Mapping[str, Any]) -> str:
    """
    >>> _of_100({"value": 0.884, "low": 0.851, "high": 0.912})
    '88.4 of 100 (85.1 to 91.2)'
    """
    return f"{_three_digits(share['value'])} of 100{interval_of(share, written=_three_digits)}"


def _three_digits(share: float) -> str:
    return f"{100 * share:.3g}"


def _figures(measured: Mapping[str, Any]) -> dict[str, Figure]:
    there = [name for name in ("auroc", "flagged", "false_alarms", "taken") if name in measured]
    return {name: Figure.of(name, measured[name]) for name in there}


def _part(told: Mapping[str, Any], words: Words) -> Markup:
    rows = [
        {"called": measured["called"], "more": _more(measured.get("difference")), "taken": None, **_figures(measured)}
        for measured in told["scores"].values()
    ]
    return render(
        TEMPLATE,
        name=told["name"],
        sentences=sentences(told, words),
        drawing=_drawing(told),
        rows=rows,
        many=words.domain.noun[1],
        settled_on=told["settled_on"],
        **{name: told["rows"][name] for name in ("settling", "test", "other")},
    )


def _more(difference: Mapping[str, Any] | None) -> str:
    if difference is None or difference.get("difference") is None:
        return "–"
    written = "{:+.3f}".format
    return written(difference["difference"]) + interval_of(difference, written=written)


def _drawing(told: Mapping[str, Any]) -> Markup:
    x = chart.axis_x("its own test rows flagged (false alarms)", 0.0, 1.0, share=True)
    y = chart.axis_y("Other rows flagged", 0.0, 1.0, share=True)
    lines = [
        chart.Line(measured["called"], [(false, true) for false, true in measured["points"]], look)
        for look, measured in zip(LOOKS, told["scores"].values(), strict=False)
    ]
    false_alarms = told["scores"][told["best"]]["false_alarms"]["value"]
    marks = [] if false_alarms is None else [chart.Mark(false_alarms, "T")]
    return chart.lines(x, y, lines, f"ROC curves of {told['name']} beside its own test rows, one a score", marks)
