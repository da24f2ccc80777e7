"""The verdict: what the model does, how well, and against which baseline. Each part is one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pervade.data.targets import natural
from pervade.metrics.baseline import OVER_SEEDS
from pervade.metrics.estimate import ANOTHER
from pervade.report import agents, sounds, standing, wording
from pervade.report.record import Record, Result

SPLIT_WORDS = {
    "test": "it had never seen",
    "validation": "that it did not learn from, though they helped to choose it",
    "train": "that it learnt from",
}


# What a model does whose task is not to tell classes apart; by its domain too, where that makes a difference.
QUESTIONS = {
    "tag": "says which of {labels} labels a {one} has",
    "regress": "estimates a number from a {one}",
    "fill-mask": "fills in hidden words of a {one}",
    "answer-span": "finds the answer to a {one} in its text",
    "language-model": "writes on from a {one}",
    "instructions language-model": "answers in a {one}",
    "prefer": "answers, and finds the preferred of two answers the likelier",
    "contrast": "tells whether two {many} are of the same",
    "transcribe": "writes down what is said in a {one}",
    "synthesise": "generates sound like the {many} it learnt from",
    "ppo": "acts in {environment}",
    "dqn": "acts in {environment}",
}


ONLY_BY_BALANCE = " It does better than {than} only where each class counts the same."

SETTLED = ("temperature", "thresholds", "threshold", "confidence", "reach", "coverage")  # that have words of their own


@dataclass(frozen=True)
class Verdict:
    does: str  # what the model does
    classes: str  # what it tells apart, where that is too long for a headline; else empty
    measured: str  # how well, with interval and n; or that this is not known, and how to find out
    baseline: str  # what to compare with; empty where there is nothing
    interval: str = ""  # what an interval is; empty where there is none
    beginning: str = ""  # where the first weights came from; empty where that was not recorded
    settled: str = ""  # what was settled on the validation split; empty where nothing was


def of(record: Record) -> Verdict:
    result = record.main
    if result is None:
        labels = _labels(record)
        return Verdict(does(record, labels), classes(labels), unmeasured(record), "", beginning=beginning(record))
    return Verdict(
        does(record, result.labels, proven=_proven(result), than=rival(result), worse=result.falls_behind)
        + (ONLY_BY_BALANCE.format(than=rival(result)) if result.only_by_balance else ""),
        classes(result.labels),
        measured(record, result),
        " ".join(each for each in (baseline(result), *standing.sentences(result.stored)) if each),
        interval(record, result),
        beginning(record),
        settled(record.settled.get(result.checkpoint, {})),
    )


def _proven(result: Result) -> bool:
    """Whether it may be said to do what it was trained for: not where it is not shown to be better than the baseline,
    or, without an interval to show it by, is no better in value."""
    own, other = result.headline, result.baseline.get(result.headline.name) if result.headline else None
    if result.beats_baseline is not None or own is None or other is None:
        return result.beats_baseline is not False
    if own.value is None or other.value is None or own.higher_is_better is None:
        return True
    return own.value > other.value if own.higher_is_better else own.value < other.value


def rival(result: Result) -> str:
    """What the model is to do better than: a linear model, which was trained, or what takes no learning."""
    baseline = result.details.get("baseline") or {}
    name = "" if result.headline is None else result.headline.name
    trained = "predictions" in baseline or name in (agents.HEADLINE, sounds.BITS)
    return str(baseline.get("name", "a linear model")) if trained else "guessing"


def does(record: Record, labels: list[str], proven: bool = True, than: str = "guessing", worse: bool = False) -> str:
    """What the model does, or, where it has not been `proven` to do better `than` that, what it was trained to do."""
    how = "and does worse than" if worse else "and is not shown to do better than"
    task, domain = record.part("task").get("use"), record.part("domain").get("use")
    question = QUESTIONS.get(f"{domain} {task}") or QUESTIONS.get(str(task))
    if question is not None:
        nouns = {"one": wording.noun(record, 1), "many": wording.noun(record)}
        nouns["environment"] = wording.environment(record)
        claim = question.format(**nouns, labels=wording.count(len(labels)))
        return f"This model {claim}." if proven else f"This model {claim}, {how} {than}."
    if not labels:
        task = str(record.part("task").get("use") or "an unregistered task")
        claim = f"A model trained on {wording.noun(record)} for the task “{task}”"
        return f"{claim}." if proven else f"{claim}, which is not shown to do better than its baseline."
    if len(labels) == 2:
        what, skill = "tell", f"{wording.quoted(labels[0])} from {wording.quoted(labels[1])}"
    else:
        what, skill = "sort", f"{wording.noun(record)} into {wording.count(len(labels))} classes"
    if not proven:
        return f"This model was to {what} {skill}, {how} {than}."
    return f"This model {what}s {skill}."


def classes(labels: list[str]) -> str:
    """The names, where the first sentence does not say them."""
    return wording.join([wording.quoted(label, 24) for label in labels], most=12) + "." if len(labels) > 2 else ""


def _labels(record: Record) -> list[str]:
    """The classes of a run that was not evaluated yet, where it has classes."""
    seen = record.class_counts.get("train")
    return sorted(seen, key=natural) if seen and record.part("task").get("use") in ("classify", "tag") else []


def measured(record: Record, result: Result) -> str:
    headline = result.headline
    assert headline is not None, "a main result has a headline"
    if headline.name == agents.HEADLINE:
        return agents.measured(record, result, _with_interval(headline))
    where = SPLIT_WORDS.get(result.split, f"of the split “{result.split}”")
    where = f"of “{record.other_data}”, which are not the data of its training" if record.other_data else where
    rows = f"{wording.counted(record, headline.n)} {where}"
    if headline.name == "accuracy":
        return f"On {rows}, it was right on {_with_interval(headline)}."
    if headline.name == "mean_absolute_error":
        return f"On {rows}, it was off by {_with_interval(headline)} on average."
    if (said := sounds.measured(result, rows, _with_interval(headline))) is not None:
        return said
    return f"On {rows}, its {wording.inside(headline.name)} was {_with_interval(headline)}."


def _with_interval(figure: wording.Figure) -> str:
    if not figure.has_interval:
        return f"{wording.figure(figure)} (no interval: {figure.why or 'none was computed'})"
    over = " over seeds" if figure.method.startswith(OVER_SEEDS) else ""
    mean = " on average of the seeds" if over else ""
    return f"{wording.figure(figure)}{mean} ({round(100 * figure.level)}% interval{over} {wording.interval(figure)})"


def baseline(result: Result) -> str:
    headline = result.headline
    figure = result.baseline.get(headline.name) if headline else None
    if figure is None or figure.value is None:
        return ""
    name = wording.label(result.details["baseline"].get("name", "the baseline"), most=120)
    name += "," if "," in name else ""
    if figure.name == agents.HEADLINE:
        return f"For comparison: {name} would reach {wording.measured(figure)} in the same {wording.count(figure.n)}."
    if figure.name == "mean_absolute_error":
        return f"For comparison: {name} would be off by {wording.measured(figure)} on average."
    if figure.name == sounds.BITS:
        return f"For comparison: {name} would need {wording.measured(figure)} for each sample of the same."
    if figure.name in wording.ERROR_RATES:
        what = wording.inside(figure.name)
        return f"For comparison: the {what} of {name} would be {wording.measured(figure)} on the same."
    reach = "would be right on" if figure.name == "accuracy" else "would reach"
    return f"For comparison: {name} {reach} {wording.measured(figure)} of the same {wording.count(figure.n)}."


def interval(record: Record, result: Result) -> str:
    """Half a sentence for whoever meets an interval for the first time."""
    headline = result.headline
    if headline is None or not headline.has_interval:
        return ""
    level = round(100 * headline.level)
    if headline.method.startswith(OVER_SEEDS):
        return (
            f"The {level}% interval is over seeds: trained again and again by others, {level} of 100 such ranges would "
            f"hold the mean of all seeds on these very {wording.noun(record)}. What other {wording.noun(record)} would "
            "change comes on top: see each seed's own interval."
        )
    others = f"other {wording.noun(record)} of the same kind"
    if headline.method.endswith(ANOTHER):
        others = f"other {wording.noun(record)} of the same {wording.group(record, headline.method.count('two') + 1)}"
    elif headline.method.startswith("jackknife"):
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
    if (init.get("init") or {}).get("use") == "random":
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
        return (
            f"Training has not finished: {record.done:g} of {planned} {rounds} are done. "
            f"To go on where it stopped: {go_on}"
        )
    evaluate = wording.command("pervade", "evaluate", record.argument)
    return f"It is trained, but how good it is has not been measured yet. To measure it: {evaluate}"
