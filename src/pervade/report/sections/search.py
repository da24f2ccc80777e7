"""A search over settings: what each trial tried, how far it came, and how the best figure grew from trial to trial."""

from __future__ import annotations

from typing import Any

from pervade.core.words import FigureWords
from pervade.report import chart, wording
from pervade.report.html import Section, render
from pervade.report.record import Record

MOST = 40  # trials in the table: the best

TEMPLATE = """\
<p>{{ what }}</p>
{{ picture }}
<div class="scroll"><table>
<thead><tr><th>Trial</th>{% if rungs %}<th>rung</th>{% endif %}
{% for path in paths %}<th class="number">{{ path|label(30) }}</th>{% endfor %}
<th class="number">passes</th><th class="number">validation</th><th>ended</th></tr></thead>
<tbody>
{% for row in rows %}
<tr><th>{{ row.number }}{% if row.winner %} <small>winner</small>{% endif %}</th>
{% if rungs %}<td>{{ row.rung }}</td>{% endif %}
{% for value in row.settings %}<td class="number">{{ value }}</td>{% endfor %}
<td class="number">{{ row.passes }}</td><td class="number">{{ row.value }}</td><td>{{ row.state }}</td></tr>
{% endfor %}
</tbody></table></div>
<p class="note">{{ note }}</p>
"""


def section(record: Record) -> Section | None:
    trials = record.search.get("trials")
    if not trials:
        return None
    metric = str(record.search.get("metric"))
    higher = bool(record.search.get("higher_is_better", True))
    winner = record.search.get("winner")
    states = [str(trial["state"]) for trial in trials]
    paths = list(dict.fromkeys(path for trial in trials for path in trial["values"]))
    rungs = list(dict.fromkeys(str(trial["rung"]) for trial in trials if trial.get("rung")))
    done = [trial for trial in trials if trial["value"] is not None]
    # Those that came to their end first, the best of them at the top.
    order = sorted(done, key=lambda run: (run["state"] != "complete", -run["value"] if higher else run["value"]))
    words = record.words.figure(metric)
    rows = [_row(trial, paths, words, winner) for trial in [*order, *(e for e in trials if e["value"] is None)][:MOST]]
    over = f" over {wording.join([str(path) for path in paths])}" if paths else ""
    across = f" across {wording.join(rungs)}" if rungs else ""
    why = (
        "left behind as the worse half at a share of their training"
        if rungs
        else ("pruned for lying below the median of the others")
    )
    number = states.count("paused")  # while the search goes on they wait
    paused = f", {number} had time for a share of their training alone" if winner and number else ""
    what = (
        f"{len(trials)} trials{over}{across}: {states.count('complete')} came to their end, {states.count('pruned')} "
        f"were {why}, {states.count('failed')} failed{paused}."
    ) + (f" The best is {winner}." if winner else " The search goes on.")
    if record.search.get("no_blend"):
        what += f" The best of each rung were not put together: {record.search['no_blend']}."
    note = (
        "Trials are judged on the validation split alone. The best of many figures is partly luck, so the winner's is "
        "flattering; the figures at the head of this page are not: its model alone was evaluated there, once. Each "
        "trial is a run inside members/; a pruned one keeps its log, but not its weights."
    )
    picture = _picture(done, words, higher) if len(done) > 1 else ""
    body = render(TEMPLATE, what=what, picture=picture, paths=paths, rungs=rungs, rows=rows, note=note)
    return Section("search", "What was searched", body)


def _row(trial: dict[str, Any], paths: list[str], words: FigureWords, winner: str | None) -> dict[str, Any]:
    return {
        "number": trial["number"],
        "winner": f"trial-{trial['number']:03d}" == winner,
        "rung": trial.get("rung", ""),
        "settings": [_setting(trial["values"][path]) if path in trial["values"] else "" for path in paths],
        "passes": max((int(step) for step in trial["passes"]), default=0),
        "value": words.written(trial["value"]),
        "state": f"{trial['state']}: {trial['reason']}" if trial.get("rung") and trial["reason"] else trial["state"],
    }


def _setting(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _picture(done: list[dict[str, Any]], words: FigureWords, higher: bool) -> Any:
    """A dot a trial, and the best so far as a line."""
    points = [(float(trial["number"]), float(trial["value"])) for trial in done]
    # A pruned trial cannot win, whatever it had reached.
    ended = [(float(e["number"]), float(e["value"])) for e in done if e["state"] == "complete"]
    best: list[tuple[float, float]] = []
    for at, value in ended:
        before = best[-1][1] if best else value
        now = max(before, value) if higher else min(before, value)
        best += [(at, before), (at, now)]
    if best:
        best.append((points[-1][0], best[-1][1]))
    low, high = min(value for _, value in points), max(value for _, value in points)
    room = 0.05 * (high - low) or 0.05
    x = chart.axis_x("trial", 0.0, max(at for at, _ in points))
    top = min(high + room, 1.0) if words.is_share else high + room
    y = chart.axis_y(f"Validation: {words.inside}", low - room, top, words.in_percent)
    shown = [chart.Line("one trial", points, "first faint", True), chart.Line("best so far", best, "second")]
    reach = f"{words.written(low)} to {words.written(high)}"
    summary = f"validation: {words.inside} of {len(points)} trials, from {reach}"
    return chart.lines(x, y, shown, summary)
