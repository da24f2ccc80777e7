"""compare.html: several models on the same rows, as a page that looks like the report.

    write(comparison, Path("compare.html"))

The same comparison gives the same bytes. The page is one file that loads nothing and runs no script.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from markupsafe import Markup

from pervade.core import files
from pervade.core.words import FigureWords
from pervade.evaluate.compare import ABSENT, RECALL, Comparison
from pervade.metrics.estimate import few_groups, too_few_groups
from pervade.metrics.paired import Difference
from pervade.report import compare_disagree, compare_words, html, wording
from pervade.report.html import Section, render
from pervade.report.record import Figure

MOST_IN_ORDER = 30  # classes; of more, those that differ most come first
MOST_CLASSES = 100

REACH = """\
<div class="comparison">
{% for name, figure, kind in rows %}
<div class="compared"><span class="name">{{ name|label(60) }}</span>
<span class="amount">{{ figure|measured }}</span>{{ track(figure, kind) if share }}</div>
{% endfor %}
{% if share %}<div class="scale" aria-hidden="true"><span>0%</span><span>50%</span><span>100%</span></div>{% endif %}
</div>
"""

TABLES = """\
<p>A dot is the difference, the bar its 95% interval, the line in the middle no difference; to the right of it
{{ "the second model is better" if directed else "the second model's value is the larger" }}. Shares have one scale, in
points; every other figure has its own.</p>
{% for part in parts %}
{% if parts|length > 1 %}<h3>{{ part.second|label(60) }} against {{ part.first|label(60) }}</h3>{% endif %}
{{ part.table }}
{% if part.single %}<details><summary>Other figures of single classes, p after Holm for
their number</summary>{{ part.single }}</details>{% endif %}
{% endfor %}
<p class="note">How intervals and p were found: {{ methods }}.{% if several %} Each p is corrected after Holm for
{{ several }} comparisons.{% endif %} The verdict is about the first figure alone: of many figures that are tested at
once, some look different by chance.</p>
{% for why in missing %}<p class="note">{{ why }}</p>{% endfor %}
"""

TABLE = """\
<div class="scroll"><table class="differences">
<thead><tr><th>{{ head }}</th><th class="number">{{ first|label(24) }}</th>
<th class="number">{{ second|label(24) }}</th>
<th class="number">Difference and 95% interval</th><th class="drawn"></th><th class="number">p</th></tr></thead>
<tbody>
{% for row in rows %}
<tr><th>{{ row.title }}{% if row.note %}<small class="block">{{ row.note }}</small>{% endif %}</th>
<td class="number">{{ row.first }}</td><td class="number">{{ row.second }}</td>
<td class="number"><b>{{ row.difference }}</b> <small>{{ row.interval }}</small></td>
<td class="drawn">{{ row.drawn }}</td><td class="number amount">{{ row.p }}</td></tr>
{% endfor %}
</tbody></table></div>
"""

CLASSES = """\
<p>Of the rows of each class, the share that the models gave it (recall).</p>
{% for part in parts %}
<p>{{ part.sentence }}</p>
{{ part.table }}
{% if part.more %}<p class="note">{{ part.more|count }} more classes differ less; --json has them all.</p>{% endif %}
{% endfor %}
"""

DRAWN = """\
<span class="track difference{{ ' second' if not shown }}" role="img" aria-label="{{ words }}" title="{{ words }}">
<span class="span" style="left:{{ low }}%;width:{{ width }}%"></span>
<span class="dot" style="left:{{ at }}%"></span></span>"""

FACTS = """\
<div class="scroll"><table>
<thead><tr><th></th>{% for name in names %}<th class="number">{{ name|label(40) }}</th>{% endfor %}</tr></thead>
<tbody>
{% for title, values in rows %}
<tr><th>{{ title }}</th>{% for value in values %}<td class="number">{{ value }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
"""

SETTINGS = """\
{% if settings %}
<div class="scroll"><table>
<thead><tr><th>Setting</th>{% for name in names %}<th>{{ name|label(40) }}</th>{% endfor %}</tr></thead>
<tbody>
{% for path, values in settings %}
<tr><th><code>{{ path }}</code></th>{% for value in values %}<td>{{ value }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% else %}<p>Nothing: the recipes are the same.</p>{% endif %}
"""

ROWS = """\
<p>Compared on {{ counted }}{% if grouped %}, which are {{ groups|count }} groups whose members depend on each other:
{{ how }}, and McNemar's test, which needs independent rows, is not used{% endif %}.
{% if not differences %}All runs have the same.{% endif %}</p>
{% if differences %}<ul>{% for difference in differences %}<li>{{ difference }}</li>{% endfor %}</ul>{% endif %}
<p class="note">From {% for path in predictions %}<code>{{ path }}</code>{{ ", " if not loop.last }}{% endfor %}.</p>
"""


def write(comparison: Comparison, path: Path) -> Path:
    """Raises ResourceError where the file cannot be written."""
    files.write_text(path, build(comparison))
    return path


def build(comparison: Comparison) -> str:
    parts = [differences(comparison), classes(comparison), compare_disagree.section(comparison)]
    parts += [costs(comparison), settings(comparison), rows(comparison)]
    return html.page(
        "compare.jinja",
        names=[side.name for side in comparison.sides],
        headline=compare_words.headline(comparison),
        sentences=[compare_words.sentence(comparison, index) for index in range(1, len(comparison.sides))],
        cures=[
            text
            for words in (compare_words.cure, compare_words.promised)
            for index in range(1, len(comparison.sides))
            if (text := words(comparison, index))
        ],
        counted=compare_words.counted(comparison),
        reach=reach(comparison),
        cautions=compare_words.cautions(comparison),
        sections=[part for part in parts if part is not None],
    )


def reach(comparison: Comparison) -> Markup:
    """What every model reaches in the headline figure, each with its own interval."""
    name = comparison.headline
    words = compare_words.words_of(comparison, name)
    figures = [replace(Figure.of(name, estimate.as_dict()), known=words) for estimate in comparison.estimates]
    kinds = ["second", *["first"] * (len(figures) - 1)]
    named = [side.name for side in comparison.sides]
    return render(REACH, rows=list(zip(named, figures, kinds, strict=True)), share=words.is_share)


def differences(comparison: Comparison) -> Section:
    first = comparison.sides[0]
    parts: list[dict[str, Any]] = []
    methods: dict[str, dict[str, None]] = {}
    missing: set[str] = set()
    for side, differences in zip(comparison.sides[1:], comparison.differences, strict=True):
        groups = [
            {n: d for n, d in differences.items() if ("[" in n) == single and not RECALL.fullmatch(n)}
            for single in (False, True)
        ]
        table, single = (_table(comparison, first.name, side.name, group) if group else None for group in groups)
        parts.append({"first": first.name, "second": side.name, "table": table, "single": single})
        for name, difference in groups[0].items():
            methods.setdefault(difference.method, {})[name.replace("_", " ")] = None
            if difference.why:
                missing.add(f"{compare_words.words_of(comparison, name).title}: {difference.why}.")
    named = "; ".join(f"{method} for {wording.join(list(names))}" for method, names in methods.items())
    body = render(
        TABLES,
        parts=parts,
        methods=named,
        missing=sorted(missing),
        several=len(parts) if len(parts) > 1 else None,
        directed=any(metric.higher_is_better is not None for metric in comparison.metrics.values()),
    )
    return Section("differences", "By how much they differ", body)


def _table(
    comparison: Comparison,
    first: str,
    second: str,
    differences: dict[str, Difference],
    of_classes: Mapping[str, tuple[str, str]] = MappingProxyType({}),
) -> Markup:
    """`of_classes`: title and note of figures that are of one class."""
    called = {name: compare_words.words_of(comparison, name) for name in differences}
    shares = [max(abs(gap.low), abs(gap.high)) for name, gap in differences.items() if called[name].in_percent]
    widest = max((share for share in shares if not math.isnan(share)), default=1.0)
    lines = []
    for name, difference in differences.items():
        metric, words = comparison.metrics[name], called[name]
        reach = widest if words.in_percent else max(abs(difference.low), abs(difference.high))
        lower = "lower is better" if metric.higher_is_better is False else ""
        own = words.title, "; ".join(part for part in (metric.description, lower) if part)
        title, note = of_classes.get(name, own)
        lines.append(
            {
                "title": title,
                "note": wording.label(note, most=400),
                "first": words.written(None if math.isnan(difference.first) else difference.first),
                "second": words.written(None if math.isnan(difference.second) else difference.second),
                "difference": compare_words.amount(words, difference.difference, signed=True),
                "interval": compare_words.interval(words, difference.low, difference.high),
                "drawn": _drawn(words, difference, reach),
                "p": compare_words.probability(difference.adjusted).removeprefix("p ").removeprefix("= "),
            }
        )
    head = "Class" if of_classes else "Figure"
    return render(TABLE, head=head, first=first, second=second, rows=lines)


def classes(comparison: Comparison) -> Section | None:
    """What each model recognises of each class, beside the first model."""
    first = comparison.sides[0]
    parts: list[dict[str, Any]] = []
    for index, side in enumerate(comparison.sides[1:], start=1):
        recalls = {name: gap for name, gap in comparison.recalls(index).items() if not math.isnan(gap.difference)}
        names = list(recalls)
        if len(names) > MOST_IN_ORDER:  # those that differ most come first
            names.sort(key=lambda name: (not recalls[name].shown, -abs(recalls[name].difference)))
        gaps = {f"recall[{name}]": recalls[name] for name in names[:MOST_CLASSES]}
        called = {f"recall[{name}]": (html.label(name, 40), _rows(comparison, name)) for name in names}
        sentence = compare_words.classes(comparison, index)
        table = _table(comparison, first.name, side.name, gaps, called)
        parts.append({"sentence": sentence, "table": table, "more": max(len(names) - MOST_CLASSES, 0)})
    return Section("classes", "Class by class", render(CLASSES, parts=parts)) if comparison.recalls(1) else None


def _rows(comparison: Comparison, name: str) -> str:
    """How many of the compared rows are of the class."""
    among, columns = comparison.metrics[f"recall[{name}]"].among, comparison.sides[0].columns
    return "" if among is None else f"n = {wording.count(int(among(columns).sum()))}"


def _drawing(comparison: Comparison) -> str:
    """What is done with groups of rows that depend on each other (metrics/paired.py)."""
    known = comparison.num_groups, comparison.num_rows
    if too_few_groups(*known):
        return "so few that rows are resampled, and the intervals speak of these groups alone"
    return "one group at a time is left out" if few_groups(*known) else "whole groups are resampled"


def _drawn(words: FigureWords, difference: Difference, reach: float) -> Markup:
    """The interval on a line whose middle is no difference, turned so that better lies to the right."""
    if math.isnan(difference.low) or not reach > 0:
        return Markup("")
    turn = compare_words.sign(difference)
    low, high = sorted((turn * difference.low, turn * difference.high))

    def place(value: float) -> float:
        return 50 + 48 * value / reach

    amount = compare_words.amount(words, difference.difference, signed=True)
    told = f"{amount} ({compare_words.interval(words, difference.low, difference.high)})"
    return render(
        DRAWN,
        words=told,
        shown=difference.shown,
        low=f"{place(low):.2f}",
        width=f"{place(high) - place(low):.2f}",
        at=f"{place(turn * difference.difference):.2f}",
    )


def costs(comparison: Comparison) -> Section:
    sides = comparison.sides
    acts = all(side.domain.wording.environment for side in sides)
    lines: list[tuple[str, list[str]]] = [
        (
            "Time of training, with validation and saving",
            [wording.duration(s.seconds) if s.seconds is not None else ABSENT for s in sides],
        ),
        (f"{'Rounds' if acts else 'Passes'} up to this checkpoint", [_number(s.passes) for s in sides]),
        ("Weights", [_number(s.parameters) for s in sides]),
        ("Model", [str((s.recipe.get("model") or {}).get("use", ABSENT)) for s in sides]),
        ("Checkpoint", [s.checkpoint for s in sides]),
        ("Threads, which bits repeat with", [str(s.recipe.get("threads") or ABSENT) for s in sides]),
        (
            "Copies of the environment" if acts else "Learnt from",
            [_number(list(s.data["columns"].get("split", [])).count("train")) for s in sides],
        ),
    ]
    return Section("costs", "What each took", render(FACTS, names=[s.name for s in sides], rows=lines))


def _number(number: int | None) -> str:
    return ABSENT if number is None else wording.count(number)


def settings(comparison: Comparison) -> Section:
    named = [(path, [_plain(value) for value in values]) for path, values in comparison.settings.items()]
    body = render(SETTINGS, settings=named, names=[side.name for side in comparison.sides])
    return Section("settings", "What was set differently", body)


def _plain(value: Any) -> str:
    return wording.label("none" if value is None else value, most=120)


def rows(comparison: Comparison) -> Section:
    body = render(
        ROWS,
        counted=compare_words.counted(comparison),
        grouped=comparison.num_groups < comparison.num_rows,
        groups=comparison.num_groups,
        how=_drawing(comparison),
        differences=comparison.rows,
        predictions=[str(path) for side in comparison.sides for path in side.predictions],
    )
    return Section("rows", "What they were compared on", body)
