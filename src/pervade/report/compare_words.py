"""What a comparison says, in sentences: for the terminal and for the page alike."""

from __future__ import annotations

import math
from typing import Any

from pervade.core import spec
from pervade.core.contracts import Promise
from pervade.core.words import SHARE, FigureWords, four, titled
from pervade.evaluate.compare import Comparison
from pervade.evaluate.sides import Side
from pervade.metrics.baseline import BALANCED
from pervade.metrics.paired import Difference
from pervade.report import wording

FEW_DISAGREEMENTS = 10  # fewer rows on which one of two is right: hardly anything can be shown
# Settings, or their beginnings, that act on rare classes; and those that go with them, or change nothing but bits.
CURES = ("imbalance", "task.class_weights", "task.logit_adjustment", "task.answers", "source.sampler")
FOLLOW = ("task.", "source", "early_stopping.metric", "threads", "seed")


def words_of(comparison: Comparison, name: str) -> FigureWords:
    return titled(comparison.metrics[name].words, name)


def amount(words: FigureWords, number: float, signed: bool = False) -> str:
    """A difference of a figure: in points where it is a share.

    >>> amount(FigureWords(unit="share"), -0.0312, signed=True)
    '-3.1 points'
    """
    if math.isnan(number):
        return "–"
    sign = "+" if signed else ""
    if words.in_percent:
        return f"{_plain_zero(f'{100 * number:{sign}.1f}')} points"
    if words.unit == "sum":
        return f"{sign if number > 0 else ''}{four(number)}"
    return _plain_zero(f"{number:{sign}.3f}" if abs(number) < 1000 else f"{number:{sign},.0f}")


def _plain_zero(text: str) -> str:
    """What rounds to nothing has no sign."""
    return text.lstrip("+-") if not any(character in "123456789" for character in text) else text


def interval(words: FigureWords, low: float, high: float) -> str:
    """
    >>> interval(FigureWords(unit="share"), 0.012, 0.05)
    '1.2 to 5.0'
    """
    if math.isnan(low) or math.isnan(high):
        return "no interval"
    return f"{amount(words, low).partition(' ')[0]} to {amount(words, high).partition(' ')[0]}"


def probability(p: float) -> str:
    """
    >>> probability(0.0004)
    'p < 0.001'
    """
    if math.isnan(p):
        return "no p"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.0995 else f"p = {p:.2f}"


def sign(difference: Difference) -> int:
    """1 where a larger value is the better one or where neither is better, -1 where a smaller one is."""
    return -1 if difference.higher_is_better is False else 1


def relation(difference: Difference) -> str:
    """better than, worse than, higher than, lower than, or what cannot be told."""
    if not difference.shown:
        return "not shown to differ from"
    more = sign(difference) * difference.difference > 0
    if difference.higher_is_better is None:
        return "higher than" if more else "lower than"
    return "better than" if more else "worse than"


def headline(comparison: Comparison) -> str:
    """The one line above all: who is better than the first, who is worse, of whom it cannot be told."""
    grouped: dict[str, list[str]] = {}
    for side, differences in zip(comparison.sides[1:], comparison.differences, strict=True):
        grouped.setdefault(relation(differences[comparison.headline]), []).append(wording.quoted(side.name))
    first = wording.quoted(comparison.sides[0].name)
    said = [
        f"{wording.join(names)} {'is' if len(names) == 1 else 'are'} {words} {first}"
        for words, names in grouped.items()
    ]
    return f"{'; '.join(said)}."


def sentence(comparison: Comparison, index: int) -> str:
    """By how much side `index` (1 and up) differs from the first, how sure that is, and what both reach."""
    name = comparison.headline
    difference, words = comparison.differences[index - 1][name], words_of(comparison, name)
    first, second = comparison.sides[0].name, comparison.sides[index].name
    values = f"{words.written(difference.second)} against {words.written(difference.first)}"
    both = f"{words.reached or words.title.lower()} {values}"
    if math.isnan(difference.low):
        return f"{second} is not shown to differ from {first}: {both}; {difference.why}."
    if not difference.shown:
        chance = f"the difference of {amount(words, difference.difference, signed=True)} may be chance"
        ends = interval(words, difference.low, difference.high)
        sure = f"{round(100 * difference.level)}% interval {ends}, {tested(comparison, index)}"
        return f"{second} is not shown to differ from {first}: {chance} ({sure}), {both}."
    # Turned so that "worse by" and "lower by" are followed by positive numbers.
    turn = 1 if difference.difference > 0 else -1
    low, high = sorted((turn * difference.low, turn * difference.high))
    sure = f"{round(100 * difference.level)}% interval {interval(words, low, high)}, {tested(comparison, index)}"
    by = f"{relation(difference).removesuffix(' than')} by {amount(words, turn * difference.difference)}"
    return f"{second} is {by} than {first} ({sure}): {both}."


def classes(comparison: Comparison, index: int) -> str:
    """Of which classes side `index` is shown to recognise more, and of which less; empty where there are none."""
    number, moved = len(comparison.recalls(index)), comparison.moved(index)
    if not number:
        return ""
    asked = f"{number} classes" if len(comparison.differences) == 1 else f"{number} classes of each model"
    second = comparison.sides[index].name
    more, less = ([name for name, by in moved.items() if (by > 0) == gained] for gained in (True, False))
    parts = []
    for how, names in (("more", more), ("less", less[::-1])):
        told = [f"{wording.quoted(name)} ({amount(SHARE, moved[name], signed=True)})" for name in names]
        parts += [f"{how} of {wording.join(told)}"] if told else []
    said = (
        f"is shown to recognise {' and '.join(parts)}"
        if parts
        else "is not shown to recognise any by itself more or less"
    )
    return f"Class by class (recall; p after Holm for {asked}), {second} {said}."


def cure(comparison: Comparison, index: int) -> str:
    """Whether what is done about rare classes helps, where the two do not do the same; empty where they do."""
    gaps, second = comparison.differences[index - 1], comparison.sides[index].name
    changed = {path: values for path, values in comparison.settings.items() if values[0] != values[index]}
    named = [path for path in changed if path in CURES] or [path for path in changed if path.startswith(CURES)]
    named = ["imbalance"] if "imbalance" in named else named  # which settles the others
    told = [f"{path} {_plain(changed[path][0])} → {_plain(changed[path][index])}" for path in named]
    if told and any(not path.startswith((*CURES, *FOLLOW)) for path in changed):
        told.append("what else is set differently")
    if not told or not comparison.recalls(index):
        return ""
    name = BALANCED if BALANCED in gaps else comparison.headline
    gap, words = gaps[name], words_of(comparison, name)
    helps = gap.shown and sign(gap) * gap.difference > 0
    alone = helps and name != comparison.headline and not gaps[comparison.headline].shown
    verdict = (
        f"is shown to help{_though(comparison) if alone else ''}"
        if helps
        else "is shown to do HARM"
        if gap.shown
        else "is NOT shown to help"
    )
    ends = interval(words, gap.low, gap.high)
    sure = ends if math.isnan(gap.low) else f"{round(100 * gap.level)}% interval {ends}"
    figures = [f"{words.title.lower()} {words.written(gap.second)} against {words.written(gap.first)}"]
    figures[0] += f" ({amount(words, gap.difference, signed=True)}, {sure})"
    if "ece" in gaps:
        both = [words_of(comparison, "ece").written(value) for value in (gaps["ece"].second, gaps["ece"].first)]
        figures.append(f"expected calibration error {both[0]} against {both[1]}")
    return f"What {second} does otherwise about rare classes ({wording.join(told)}) {verdict}: {'; '.join(figures)}."


def _though(comparison: Comparison) -> str:
    """That the headline does not show it, whose figure rows of common classes make up."""
    return f" (though of {words_of(comparison, comparison.headline).title.lower()} no change is shown)"


def promised(comparison: Comparison, index: int) -> str:
    """What is promised of the answers of both, where that is not the same; else empty."""
    sides = (comparison.sides[0], comparison.sides[index])
    of_first, of_second = map(_asked, sides)
    if of_first == of_second:
        return ""
    return (
        f"Of the answers of {sides[1].name} is promised {of_second}, of those of {sides[0].name} {of_first}: "
        "figures of answers differ by that too, and not by the model alone."
    )


def _asked(side: Side) -> str:
    promises: list[Promise] = [spec.decode(one, Promise) for one in side.recipe.get("promises") or ()]
    return " ".join(promise.asked for promise in promises) or "nothing"


def _plain(setting: Any) -> str:
    return "none" if setting is None else str(setting)


def tested(comparison: Comparison, index: int) -> str:
    """The p of the headline with the name of its test, and of the correction where there was one."""
    difference = comparison.differences[index - 1][comparison.headline]
    name = difference.how.test or ("" if difference.how.kind == "none" else difference.how.kind)
    text = f"{name} {probability(difference.adjusted)}".strip()
    several = len(comparison.differences)
    return f"{text} after Holm for {several} comparisons" if several > 1 else text


def counted(comparison: Comparison) -> str:
    """'1,000 pictures of the test split', and whose answers they have where a model was trained several times."""
    rows = f"{wording.count(comparison.num_rows)} {noun(comparison, comparison.num_rows)} of the {_part(comparison)}"
    members = comparison.sides[0].members
    return f"{rows}, by {wording.join(members)} of each run" if members else rows


def _part(comparison: Comparison) -> str:
    """Which rows are compared: 'test split', 'data august-1a2b3c4d'."""
    other = comparison.sides[0].run.measured
    return f"data {other}" if other else f"{comparison.split} split"


def noun(comparison: Comparison, number: int = 2) -> str:
    return comparison.sides[0].domain.wording.noun[number != 1]


def cautions(comparison: Comparison) -> list[str]:
    """What to be careful of."""
    notes = []
    if comparison.rows:
        common = f"{wording.count(comparison.num_rows)} {noun(comparison, comparison.num_rows)}"
        notes.append(
            f"The runs do not have the same {_part(comparison)}: {'; '.join(comparison.rows)}. Only the {common} "
            "in common are compared here, so these are not the figures of the runs' own reports."
        )
    if comparison.split == "train":
        notes.append("The models learnt from these rows: which of them is better on new ones cannot be seen here.")
    if comparison.split == "validation":
        notes.append("These rows helped to choose the models' best passes, so both look a little better than they are.")
    for side, counts in zip(comparison.sides[1:], comparison.discordant, strict=True):
        disagree = counts.only_first + counts.only_second if counts else FEW_DISAGREEMENTS
        if disagree < FEW_DISAGREEMENTS:
            notes.append(
                f"{side.name} and {comparison.sides[0].name} differ in being right on only {wording.count(disagree)} "
                f"{noun(comparison, disagree)}, so hardly anything could be shown; measure on more."
            )
    if not comparison.sides[0].members:
        notes.append(
            "Each model is one training. Another seed gives other weights, and such models differ by chance as well, "
            "which no test of two models can see: train both with several seeds before you rely on a small difference."
        )
    elif comparison.n > comparison.num_rows:
        notes.append(
            f"The figures are of the answers of {len(comparison.sides[0].members)} trainings together. The intervals "
            f"tell what other {noun(comparison)} would change, not what other seeds would: the spread over these seeds "
            "stands in the report of each run."
        )
    return notes
