"""What a language model answers to questions that it did not learn from, beside the answers that were given there."""

from __future__ import annotations

from typing import Any

from pervade.report.html import Section, render
from pervade.report.record import Record, Result

MOST = 600  # letters of a text that is shown

TEMPLATE = """\
<p>Questions evenly spaced over the rows that were measured, none chosen, answered with the likeliest token each time.
Beside each stands which share of the answer's runs of eight tokens can be read so in the answers it learnt from: what
is copied may be remembered rather than understood.</p>
{% for each in replies %}
<figure class="sample">
{% for message in each.messages %}<p><b>{{ message.role }}</b> {{ message.content|truncate(most) }}</p>{% endfor %}
{% if each.why %}<p class="note">Not asked: {{ each.why }}.</p>
{% else %}<blockquote dir="auto">{{ each.reply|truncate(most) or "(nothing)" }}</blockquote>{% endif %}
<p class="note">The row's own answer: {{ each.answer|truncate(most) }}</p>
<figcaption>{{ each.id }}{% if each.copied is not none %}, {{ each.copied|percent }} copied{% endif %}
</figcaption></figure>
{% endfor %}
"""


def section(detail: list[dict[str, Any]], result: Result, record: Record) -> Section | None:
    return Section("replies", "What it answers", render(TEMPLATE, replies=detail, most=MOST)) if detail else None
