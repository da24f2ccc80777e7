"""How far transcripts are from what was said: edits by all words, and by all characters, of the references.

    error rate = (substitutions + deletions + insertions) / words of the references

as sums over the whole file, so a long sentence counts for more than a short one, and a resampled speaker brings his
words along. Edits are the fewest that turn one text into the other (Levenshtein 1966), counted by rapidfuzz, which
jiwer uses too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from pervade.core.errors import ConfigError
from pervade.core.words import FigureWords
from pervade.metrics.columns import Columns, number_column
from pervade.metrics.estimate import UNIT, Measure, Metric, Shared

LONG_WORD = 15  # signs: where words are longer on average, the writing sets no spaces, and signs are compared
KINDS = ("substitutions", "deletions", "insertions")


@dataclass(frozen=True)
class Edits:
    substitutions: int
    deletions: int  # what was said and is missing
    insertions: int  # what was not said and stands there
    units: int  # of the reference

    @property
    def total(self) -> int:
        return self.substitutions + self.deletions + self.insertions


def edits(reference: Sequence[str], hypothesis: Sequence[str]) -> Edits:
    """The fewest between two texts, of lists of words or of characters."""
    kinds = Counter(operation.tag for operation in _levenshtein().editops(reference, hypothesis))
    return Edits(kinds["replace"], kinds["delete"], kinds["insert"], len(reference))


def _levenshtein() -> ModuleType:
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError:
        raise ConfigError("comparing transcripts takes the package rapidfuzz; pip install 'pervade[speech]'") from None
    return Levenshtein


class Step(NamedTuple):
    """One place of two aligned texts: a word that is true and one that was said, either "" where it has no fellow."""

    true: str
    said: str

    @property
    def kind(self) -> str:
        """right, swapped (one word for another), missed or added."""
        if self.true == self.said:
            return "right"
        return "added" if not self.true else "missed" if not self.said else "swapped"


def align(true: Sequence[str], said: Sequence[str]) -> list[Step]:
    """By the edits that are counted.

    >>> [step.kind for step in align("the cat sat down".split(), "the a cat sits".split())]
    ['right', 'added', 'right', 'swapped', 'missed']
    """
    blocks = [
        zip_longest(true[block.src_start : block.src_end], said[block.dest_start : block.dest_end], fillvalue="")
        for block in _levenshtein().opcodes(true, said)
    ]
    return [Step(*pair) for block in blocks for pair in block]


def has_words(texts: Sequence[str]) -> bool:
    """Whether these are written with spaces between words; else their signs are what can be compared."""
    words = sum(len(text.split()) for text in texts)
    return sum(len(text) for text in texts) <= LONG_WORD * max(words, 1)


def units(text: str, words: bool) -> list[str]:
    return text.split() if words else [sign for sign in text if not sign.isspace()]


def table(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, Any]:
    """Columns "words", "characters" and of both the substitutions, deletions and insertions, (n,) int64 each."""
    columns: dict[str, Any] = {}
    for unit, split in (("word", str.split), ("character", list)):
        counts = [edits(split(r), split(h)) for r, h in zip(references, hypotheses, strict=True)]
        columns[f"{unit}s"] = np.array([e.units for e in counts], np.int64)
        for kind in KINDS:
            columns[f"{unit}_{kind}"] = np.array([getattr(e, kind) for e in counts], np.int64)
    return columns


def right_words(reference: str, hypothesis: str) -> list[bool]:
    """Of each word of the hypothesis whether it stands so in the reference, by the fewest edits.

    >>> right_words("the cat sat", "the a cat sits")
    [True, False, True, False]
    """
    return [step.kind == "right" for step in align(reference.split(), hypothesis.split()) if step.said]


def transcription_metrics() -> dict[str, Metric]:
    texts = {
        "word_error_rate": "words put wrong, left out or put in, by the words that were said",
        "character_error_rate": "characters put wrong, left out or put in, by the characters that were said",
    }
    whole = FigureWords("Recordings with every word right", "share", beside="Every word was right in {value} of them.")
    rates = {
        name: Metric(
            Shared(transcription_family, name),
            higher_is_better=False,
            description=text,
            undefined="nothing was said in these recordings",
            bounds=(0.0, math.inf),
            words=error_rate(name.partition("_")[0]),
        )
        for name, text in texts.items()
    }
    return {
        **rates,
        "sentences_right": Metric(
            Shared(transcription_family, "sentences_right"),
            trials=_right,
            description="share of recordings whose every word is right",
            bounds=UNIT,
            words=whole,
        ),
    }


def error_rate(unit: str) -> FigureWords:
    """Of a "word" or a "character"."""
    return FigureWords(
        f"{unit.capitalize()} error rate ({unit[0].upper()}ER)",
        "rate",
        sentence=f"On {{rows}}, its {{title}} was {{value}}: for every 100 {unit}s said, about {{hundred}} are wrong, "
        "which is to say taken for another, left out or put in.",
        baseline="the {title} of {name} would be {value} on the same",
        hub=f"{unit[0]}er",
    )


def transcription_family(columns: Columns) -> Measure:
    errors = {unit: errors_of(columns, unit) for unit in ("word", "character")}
    units = {unit: number_column(columns, f"{unit}s") for unit in errors}
    right = _right(columns)

    def measure(weight: np.ndarray) -> dict[str, float]:
        rows = float(weight.sum())
        rates = {"sentences_right": float(weight @ right) / rows if rows > 0 else math.nan}
        for unit, wrong in errors.items():
            said = float(weight @ units[unit])
            rates[f"{unit}_error_rate"] = float(weight @ wrong) / said if said > 0 else math.nan
        return rates

    return measure


def errors_of(columns: Columns, unit: str) -> np.ndarray:
    """(n,): edits of each row; `unit` is "word" or "character"."""
    errors: np.ndarray = sum(number_column(columns, f"{unit}_{kind}") for kind in KINDS)  # type: ignore[assignment]
    return errors


def _right(columns: Columns) -> np.ndarray:
    return np.asarray(errors_of(columns, "word") == 0)


def confusions(references: Sequence[str], hypotheses: Sequence[str], most: int) -> list[dict[str, Any]]:
    """What was most often taken for what: "said", "written" ("" where it is missing, or was put in) and "times"."""
    ranked = wrong_steps(references, hypotheses, words=True)[:most]
    return [{"said": step.true, "written": step.said, "times": times} for step, times in ranked]


def wrong_steps(references: Sequence[str], hypotheses: Sequence[str], words: bool) -> list[tuple[Step, int]]:
    """What differs, and how often, most often first; as often, in the order of the words."""
    times = Counter(
        step
        for reference, hypothesis in zip(references, hypotheses, strict=True)
        for step in align(units(reference, words), units(hypothesis, words))
        if step.kind != "right"
    )
    return sorted(times.items(), key=lambda counted: (-counted[1], counted[0]))
