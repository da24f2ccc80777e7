"""What a model made by the same seeds as it learnt, pass by pass (run/training_log.py)."""

from __future__ import annotations

from pervade.report import inside, wording
from pervade.report.html import Section, render
from pervade.report.record import Record

MOST = 8  # passes

TEMPLATE = """\
<p>Made by the same seeds each time, with the weights of that moment.</p>
<div class="gallery">
{% for title, source in shown %}
<figure><img class="pixels" src="{{ source }}" alt="{{ title }}"><figcaption>{{ title }}</figcaption></figure>
{% endfor %}
</div>
"""


def section(record: Record) -> Section | None:
    there = {float(path.stem): path for path in record.run.path.glob("media/progress/*.png") if _is_number(path.stem)}
    passes = sorted(there)
    some = sorted({passes[round(i * (len(passes) - 1) / max(MOST - 1, 1))] for i in range(MOST)}) if passes else []
    shown = []
    for at in some:
        source, _ = inside.address({"file": there[at].relative_to(record.run.path).as_posix()}, record, "picture")
        shown += [(wording.after(at), source)] if source else []
    return Section("progress", "As it learnt", render(TEMPLATE, shown=shown)) if shown else None


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()
