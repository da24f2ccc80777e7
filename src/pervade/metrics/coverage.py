"""How often the truth is in what was said with an answer: a set of classes, a range of numbers, a set of texts, a bound
on the share of wrong words. One class here a kind of answer; each says how ill a row's truth goes with its answer
(`scores`, see metrics/conformal.py), what a limit to that makes of a table (`keep`), and what is measured of it.

Axis letters: n rows, k classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np

from pervade.core.types import Table
from pervade.core.words import NUMBER, SHARE, FigureWords
from pervade.metrics import conformal, span, transcription
from pervade.metrics.columns import Columns, class_column, column
from pervade.metrics.estimate import UNIT, Measure, Metric, Shared, weighted_mean
from pervade.metrics.regression import coverage_metric

Limit = np.ndarray | float


@dataclass(frozen=True)
class Classes:
    """Adds "set" (n, k) int8, 1 where a class may be the true one."""

    labels: tuple[str, ...]
    method: Literal["threshold", "adaptive"] = "threshold"
    empty: bool = False
    covered_when: ClassVar[str] = "the true class is in the set"
    sized: ClassVar[str] = "sets of {size} classes in the mean"

    def _of_all(self, columns: Columns) -> np.ndarray:
        how = conformal.threshold_scores if self.method == "threshold" else conformal.adaptive_scores
        return how(column(columns, "probabilities"))

    def scores(self, columns: Columns) -> np.ndarray:
        target = class_column(columns, "target", len(self.labels))
        return self._of_all(columns)[np.arange(len(target)), target]

    def keep(self, table: Table, limit: Limit) -> Table:
        """What is answered need not be the likeliest class, and is in its own set all the same."""
        inside = conformal.within(self._of_all(table), limit, self.empty)
        if not self.empty:
            inside[np.arange(len(inside)), np.asarray(table["prediction"])] = 1
        return {**table, "set": inside}

    def covered(self, columns: Columns) -> np.ndarray:
        """(n,) bool."""
        target = class_column(columns, "target", len(self.labels))
        return np.asarray(column(columns, "set")[np.arange(len(target)), target] == 1)

    def size(self, columns: Columns) -> np.ndarray:
        """(n,) float64."""
        return np.asarray(column(columns, "set").sum(axis=1, dtype=np.float64))

    def shown(self, table: Table, place: int) -> dict[str, Any]:
        probabilities, inside = np.asarray(table["probabilities"])[place], np.asarray(table["set"])[place]
        ranked = np.argsort(-probabilities, kind="stable")
        return {"set": [self.labels[i] for i in ranked if inside[i]]}

    def metrics(self, share: float) -> dict[str, Metric]:
        metrics, of_classes = _metrics(self, share), partial(_of_classes, kind=self)
        for index, label in enumerate(self.labels):
            absent = f"no row is of class '{label}'"
            metrics[f"coverage[{label}]"] = Metric(
                Shared(of_classes, "coverage", index),
                trials=partial(_covered_of_class, index=index),
                among=partial(_of_class, index=index),
                higher_is_better=None,
                description=f"share of the rows of class '{label}' whose set it is in",
                undefined=absent,
                bounds=UNIT,
                words=SHARE,
            )
            metrics[f"set_size[{label}]"] = Metric(
                Shared(of_classes, "size", index),
                higher_is_better=False,
                counted=partial(_rows_of_class, index=index),
                description=f"mean number of classes in the sets of rows of class '{label}'",
                undefined=absent,
                bounds=(0.0, math.inf),
            )
        return metrics


@dataclass(frozen=True)
class Numbers:
    """Replaces "low" and "high" (n,)."""

    covered_when: ClassVar[str] = "the true number is in the range"
    sized: ClassVar[str] = "which is the answer ± {limit}"

    def scores(self, columns: Columns) -> np.ndarray:
        return np.abs(column(columns, "prediction") - column(columns, "target"))

    def keep(self, table: Table, limit: Limit) -> Table:
        prediction = np.asarray(table["prediction"])
        return {**table, "low": prediction - limit, "high": prediction + limit}

    def covered(self, columns: Columns) -> np.ndarray:
        low, target, high = (column(columns, name) for name in ("low", "target", "high"))
        return np.asarray((low <= target) & (target <= high))

    def size(self, columns: Columns) -> np.ndarray:
        return np.asarray(column(columns, "high") - column(columns, "low"))

    def shown(self, table: Table, place: int) -> dict[str, Any]:
        return {name: float(np.asarray(table[name])[place]) for name in ("low", "high")}

    def metrics(self, share: float) -> dict[str, Metric]:
        """Under the name that the task's own interval is measured by, in whose place this one stands."""
        return {"coverage": coverage_metric(share)}


@dataclass(frozen=True)
class Answers:
    """Pieces of a text that may be the answer: adds "set", a list of texts a row, the likeliest first; "" says that
    there is no answer. Of several right answers one in the set suffices.

    A. Fisch, T. Schuster, T. Jaakkola, R. Barzilay, "Efficient conformal prediction via cascaded inference with
    expanded admission", ICLR 2021, arXiv:2007.03114.
    """

    by_character: bool
    unanswerable: bool
    covered_when: ClassVar[str] = "a right answer is in the set"
    sized: ClassVar[str] = "sets of {size} answers in the mean"

    def _ranked(self, columns: Columns, place: int) -> dict[str, float]:
        """The likeliest answers with their probability."""
        ranked = dict(zip(columns["candidates"][place], columns["candidate_probabilities"][place], strict=True))
        if columns["prediction"][place] == "":
            ranked[""] = float(columns["probability"][place])
        elif self.unanswerable and ranked:  # "absent" is by how much its score is above the best one's
            ranked[""] = max(ranked.values()) * math.exp(float(columns["absent"][place]))
        return dict(sorted(ranked.items(), key=lambda pair: -pair[1]))

    def _right(self, said: str, right: Sequence[str]) -> bool:
        return span.score(said, right, self.by_character)[0] > 0

    def scores(self, columns: Columns) -> np.ndarray:
        """inf where no right answer is among the likeliest that the file holds."""
        scores = np.full(len(columns["prediction"]), np.inf)
        for place, right in enumerate(columns["target"]):
            fitting = [p for said, p in self._ranked(columns, place).items() if self._right(said, right)]
            scores[place] = 1.0 - max(fitting) if fitting else np.inf
        return scores

    def keep(self, table: Table, limit: Limit) -> Table:
        sets = []
        for place in range(len(table["prediction"])):
            ranked = self._ranked(table, place)
            likeliest = next(iter(ranked), "")
            sets.append([said for said, p in ranked.items() if 1.0 - p <= limit] or [likeliest])
        return {**table, "set": sets}

    def covered(self, columns: Columns) -> np.ndarray:
        pairs = zip(columns["set"], columns["target"], strict=True)
        return np.array([any(self._right(said, right) for said in said_too) for said_too, right in pairs], bool)

    def size(self, columns: Columns) -> np.ndarray:
        return np.array([len(said) for said in columns["set"]], np.float64)

    def shown(self, table: Table, place: int) -> dict[str, Any]:
        return {"set": [said or "(no answer)" for said in table["set"][place]]}

    def metrics(self, share: float) -> dict[str, Metric]:
        return _metrics(self, share)


@dataclass(frozen=True)
class Transcripts:
    """Adds "error_bound" (n,): the share of wrong words (of those that were said) that a transcript has at most, found
    by how far that share is above what its "confidence" leaves to expect."""

    covered_when: ClassVar[str] = "a transcript has no more wrong words than is said of it"
    sized: ClassVar[str] = "a share of {size} in the mean"

    def _wrong(self, columns: Columns) -> np.ndarray:
        wrong: np.ndarray = transcription.errors_of(columns, "word") / np.maximum(column(columns, "words"), 1)
        return wrong

    def scores(self, columns: Columns) -> np.ndarray:
        return self._wrong(columns) - (1.0 - column(columns, "confidence"))

    def keep(self, table: Table, limit: Limit) -> Table:
        return {**table, "error_bound": np.maximum(1.0 - np.asarray(table["confidence"]) + limit, 0.0)}

    def covered(self, columns: Columns) -> np.ndarray:
        # As scores are compared, which rounding may set apart from the shares themselves.
        return np.asarray(self._wrong(columns) <= column(columns, "error_bound") + conformal.SLACK)

    def size(self, columns: Columns) -> np.ndarray:
        return column(columns, "error_bound")

    def shown(self, table: Table, place: int) -> dict[str, Any]:
        return {"error_bound": float(np.asarray(table["error_bound"])[place])}

    def metrics(self, share: float) -> dict[str, Metric]:
        described = "mean share of wrong words that a transcript is said to have at most"
        return _metrics(self, share, "error_bound", described)


Kind = Classes | Numbers | Answers | Transcripts


def _metrics(
    kind: Kind, share: float, size: str = "set_size", described: str = "mean size of the sets"
) -> dict[str, Metric]:
    """ "coverage", and the mean size of what was said."""
    family = partial(_family, kind=kind)
    return {
        "coverage": Metric(
            Shared(family, "coverage"),
            trials=kind.covered,
            higher_is_better=None,
            description=f"how often {kind.covered_when}, which was to be {100 * share:g}%",
            bounds=UNIT,
            words=FigureWords(f"How often {kind.covered_when}", "share"),
        ),
        size: Metric(
            Shared(family, "size"),
            higher_is_better=False,
            description=described,
            bounds=(0.0, math.inf),
            words=replace(SHARE if size == "error_bound" else NUMBER, title=described.capitalize()),
        ),
    }


def by_group(kind: Kind) -> Metric:
    """How often the truth is in it, each group counting alike: what is promised of new groups."""
    return Metric(
        Shared(partial(_of_groups, kind=kind), "coverage"),
        higher_is_better=None,
        description="the same, each group counting alike, however many rows it has",
        bounds=UNIT,
        words=FigureWords(f"How often {kind.covered_when}, each group counting alike", "share"),
    )


def _family(columns: Columns, kind: Kind) -> Measure:
    covered, size = kind.covered(columns).astype(np.float64), kind.size(columns)
    return lambda weight: {"coverage": weighted_mean(covered, weight), "size": weighted_mean(size, weight)}


def _of_groups(columns: Columns, kind: Kind) -> Measure:
    covered, alike = kind.covered(columns).astype(np.float64), conformal.weights(column(columns, "group"))
    return lambda weight: {"coverage": weighted_mean(covered, weight * alike)}


def _of_classes(columns: Columns, kind: Classes) -> Measure:
    target, classes = class_column(columns, "target", len(kind.labels)), len(kind.labels)
    values = {"coverage": kind.covered(columns).astype(np.float64), "size": kind.size(columns)}

    def measure(weight: np.ndarray) -> Mapping[str, Any]:
        rows = np.bincount(target, weight, classes)
        rows = np.where(rows > 0, rows, np.nan)
        return {name: np.bincount(target, weight * numbers, classes) / rows for name, numbers in values.items()}

    return measure


def _of_class(columns: Columns, index: int) -> np.ndarray:
    return np.asarray(columns["target"] == index)


def _rows_of_class(columns: Columns, index: int) -> int:
    return int(_of_class(columns, index).sum())


def _covered_of_class(columns: Columns, index: int) -> np.ndarray:
    rows = np.flatnonzero(_of_class(columns, index))
    return np.asarray(columns["set"][rows, index] == 1)
