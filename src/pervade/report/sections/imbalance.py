"""Rare classes: how rare they are among the rows to learn from, what was done about it, and what was tried."""

from __future__ import annotations

from typing import Any

from pervade.core.words import percent
from pervade.report import inside, wording
from pervade.report.html import Section, render
from pervade.report.record import Record, used

HONEST = ", which is taken out of the probabilities again"
WAYS = {
    "weights": f"in training a row weighs the more, the rarer its class is{HONEST}",
    "oversample": f"training draws each class as often, rare {{many}} several times a pass{HONEST}",
    "undersample": f"a pass draws as many {{many}} of every class as the rarest has, each time others{HONEST}",
    "focal": "training turns down the loss of {many} that are right already, which those of rare classes seldom are",
    "generate": f"others like those of rare classes were made, and trained beside them{HONEST}",
    "auto": "training itself is as usual",
}
ANSWERS = {
    "likeliest": "The likeliest class",
    "balanced": "The class that is likelier than usual (so that each class counts the same)",
}

TEMPLATE = """\
<p>The rarest {{ "label" if several else "class" }}, {{ rarest }}, has {{ least|count }} of the {{ all|count }}
{{ many }} to learn from ({{ share }}){% if not several %}; were all as frequent it would have
{{ fair }}{% endif %}.</p>
<p>What was done (<code>--imbalance {{ way|label(40) }}</code>): {{ done }}.{% if metric %} Passes and models were
chosen by “{{ metric }}” on the validation split.{% endif %}</p>
{% for label, made in synthetic.items() %}
<p>{{ made.kept|count }} {{ many }} of {{ label|label(40) }} were made, of {{ made.asked|count }} that were asked for,
and trained beside the {{ made.real|count }} real ones. Of the {{ made.looked_at|count }} that were looked at a
classifier that learnt from the same rows took {{ (made.looked_at - made.kept)|count }} for another class, and they
were dropped. None is among the rows that anything was chosen or measured by.</p>
{% endfor %}
{% if beside %}<figure class="sheet"><img src="{{ beside }}" alt="Made {{ many }} beside real ones">
<figcaption>Of each such class the first real {{ many }} to learn from, and under them the first that were made.
</figcaption></figure>{% endif %}
{% if answers %}<p>{{ answers }}</p>{% endif %}
{% if ruled %}<p>What is answered is decided by <code>{{ ruled|label(200) }}</code>.</p>{% endif %}
{% if tried %}
<div class="scroll"><table>
<thead><tr><th>Tried on the validation split: what is answered</th>
{% for title in titles %}<th class="number">{{ title }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in tried %}
<tr><th>{{ row.way }}{% if row.taken %} <small>taken</small>{% endif %}</th>
{% for value in row.figures %}<td class="number">{{ value }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% endif %}
"""


def section(record: Record) -> Section | None:
    """None where nothing was done about it."""
    counts, way = record.class_counts.get("train"), used(record.part("imbalance"))
    if not counts or not way:
        return None
    decision = record.settled.get(record.main.checkpoint, {}) if record.main else {}
    answers, tried = str(decision.get("answers", "")), decision.get("tried") or {}
    promised = record.main.promises if record.main else []
    ruled = next((promise["flag"] for promise in promised if promise["kept"] and promise.get("decides")), "")
    weighed = record.part("imbalance").get("weights") == "balanced"  # what auto took
    rarest = min(counts, key=lambda name: (counts[name], name))
    rows = record.split_counts["train"]
    chosen = record.part("early_stopping").get("metric")
    figures = list(dict.fromkeys(name for way in tried.values() for name in way))
    body = render(
        TEMPLATE,
        all=rows,
        many=wording.noun(record),
        least=counts[rarest],
        rarest=wording.quoted(rarest),
        share=percent(counts[rarest] / rows),
        fair=percent(1 / len(counts)),
        several=any(isinstance(target, list) for target in record.columns["target"]),
        way=way,
        done=record.words.fill(WAYS.get("weights" if weighed else way, f"as “{way}” does it")),
        synthetic=record.synthetic,
        beside=inside.address({"file": "synthetic/beside.png"}, record, "picture")[0] if record.synthetic else "",
        metric=record.words.figure(chosen).title if chosen else "",
        answers=_answered("" if ruled else answers, bool(tried)),
        ruled=ruled,
        titles=[record.words.figure(name).title for name in figures],
        tried=[_row(name, came, figures, "" if ruled else answers, record) for name, came in tried.items()],
    )
    return Section("imbalance", "Rare classes", body)


def _row(name: str, came: dict[str, float], figures: list[str], answers: str, record: Record) -> dict[str, Any]:
    values = [record.words.figure(figure).written(came.get(figure)) for figure in figures]
    return {"way": ANSWERS.get(name, name), "taken": name == answers, "figures": values}


def _answered(answers: str, tried: bool) -> str:
    """A sentence; empty where nothing was decided."""
    if not answers:
        return ""
    shown = ", which was no worse there" if answers == "balanced" else ", which was better there"
    return f"{ANSWERS.get(answers, answers)} is answered{shown if tried else ''}."
