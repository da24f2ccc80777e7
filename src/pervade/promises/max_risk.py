"""Answers only where it may: "I do not know" is said where the answer is not sure enough for the risk that was asked.

Selective classification with the bound of Y. Geifman and R. El-Yaniv, "Selective classification for deep neural
networks" (NIPS 2017, arXiv:1705.08500): of the m surest rows e are wrong, so with confidence 1 - d the risk is at most
the b at which so few errors still have the probability d (the exact binomial bound of Clopper & Pearson 1934).

    pervade train photos/ --max-risk 0.02
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from pervade.core.contracts import Domain, Task, TensorSpec, Told
from pervade.core.contracts.capabilities import Answerable
from pervade.core.contracts.deployment import ROWS
from pervade.core.contracts.promises import SPLIT, KeptInGraph
from pervade.core.errors import ConfigError, PromiseError
from pervade.core.registry import full_name, register
from pervade.core.types import Json, Rows, Table
from pervade.core.words import FigureWords, in_hundred, measured
from pervade.engine import promises
from pervade.metrics import span
from pervade.metrics.columns import Columns, column
from pervade.metrics.estimate import UNIT, Measure, Metric, Shared, weighted_mean
from pervade.metrics.interval import clopper_pearson, largest_share
from pervade.promises.threshold import one_each
from pervade.tasks.classify import Classify

if TYPE_CHECKING:
    from torch import Tensor

POINTS = 100  # of the curve in the report, at most
MOST_TIMES = 100  # as many rows as there are, beyond which nobody is told to bring them
UNKNOWN = "I do not know"


@register("promise")
@dataclass(frozen=True)
class MaxRisk(KeptInGraph):
    """Of the answers that are given at most `share` are wrong, with the confidence `level`. Which are given is told by
    the probability of the answer, after all else that is settled.

    Of rows that belong together one counts, drawn by chance, so that those are independent. The confidence is
    shared by ceil(log2 n) shares of these n to answer, as many as their bisection tries. Here they lie evenly, and from
    each that keeps the promise further rows are taken, one by one, up to the first at which the bound does not hold,
    which costs no more confidence (tests in a fixed order: A. N. Angelopoulos, S. Bates, E. J. Candès, M. I. Jordan,
    L. Lei, "Learn then test", 2021, arXiv:2110.01052). Bisection turns to fewer rows whenever a share fails, though too
    few rows may have been the reason.
    """

    share: Annotated[float, Field(ge=0.001, le=0.9)] = 0.02
    level: Annotated[float, Field(ge=0.5, le=0.999)] = 0.9
    changes: ClassVar[tuple[str, ...]] = ("answered",)
    shows: ClassVar[tuple[str, ...]] = ("answer",)

    @property
    def asked(self) -> str:
        return f"--max-risk {self.share:g}"

    def examine(self, task: Task, rows: Rows, domain: Domain) -> None:
        from pervade.tasks.answer_span import AnswerSpan

        if not isinstance(task, (Classify, AnswerSpan)):
            raise ConfigError(
                f"{self.asked} is for answers that are right or wrong, one class or one piece of a text, and not for "
                f"the task {full_name(task)!r}; leave it out (of numbers, --coverage 0.9 promises a range)"
            )
        held = rows.where("split", SPLIT)
        there, needed = len(set(promises.units(held))), rows_needed(self.share, self.level)
        if there < needed:
            least = largest_share(np.zeros(1), np.array([there]), self._level(there))
            right = ", were they all answered right"
            raise promises.too_few(self.asked, needed, "rows", held, there, self._less(least, "might"), right)

    def settle(self, columns: Mapping[str, Any], domain: Domain) -> dict[str, Json]:
        """ "confidence" from which on answers are given; the "bound" on their risk; how many of the rows they are, and
        how many of these wrong."""
        counted = one_each(np.asarray(columns["group"]), np.ones(len(columns["group"]), bool))
        confidence, wrong = _confidence(columns)[counted], _wrong(columns, _by_character(domain))[counted]
        order = np.argsort(-confidence, kind="stable")
        ranked, rows = confidence[order], len(confidence)
        # Rows of one confidence are answered together or not at all.
        taken = np.flatnonzero(np.r_[ranked[1:] < ranked[:-1], True]) + 1
        errors = np.cumsum(wrong[order])[taken - 1]
        bound = largest_share(errors, taken, self._level(rows))
        begins = np.searchsorted(taken, np.arange(1, candidates(rows) + 1) * rows / candidates(rows))
        kept = [begin for begin in begins.tolist() if bound[begin] <= self.share]
        if not kept:
            raise PromiseError(
                f"{self.asked} cannot be kept with {self.level:.0%} confidence: of the surest rows too many "
                f"are wrong, or they are too few{self._less(bound[begins])}"
                f"{self._more(errors[begins], taken[begins], rows)}"
            )
        failing = np.append(np.flatnonzero(bound > self.share), len(bound))
        last = max(int(failing[np.searchsorted(failing, begin)]) - 1 for begin in kept)
        everything = int(taken[last]) == rows
        return {
            "confidence": 0.0 if everything else float(ranked[taken[last] - 1]),
            "bound": float(bound[last]),
            "answered": int(taken[last]),
            "wrong": int(errors[last]),
        }

    def _level(self, rows: int) -> float:
        """Of each candidate of so many rows."""
        return 1 - (1 - self.level) / candidates(rows)

    def _less(self, bound: np.ndarray, can: str = "can") -> str:
        """The smallest risk that could be promised; empty where that says nothing."""
        least = math.ceil(1000 * float(bound.min())) / 1000
        return f"; --max-risk {least:g} {can} be kept" if least <= 0.5 else ""

    def _more(self, errors: np.ndarray, taken: np.ndarray, rows: int) -> str:
        """Of how many rows this promise could be kept, were as many of them wrong as of the surest now; empty where
        those would be too many to be had."""
        times = 1.0
        while largest_share(errors * times, taken * times, self._level(math.ceil(rows * times))).min() > self.share:
            times *= 1.1
            if times > MOST_TIMES:
                return ""
        return f", and this one of about {math.ceil(rows * times):,} rows of which as many are right"

    def keep(self, table: Table, settled: Mapping[str, Any], domain: Domain) -> Table:
        """Adds "answered" (n,) int8; the answers themselves stay beside it."""
        return {**table, "answered": (_confidence(table) >= settled["confidence"]).astype(np.int8)}

    def adds(self, settled: Mapping[str, Any], gives: Collection[str], domain: Domain) -> tuple[TensorSpec, ...] | None:
        if not {"probabilities", "prediction"} <= set(gives):
            return None
        said = f"1 where the row is answered, at a risk of {self.share:g} at most, 0 where it is not"
        return (TensorSpec("answered", "int64", (ROWS,), said),)

    def deployed(self, answers: dict[str, Tensor], settled: Mapping[str, Any], domain: Domain) -> dict[str, Tensor]:
        sure = answers["probabilities"].gather(1, answers["prediction"][:, None])[:, 0]
        return {**answers, "answered": (sure >= settled["confidence"]).long()}

    def metrics(self, settled: Mapping[str, Any], domain: Domain) -> Mapping[str, Any]:
        by_character = _by_character(domain)
        family = partial(_family, by_character=by_character)
        return {
            "answered": Metric(
                Shared(family, "answered"),
                trials=_answered,
                description=f"share of rows that are answered, and not by {UNKNOWN!r}",
                bounds=UNIT,
                words=FigureWords(f"Answers given, and not {UNKNOWN!r}", "share"),
            ),
            "risk": Metric(
                Shared(family, "risk"),
                trials=partial(_wrong_of_answered, by_character=by_character),
                among=_answered,
                higher_is_better=False,
                description=f"share wrong of the answers given, which was to be {100 * self.share:g}% at most",
                undefined="no row was answered",
                bounds=UNIT,
                words=FigureWords("Wrong ones of the answers given", "share"),
            ),
        }

    def told(
        self, figures: Mapping[str, Any], columns: Mapping[str, Any], settled: Mapping[str, Any], domain: Domain
    ) -> Told:
        answered, risk = figures["answered"], figures["risk"]
        sentence = f"answers {in_hundred(answered['value'])} of 100{measured(answered)}"
        promised = f"promised: at most {100 * self.share:g}"
        if risk["value"] is not None:
            sentence += f", of which {in_hundred(risk['value'])} of 100 are wrong{measured(risk, promised)}"
        curve = self._curve(columns, domain, answered["value"], risk["value"])
        return Told(sentence, self.asked, curve, promises.broken(risk, self.share, at_most=True))

    def _curve(self, columns: Columns, domain: Domain, answered: float, risk: float | None) -> dict[str, Json]:
        """Risk against the share of rows that are answered, the surest first, each with its own 95% interval."""
        wrong = _wrong(columns, _by_character(domain))[np.argsort(-_confidence(columns), kind="stable")]
        taken = np.unique(np.linspace(1, len(wrong), min(len(wrong), POINTS)).round().astype(int)).tolist()
        errors = np.cumsum(wrong)
        spans = [clopper_pearson(int(errors[number - 1]), number) for number in taken]
        return {
            "x": [number / len(wrong) for number in taken],
            "y": [float(errors[number - 1]) / number for number in taken],
            "low": [low for low, _ in spans],
            "high": [high for _, high in spans],
            "x_title": "share of rows that are answered",
            "y_title": "share wrong of the answers given",
            **({} if risk is None else {"at": [answered, risk]}),
            "promised_y": self.share,
        }

    def answer(self, answer: dict[str, Any], table: Table, place: int, domain: Domain) -> dict[str, Any]:
        """ "answered", and as "answer" what is said, or that it is not known; the likeliest stay beside it."""
        answered = bool(np.asarray(table["answered"])[place])
        said = table["label" if "label" in table else "prediction"][place]
        return {**answer, "answered": answered, "answer": said if answered else UNKNOWN}


def candidates(rows: int) -> int:
    """How many shares of so many rows are tried, which the confidence is divided by."""
    return max(math.ceil(math.log2(max(rows, 1))), 1)


def rows_needed(share: float, level: float) -> int:
    """The fewest rows of which, were none wrong, the risk is at most `share` with confidence `level`: n with
    n >= log((1 - level) / candidates(n)) / log(1 - share).

    >>> rows_needed(0.02, 0.9), rows_needed(0.1, 0.9)
    (217, 39)
    """
    rows = 1
    while rows < math.log((1 - level) / candidates(rows)) / math.log(1 - share):
        rows += 1
    return rows


def _by_character(domain: Domain) -> bool | None:
    """None where answers are classes."""
    return domain.by_character if isinstance(domain, Answerable) else None


def _confidence(columns: Columns) -> np.ndarray:
    """(n,): the probability of what is answered."""
    if "probability" in columns:
        return np.asarray(columns["probability"], np.float64)
    prediction = np.asarray(columns["prediction"])
    confidence: np.ndarray = np.asarray(columns["probabilities"], np.float64)[np.arange(len(prediction)), prediction]
    return confidence


def _wrong(columns: Columns, by_character: bool | None) -> np.ndarray:
    """(n,) bool."""
    if by_character is not None:
        return span.scores(columns, by_character)[0] == 0
    return np.asarray(np.asarray(columns["target"]) != np.asarray(columns["prediction"]))


def _answered(columns: Columns) -> np.ndarray:
    return np.asarray(column(columns, "answered") == 1)


def _wrong_of_answered(columns: Columns, by_character: bool | None) -> np.ndarray:
    return _wrong(columns, by_character)[_answered(columns)]


def _family(columns: Columns, by_character: bool | None) -> Measure:
    answered, wrong = _answered(columns).astype(np.float64), _wrong(columns, by_character).astype(np.float64)
    return lambda weight: {
        "answered": weighted_mean(answered, weight),
        "risk": weighted_mean(wrong, weight * answered),
    }
