"""Where the first weights came from: what was taken from a checkpoint, what of it was left out, what is new."""

from __future__ import annotations

from pervade.report import wording
from pervade.report.html import Section, render
from pervade.report.record import Record

MOST_NAMES = 200  # of one kind

TEMPLATE = """\
<p>{{ summary }}.</p>
{% if kinds %}
<div class="scroll"><table>
<thead><tr><th>Weights</th><th class="number">Tensors</th><th></th></tr></thead>
<tbody>{% for kind in kinds %}<tr><th>{{ kind.title }}</th><td class="number">{{ kind.number|count }}</td>
<td>{{ kind.words }}</td></tr>
{% endfor %}</tbody></table></div>
{% for kind in kinds if kind.names %}
<details><summary>{{ kind.title }}: {{ kind.number|count }}</summary><ul class="left-out">
{% for name, reason in kind.names %}<li><code>{{ name|label(160) }}</code> {{ reason|label(300) }}</li>
{% endfor %}</ul>
{% if kind.number > kind.names|length %}<p class="note">The others stand in init.json.</p>{% endif %}</details>
{% endfor %}
{% endif %}
"""

KINDS = (
    ("loaded", "taken", "of the network's weights, those that came from there"),
    ("left_out", "left out", "of the weights there, those that the network has no place for"),
    ("new", "new", "of the network's weights, those that were drawn at random"),
)


def section(record: Record) -> Section | None:
    """None where nothing was loaded or left out: the first lines of the page say all there is."""
    init = record.init
    if not (init.get("loaded") or init.get("left_out")):
        return None
    kinds = []
    for name, title, words in KINDS:
        entries = [str(entry) for entry in init.get(name) or []]
        named = [(entry.partition(": ")[0], entry.partition(": ")[2]) for entry in entries[:MOST_NAMES]]
        kinds.append({"title": title, "words": words, "number": len(entries), "names": named})
    summary = wording.label(init.get("summary", "not recorded"), most=600)
    return Section("beginning", "Where its weights began", render(TEMPLATE, summary=summary, kinds=kinds))
