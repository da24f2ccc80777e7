"""The verdict: what the model does, how well, and against which baseline. Each part is one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pervade.core.words import fill
from pervade.data.read.targets import natural
from pervade.metrics.baseline import BALANCED
from pervade.report import promised, standing, wording
from pervade.report.record import Record, Result, used

SPLIT_WORDS = {
    "test": "it had never seen",
    "validation": "that it did not learn from, though they helped to choose it",
    "train": "that it learnt from",
}


ONLY_BY_BALANCE = " It does better than {than} only where each class counts the same."

# That have words of their own.
SETTLED = ("temperature", "thresholds", "threshold", "confidence", "reach", "coverage", "answers", "tried")


@dataclass(frozen=True)
class Verdict:
    does: str  # what the model does
    classes: str  # what it tells apart, where that is too long for a headline; else empty
    measured: str  # how well, with interval and n; or that this is not known, and how to find out
    baseline: str  # what to compare with; empty where there is nothing
    interval: str = ""  # what an interval is; empty where there is none
    beginning: str = ""  # where the first weights came from; empty where that was not recorded
    settled: str = ""  # what was settled on the validation split; empty where nothing was
    promises: tuple[str, ...] = ()  # what is promised of the answers, and whether it is kept


def of(record: Record) -> Verdict:
    result = record.main
    if result is None:
        return Verdict(claim(record), classes(_labels(record)), unmeasured(record), "", beginning=beginning(record))
    return Verdict(
        claim(record),
        classes(result.labels),
        measured(record, result),
        " ".join(sentence for sentence in (baseline(result), *standing.sentences(result.stored)) if sentence),
        interval(record, result),
        beginning(record),
        settled(record.settled.get(result.checkpoint, {})),
        tuple(promised.sentences(result.stored)),
    )


def claim(record: Record) -> str:
    """What the model does, no more than its main result shows."""
    result = record.main
    if result is None:
        return does(record, _labels(record))
    worse = result.falls_behind_constant if result.no_better_than else result.falls_behind
    by_balance = result.only_by_balance and not result.no_better_than
    shown = does(record, result.labels, proven=_proven(result), than=rival(result), worse=worse)
    return shown + (ONLY_BY_BALANCE.format(than=rival(result)) if by_balance else "")


def _proven(result: Result) -> bool:
    """Whether it may be said to do what it was trained for: not where it is not shown to be better than the baseline,
    or, without an interval to show it by, is no better in value."""
    own, other = result.headline, result.baseline.get(result.headline.name) if result.headline else None
    if result.no_better_than:
        return False
    if result.beats_baseline is not None or own is None or other is None:
        return result.beats_baseline is not False
    if own.value is None or other.value is None or own.higher_is_better is None:
        return True
    return own.value > other.value if own.higher_is_better else own.value < other.value


def rival(result: Result) -> str:
    """What the model is to do better than: a simpler model, whose predictions there are, or what takes no learning,
    where not even that is shown to be beaten."""
    if result.no_better_than:
        return wording.label(result.no_better_than, most=120)
    baseline = result.details.get("baseline") or {}
    if "predictions" in baseline:
        return str(baseline.get("name", "a linear model"))
    return wording.label(baseline.get("called", "guessing"), 60)


def does(record: Record, labels: list[str], proven: bool = True, than: str = "guessing", worse: bool = False) -> str:
    """What the model does, or, where it has not been `proven` to do better `than` that, what it was trained to do."""
    how = "and does worse than" if worse else "and is not shown to do better than"
    words, two = record.words.task, len(labels) == 2
    claim = (two and words.does_with_two) or words.does
    if not claim or ("{labels}" in claim and not labels):
        task = record.words.name or "an unregistered task"
        claim = f"A model trained on {wording.noun(record)} for the task “{task}”"
        return f"{claim}." if proven else f"{claim}, which is not shown to do better than its baseline."
    aim = (two and words.to_do_with_two) or words.to_do
    named = dict(zip(("first", "second"), map(wording.quoted, labels), strict=False))
    said = record.words.fill(claim if proven or not aim else aim, labels=wording.count(len(labels)), **named)
    return f"This model {said}." if proven else f"This model {'was to ' if aim else ''}{said}, {how} {than}."


def classes(labels: list[str]) -> str:
    """The names, where the first sentence does not say them."""
    return wording.join([wording.quoted(label, 24) for label in labels], most=12) + "." if len(labels) > 2 else ""


def _labels(record: Record) -> list[str]:
    """The classes of a run that was not evaluated yet, where what it does is said of them."""
    seen = record.class_counts.get("train")
    return sorted(seen, key=natural) if seen and "{labels}" in record.words.task.does else []


def measured(record: Record, result: Result) -> str:
    headline = result.headline
    assert headline is not None, "a main result has a headline"
    where = SPLIT_WORDS.get(result.split, f"of the split “{result.split}”")
    where = f"of “{record.other_data}”, which are not the data of its training" if record.other_data else where
    words, value = headline.words, _with_interval(headline)
    sentence = words.sentence or "On {rows}, its {title} was {value}."
    if words.alike and headline.how.alike:  # of all rows together there is no interval then
        sentence, value = words.alike, wording.figure(headline)
    own = fill(
        sentence,
        rows=f"{wording.counted(record, headline.n)} {record.words.domain.unseen or where}",
        value=value,
        title=words.inside,
        hundred=f"{100 * (headline.value or 0.0):.0f}",
        best=record.words.task.best,
    )
    more = [figure for figure in result.figures.values() if figure.words.beside and figure.value is not None]
    balance = standing.balance(result.stored)
    told = {figure.name: fill(figure.words.beside, value=wording.measured(figure)) for figure in more} | {
        BALANCED: balance
    }
    return " ".join([own, *(text for name, text in told.items() if text and name != headline.name)])


def _with_interval(figure: wording.Figure) -> str:
    if not figure.has_interval:
        return f"{wording.figure(figure)} (no interval: {figure.why or 'none was computed'})"
    over = f" over {figure.how.over}s" if figure.how.kind == "trainings" else ""
    mean = f" on average of the {figure.how.over}s" if over else ""
    return f"{wording.figure(figure)}{mean} ({round(100 * figure.level)}% interval{over} {wording.interval(figure)})"


def baseline(result: Result) -> str:
    headline = result.headline
    figure = result.baseline.get(headline.name) if headline else None
    if figure is None or figure.value is None:
        return ""
    name = wording.label(result.details["baseline"].get("name", "the baseline"), most=120)
    name += "," if "," in name else ""
    words, n = figure.words, wording.count(figure.n)
    sentence = words.baseline or "{name} would reach {value} of the same {n}"
    said = fill(sentence, name=name, value=wording.measured(figure), n=n, title=words.inside)
    return f"For comparison: {said}."


def interval(record: Record, result: Result) -> str:
    """Half a sentence for whoever meets an interval for the first time."""
    headline = result.headline
    if headline is None or not headline.has_interval:
        return ""
    level = round(100 * headline.level)
    if headline.how.kind == "trainings":
        many, one = wording.noun(record), headline.how.over
        return (
            f"The {level}% interval is over {one}s: trained again and again by others, {level} of 100 such ranges "
            f"would hold the mean of all {one}s on these very {many}. What other {many} would change comes on top: see "
            f"each {one}'s own interval."
        )
    others = f"other {wording.noun(record)} of the same kind"
    if headline.how.alone:
        others = f"other {wording.noun(record)} of the same {wording.group(record, headline.how.alone)}"
    elif headline.how.kind == "jackknife":
        others = f"{wording.noun(record)} of as many other {wording.group(record)}"
    return (
        f"The {level}% interval is the range in which the true figure is to be looked for: measured again and again on "
        f"{others}, {level} of 100 such ranges would hold it."
    )


def beginning(record: Record) -> str:
    """Where the weights came from before training."""
    init = record.init
    if not init:
        return ""
    if used(init.get("init") or {}) == "random":
        because = init["init"].get("because")  # where nobody had chosen to
        return f"First weights: drawn at random{f', since {wording.label(because, 400)}' if because else ''}."
    loaded, new = len(init.get("loaded") or []), len(init.get("new") or [])
    counts = f" {wording.count(loaded)} of {wording.count(loaded + new)} weights taken, {wording.count(new)} new."
    return f"First weights: {wording.label(init.get('summary', 'not recorded'), most=400)}.{counts if loaded else ''}"


def settled(decision: dict[str, Any]) -> str:
    """What was settled on the validation split once training was over, and is applied to every answer."""
    parts = []
    if (temperature := decision.get("temperature")) == 1:  # held there by tasks/classify.py: decide
        parts.append(
            "confidence stayed as training left it, since so few groups of the validation split cannot make it surer"
        )
    elif temperature is not None:
        parts.append(f"confidence was calibrated on the validation split (temperature {temperature:.2f})")
    if (thresholds := decision.get("thresholds", decision.get("threshold"))) is not None:
        number = len(thresholds) if isinstance(thresholds, (list, dict)) else 1
        parts.append(f"{'the threshold was' if number == 1 else 'thresholds were'} chosen on the validation split")
    if "confidence" in decision:
        parts.append("how sure it is of a word was calibrated on the validation split")
    if (reach := decision.get("reach")) is not None:
        share = wording.percent(decision.get("coverage", 0.9), 0)
        parts.append(
            f"how far off answers are (± {wording.number(reach)} for {share}) was learnt on the validation split"
        )
    if decision.get("answers") == "balanced":
        parts.append("answers count each class the same")
    others = [n for n in decision if n not in SETTLED]
    if others:
        parts.append(f"{wording.join([name.replace('_', ' ') for name in others])} settled on the validation split")
    text = ", ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def unmeasured(record: Record) -> str:
    if not record.finished:
        planned = record.plan.get("passes") or record.recipe.get("epochs")
        rounds = "rounds of acting and learning" if record.acts else "passes over the data"
        go_on = wording.command("pervade", "resume", record.argument)
        if record.rungs_left:
            left = wording.join(record.rungs_left)
            return f"The ladder was stopped with {left} still to be climbed. To go on where it stopped: {go_on}"
        return (
            f"Training has not finished: {record.done:g} of {planned} {rounds} are done. "
            f"To go on where it stopped: {go_on}"
        )
    evaluate = wording.command("pervade", "evaluate", record.argument)
    return f"It is trained, but how good it is has not been measured yet. To measure it: {evaluate}"
