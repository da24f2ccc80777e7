"""The verdict: what the model does, how well, and against which baseline. Each part is one sentence."""

from __future__ import annotations

from dataclasses import dataclass

from pervade.report import wording
from pervade.report.record import Record, Result

SPLIT_WORDS = {
    "test": "it had never seen",
    "validation": "that it did not learn from, though they helped to choose it",
    "train": "that it learnt from",
}


@dataclass(frozen=True)
class Verdict:
    does: str  # what the model does
    classes: str  # what it tells apart, where that is too long for a headline; else empty
    measured: str  # how well, with interval and n; or that this is not known, and how to find out
    baseline: str  # what to compare with; empty where there is nothing


def of(record: Record) -> Verdict:
    result = record.main
    if result is None:
        labels = _labels(record)
        return Verdict(does(record, labels), classes(labels), unmeasured(record), "")
    claim = does(record, result.labels, proven=beats_baseline(result) is not False)
    return Verdict(claim, classes(result.labels), measured(record, result), baseline(result))


def beats_baseline(result: Result) -> bool | None:
    """Whether its interval lies above the baseline's; None where one of them is not there."""
    headline = result.headline
    other = result.baseline.get(headline.name) if headline else None
    if headline is None or other is None or headline.low is None or other.value is None:
        return None
    return headline.low > (other.high if other.high is not None else other.value)


def does(record: Record, labels: list[str], proven: bool = True) -> str:
    """What the model does, or, where it has not been `proven`, what it was trained to do."""
    if not labels:
        task = str(record.part("task").get("use") or "an unregistered task")
        return f"A model trained on {wording.noun(record)} for the task “{task}”."
    if len(labels) == 2:
        what, skill = "tell", f"{wording.quoted(labels[0])} from {wording.quoted(labels[1])}"
    else:
        what, skill = "sort", f"{wording.noun(record)} into {wording.count(len(labels))} classes"
    if not proven:
        return f"This model was to {what} {skill}, and is not shown to do better than guessing."
    return f"This model {what}s {skill}."


def classes(labels: list[str]) -> str:
    """The names, where the first sentence does not say them."""
    return wording.join([wording.quoted(label, 24) for label in labels], most=12) + "." if len(labels) > 2 else ""


def _labels(record: Record) -> list[str]:
    """The classes of a run that was not evaluated yet, where it has classes."""
    seen = record.class_counts.get("train")
    return sorted(seen) if seen and record.part("task").get("use") == "classify" else []


def measured(record: Record, result: Result) -> str:
    headline = result.headline
    assert headline is not None, "a main result has a headline"
    where = SPLIT_WORDS.get(result.split, f"of the split “{result.split}”")
    rows = f"{wording.counted(record, headline.n)} {where}"
    if headline.name == "accuracy":
        return f"On {rows}, it was right on {_with_interval(headline)}."
    return f"On {rows}, its {wording.title(headline.name).lower()} was {_with_interval(headline)}."


def _with_interval(figure: wording.Figure) -> str:
    if not figure.has_interval:
        return f"{wording.figure(figure)} (no interval: {figure.why or 'none was computed'})"
    return f"{wording.figure(figure)} ({round(100 * figure.level)}% interval {wording.interval(figure)})"


def baseline(result: Result) -> str:
    headline = result.headline
    figure = result.baseline.get(headline.name) if headline else None
    if figure is None or figure.value is None:
        return ""
    name = wording.label(result.details["baseline"].get("name", "the baseline"), most=120)
    reach = "would be right on" if figure.name == "accuracy" else "would reach"
    return f"For comparison: {name}, {reach} {wording.measured(figure)} of the same {wording.count(figure.n)}."


def unmeasured(record: Record) -> str:
    if not record.finished:
        done = len(record.passes)
        planned = record.plan.get("passes") or record.recipe.get("epochs")
        go_on = wording.command("pervade", "resume", record.argument)
        return (
            f"Training has not finished: {done} of {planned} passes over the data are done. "
            f"To go on where it stopped: {go_on}"
        )
    evaluate = wording.command("pervade", "evaluate", record.argument)
    return f"It is trained, but how good it is has not been measured yet. To measure it: {evaluate}"
