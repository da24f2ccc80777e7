"""Where the answer is what was said: the recordings with the most wrong words, to hear and to see, and the words that
go wrong most often."""

from __future__ import annotations

from typing import Any

import numpy as np

from pervade.metrics import transcription
from pervade.report import preprocessing, sound, wording
from pervade.report.html import Section, render
from pervade.report.record import Record
from pervade.report.sections.mistakes import MOST, media, predictions, row_of

MOST_WORDS = 500  # of a text that is shown aligned
MOST_PAIRS = 12  # confusions in the list

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
{% for mistake in shown %}
<figure>{{ mistake.media }}
<div>{% if mistake.steps is not none %}
<p class="visually-hidden">Said: {{ mistake.true }}. Written: {{ mistake.text or "nothing" }}.</p>
<p class="aligned{{ "" if spaced else " signs" }}" dir="auto" aria-hidden="true">{% for step in mistake.steps %}
<span class="step {{ step.kind }}"><i>{{ step.true or nothing }}</i><b>{{ step.said or nothing }}</b></span>
{% endfor %}</p>
{% else %}
<p class="note">Too long to be set side by side; the beginnings:</p>
<p dir="auto">{{ mistake.true|truncate(600) }}</p><blockquote dir="auto">{{ mistake.text|truncate(600) or "(nothing)" }}
</blockquote>
{% endif %}
<figcaption>{{ mistake.errors }}<small class="block file">{{ mistake.id|label(80) }}</small></figcaption></div></figure>
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
"""


def section(record: Record) -> list[Section]:
    table = predictions(record, {"row", "text", "reference", "words"})
    if record.main is None or table is None:
        return []
    texts = [str(text or "") for text in table["text"]]
    true = [str(text or "") for text in table["reference"]]
    spaced = transcription.has_words(true)
    return [_mistakes(record, table, true, texts, spaced), *_words(table, true, texts, spaced)]


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
        pieces = [transcription.units(side[index], spaced) for side in (true, texts)]
        steps = transcription.align(*pieces) if max(map(len, pieces)) <= MOST_WORDS else None
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


def _words(table: dict[str, Any], true: list[str], texts: list[str], spaced: bool) -> list[Section]:
    """Every wrong word of all rows, counted; nothing where none is wrong."""
    wrong = transcription.wrong_steps(true, texts, spaced)
    if not wrong:
        return []
    unit = "words" if spaced else "characters"
    columns = {kind: f"{unit[:-1]}_{name}" for kind, name in KINDS.items()}
    if set(columns.values()) <= table.keys():  # signs are counted there with the blanks between them
        kinds = {kind: int(np.sum(table[column])) for kind, column in columns.items()}
    else:
        kinds = {kind: sum(times for step, times in wrong if step.kind == kind) for kind in KINDS}
    pairs = [(step, times) for step, times in wrong if times > 1]
    said = sum(len(transcription.units(reference, spaced)) for reference in true)
    totals = (
        f"Of {wording.count(said)} {unit} said, {_were(kinds['swapped'])} taken for another and "
        f"{wording.count(kinds['missed'])} left out; {_were(kinds['added'])} put in that nobody said."
        f"{' These mistakes were made more than once:' if pairs else ' No mistake was made twice.'}"
    )
    body = render(WORDS, totals=totals, pairs=pairs[:MOST_PAIRS])
    return [Section("wrong-words", f"Which {unit} go wrong", body)]


def _were(number: int) -> str:
    return "1 was" if number == 1 else f"{wording.count(number)} were"
