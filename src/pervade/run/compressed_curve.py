"""Which of the ways to make a model smaller is worth it: tried one by one, judged by the validation split.

Of those whose headline figure falls by no more than was allowed, the one with the least of the target (latency, size,
memory) is picked, and only that one meets the test split. Where none of them gains WORTH, that is the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pervade.core import files, registry
from pervade.core.contracts import Compressor
from pervade.core.errors import ConfigError, nearest
from pervade.evaluate.compare import Comparison
from pervade.evaluate.evaluation import figure_as_json
from pervade.metrics.baseline import beats_baseline
from pervade.run import compressed_speeds
from pervade.run.compressed_speeds import GRAPH, MADE
from pervade.run.compressing import Made, Work, differences, make, measure_on_test, steps_of

TARGETS = ("latency", "size", "memory")
FEW = 100  # rows that a pick should be made by at least
WORTH = 0.1  # of the target, that has to be saved


def check(max_drop: float | None, target: str | None) -> None:
    """Raises ConfigError."""
    if target is not None and target not in TARGETS:
        raise ConfigError(f"--target {target!r} is unknown; {nearest(target, TARGETS)}")
    if target is not None and max_drop is None:
        raise ConfigError(f"--target {target} picks by how much may be lost; give that, too: --max-drop 0.01")
    if max_drop is not None and not 0 <= max_drop <= 1:
        raise ConfigError(f"--max-drop {max_drop} is no share; give one from 0 to 1, such as 0.01")


def ways(chosen: Sequence[Compressor] | None, settings: Sequence[str]) -> list[list[Compressor]]:
    """What is tried: the steps one after the other, or, where none are named, each that there is by itself."""
    if chosen is not None:
        return [list(chosen)]
    names = registry.names("compress")
    return [steps_of([name], None, [one for one in settings if one.startswith(f"{name}.")]) for name in names]


def pick(
    work: Work, tried: Sequence[Sequence[Compressor]], max_drop: float, target: str, name: str | None, threads: int
) -> list[dict[str, Any]]:
    """The result of the one that is picked, with the whole curve; or of the original, where none is worth it."""
    made: list[Made] = []
    refused: dict[str, str] = {}
    for number, steps in enumerate(tried):
        work.to_come = sum(len(later) for later in tried[number:])
        try:
            made += make(work, steps, name if len(tried) == 1 else None)[0]
        except ConfigError as error:
            if len(tried) == 1:
                raise
            refused[registry.full_name(steps[0])] = str(error)
            work.screen.say(f"passed by: {error}")
    curve = {one.name: _point(work, one, threads) for one in made}
    chosen, why = choose(curve, max_drop, target)
    if chosen is not None:
        own = files.read_json(work.run.result("evaluate-validation", work.original))
        summaries = next(one.summaries for one in made if one.name == chosen)
        why = "; but ".join([why, *doubts(curve[chosen]["n"], own, summaries)])
    about: dict[str, Any] = {"curve": curve, "refused": refused, "max_drop": max_drop, "target": target, "why": why}
    work.screen.say(why)
    if chosen is not None:
        picked = next(one for one in made if one.name == chosen)
        speeds = {key: curve[chosen][key] for key in compressed_speeds.TOLD if key in curve[chosen]}
        return [measure_on_test(work, picked, threads, speeds=speeds, picked=chosen, **about)]
    weights = str(work.run.of_checkpoint(work.original, "architecture.json")["sha256"])
    compressed = {"of": work.original, "of_weights": weights, "steps": [], "summaries": [], "picked": None, **about}
    result: dict[str, Any] = {"meter": "compress", "checkpoint": work.original, "split": "validation", "n": 0}
    result |= {"metrics": {}, "details": {"compressed": compressed}}
    files.write_json(work.run.result("compress", work.original), result)
    return [result]


def _point(work: Work, made: Made, threads: int) -> dict[str, Any]:
    comparison = work.beside(made.name, "validation")
    estimate, metric = comparison.estimates[1], comparison.metrics[comparison.headline]
    return {
        "steps": [registry.full_name(step) for step in made.steps],
        "headline": comparison.headline,
        "figure": figure_as_json(estimate, metric),
        "n": comparison.n,
        "drop": drop(comparison),
        "relative": not metric.bounded,
        "differences": differences(comparison),
        **compressed_speeds.of(work.run, work.original, made.name, work.rows, threads, work.screen),
    }


def drop(comparison: Comparison) -> float:
    """By how much the headline is worse than the original's (`Metric.loss`)."""
    gap = comparison.differences[0][comparison.headline]
    metric = comparison.metrics[comparison.headline]
    lost = gap.difference if metric.higher_is_better is False else -gap.difference
    return metric.loss(lost, gap.first)


def doubts(n: int, original: Mapping[str, Any], summaries: Sequence[str]) -> list[str]:
    """Why a pick by n rows may be worth little. `original` is the result of the original on the same rows.

    >>> doubts(40, {"metrics": {}}, ["16 channels taken out; it learnt for 0.04 of 5 passes alone"])
    ['it learnt for 0.04 of 5 passes alone', '40 rows are few to judge by']
    """
    said = [part for summary in summaries for part in summary.split("; ") if part.startswith("it learnt for ")]
    if n < FEW:
        said.append(f"{n:,} rows are few to judge by")
    if beats_baseline(original) is False:
        said.append("the original is not shown to be better than its baseline there, so that no loss can show")
    return said


def saved(point: dict[str, Any], target: str) -> float | None:
    """The share of the target that the original's graph takes more; None where it was not measured."""
    speeds = point.get("speeds")
    if speeds is None:
        before, after = point["weights"] if target == "size" else (None, None)
    else:
        before, after = (speeds[side][target] for side in (GRAPH, MADE))
    return None if before is None or after is None else 1 - after / before


def choose(curve: dict[str, dict[str, Any]], max_drop: float, target: str) -> tuple[str | None, str]:
    """The name that is picked, or None, and why, in words.

    >>> speeds = {"graph": {"size": 100}, "compressed": {"size": 25}}
    >>> choose({"int8": {"drop": 0.002, "n": 500, "speeds": speeds}}, 0.01, "size")
    ('int8', 'int8 is picked: 75% less size than the original, 0.2 points worse on 500 validation rows (1 allowed)')
    >>> choose({"int8": {"drop": 0.02, "n": 500, "speeds": speeds}}, 0.01, "size")[1]
    'not worth it: int8 loses 2 points on 500 validation rows (1 allowed)'
    >>> choose({"int8": {"drop": 0.02, "relative": True, "n": 500, "speeds": speeds}}, 0.01, "size")[1]
    'not worth it: int8 loses 2% on 500 validation rows (1 allowed)'
    """
    allowed = f"({100 * max_drop:.3g} allowed)"
    units = {name: "%" if point.get("relative") else " points" for name, point in curve.items()}
    gains = {name: saved(point, target) for name, point in curve.items()}
    within = [name for name, point in curve.items() if point["drop"] <= max_drop]
    worth = [name for name in within if (gains[name] or 0.0) >= WORTH]
    if worth:
        best = max(worth, key=lambda name: gains[name] or 0.0)
        lost, rows = 100 * curve[best]["drop"], f"on {curve[best]['n']:,} validation rows"
        change = f"{abs(lost):.3g}{units[best]} {'worse' if lost > 0 else 'better'}" if lost else "as good"
        return best, f"{best} is picked: {gains[best]:.0%} less {target} than the original, {change} {rows} {allowed}"
    reasons = []
    for name, point in curve.items():
        gain = gains[name]
        if name not in within:
            lost = f"{100 * point['drop']:.3g}{units[name]}"
            reasons.append(f"{name} loses {lost} on {point['n']:,} validation rows {allowed}")
        elif gain is None:
            reasons.append(f"of {name} no {target} was measured")
        else:
            reasons.append(f"{name} takes {abs(gain):.0%} {'less' if gain >= 0 else 'more'} {target}")
    return None, f"not worth it: {'; '.join(reasons) or 'no step fits this network'}"
