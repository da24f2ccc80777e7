"""What the model learnt from and was measured on: the splits, the classes in each, and what was left out."""

from __future__ import annotations

import hashlib

from pervade.core.contracts.promises import SPLIT as PROMISED
from pervade.report import agents, sound_cautions, wording
from pervade.report.html import Section, render
from pervade.report.record import Record

MOST_CLASSES = 30
FEW_NAMED = 6  # groups of a split that are told by their names
MOST_LEFT_OUT = 20

PURPOSES = {
    "train": "to learn from",
    "validation": "to choose the best pass",
    PROMISED: "to settle what is promised, used for nothing else",
    "test": "to measure, used for nothing else",
}

TEMPLATE = """\
<p>{{ total|count }} {{ many }} from <code>{{ source }}</code>.
{% if grouped %}{{ many|capitalize }} that belong together (same group, or the same bytes) are kept in one split.
{% elif hashed and not other %}{{ many|capitalize }} with the same bytes are kept in one split; whether different files
{{ alike }} is not known.{% endif %}
{% if groups %}{{ groups }}{% endif %}</p>
<div class="scroll"><table>
<thead><tr><th>{{ "Class" if classes else "" }}</th>
{% for name in splits %}
<th class="number">{{ name }}<small class="block">{{ purposes[name] or "" }}</small></th>
{% endfor %}</tr></thead>
<tbody>
{% for name, counts in classes %}
<tr><th>{{ name|label(40) }}</th>{% for number in counts %}<td class="number">{{ number|count }}</td>{% endfor %}</tr>
{% endfor %}
<tr class="total"><th>all</th>{% for size in splits.values() %}<td class="number">{{ size|count }}</td>{% endfor %}</tr>
</tbody></table></div>
{% if more %}<p class="note">{{ more|count }} more classes; data.json holds every row.</p>{% endif %}
{% if fingerprint %}<p class="note">Fingerprint of all contents: <code>{{ fingerprint }}</code>. The same data
always has the same.</p>{% endif %}
{% if left_out %}
<details{{ " open" if left_out|length <= 5 }}><summary>{{ left|count }} left out</summary><ul class="left-out">
{% for file in left_out %}<li><code>{{ file.source|label(160) }}</code> {{ file.reason|label(300) }}</li>{% endfor %}
</ul>{% if left > left_out|length %}<p class="note">The others stand in data.json.</p>{% endif %}</details>
{% else %}<p class="note">Nothing was left out.</p>{% endif %}
{% if account %}<h3>How they were read</h3>
<ul>{% for line in account %}<li>{{ line|label(600) }}</li>{% endfor %}</ul>{% endif %}
{% if remarks %}<h3>Noticed in the data</h3>
<ul>{% for line in remarks %}<li>{{ line|label(600) }}</li>{% endfor %}</ul>{% endif %}
"""


ACTED = """\
<p>{{ episodes }}</p>
{% if limit %}<p class="note">{{ limit }}</p>{% endif %}
"""


def section(record: Record) -> Section | None:
    if not record.data:
        return None
    if record.acts:
        body = render(ACTED, episodes=agents.episodes(record), limit=agents.limit(record))
        return Section("data", "The environment and its episodes", body)
    splits = record.split_counts
    there = {name for counts in record.class_counts.values() for name in counts}
    ordered = record.main.labels if record.main and record.main.labels else sorted(there)
    classes = [
        (name, [record.class_counts[split][name] for split in splits]) for name in ordered if record.class_counts
    ]
    hashes = record.columns.get("hash")
    body = render(
        TEMPLATE,
        total=sum(splits.values()) or record.data.get("rows", 0),
        many=wording.noun(record),
        source=wording.label(record.data.get("source", "not recorded"), most=300),
        grouped="group" in record.columns
        and not record.other_data
        and sound_cautions.groups_on_both_sides(record) is None,
        alike=record.words.domain.alike,
        other=record.other_data,
        groups=_groups(record),
        hashed=hashes is not None,
        splits=splits,
        purposes={name: "measured here" if record.other_data else _purpose(name, record) for name in splits},
        classes=classes[:MOST_CLASSES],
        more=max(len(classes) - MOST_CLASSES, 0),
        fingerprint=fingerprint(hashes) if hashes else "",
        remarks=record.remarks,
        account=record.account,
        left=len(record.left_out),
        left_out=record.left_out[:MOST_LEFT_OUT],
    )
    return Section("data", "The data measured here" if record.other_data else "Data and split", body)


def _purpose(split: str, record: Record) -> str | None:
    """What a split was there for. The validation split chose no pass where no checkpoint is called the best."""
    if split != "validation" or not record.checkpoints or "best" in record.checkpoints:
        return PURPOSES.get(split)
    if any(record.settled.values()):
        return "to settle answers"
    watched = any(name.startswith("validation ") for entry in record.passes for name in entry)
    return "to watch training" if watched else "kept apart, chose nothing"


def _groups(record: Record) -> str:
    """How many speakers, or whatever groups are, each split has; empty where each row is a group of its own."""
    groups: dict[str, set[str]] = {name: set() for name in record.split_counts}
    names = record.columns.get("group") or []
    for name, split in zip(names, record.columns.get("split") or [], strict=False):
        groups[split].add(str(name))
    if not names or len(set(map(str, names))) == len(names):
        return ""
    parts = [f"{wording.count(len(names))} in {split}{_named(names)}" for split, names in groups.items() if names]
    return f"{wording.group(record).capitalize()}: {wording.join(parts)}."


def _named(groups: set[str]) -> str:
    return f" ({wording.join([wording.quoted(name) for name in sorted(groups)])})" if len(groups) <= FEW_NAMED else ""


def fingerprint(hashes: list[str]) -> str:
    """SHA-256 over the sorted hashes of all rows, cut to 16 signs: enough to tell two data sets apart."""
    return hashlib.sha256("\n".join(sorted(map(str, hashes))).encode()).hexdigest()[:16]
