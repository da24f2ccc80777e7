"""How an interval was found, as data: what else is said of it asks these fields, and `str` makes the sentence of them.

Results hold both. Those of before the fields have the sentence alone, which `parse` takes apart: nothing else does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

_THESE = {1: "one group that there is", 2: "two groups that there are"}
_MCNEMAR = "; p: McNemar's exact test"


@dataclass(frozen=True)
class Method:
    """`kind` is Wilson, Clopper-Pearson, bootstrap, jackknife, trainings (Student's t over several), or none."""

    kind: str = "none"
    over: str = "row"  # what is drawn, or left out one by one, or was trained: row, group, seed or fold
    number: int = 0  # of resamples, or of those
    asked: int = 0  # resamples that were asked for, where fewer were drawn
    late: bool = False  # fewer for the time, and not for the size of the file
    undefined: int = 0  # resamples that were left out
    linear: bool = False  # resamples were told to first order
    alone: int = 0  # the one group, or two, of which alone it speaks
    paired: bool = False  # of a difference
    test: str = ""  # whose p it is, where the interval's method gives none: McNemar
    alike: bool = False  # every resample, group or seed has the same value, so that there is no interval
    words: str = ""  # the sentence, where it is of no kind that is known here

    def __str__(self) -> str:
        if self.words:
            return self.words
        many = f"over {self.number} groups"
        sentence = {
            "bootstrap": f"bootstrap of {self.number:,} resamples by {self.over}",
            "jackknife": f"jackknife {many}, with Student's t",
            "Clopper-Pearson": f"Clopper-Pearson {many}, which are all alike",
            "trainings": f"t over {self.number} {self.over}s, on the same rows",
        }.get(self.kind, self.kind)
        sentence = f"paired {sentence}" if self.paired else sentence
        if self.asked:
            sentence += f" ({self.asked:,} asked, fewer for the {'time' if self.late else 'size of the file'})"
        if self.undefined:
            sentence += f", {self.undefined:,} of them undefined and left out"
        sentence += ", to first order" if self.linear else ""
        sentence += f", within the {_THESE[self.alone]}: another may differ" if self.alone else ""
        return sentence + (_MCNEMAR if self.test else "")

    def as_json(self) -> dict[str, Any]:
        told = [(field.name, getattr(self, field.name), field.default) for field in fields(self)]
        return {name: value for name, value, usual in told if value != usual}

    @staticmethod
    def of(stored: Mapping[str, Any]) -> Method:
        """Of a figure, or a difference, of results: its fields, or else its sentence."""
        how = stored.get("how")
        if how is None:
            method = parse(str(stored.get("method", "none")))
            return replace(method, alike=str(stored.get("why", "")).startswith("every resample gives the same value"))
        known = {field.name for field in fields(Method)}
        return Method(**{name: value for name, value in how.items() if name in known})


UNKNOWN = Method()


def parse(sentence: str) -> Method:
    """
    >>> parse("jackknife over 4 groups, with Student's t").number
    4
    """
    number = r"([\d,]+)"

    def first(pattern: str) -> str:
        match = re.search(pattern, sentence)
        return match[1] if match else ""

    def whole(pattern: str) -> int:
        return int(first(pattern).replace(",", "") or 0)

    bare = sentence.removeprefix("paired ")
    kinds = {"t over": "trainings"} | {name: name for name in ("bootstrap", "jackknife", "Clopper-Pearson", "Wilson")}
    kind = next((kinds[name] for name in kinds if bare.startswith(name)), "none")
    over = first(r"(?:resamples by|over [\d,]+) (row|group|seed|fold)") or "row"
    method = Method(
        kind,
        over,
        whole(f"(?:of|over) {number} (?:resamples|groups|seeds|folds)"),
        whole(rf"\({number} asked"),
        "fewer for the time" in sentence,
        whole(f", {number} of them undefined"),
        ", to first order" in sentence,
        next((alone for alone, words in _THESE.items() if words in sentence), 0),
        bare != sentence,
        "McNemar" if sentence.endswith(_MCNEMAR) else "",
    )
    return method if str(method) == sentence else replace(method, words=sentence)
