"""What a run's things are called, and the sentences that are said of them.

Domain, task and metric each say their own (`DomainWords`, `TaskWords`, `FigureWords`). They are written into the run
when it begins, as words.json, and the report, the model card and the command line read them there. In a sentence {one}
and {many} stand for the domain's nouns, and so on; see `fill`.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pervade.core import registry, spec
from pervade.core.errors import ConfigError


def counted(number: float, one: str, several: str = "") -> str:
    """
    >>> counted(1, "step"), counted(1000, "step"), counted(1, "step of the world", "steps of the world")
    ('1 step', '1,000 steps', '1 step of the world')
    """
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def percent(share: float, digits: int = 1) -> str:
    """
    >>> percent(0.617)
    '61.7%'
    """
    return f"{100 * share:.{digits}f}%"


def in_hundred(share: float) -> str:
    """How many of a hundred.

    >>> in_hundred(0.953), in_hundred(0.996), in_hundred(0.0072), in_hundred(1.0)
    ('95', '99.6', '0.7', '100')
    """
    return f"{100 * share:.{int(0 < share < 0.0095 or 0.9905 < share < 1)}f}"


def measured(figure: Mapping[str, Any], more: str = "", written: Callable[[float], str] = in_hundred) -> str:
    """The interval of what was measured, and what else is said of it, as it stands behind the figure itself.

    >>> measured({"low": 0.88, "high": 0.93}, "promised: 90"), measured({"low": None, "high": None})
    (' (88 to 93; promised: 90)', '')
    >>> measured({"low": 0.98, "high": 0.993})
    ' (98.0 to 99.3)'
    """
    known = [figure[end] for end in ("low", "high") if figure.get(end) is not None]
    ends = [written(end) for end in known]
    if written is in_hundred and any("." in end for end in ends):  # both with as many decimals
        ends = [f"{100 * end:.1f}" for end in known]
    told = [*([" to ".join(ends)] if ends else []), *([more] if more else [])]
    return f" ({'; '.join(told)})" if told else ""


def four(sum_of: float, beside: float = 0.0) -> str:
    """Four figures of it, or as many decimals as a larger number `beside` it has.

    >>> four(500.0), four(81.63), four(-1041.93), four(-0.0), four(0.148, 609.3)
    ('500', '81.63', '-1,042', '0', '0.1')
    """
    largest = max(abs(sum_of), abs(beside), 0.1)
    digits = 0 if largest >= 1000 else 3 - math.floor(math.log10(largest))
    shown = f"{sum_of:,.{digits}f}"
    shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    return "0" if shown == "-0" else shown


def fill(sentence: str, **values: str) -> str:
    """A sentence with its {names} replaced, and nothing else done: it may come with somebody else's run.

    >>> fill("writes on from a {one}, {and more}", one="text")
    'writes on from a text, {and more}'
    """
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), sentence)


@dataclass(frozen=True)
class DomainWords:
    """What a domain's rows are called."""

    noun: tuple[str, str] = ("example", "examples")
    group_noun: tuple[str, str] = ("group", "groups")  # rows that belong together
    pass_noun: tuple[str, str] = ("pass", "passes")  # once through all that is learnt from
    modality: str = ""  # image, text, audio, by which the Hub's pipelines are named
    environment: str = ""  # that is acted in, "{name}": rows are its episodes then, and training has no data
    unseen: str = ""  # said of measured rows in place of their split
    spoken: bool = False  # groups are mostly people, who speak
    alike: str = "show the same thing"  # what different files may do without anybody's knowing
    elsewhere: str = "camera, place, time or author"  # where other rows may come from
    # Settings of the domain by which a model sees all of a row, each with the values that do so, the best first.
    whole: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ungrouped: str = (
        "Every {one} is taken as independent of the others. If several are of the same person, object or occasion, the "
        "true uncertainty is larger, and new {many} may be harder than these."
    )


RECORDINGS = DomainWords(
    noun=("recording", "recordings"),
    group_noun=("speaker", "speakers"),
    modality="audio",
    spoken=True,
    alike="hold the same voice",
    elsewhere="speaker, microphone, room or accent",
    ungrouped="Who speaks in which recording is not known here, so the same voice may be learnt from and measured, "
    "which flatters. If the names of files or a column tell, --group-pattern or --group-by keeps each speaker on one "
    "side.",
)


@dataclass(frozen=True)
class FigureWords:
    """What a figure is called, how it is written, and what is said where it is the first of all.

    A "share" of rows is read as a percentage, and so is a "rate", which may exceed 100%; of a "sum" (of rewards, of
    steps), whose size is its environment's, four figures are shown; a "number" has three decimals. In its sentences
    {value} comes with its interval, {title} is its own, {n} counts rows, and {name} is what it is compared with.
    """

    title: str = ""  # empty: its name
    unit: Literal["share", "rate", "sum", "number"] = "number"
    size: str = ""  # what it is the size of, after "the"; empty: its title
    reached: str = ""  # before its value in a short line; empty: its title
    sentence: str = ""  # "On {rows}, its {title} was {value}."
    alike: str = ""  # the same where every row has the same value, which leaves no interval
    beside: str = ""  # what is added where another figure is the first
    baseline: str = ""  # "{name} would reach {value} of the same {n}"
    hub: str = ""  # the Hub's name of it; empty: its own
    hub_arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_share(self) -> bool:
        return self.unit == "share"

    @property
    def in_percent(self) -> bool:
        return self.unit in ("share", "rate")

    @property
    def inside(self) -> str:
        """The title inside a sentence; what is written in capitals stays so.

        >>> FigureWords("Bits per byte (BPB)").inside, FigureWords("F1").inside
        ('bits per byte (BPB)', 'F1')
        """
        title = self.title.partition(" (")[0] if self.unit == "rate" else self.title
        return title if not title[1:2].islower() else title[:1].lower() + title[1:]

    @property
    def quantity(self) -> str:
        return self.size or self.inside

    def written(self, number: float | None) -> str:
        if number is None:
            return "–"
        if self.in_percent:
            return percent(number)
        if self.unit == "sum":
            return four(number)
        if 0 < abs(number) < 0.001:
            return f"{number:.2g}"
        return f"{number:.3f}" if abs(number) < 1000 else f"{number:,.0f}"

    def span(self, low: float | None, high: float | None) -> str:
        """
        >>> FigureWords(unit="share").span(0.5864, 0.6466)
        '58.6 to 64.7%'
        """
        if low is None or high is None:
            return "no interval"
        if self.unit == "sum":
            return f"{four(low, high)} to {four(high, low)}"
        return f"{self.written(low).removesuffix('%')} to {self.written(high)}"


NUMBER, SHARE = FigureWords(), FigureWords(unit="share")


@dataclass(frozen=True)
class TaskWords:
    """What a task has a model do. Its sentences know {one}, {many}, {environment}, {labels}, the number of these, and
    of two labels {first} and {second}."""

    does: str = ""  # "estimates a number from a {one}"
    does_with_two: str = ""  # where there are two labels; empty: the same
    to_do: str = ""  # what it was to do, where that is not shown; empty: what it does, which is not shown to be good
    to_do_with_two: str = ""
    pipeline: str = ""  # the Hub's, with {modality}; empty: the Hub has none
    purpose: str = (
        "It is made for {many} like those it was trained on, to answer the one question above. Its answers always come "
        "from what it was trained to say: it has no answer for something that is none of it, and will give one all the "
        "same."
    )
    classes: bool = False  # a row's target is one of several classes, or some of several labels
    cautions: tuple[str, ...] = ()  # that hold of every model of this task
    one_training: str = ""  # what is to be careful of where it was trained by one seed
    best: str = "the likeliest action"  # how actions are taken where none is drawn,
    drawn: str = "actions drawn from the policy"  # and where some are
    curves: str = (
        "Training lines are means over the {many} of a few steps, taken while the weights still changed and with "
        "whatever augmentation the recipe has, so they may lie below the validation."
    )
    logged: Mapping[str, FigureWords] = field(default_factory=dict)  # what training logs, where it is no metric


@dataclass(frozen=True)
class Words:
    """words.json."""

    domain: DomainWords = DomainWords()
    task: TaskWords = TaskWords(classes=True)  # of one that is not known here, its data tell
    name: str = ""  # the task's, as it is registered
    figures: Mapping[str, FigureWords] = field(default_factory=dict)

    def figure(self, name: str) -> FigureWords:
        """Those of a figure, "recall[cat]" among them; where nobody said any, plain words from its name."""
        base = name.partition("[")[0]
        known = next((own[key] for own in (self.figures, self.task.logged) for key in (name, base) if key in own), None)
        return titled(known or NUMBER, name)

    @property
    def pipeline(self) -> str:
        """What the Hub calls it; empty where it has no name for it."""
        lacks = "{modality}" in self.task.pipeline and not self.domain.modality
        return "" if lacks else fill(self.task.pipeline, modality=self.domain.modality)

    def fill(self, sentence: str, **more: str) -> str:
        one, many = self.domain.noun
        return fill(sentence, one=one, many=many, environment=self.domain.environment, **more)


def titled(words: FigureWords, name: str) -> FigureWords:
    """
    >>> titled(FigureWords(), "words_seen").title, titled(FigureWords(), "generator.loss").title
    ('Words seen', 'Loss of the generator')
    """
    whose, dot, own = name.partition(".")
    if dot and "[" not in name:  # a player's
        name = f"{own} of the {whose}"
    return words if words.title else replace(words, title=(name[:1].upper() + name[1:]).replace("_", " "))


def describe(domain: Any, task: Any) -> Words:
    """The words of a run of this task in this domain; of figures none where the domain is not fitted, so that its
    classes are not known. Figures of single classes have those of their kind together."""
    figures: dict[str, FigureWords] = {}
    with contextlib.suppress(ConfigError):
        for name, metric in task.metrics(domain).items():
            figures.setdefault(name if metric.words.title else name.partition("[")[0], metric.words)
    environment = fill(domain.wording.environment, name=getattr(domain, "name", "") or "an environment")
    named = replace(domain.wording, group_noun=group_nouns(domain), environment=environment)
    return Words(named, task.wording(domain), registry.name_of(type(task)) or "", figures)


def group_nouns(domain: Any) -> tuple[str, str]:
    """What rows that belong together are called: as the column, or the group of the pattern, that says so, where that
    is a word; a pattern without such a name says what only its author knows."""
    pattern = getattr(domain, "group_pattern", None)
    match = re.search(r"\(\?P<(\w+)>", pattern) if isinstance(pattern, str) else None
    column = str(getattr(domain, "group_column", None) or (match[1] if match else ""))
    named = re.sub(r"[\W_]*(id|name|number|no)?$", "", column.lower()[-100:]).replace("_", " ")
    if re.fullmatch(r"[a-z ]{3,20}[a-rt-z]", named):
        return named, f"{named}s"
    usual: DomainWords = DomainWords() if pattern else domain.wording
    return usual.group_noun


def as_json(words: FigureWords) -> dict[str, Any]:
    """What is not left open."""
    return {name: value for name, value in spec.encode(words).items() if value}


@functools.cache
def _adapter(kind: type) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def of_figure(name: str, stored: Mapping[str, Any]) -> FigureWords:
    """What `as_json` wrote. Raises ValueError where it is none."""
    return titled(_adapter(FigureWords).validate_python(dict(stored)), name)


def understood(stored: Mapping[str, Any]) -> Words:
    """What `spec.encode` made of a run's words. Raises ValueError where it is none."""
    words: Words = _adapter(Words).validate_python(dict(stored))
    return words
