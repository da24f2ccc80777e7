"""Texts that a language model wrote by fixed seeds, and how much of them stands in the training text; or sounds."""

from __future__ import annotations

from typing import Any

from pervade.report.details import sounds
from pervade.report.html import Section, render
from pervade.report.record import Record, Result

TEMPLATE = """\
<p>Written from nothing, by the seeds {{ samples|map(attribute="seed")|join(", ") }}, none chosen. Beside each stands
which share of its runs of eight tokens can be read so in the training text: what is copied is not written.</p>
{% for sample in samples %}
<figure class="sample"><blockquote dir="auto">{{ sample.text }}</blockquote>
<figcaption>seed {{ sample.seed }}{% if sample.copied is not none %}, {{ sample.copied|percent }} copied{% endif %}
</figcaption></figure>
{% endfor %}
"""


def section(detail: list[dict[str, Any]], result: Result, record: Record) -> Section | None:
    if any("audio" in sample for sample in detail):
        return sounds.section(detail, result, record)
    return Section("samples", "What it writes", render(TEMPLATE, samples=detail)) if detail else None
