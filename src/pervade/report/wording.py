"""Numbers and names as a reader says them. Every sentence of the report and the model card takes them from here."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from pervade.core.words import percent as percent
from pervade.data.sound import pieces
from pervade.report.record import Figure, Record
from pervade.run.progress import duration as duration

NUMBERS = {2: "two", 3: "three", 4: "four"}


def count(number: int) -> str:
    return f"{number:,}"


def number(value: float) -> str:
    """Four figures of a measured number, as people write it.

    >>> number(1234567.8), number(0.00012345)
    ('1,234,568', '0.0001234')
    """
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def figure(estimate: Figure) -> str:
    return estimate.words.written(estimate.value)


def interval(estimate: Figure) -> str:
    """
    >>> interval(Figure("correlation", 0.617, 0.5864, 0.6466, 1000))
    '0.586 to 0.647'
    """
    return estimate.words.span(estimate.low, estimate.high) if estimate.value is not None else "no interval"


def direction(estimate: Figure) -> str:
    """Said of figures that are the better the smaller they are; the others are what people expect."""
    return "lower is better" if estimate.higher_is_better is False else ""


def measured(estimate: Figure) -> str:
    """A value with its interval, in one go: '61.7% (58.6 to 64.7%)'."""
    return f"{figure(estimate)} ({interval(estimate)})" if estimate.has_interval else figure(estimate)


def noun(record: Record, number: int = 2) -> str:
    return record.words.domain.noun[number != 1]


def group(record: Record, number: int = 2) -> str:
    return group_of(record.words.domain.group_noun, record.columns, number)


def group_of(nouns: tuple[str, str], columns: Mapping[str, Sequence[Any]], number: int = 2) -> str:
    """What rows that belong together are called, unless their `columns` say that they are pieces of recordings."""
    return (("recording", "recordings") if pieces.are_groups(columns) else nouns)[number != 1]


def passes(record: Record, number: float = 2) -> str:
    """What training is counted in: of an agent there is no data to pass over."""
    return record.words.domain.pass_noun[number != 1]


def after(passes: float, one: str = "pass") -> str:
    """
    >>> after(3), after(0.28)
    ('after pass 3', 'after 0.28 passes')
    """
    return (
        f"after {one} {passes:g}"
        if passes == int(passes) and passes
        else f"after {passes:g} {one}{'es' if one == 'pass' else 's'}"
    )


def environment(record: Record) -> str:
    """The environment that an agent acts in, by its name."""
    return label(record.words.domain.environment)


def counted(record: Record, number: int) -> str:
    """'1 picture', '1,000 pictures'."""
    return f"{count(number)} {noun(record, number)}"


def label(text: object, most: int = 60) -> str:
    """A class's name on one line: what cannot be seen is made visible or dropped, and what is endless is cut.

    >>> label("one\\ntwo")
    'one⏎two'
    """
    shown = "".join(
        "⏎" if letter == "\n" else " " if letter == "\t" else letter
        for letter in str(text)
        # Control characters and the marks that turn the reading direction of all that follows.
        if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cf", "Cs") or letter in "\u200c\u200d"
    )
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def quoted(text: object, most: int = 60) -> str:
    """A name in a sentence. One that is read from the right is set apart with Unicode's isolates, or it would take the
    signs and numbers after it to its other side."""
    shown = label(text, most)
    turned = any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in shown)
    return f"\u2068“{shown}”\u2069" if turned else f"“{shown}”"


def join(parts: Sequence[str], most: int = 6, last: str = "and") -> str:
    """
    >>> join(["a", "b", "c"])
    'a, b and c'
    >>> join(["a", "b", "c", "d"], most=2)
    'a, b and 2 more'
    """
    shown = list(parts)
    if len(shown) > most:
        shown = [*shown[:most], f"{count(len(parts) - most)} more"]
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} {last} {shown[-1]}"


def command(*words: str) -> str:
    """A line for the shell, quoted where it must be."""
    return shlex.join(words)
