"""What was made of the model to be smaller and faster: what each lost of its figures, and what it gained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from pervade.core.download import megabytes
from pervade.core.words import FigureWords, Words, of_figure
from pervade.core.words import measured as interval_of
from pervade.report import chart, wording
from pervade.report.html import Section, render
from pervade.report.record import Record

EAGER, GRAPH, MADE = "eager", "graph", "compressed"  # the sides of a timing
LOOKS = ("first", "second", "third", "fourth", "fifth", "sixth")
CALIBRATION = "ece"

TEMPLATE = """\
{% for text in said %}<p>{{ text }}.</p>
{% endfor %}
{% if rows %}
<div class="scroll"><table>
<thead><tr><th>Checkpoint</th><th>{{ headline }}</th><th>difference</th>
{% if classes %}<th>worst class's recall</th>{% endif %}
{% if calibrated %}<th class="number">calibration error</th>{% endif %}
<th class="number">size</th><th class="number">memory</th>
<th class="number">ms a row</th><th class="number">99% within</th><th class="number">rows a second</th>
{% if energy %}<th class="number">mJ a row</th>{% endif %}</tr></thead>
<tbody>
{% for row in rows %}
<tr><th>{{ row.name|label(40) }}<small class="block">{{ row.what }}</small></th><td>{{ row.value }}</td>
<td>{{ row.difference }}</td>
{% if classes %}<td>{{ row.worst }}</td>{% endif %}
{% if calibrated %}<td class="number">{{ row.calibration }}</td>{% endif %}
<td class="number">{{ row.size }}</td><td class="number">{{ row.memory }}</td>
<td class="number">{{ row.latency }}</td><td class="number">{{ row.latency_p99 }}</td>
<td class="number">{{ row.throughput }}</td>
{% if energy %}<td class="number">{{ row.energy }}</td>{% endif %}</tr>
{% endfor %}
</tbody></table></div>
{{ picture }}
<p class="note">Figures are of the same {{ n|count }} {{ many }} of the test split; a difference is that of paired
answers, with its {{ level }}% interval. {{ measured }}</p>
{% endif %}
"""


def section(record: Record) -> Section | None:
    results = [
        {"checkpoint": result.checkpoint, "n": result.n, "metrics": result.stored["metrics"], "details": result.details}
        for result in record.results
        if result.meter == "compress" and "compressed" in result.details
    ]
    if not results:
        return None
    measured = [result for result in results if result["details"]["compressed"].get("differences")]
    said = [sentence for result in results for sentence in sentences(result, record.words)]
    said += [_stale(record, result) for result in results if _is_stale(record, result)]
    values: dict[str, Any] = {"rows": [], "said": [_upper(text) for text in said]}
    if measured:
        values |= _table(measured, record)
    return Section("compressed", "Smaller and faster", render(TEMPLATE, **values))


def sentences(result: Mapping[str, Any], words: Words) -> list[str]:
    """What came of it, in plain words."""
    about = result["details"]["compressed"]
    said = [about["why"]] if about.get("why") else []
    if not about.get("differences"):
        return said
    name, gap = about["headline"], about["differences"][about["headline"]]
    called = _called(name, result, words)
    second, first = called.written(gap["second"]), called.written(gap["first"])
    text = f"the checkpoint {wording.quoted(result['checkpoint'])} (by {', '.join(about['steps'])}) "
    text += f"is {called.reached}" if called.reached else f"has {called.inside}"
    text += f" {second}, and {wording.quoted(about['of'])} {first}"
    text += f", {_difference(gap, called)} on {result['n']:,} rows of the test split"
    said.append(f"{text}: {_shown(gap)}")
    worst = about["differences"].get("worst_class")
    if worst is not None:
        both = f"{wording.percent(worst['second'])} of {wording.quoted(worst['label'])} is recognised"
        said.append(f"its worst class: {both}, {wording.percent(worst['first'])} before")
    return [*said, *_agreement(about), *_speeds(about)]


def _shown(gap: Mapping[str, Any]) -> str:
    if not gap.get("shown"):
        return f"no difference is shown{_one_of_two(gap)}"
    worse = (gap["difference"] > 0) == (gap.get("higher_is_better") is False)
    return "WORSE than the original" if worse else "better than the original"


def _one_of_two(gap: Mapping[str, Any]) -> str:
    """Where interval and test disagree, which of them says what: a difference is shown only if both say so.

    >>> _one_of_two({"low": 0.001, "high": 0.02, "adjusted": 0.06})
    ': the interval is above 0, and the test does not confirm it (p = 0.06)'
    >>> _one_of_two({"low": -0.001, "high": 0.02, "adjusted": 0.04})
    ': the test alone tells one (p = 0.04), and the interval holds 0'
    >>> _one_of_two({"low": -0.01, "high": 0.02, "adjusted": 0.4})
    ''
    """
    low, high, p = gap.get("low"), gap.get("high"), gap.get("adjusted")
    if low is None or high is None or p is None:
        return ""
    if low > 0 or high < 0:
        return f": the interval is {'above' if low > 0 else 'below'} 0, and the test does not confirm it (p = {p:.2g})"
    return (
        f": the test alone tells one (p = {p:.2g}), and the interval holds 0" if p < 1 - gap.get("level", 0.95) else ""
    )


def _agreement(about: Mapping[str, Any]) -> list[str]:
    """Of the graph with the network in torch."""
    told = about.get("agreement")
    if told is None:
        return []
    answers = f"{told['changed']:,} of {told['rows']:,} decisions differ, numbers by at most {told['difference']:.2g}"
    if told["first"] is None:
        return [f"its graph answers as the network does in torch: {answers}"]
    return [f"its graph answers OTHERWISE than the network in torch, first {told['first']}: {answers}"]


def _speeds(about: Mapping[str, Any]) -> list[str]:
    speeds = about.get("speeds")
    if speeds is None:
        return [f"no speed was measured: {about['untimed']}"] if about.get("untimed") else []
    graph, made, eager = speeds[GRAPH], speeds[MADE], speeds[EAGER]
    fast = f"{1000 * made['latency']:.3g} ms a row (99% within {1000 * made['latency_p99']:.3g} ms)"
    beside = _beside_speed(graph["latency"] / made["latency"], "the original's graph")
    beside += " and " + _beside_speed(eager["latency"] / made["latency"], "the original in eager torch")
    size = f"{megabytes(made['size'])} on the disk, the original's graph {megabytes(graph['size'])}"
    return [f"{fast}, {beside}; {size} ({about['threads']} threads of {about['processor']})"]


def _beside_speed(times: float, of: str) -> str:
    """
    >>> _beside_speed(2860.0, "torch"), _beside_speed(1.52, "torch")
    ('2,900x as fast as torch', '1.5x as fast as torch')
    >>> _beside_speed(0.942, "the original's graph")
    "SLOWER than the original's graph (0.94x its speed)"
    """
    rounded = float(f"{times:.2g}")
    if rounded < 1:
        return f"SLOWER than {of} ({rounded:g}x its speed)"
    return f"{rounded:,.0f}x as fast as {of}" if rounded >= 100 else f"{rounded:g}x as fast as {of}"


def _is_stale(record: Record, result: Mapping[str, Any]) -> bool:
    about = result["details"]["compressed"]
    there = record.checkpoints.get(about["of"], {}).get("sha256")
    return there is not None and there != about["of_weights"]


def _stale(record: Record, result: Mapping[str, Any]) -> str:
    name, of = result["checkpoint"], result["details"]["compressed"]["of"]
    return f"since {name} was made, {of} has learnt on; `pervade compress {record.argument}` makes it anew"


def _called(name: str, result: Mapping[str, Any], words: Words) -> FigureWords:
    stored = result["metrics"].get(name, {})
    return of_figure(name, stored["words"]) if stored.get("words") else words.figure(name)


def _difference(gap: Mapping[str, Any], called: FigureWords) -> str:
    factor, unit = (100, " points") if called.in_percent else (1, "")

    def written(value: float) -> str:
        return f"{factor * value:+.3g}" if value else "0"

    return f"{written(gap['difference'])}{unit}{interval_of(gap, written=written)}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _table(results: list[dict[str, Any]], record: Record) -> dict[str, Any]:
    first = results[0]
    about = first["details"]["compressed"]
    called = _called(about["headline"], first, record.words)
    rows, points = [], []
    timed = [result["details"]["compressed"] for result in results if "speeds" in result["details"]["compressed"]]
    gap = about["differences"][about["headline"]]
    for side, what in ((EAGER, "the original, in eager torch"), (GRAPH, "the original, as a graph")):
        row = {"name": about["of"], "what": what, "value": called.written(gap["first"]), "difference": "–"}
        rows.append(row | _beside(about, "first") | _speed(about, side))
        if "speeds" in about:
            points.append((f"{about['of']}, {side}", about["speeds"][side]["latency"], gap["first"]))
        elif side == EAGER:
            rows[-1]["what"] = "the original"
            break
    for result in results:
        own = result["details"]["compressed"]
        gap = own["differences"][own["headline"]]
        row = {"name": result["checkpoint"], "what": ", ".join(own["steps"]), "value": called.written(gap["second"])}
        rows.append(row | {"difference": _difference(gap, called)} | _beside(own, "second") | _speed(own, MADE))
        if "speeds" in own:
            points.append((result["checkpoint"], own["speeds"][MADE]["latency"], gap["second"]))
    return {
        "rows": rows,
        "headline": called.title or about["headline"],
        "classes": any("worst_class" in one["details"]["compressed"]["differences"] for one in results),
        "calibrated": any(CALIBRATION in one["details"]["compressed"]["differences"] for one in results),
        "energy": any("energy" in one["speeds"][MADE] for one in timed),
        "picture": _picture(points, called) if len(points) > 2 else "",
        "n": first["n"],
        "many": record.words.domain.noun[1],
        "level": f"{100 * gap.get('level', 0.95):g}",
        "measured": _how(timed[0]) if timed else "",
    }


def _how(about: Mapping[str, Any]) -> str:
    return (
        f"Speeds: {about['threads']} threads of {about['processor']}, from what a person has to what is answered. "
        f"Medians of single rows, rows a second in batches of {about['batch']}, each side a process of its own, in "
        "turns. Graphs are run by ONNX Runtime; memory is the most that the process had, its libraries included."
    )


def _beside(about: Mapping[str, Any], which: str) -> dict[str, str]:
    gaps = about["differences"]
    worst, calibration = gaps.get("worst_class"), gaps.get(CALIBRATION)
    label = "" if worst is None else f"{wording.percent(worst[which])} ({wording.label(worst['label'], 30)})"
    known = calibration is not None and calibration.get(which) is not None
    return {"worst": label or "–", "calibration": f"{calibration[which]:.3f}" if calibration and known else "–"}


def _size(number: int) -> str:
    return megabytes(number).replace(" ", "\u00a0")  # in one line


def _speed(about: Mapping[str, Any], side: str) -> dict[str, str]:
    """Where nothing was timed, the size alone."""
    speed = about.get("speeds", {}).get(side)
    blank = dict.fromkeys(("memory", "latency", "latency_p99", "throughput", "energy"), "–")
    if speed is None:
        return blank | {"size": _size(about["weights"][side == MADE])}
    return blank | {
        "size": _size(speed["size"]),
        "memory": "–" if speed["memory"] is None else _size(speed["memory"]),
        "latency": f"{1000 * speed['latency']:.3g}",
        "latency_p99": f"{1000 * speed['latency_p99']:.3g}",
        "throughput": f"{speed['throughput']:,.0f}",
        "energy": f"{1000 * speed['energy']:.3g}" if "energy" in speed else "–",
    }


def _picture(points: list[tuple[str, float, float]], called: FigureWords) -> Markup:
    """The headline against the milliseconds of a row, a dot each."""
    low, high = min(value for _, _, value in points), max(value for _, _, value in points)
    room = max(chart.room(low, high), 0.002)
    slowest = 1000 * max(latency for _, latency, _ in points)
    x = chart.axis_x("ms a row", 0.0, slowest * 1.05)
    top = min(high + room, 1.0) if called.is_share else high + room
    y = chart.axis_y(f"Test: {called.inside}", low - room, top, called.in_percent)
    shown = [
        chart.Line(name, [(1000 * latency, value)], LOOKS[place % len(LOOKS)], dots=True, over="ms a row")
        for place, (name, latency, value) in enumerate(points)
    ]
    summary = "; ".join(f"{name} {called.written(value)} in {1000 * ms:.3g} ms" for name, ms, value in points)
    return chart.lines(x, y, shown, f"{called.inside} against the time of a row: {summary}")
