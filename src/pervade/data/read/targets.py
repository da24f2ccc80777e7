"""What a row's target is, from the table to the batch: one class, several labels, a number, or somebody's name.

    kind       in the rows     learnt from the training split      in the batch
    class      str             labels, counts                      int64: the label's number
    labels     list of str     labels, counts                      float32 (k,): 1 where the row has the label
    number     float           scale: (mean, deviation)            float32: (number - mean) / deviation
    identity   str             labels, counts                      int64: the label's number; -1: never trained on

Numbers are standardised here, in 64 bits, so that 32 bits are enough for what follows: a year with its minute would
otherwise lose its minutes. Axis letters: n rows, k labels.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pervade.core.errors import DataError, nearest
from pervade.core.types import LeftOut, Rows
from pervade.data.read.columns import listed

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["class", "labels", "number", "identity"]

DIGITS = 300  # characters of a number at most, so that its value can be computed with
LARGEST = 1e30  # what 32 bits hold, and 64 when it is squared
STRANGER = -1  # the number of everybody who was never trained on


@dataclass(frozen=True)
class Learnt:
    """What a domain keeps of the training split's targets; empty where the kind has no such thing."""

    labels: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()  # rows of each label
    rows: int = 0  # of the training split
    scale: tuple[float, float] = (0.0, 1.0)  # mean and deviation


def learn(kind: Kind, values: Sequence[Any], positive: str | None = None) -> Learnt:
    """From the targets of the training split; of two classes `positive` stands last. Raises DataError where there are
    none, they are of another kind, or `positive` is none of two."""
    if not len(values):
        raise DataError("the training split has no rows, so nothing can be learnt from it")
    if kind == "number":
        numbers = np.array([_number(value, f"row {i}") for i, value in enumerate(values)])
        mean, deviation = float(numbers.mean()), float(numbers.std())
        # Where all are equal but for rounding, dividing by their deviation would blow the rounding up.
        return Learnt(rows=len(values), scale=(mean, deviation if deviation > 1e-12 * max(abs(mean), 1e-300) else 1.0))
    if kind == "labels":
        counts = Counter(label for value in values for label in set(_labels(value)))
    else:
        counts = Counter(_name(value) for value in values)
    labels = ordered(counts, positive)
    return Learnt(labels, tuple(counts[label] for label in labels), len(values))


def encode(kind: Kind, value: Any, learnt: Learnt, where: str) -> int | float | np.ndarray:
    """One row's target as it goes into a batch. Raises DataError, naming the row, where it cannot be."""
    if kind == "number":
        mean, deviation = learnt.scale
        return (_number(value, where) - mean) / deviation
    if kind == "labels":
        has = np.zeros(len(learnt.labels), np.float32)
        has[[_place(label, learnt.labels, "label", where) for label in _labels(value)]] = 1.0
        return has
    name = _name(value)
    if kind == "identity" and name not in learnt.labels:
        return STRANGER
    return _place(name, learnt.labels, "class", where)


def of_learnt_labels(rows: Rows, labels: Collection[str], what: str = "class") -> tuple[Rows, list[LeftOut]]:
    """The rows whose target, or all of whose targets, are among the `labels` that were learnt; and the others. Raises
    DataError where there are no targets, or none is known."""
    if "target" not in rows:
        raise DataError(f"there is no {what} to measure answers by; name the column with --label-column")
    own = [target if isinstance(target, list) else [str(target)] for target in rows.column("target")]
    strange = [next((label for label in own_labels if label not in labels), None) for own_labels in own]
    good = [i for i, label in enumerate(strange) if label is None]
    if not good:
        there = dict.fromkeys(map(str, strange))
        raise DataError(
            f"no row is of a {what} that was learnt: there are {listed(map(repr, there), 5)}, and "
            f"learnt were {listed(map(repr, labels), 5)}; rename them, or name another column with --label-column"
        )
    reason = f"its {what} {{!r}} was not learnt"
    left = [(name, label) for name, label in zip(rows.column("id"), strange, strict=True) if label is not None]
    return rows.select(good), [LeftOut(str(name), reason.format(label)) for name, label in left]


def decode_numbers(standardised: np.ndarray, scale: tuple[float, float], rounded: bool = False) -> np.ndarray:
    """Numbers (n,) float64 in their own unit, from what `encode` made. `rounded` to what 32 bits can tell apart, so
    that the table's 3.5 comes back as 3.5."""
    mean, deviation = scale
    numbers: np.ndarray = np.asarray(standardised, np.float64) * deviation + mean
    return np.round(numbers, 5 - math.floor(math.log10(deviation))) if rounded else numbers


def stack(kind: Kind, targets: Sequence[Any]) -> Tensor:
    """(n,) int64, (n,) float32, or (n, k) float32."""
    import torch

    if kind in ("class", "identity"):
        return torch.tensor(targets, dtype=torch.int64)
    return torch.from_numpy(np.asarray(targets, np.float32))


def natural(label: str) -> tuple[int, float, str]:
    """The order of labels: numbers by value, then everything else by letters: -1 before 1, 2.5 before 10."""
    number = number_of(label)
    return (1, 0, label) if number is None else (0, number, label)


def number_of(label: str) -> float | None:
    """The number that a label is, whole ones exactly; None where it is a name.

    >>> number_of("-1"), number_of("1.0"), number_of("1e3"), number_of("1_0"), number_of("nan")
    (-1, 1.0, 1000.0, None, None)
    """
    plain = label.replace("\u2212", "-")  # the sign for minus that is no hyphen
    if len(plain) > DIGITS or not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", plain, re.IGNORECASE):
        return None
    number = int(plain) if re.fullmatch(r"[+-]?\d+", plain) else float(plain)
    return number if math.isfinite(number) else None


def ordered(labels: Iterable[str], positive: str | None = None) -> tuple[str, ...]:
    """Labels in their order; where `positive` is given, it stands last of two, since with two classes the last is the
    positive one. Raises DataError where it is none of two."""
    in_order = tuple(sorted(labels, key=natural))
    if positive is None:
        return in_order
    alike = [label for label in in_order if folded(label) == folded(positive)]
    chosen = named(positive, in_order) or (alike[0] if len(alike) == 1 else None)
    if chosen is None:
        raise DataError(f"--positive {positive!r}: there is no such class; {nearest(positive, in_order)}")
    if len(in_order) != 2:
        raise DataError(
            f"--positive {positive!r} chooses one of two classes, and there are {len(in_order)}; leave it out"
        )
    return (*(label for label in in_order if label != chosen), chosen)


def named(name: str, labels: Sequence[str]) -> str | None:
    """The label of that name, or of that value: 1 is 1.0, and 007 is a name. None where there is none."""
    if name in labels:
        return name
    number = value_of(name)
    return None if number is None else next((label for label in labels if value_of(label) == number), None)


def value_of(label: str) -> float | None:
    """What labels that are one have in common: of a number its value, unless noughts stand in front of it.

    >>> value_of("1.0"), value_of("0"), value_of("007")
    (1.0, 0, None)
    """
    return None if re.match(r"[+-]?0\d", label) else number_of(label)


def folded(label: str) -> str:
    """What all spellings of a label have in common.

    >>> folded("ＳＰＡＭ\\u200b ") == folded("spam"), folded("polar-bear") == folded("Polar  Bear")
    (True, True)
    """
    plain = label
    if not label.isascii():
        plain = "".join(sign for sign in unicodedata.normalize("NFKC", label) if unicodedata.category(sign) != "Cf")
    return re.sub(r"[\s_\-\u2010-\u2015]+", " ", plain.casefold()).strip()  # blanks, hyphens and dashes


def _place(label: str, labels: tuple[str, ...], what: str, where: str) -> int:
    try:
        return labels.index(named(label, labels) or label)
    except ValueError:
        raise DataError(
            f"{where}: the {what} {label!r} never stands in the training split; remove it or move some; "
            f"{nearest(label, labels) if len(labels) <= 1000 else 'look for a misspelling'}"
        ) from None


def _name(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise DataError(f"a class is one name, not {value!r}; {_remedy(value)}")


def _labels(value: Any) -> list[str]:
    if isinstance(value, list) and all(isinstance(label, str) for label in value):
        return value
    raise DataError(f"labels of a row are a list of names, not {value!r}; {_remedy(value)}")


def _number(value: Any, where: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST:  # False for nan
        return float(value)
    raise DataError(
        f"{where}: the target {str(value)[:80]!r} is no number between -{LARGEST:g} and {LARGEST:g}; {_remedy(value)}"
    )


def _remedy(value: Any) -> str:
    """Which setting goes with such a value."""
    kind = "labels" if isinstance(value, list) else "class" if isinstance(value, str) else "number"
    return f"this one goes with domain.target={kind}, and the task that belongs to it"
