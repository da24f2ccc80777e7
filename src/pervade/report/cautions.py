"""What to be careful of: small functions that each look at the facts and give one plain sentence, or None.

The order is the order of importance; the first of them joins the verdict.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import PurePath

from pervade.metrics.baseline import UNEVEN
from pervade.report import advice, agent_cautions, calibration, generation_cautions, sound_cautions, wording
from pervade.report.record import Record, Result

FEW_ROWS = 30  # of a class: with fewer, Wilson's 95% interval can be wider than 30 points
FEW_TO_CHOOSE = 100  # validation rows: with fewer, the best of several passes is mostly the luckiest
WIDE = 0.10  # an interval this wide leaves open which of two models is better
BESIDE_DATA = re.compile(r"(readme|licen[cs]e|copying|notice|changelog|citation|authors|contributing)\b", re.IGNORECASE)
OVERFITTED = 0.15  # right answers in training less right answers in the measurement


def damaged(record: Record) -> str | None:
    if not record.damaged:
        return None
    return f"Not everything of this run could be read, so parts are missing here: {'; '.join(record.damaged)}."


def unfinished(record: Record) -> str | None:
    if record.finished or record.main is None:
        return None
    if record.rungs_left:
        return (
            f"The ladder was stopped with {wording.join(record.rungs_left)} still to be climbed: these are the figures "
            "of the best so far, and another may be better."
        )
    planned = record.plan.get("passes") or record.recipe.get("epochs")
    done = f"{record.done:g} of {planned} {wording.passes(record)}"
    return f"Training has not finished ({done}): these are the figures of a model that was still learning."


def not_test(record: Record) -> str | None:
    result = record.main
    if result is None or result.split == "test":
        return None
    reason = "was used to choose the model" if result.split == "validation" else "is not set apart for measuring"
    return (
        f"The figures come from the split “{result.split}”, which {reason}: expect somewhat worse on "
        f"{wording.noun(record)} that are really new."
    )


def no_better_than_baseline(record: Record) -> str | None:
    result = record.main
    if result is not None and result.no_better_than:
        how = "is worse" if result.falls_behind_constant else "has not been shown to be better"
        name = wording.label(result.no_better_than, most=120)
        return f"It {how} than {name}, which takes no learning: nothing here shows that it learnt anything."
    if result is not None and result.only_by_balance:
        return (
            "It is not shown to be right more often than the baseline, and better only where each class counts the "
            "same (balanced accuracy): see the figures of each class."
        )
    if result is None or result.headline is None or result.beats_baseline is not False:
        return None
    beside = result.details.get("baseline") or {}
    paired = ((beside.get("differences") or {}).get(result.headline.name) or {}).get("p") is not None
    if result.falls_behind:
        how = "the paired difference shows" if paired else "their intervals, which lie apart, show"
        # What is called something is no model that could be taken instead, but what takes no learning.
        instead = "train for longer" if beside.get("called") else "take the baseline, or train for longer"
        what = "" if advice.collapsed(record) else f": {instead}"
        return f"It is worse than the baseline, as {how}{what}."
    if paired:
        return "It has not been shown to be better than the baseline: their paired difference may be nothing."
    apart = "their intervals overlap"
    if not result.baseline[result.headline.name].has_interval:
        apart = "its interval holds the baseline's value"
    return f"It has not been shown to be better than the baseline: {apart}."


def broken_promise(record: Record) -> str | None:
    """One whose measured interval lies wholly on the wrong side of it."""
    told = record.main.promises if record.main else []
    flags = [wording.label(promise["flag"], most=200) for promise in told if promise["kept"] and promise.get("broken")]
    if not flags:
        return None
    return (
        f"The measured {wording.noun(record)} break what was promised ({wording.join(flags)}): the whole interval lies "
        "on the wrong side of it. They differ from those that settled it, or that was bad luck; do not rely on it."
    )


def overconfident(record: Record) -> str | None:
    judgement = calibration.judge(record.main)
    if judgement is None or judgement.kind not in ("over-confident", "uneven"):
        return None
    if judgement.kind == "uneven":
        return f"Its confidence fits on average, but cannot be believed everywhere: {judgement.sentence}"
    return f"It is surer than it should be: {judgement.sentence}"


def never_answered(record: Record) -> str | None:
    """Classes of the measured rows that no row was called."""
    never = record.main.never_answered if record.main else {}
    if not never:
        return None
    named = wording.join(
        [f"{wording.quoted(name)} ({wording.count(number)})" for name, number in never.items()], most=5
    )
    return (
        f"It never answered {named}: so many of the measured {wording.noun(record)} are of "
        f"{'that class' if len(never) == 1 else 'those classes'}, and none was recognised."
    )


def weakest_class(record: Record) -> str | None:
    """A class whose rows are recognised clearly less often than rows in general."""
    result = record.main
    overall = result.figures.get("accuracy") if result else None
    if result is None or overall is None or overall.low is None:
        return None
    recalls = [(name, figures["recall"]) for name, figures in result.by_class.items() if "recall" in figures]
    weak = [(name, recall) for name, recall in recalls if recall.high is not None and recall.high < overall.low]
    if not weak:
        return None
    name, recall = min(weak, key=lambda pair: pair[1].value or 0.0)
    least = min((recall.value for _, recall in recalls if recall.value is not None), default=0.0)
    # Of a class with fewer rows less may have been recognised, without being shown to be weak.
    how = "weakest" if (recall.value or 0.0) <= least else "clearly weaker than on average"
    return (
        f"It is {how} on {wording.quoted(name)}: of {wording.counted(record, recall.n)} of that class it recognised "
        f"{wording.measured(recall)}."
    )


def overfitted(record: Record) -> str | None:
    result = record.main
    measured = result.figures.get("accuracy") if result else None
    last = [entry["accuracy"] for entry in record.steps[-10:] if "accuracy" in entry]
    if measured is None or measured.high is None or not last:
        return None
    trained = sum(last) / len(last)
    if trained - measured.high < OVERFITTED:
        return None
    return (
        f"It knows its training {wording.noun(record)} better than new ones: at the end of training it was right on "
        f"{wording.percent(trained)} of those. More data, or augmentation, usually narrows that gap."
    )


def little_measured(record: Record) -> str | None:
    """Everything that comes of few rows, in one: a wide interval, classes too small to judge, a choice by luck."""
    result = record.main
    if result is None:
        return None
    parts = [part for part in (_wide(record, result), _few(record, result), _lucky_choice(record)) if part]
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if parts else None


def _wide(record: Record, result: Result) -> str | None:
    headline = result.headline
    if headline is None or headline.low is None or headline.high is None:
        return None
    if headline.words.unit == "sum":
        return agent_cautions.loose(record, result)
    if not headline.words.in_percent:
        return None
    width = headline.high - headline.low
    if width < WIDE:
        return None
    those = wording.counted(record, headline.n)
    if headline.how.kind == "jackknife":
        those = f"{headline.how.number} {wording.group(record)}"
    return (
        f"Only {those} were measured, so the true {headline.words.quantity} may "
        f"lie anywhere in a range {100 * width:.0f} points wide"
    )


def _few(record: Record, result: Result) -> str | None:
    counts = {name: figures["recall"].n for name, figures in result.by_class.items() if "recall" in figures}
    few = sorted((number, name) for name, number in counts.items() if number < FEW_ROWS)
    if not few:
        return None
    named = wording.join([f"{wording.quoted(name)} ({number})" for number, name in few], most=5)
    return (
        f"{_classes(len(few))} fewer than {FEW_ROWS} of the measured {wording.noun(record)}, too few to judge "
        f"{'it' if len(few) == 1 else 'them'} by: {named}"
    )


def _lucky_choice(record: Record) -> str | None:
    number, chosen = record.chosen_by, record.chosen
    if "best" not in record.checkpoints or chosen is None or not 0 < number < FEW_TO_CHOOSE:
        return None
    return f"the best {chosen} was chosen on only {wording.counted(record, number)}, so that choice is partly luck"


def _classes(number: int) -> str:
    return "1 class has" if number == 1 else f"{wording.count(number)} classes have"


def uneven_classes(record: Record) -> str | None:
    counts = record.class_counts.get("train")
    if not counts or len(counts) < 2:
        return None
    (most, large), (least, small) = counts.most_common(1)[0], min(counts.items(), key=lambda pair: (pair[1], pair[0]))
    if large < UNEVEN * small:
        return None
    return (
        f"The classes are uneven: {wording.counted(record, large)} of {wording.quoted(most)} to learn from, "
        f"{wording.count(small)} of {wording.quoted(least)}. Look at the figures of each class, not only at the total."
        f"{'' if record.part('imbalance') else ' --imbalance weights makes rare ones weigh more.'}"
    )


def time_limit(record: Record) -> str | None:
    planned = record.recipe.get("epochs")
    cut = [entry for entry in record.decisions if entry.get("stop") or entry.get("passes", planned) != planned]
    if not cut:
        return None
    done = f"{record.done:g} of {planned} {wording.passes(record)}"
    return f"A time limit cut training short: {done}. With more time it may get better."


def time_limit_inside(record: Record) -> str | None:
    """Of networks that learnt inside the run, in their shares of its limit."""
    cut = [
        f"“{name}” ({own.done:g} of {own.recipe.get('epochs')} {wording.passes(own)})"
        for name, own in record.inside.items()
        if time_limit(own)
    ]
    if not cut:
        return None
    return (
        f"A time limit also cut short what learnt inside this run: {wording.join(cut)}. What it makes or measures by "
        "them may get better with more time."
    )


def still_improving(record: Record) -> str | None:
    judged = [entry.get("pass") for entry in record.passes]
    if not record.finished or len(judged) < 2 or record.plan.get("best_pass") != judged[-1] or time_limit(record):
        return None
    if advice.collapsed(record):  # then other things help
        return None
    return (
        f"The last of {record.done:g} passes was the best one, so it may not have learnt all it can; try more passes."
    )


def left_out(record: Record) -> str | None:
    # What stands beside data to be read by people is listed with what is left out, and no loss.
    lost = [file for file in record.left_out if not BESIDE_DATA.match(PurePath(file.get("source", "")).name)]
    number = len(lost)
    if not number:
        return None
    counts = Counter(wording.label(file.get("reason", "no reason given"), 120) for file in lost)
    reasons = [f"{reason} ({wording.count(times)})" if times > 1 else reason for reason, times in counts.most_common()]
    return (
        f"{wording.count(number)} {'file was' if number == 1 else 'files were'} left out of the data: "
        f"{wording.join(reasons, most=2)}."
    )


def trained_people(record: Record) -> str | None:
    people = (record.main.details.get("people") or {}) if record.main else {}
    known = people.get("both", 0)
    if not known:
        return None
    return (
        f"{wording.count(known)} of the {wording.count(people['measured'])} people measured were also trained on: the "
        "figures flatter, and people who were never trained on will be told apart less well."
    )


def groups_unknown(record: Record) -> str | None:
    if record.main is None or "group" in record.columns:
        return None
    return record.words.fill(record.words.domain.ungrouped)


def of_the_task(record: Record) -> str | None:
    return " ".join(map(record.words.fill, record.words.task.cautions)) or None if record.main is not None else None


CAUTIONS: tuple[Callable[[Record], str | None], ...] = (
    damaged,
    unfinished,
    not_test,
    generation_cautions.too_few,
    generation_cautions.all_alike,
    no_better_than_baseline,
    generation_cautions.copied,
    generation_cautions.unlike_the_real,
    generation_cautions.not_as_asked,
    broken_promise,
    trained_people,
    sound_cautions.groups_on_both_sides,
    sound_cautions.few_speakers,
    never_answered,
    advice.instead,
    sound_cautions.wrote_nothing,
    overconfident,
    weakest_class,
    overfitted,
    little_measured,
    agent_cautions.ways_of_acting,
    agent_cautions.one_training,
    agent_cautions.crashed,
    uneven_classes,
    time_limit,
    time_limit_inside,
    still_improving,
    left_out,
    sound_cautions.normalisation,
    of_the_task,
    groups_unknown,
)


def of(record: Record) -> list[str]:
    return [text for check in CAUTIONS if (text := check(record)) is not None]
