"""Pictures that a model made by fixed seeds, and what lies between some of them."""

from __future__ import annotations

from typing import Any

from pervade.report import inside, wording
from pervade.report.html import Section, render
from pervade.report.record import Record, Result

TEMPLATE = """\
<p>Made by the seeds from 0 on, none chosen{% if labels %}; a row each of {{ labels }}{% endif %}. It shows nothing that
was ever there.</p>
{% for title, source, why in shown %}
{% if source %}<figure class="sheet"><img src="{{ source }}" alt="{{ title }}">
<figcaption>{{ title }}</figcaption></figure>
{% else %}<p class="note">{{ why }}</p>{% endif %}
{% endfor %}
"""
TITLES = {
    "grid": "What it makes",
    "between": "Each row goes in even steps from what one seed makes, on the left, to what another makes, on the right",
}


def section(detail: dict[str, Any], result: Result, record: Record) -> Section | None:
    shown = [(TITLES[name], *inside.address(detail[name], record, "picture")) for name in TITLES if name in detail]
    labels = wording.join([wording.label(label, 40) for label in detail.get("labels") or ()])
    return Section("generated", "What it makes", render(TEMPLATE, shown=shown, labels=labels))
