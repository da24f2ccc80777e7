"""Where the answer is what was said: the recordings with the most wrong words, to hear and to see, and the words that
go wrong most often."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from pervade.report import alignment, preprocessing, sound, wording
from pervade.report.alignment import Step
from pervade.report.html import Section, render
from pervade.report.record import Record
from pervade.report.sections.mistakes import MOST, media, predictions, row_of

MOST_WORDS = 500  # of a text that is shown aligned
MOST_PAIRS = 12  # confusions in the list
MOST_WORK = 5_000_000  # cells of alignments over all rows, some seconds; what does not fit is left out, and said

KINDS = {"swapped": "substitutions", "missed": "deletions", "added": "insertions"}  # as the predictions file has them

MISTAKES = """\
<p>{{ wrong|count }} of {{ n|count }} {{ many }} were not written down to the word{% if shown %}. These are the
{{ shown|length }} with the most wrong {{ units }}. Listen before you blame the model: some may be transcribed wrongly
{%- endif %}.</p>
{% if shown %}
<div class="note legend"><span>Above what was said, below what the model wrote:</span>
<span><span class="step swapped"><i>this</i><b>that</b></span> one for another</span>
<span><span class="step missed"><i>this</i><b>&nbsp;</b></span> left out</span>
<span><span class="step added"><i>&nbsp;</i><b>that</b></span> put in</span></div>
<div class="heard">
{% for each in shown %}
<figure>{{ each.media }}
<div>{% if each.steps is not none %}
<p class="visually-hidden">Said: {{ each.true }}. Written: {{ each.text or "nothing" }}.</p>
<p class="aligned{{ "" if spaced else " signs" }}" dir="auto" aria-hidden="true">{% for step in each.steps %}
<span class="step {{ step.kind }}"><i>{{ step.true or nothing }}</i><b>{{ step.said or nothing }}</b></span>
{% endfor %}</p>
{% else %}
<p class="note">Too long to be set side by side; the beginnings:</p>
<p dir="auto">{{ each.true|truncate(600) }}</p><blockquote dir="auto">{{ each.text|truncate(600) or "(nothing)" }}
</blockquote>
{% endif %}
<figcaption>{{ each.errors }}<small class="block file">{{ each.id|label(80) }}</small></figcaption></div></figure>
{% endfor %}
</div>{% endif %}
{% if silent %}<p class="note">{{ silent }}</p>{% endif %}
"""

WORDS = """\
<p>{{ totals }}</p>
{% if pairs %}<div class="scroll"><table>
<thead><tr><th>What was said</th><th>What it wrote</th><th class="number">times</th></tr></thead>
<tbody>{% for step, times in pairs %}
<tr><th dir="auto">{{ step.true|label(40) if step.true else "–" }}</th>
<td dir="auto">{{ step.said|label(40) if step.said else "–" }}<small>
{{ {"swapped": "", "missed": " left out", "added": " put in"}[step.kind] }}</small></td>
<td class="number">{{ times|count }}</td></tr>
{% endfor %}</tbody></table></div>{% endif %}
{% if part %}<p class="note">Of {{ part|count }} {{ many }}: the others are too long, or too many, to be compared word
by word for this page.</p>{% endif %}
"""


def section(record: Record) -> list[Section]:
    table = predictions(record, {"row", "text", "reference", "words"})
    if record.main is None or table is None:
        return []
    texts = [str(text or "") for text in table["text"]]
    true = [str(text or "") for text in table["reference"]]
    spaced = alignment.has_words(true)
    sections = [_mistakes(record, table, true, texts, spaced), _words(record, table, true, texts, spaced)]
    return [section for section in sections if section is not None]


def _mistakes(record: Record, table: dict[str, Any], true: list[str], texts: list[str], spaced: bool) -> Section:
    assert record.main is not None
    name = "word" if spaced or "characters" not in table else "character"
    errors, words = _errors(table, name), np.asarray(table[f"{name}s"])
    wrong = np.flatnonzero(errors > 0)
    # Of as many wrong words those of the shorter text, where more of it is wrong.
    worst = wrong[np.lexsort((words[wrong], -errors[wrong]))][:MOST]
    room, domain = sound.ByteBudget(), preprocessing.domain(record, record.main.checkpoint)
    unit = (name, f"{name}s")
    shown = []
    for index in worst.tolist():
        row = row_of(record, table, index)
        pieces = [alignment.units(column[index], spaced) for column in (true, texts)]
        steps = alignment.align(*pieces) if max(map(len, pieces)) <= MOST_WORDS else None
        shown.append(
            {
                "media": media(domain, row, {"label": texts[index], "text": texts[index]}, room),
                "steps": steps,
                "true": true[index],
                "text": texts[index],
                "errors": f"{wording.count(int(errors[index]))} wrong for "
                f"{wording.count(int(words[index]))} {unit[int(words[index]) != 1]} said",
                "id": row["id"],
            }
        )
    n = len(errors)
    body = render(
        MISTAKES,
        wrong=len(wrong),
        n=n,
        many=wording.noun(record, n),
        units=unit[1],
        shown=shown,
        spaced=spaced,
        nothing="\u00a0",
        silent=room.sentence(),
    )
    return Section("mistakes", "Worst mistakes", body)


def _errors(table: dict[str, Any], unit: str) -> np.ndarray:
    """(n,): wrong ones of each row, as the file counts them: by kind, or together."""
    if f"{unit}_errors" in table:
        return np.asarray(table[f"{unit}_errors"])
    return np.sum([np.asarray(table[f"{unit}_{kind}"]) for kind in KINDS.values()], axis=0)


def _words(record: Record, table: dict[str, Any], true: list[str], texts: list[str], spaced: bool) -> Section | None:
    """Every wrong word of all rows, counted."""
    counts: Counter[Step] = Counter()
    work = compared = said = 0
    for reference, text in zip(true, texts, strict=True):
        pieces = [alignment.units(side, spaced) for side in (reference, text)]
        cells = (len(pieces[0]) + 1) * (len(pieces[1]) + 1)
        steps = alignment.align(*pieces) if work + cells <= MOST_WORK else None
        if steps is None:
            continue
        work += cells
        compared, said = compared + 1, said + len(pieces[0])
        counts.update(step for step in steps if step.kind != "right")
    if not counts:
        return None
    kinds = dict.fromkeys(KINDS, 0)
    for step, times in counts.items():
        kinds[step.kind] += times
    counted = {kind: f"{'word' if spaced else 'character'}_{name}" for kind, name in KINDS.items()}
    if compared == len(true) and set(counted.values()) <= table.keys():
        # Of several alignments with as few changes, the one that the figures are of.
        kinds = {kind: int(np.sum(table[column])) for kind, column in counted.items()}
    # As often: in the order of the words, so that the page is the same each time.
    pairs = sorted(((step, times) for step, times in counts.items() if times > 1), key=lambda pair: (-pair[1], pair[0]))
    unit = "words" if spaced else "characters"
    totals = (
        f"Of {wording.count(said)} {unit} said, {_were(kinds['swapped'])} taken for another and "
        f"{wording.count(kinds['missed'])} left out; {_were(kinds['added'])} put in that nobody said."
        f"{' These mistakes were made more than once:' if pairs else ' No mistake was made twice.'}"
    )
    many = wording.noun(record)
    part = compared if compared < len(true) else 0
    body = render(WORDS, totals=totals, pairs=pairs[:MOST_PAIRS], part=part, many=many)
    return Section("wrong-words", f"Which {unit} go wrong", body)


def _were(number: int) -> str:
    return "1 was" if number == 1 else f"{wording.count(number)} were"
