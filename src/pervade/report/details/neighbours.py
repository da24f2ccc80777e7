"""What was made beside what of the training split is the nearest to it: is it new, or remembered?"""

from __future__ import annotations

from typing import Any

from pervade.report import inside, wording
from pervade.report.html import Section, render
from pervade.report.record import Record, Result

TEMPLATE = """\
<p>In each column stands what was made; below it the training {{ one }} that is the nearest in pixels, and the one that
is the nearest in the features of {{ judge }}. Half of the real {{ many }} that nobody learnt from lie {{ usual }} or
less from the nearest training {{ one }} in features, and a hundredth of them {{ rare }} or less.
{%- if compared < of %} Of the {{ of|count }} training {{ many }} {{ compared|count }}, drawn by chance, are compared
with: a copy of another one is not seen here.{% endif %}</p>
{% if shares %}<p>How many more of those made lie as near as that hundredth: {% for copied in shares -%}
<b>{{ copied|figure }}</b> <small>{{ copied|interval }}</small> by {{ copied.name|replace("copies_", "") }}
{%- if not loop.last %}, {% endif %}{% endfor %} (n = {{ shares[0].n|count }}). Below 0 there is no sign of copies.</p>
{% endif %}
{% for title, source, why, told in sheets %}
{% if source %}<figure class="sheet"><img src="{{ source }}" alt="{{ title }}">
<figcaption>{{ title }} {{ told }}</figcaption></figure>
{% else %}<p class="note">{{ why }}</p>{% endif %}
{% endfor %}
"""
TITLES = {"drawn": "Drawn by chance.", "nearest": "Of all those made the ones that lie the nearest, in features."}


def section(detail: dict[str, Any], result: Result, record: Record) -> Section | None:
    sheets = []
    for name, title in TITLES.items():
        if name in detail:
            told = detail["told"][name]
            seeds = wording.join([str(seed) for seed in told["seeds"]], most=20)
            far = wording.join([wording.number(distance) for distance in told["distance"]], most=20)
            said = f"Seeds {seeds}; in features {far} away."
            sheets.append((title, *inside.address(detail[name], record, "picture"), said))
    if not sheets:
        return None
    known = [figure for name, figure in result.figures.items() if name.startswith("copies_")]
    body = render(
        TEMPLATE,
        judge=wording.label(detail["judge"], 120),
        one=wording.noun(record, 1),
        many=wording.noun(record),
        usual=wording.number(detail["of_real"]["usual"]),
        rare=wording.number(detail["of_real"]["rare"]),
        compared=int(detail.get("compared", 0)),
        of=int(detail.get("of", 0)),
        shares=[figure for figure in known if figure.value is not None],
        sheets=sheets,
    )
    return Section("neighbours", "New, or remembered?", body)
