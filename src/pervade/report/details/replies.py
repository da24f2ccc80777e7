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
{% for reply in replies %}
<figure class="sample">
{% for message in reply.messages %}<p><b>{{ message.role }}</b> {{ message.content|truncate(most) }}</p>{% endfor %}
{% if reply.why %}<p class="note">Not asked: {{ reply.why }}.</p>
{% else %}<blockquote dir="auto">{{ reply.reply|truncate(most) or "(nothing)" }}</blockquote>{% endif %}
<p class="note">The row's own answer: {{ reply.answer|truncate(most) }}</p>
<figcaption>{{ reply.id }}{% if reply.copied is not none %}, {{ reply.copied|percent }} copied{% endif %}
</figcaption></figure>
{% endfor %}
"""


def section(detail: list[dict[str, Any]], result: Result, record: Record) -> Section | None:
    return Section("replies", "What it answers", render(TEMPLATE, replies=detail, most=MOST)) if detail else None
