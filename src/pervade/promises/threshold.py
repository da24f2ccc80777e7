"""Thresholds of classes by which enough of their rows are found, or few enough of the others are called so.

A row is called a class of which something is promised where its probability reaches that class's threshold; of several,
the one whose threshold it exceeds by the largest factor; of none, the likeliest of the other classes (where there are
no others, the one that it comes nearest to).
Where something is promised of every class, the one of the smallest recall has no threshold and is what is answered of
none. So with two classes there is one threshold, of the class with the larger recall: the largest that finds enough,
which has the fewest false alarms. With more, each is sought beside the others, and those that can give way do, in
steps, where what is promised of others fails.

What a threshold finds of all rows like these is bounded by one side of Clopper and Pearson's exact interval (1934), at
the confidence `level`. That it is chosen by the same rows costs nothing: above the mth largest of n probabilities lies
a share of all rows that is Beta(m, n - m + 1), whatever probabilities are like, and that bound is its quantile (S. S.
Wilks, "Determination of sample sizes for setting tolerance limits", Annals of Mathematical Statistics 12 (1941)). Of
rows that belong together (one patient's) one counts, drawn by chance, so that those that count are independent.

Axis letters: n rows, k classes, m rows that count.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from pervade.core.contracts import Domain, Task, TensorSpec, Told
from pervade.core.contracts.capabilities import labels_of
from pervade.core.contracts.promises import SPLIT, KeptInGraph
from pervade.core.errors import ConfigError, PromiseError, nearest
from pervade.core.registry import register
from pervade.core.types import Json, Rows, Table
from pervade.core.words import FigureWords, in_hundred, measured
from pervade.data.read import targets
from pervade.engine import promises
from pervade.metrics.columns import Columns
from pervade.metrics.estimate import UNIT, Metric, weighted_mean
from pervade.metrics.interval import clopper_pearson, wilson
from pervade.tasks.classify import Classify

if TYPE_CHECKING:
    from torch import Tensor

Share = Annotated[float, Field(gt=0, lt=1)]

RECALL, ALARMS = "--min-recall", "--max-false-alarms"
ROUNDS = 50  # in which thresholds of several classes give way to each other, at most
STEPS, STEP = 20, 0.8  # by which they give way where what is promised of others fails
BELOW = 1 - 1e-9  # a row that two classes contest falls to this one from a little below on
POINTS = 100  # of a curve, at most


@dataclass(frozen=True)
class _Class:
    """A class of which something is promised, with the rows that count."""

    number: int
    label: str
    shares: Mapping[str, float]  # by flag
    own: np.ndarray  # (m,) places of rows of the class,
    others: np.ndarray  # (m,) and of others


@register("promise")
@dataclass(frozen=True)
class Threshold(KeptInGraph):
    """Shares by class; "" is the positive class of two."""

    min_recall: Mapping[str, Share] = field(default_factory=dict)  # of the class's rows that are found, at least
    max_false_alarms: Mapping[str, Share] = field(default_factory=dict)  # of all other rows that are called it, at most
    level: Annotated[float, Field(ge=0.5, lt=1)] = 0.9  # probability that a bound holds

    # Every row is answered: what is found would be less where others are handed on.
    changes: ClassVar[tuple[str, ...]] = ("prediction", "label", "answered")
    shows: ClassVar[tuple[str, ...]] = ("answer",)

    @property
    def asked(self) -> str:
        shares = [(RECALL, *item) for item in self.min_recall.items()]
        shares += [(ALARMS, *item) for item in self.max_false_alarms.items()]
        return " ".join(f"{flag} {_named(name, share)}" for flag, name, share in shares)

    def examine(self, task: Task, rows: Rows, domain: Domain) -> None:
        if not isinstance(task, Classify):
            raise ConfigError(f"{self.asked} is for tasks that say of each row one class; leave it out")
        if not (self.min_recall or self.max_false_alarms):
            raise ConfigError(f"a threshold alone promises nothing; give {RECALL} NAME=0.95 or {ALARMS} NAME=0.02")
        held, labels = rows.where("split", SPLIT), labels_of(domain)
        pairs = list(zip(map(str, held.column("target")), promises.units(held), strict=True))
        for number, shares in self._promised(labels).items():
            for flag, share in shares.items():
                there = {unit for label, unit in pairs if (label == labels[number]) == (flag == RECALL)}
                self._require(flag, labels[number], share, len(there), held)

    def _require(self, flag: str, label: str, share: float, there: int, held: Rows) -> None:
        """Raises DataError where so few rows would not show it, though all of them were answered right."""
        needed = rows_needed(share if flag == RECALL else 1 - share, self.level)
        if there >= needed:
            return
        shown = (1 - self.level) ** (1 / there) if there else 0.0
        nearest_share = _floor(shown) if flag == RECALL else _ceil(1 - shown)
        instead = f", or promise {_named(label, nearest_share)}" if 0 < nearest_share < 1 else ""
        asked = f"{flag} {_named(label, share)}"
        raise promises.too_few(asked, needed, _rows_of(flag, label), held, there, instead)

    def settle(self, columns: Mapping[str, Any], domain: Domain) -> dict[str, Json]:
        target, group = np.asarray(columns["target"]), np.asarray(columns["group"])
        probabilities, labels = np.asarray(columns["probabilities"], np.float64), labels_of(domain)
        classes = []
        for number, shares in self._promised(labels).items():
            own, others = one_each(group, target == number), one_each(group, target != number)
            classes.append(_Class(number, labels[number], shares, own, others))
        first: tuple[PromiseError, ...] = ()
        ruling, way = _ruling(classes, labels), dict.fromkeys(range(len(labels)), 1.0)
        for _ in range(STEPS):
            thresholds = self._together(ruling, probabilities, way)
            prediction = answers(probabilities, thresholds)
            failing = [(one, flag) for one in classes if (flag := self._failing(one, prediction))]
            if not failing:
                counted: dict[str, Json] = {
                    one.label: {RECALL: len(one.own), ALARMS: len(one.others)} for one in classes
                }
                named = {labels[number]: threshold for number, threshold in thresholds.items()}
                return {"thresholds": named, "counted": counted}
            first = first or (self._error(*failing[0], prediction, labels),)
            giving = {
                other.number
                for one, flag in failing
                for other in ruling
                if other is not one and (RECALL in other.shares) == (flag == ALARMS)
            }
            if not giving:
                break
            way |= {one.number: way[one.number] * _gives(one) for one in ruling if one.number in giving}
        raise first[0]

    def _together(
        self, ruling: Sequence[_Class], probabilities: np.ndarray, way: Mapping[int, float]
    ) -> dict[int, float]:
        """By class. Each threshold is found with the others as they are, and moved by as much as it gives `way`. It can
        only fall, since what another class takes of this one's rows is taken back by a lower one."""
        thresholds = dict.fromkeys([one.number for one in ruling], math.inf)
        for _ in range(ROUNDS):
            before = dict(thresholds)
            for one in ruling:
                score = contested(probabilities, thresholds, one.number)
                thresholds[one.number] = way[one.number] * self._threshold(one, score)
            if thresholds == before:
                break
        return thresholds

    def _threshold(self, one: _Class, score: np.ndarray) -> float:
        """The largest that finds enough rows of the class, or, where that is not asked, the smallest that calls few
        enough others so. `score` (n,): up to which threshold each row is called the class."""
        if RECALL in one.shares:
            flag, rows, share = RECALL, np.sort(score[one.own]), one.shares[RECALL]
        else:
            flag, rows, share = ALARMS, np.sort(score[one.others]), 1 - one.shares[ALARMS]
        right = least_of(len(rows), share, self.level)
        if right > len(rows):
            raise PromiseError(f"it takes {rows_needed(share, self.level):,} {_rows_of(flag, one.label)}")
        if flag == RECALL:
            return max(float(rows[len(rows) - right]), float(np.finfo(np.float64).tiny))
        return float(np.nextafter(rows[right - 1], math.inf))

    def _bounds(self, one: _Class, prediction: np.ndarray) -> tuple[float, float]:
        """Of all rows of the class the share that is found, and of all others that which is not called so, at least."""
        called = prediction == one.number
        return (
            lower_bound(int(called[one.own].sum()), len(one.own), self.level),
            lower_bound(int((~called[one.others]).sum()), len(one.others), self.level),
        )

    def _failing(self, one: _Class, prediction: np.ndarray) -> str:
        """The flag of which the bound does not hold by all thresholds together, or by which the class is never
        answered; empty where all is kept."""
        recall, spared = self._bounds(one, prediction)
        if recall < one.shares.get(RECALL, 0.0):
            return RECALL
        never = ALARMS in one.shares and not (prediction[one.own] == one.number).any()
        return ALARMS if never or spared < 1 - one.shares.get(ALARMS, 1.0) else ""

    def _error(self, one: _Class, flag: str, prediction: np.ndarray, labels: Sequence[str]) -> PromiseError:
        (recall, spared), label = self._bounds(one, prediction), one.label
        if flag == RECALL:
            lost = prediction[one.own][prediction[one.own] != one.number]
            rival = labels[int(np.bincount(lost).argmax())]
            beside = " beside what else is promised" * (len(self.min_recall) + len(self.max_false_alarms) > 1)
            less = f"{_named(label, _floor(recall))} can be, or " if _floor(recall) else ""
            return PromiseError(
                f"{RECALL} {_named(label, one.shares[RECALL])} cannot be kept{beside}: of {len(one.own):,} rows of "
                f"{label!r} {len(lost):,} are called otherwise, mostly {rival!r}; {less}promise less"
            )
        if spared < 1 - one.shares[ALARMS]:
            own = one.shares.get(RECALL)
            beside = "what else is promised" if own is None else f"{RECALL} {_named(label, own)}"
            return PromiseError(
                f"{ALARMS} {_named(label, one.shares[ALARMS])} cannot be kept beside {beside}; "
                f"{_named(label, _ceil(1 - spared))} is the least that can"
            )
        return PromiseError(
            f"{ALARMS} {_named(label, one.shares[ALARMS])} is kept only where {label!r} is never answered, since "
            "other rows are called so with the highest probability; allow more"
        )

    def keep(self, table: Table, settled: Mapping[str, Any], domain: Domain) -> Table:
        thresholds = self._thresholds(settled, domain)
        return promises.answered(table, answers(np.asarray(table["probabilities"], np.float64), thresholds), domain)

    def _thresholds(self, settled: Mapping[str, Any], domain: Domain) -> dict[int, float]:
        """By the number of each class that has one. Raises ValueError where what is settled is damaged."""
        labels = labels_of(domain)
        if unknown := sorted(set(settled["thresholds"]) - set(labels)):
            raise ValueError(f"{unknown[0]!r} is none of the classes")
        thresholds = {labels.index(label): float(value) for label, value in settled["thresholds"].items()}
        if not all(0 < value < math.inf for value in thresholds.values()):
            raise ValueError(f"thresholds are above 0, and these {list(thresholds.values())}")
        return thresholds

    def adds(self, settled: Mapping[str, Any], gives: Collection[str], domain: Domain) -> tuple[TensorSpec, ...] | None:
        return () if "probabilities" in gives else None

    def deployed(self, answers: dict[str, Tensor], settled: Mapping[str, Any], domain: Domain) -> dict[str, Tensor]:
        """As `answers`, in torch."""
        import torch

        probabilities, thresholds = answers["probabilities"], self._thresholds(settled, domain)
        promised = torch.tensor(list(thresholds))
        factor = probabilities[:, promised] / torch.tensor(list(thresholds.values()), dtype=torch.float32)
        called = promised[factor.argmax(1)]
        others = torch.tensor([i for i in range(probabilities.shape[1]) if i not in thresholds], dtype=torch.int64)
        if len(others):
            called = torch.where(factor.amax(1) >= 1, called, others[probabilities[:, others].argmax(1)])
        return {**answers, "prediction": called}

    def answer(self, answer: dict[str, Any], table: Table, place: int, domain: Domain) -> dict[str, Any]:
        return {"answer": table["label"][place], **answer}

    def metrics(self, settled: Mapping[str, Any], domain: Domain) -> Mapping[str, Metric]:
        """False alarms of each class of which something is promised; its recall is among the task's figures."""
        labels = labels_of(domain)
        return {f"false_alarms[{labels[number]}]": _false_alarms(labels, number) for number in self._promised(labels)}

    def told(
        self, figures: Mapping[str, Any], columns: Mapping[str, Any], settled: Mapping[str, Any], domain: Domain
    ) -> Told:
        labels, sentences = labels_of(domain), []
        missed: list[bool | None] = []
        promised = self._promised(labels)
        for number, shares in promised.items():
            recall, alarms = (figures[f"{name}[{labels[number]}]"] for name in ("recall", "false_alarms"))
            (found, in_brackets), (called, beside) = (
                _measured(recall, shares.get(RECALL), "at least"),
                _measured(alarms, shares.get(ALARMS), "at most"),
            )
            sentences.append(
                f"finds {found} of 100 {labels[number]!r}{in_brackets}, at {called} false alarms in 100 others{beside}"
                + _beside_likeliest(columns, number, settled["thresholds"].get(labels[number]))
            )
            missed += [
                promises.broken(recall if flag == RECALL else alarms, share, at_most=flag == ALARMS)
                for flag, share in shares.items()
            ]
        first = next(iter(promised))
        at = [figures[f"{name}[{labels[first]}]"]["value"] for name in ("false_alarms", "recall")]
        counted = settled.get("counted", {})  # not in what was settled before it was written down
        by = [
            f"{counted[labels[number]][flag]:,} {_rows_of(flag, labels[number])}"
            for number, shares in promised.items()
            for flag in shares
            if labels[number] in counted
        ]
        sentence = f"{'; '.join(sentences)}; promised with {100 * self.level:g}% confidence"
        sentence += f" by {' and '.join(by)}" if by else ""
        lost = True if True in missed else None if None in missed else False
        return Told(sentence, self.asked, _curve(columns, first, labels[first], at, promised[first]), lost)

    def _promised(self, labels: Sequence[str]) -> dict[int, dict[str, float]]:
        """Shares by class and flag. Raises ConfigError where a class is not there, or stands twice."""
        promised: dict[int, dict[str, float]] = defaultdict(dict)
        for flag, shares in ((RECALL, self.min_recall), (ALARMS, self.max_false_alarms)):
            for name, share in shares.items():
                number = _place(flag, name, labels)
                if flag in promised[number]:
                    raise ConfigError(f"{flag} is given twice for {labels[number]!r}; leave one out")
                promised[number][flag] = share
        return dict(promised)


# bounds


def lower_bound(successes: int, trials: int, level: float) -> float:
    """Below which the true share of successes lies with probability 1 - level, at most."""
    return clopper_pearson(successes, trials, 2 * level - 1)[0]


def least_of(trials: int, share: float, level: float) -> int:
    """The fewest successes whose lower bound reaches the share; trials + 1 where even as many as there are do not."""
    return bisect_left(range(trials + 1), share, key=lambda successes: lower_bound(successes, trials, level))


def rows_needed(share: float, level: float) -> int:
    """The fewest trials of which the lower bound reaches the share where all succeed: (1 - level)^(1/n) >= share.

    >>> rows_needed(0.95, 0.9), rows_needed(0.98, 0.9), rows_needed(0.5, 0.5)
    (45, 114, 1)
    """
    return math.ceil(math.log(1 - level) / math.log(share) - 1e-9)


def one_each(group: np.ndarray, among: np.ndarray) -> np.ndarray:
    """(m,) places of rows that are independent: of each group one of those `among` (n,) bool, drawn by chance, always
    the same."""
    drawn = np.random.default_rng(0).permutation(np.flatnonzero(among))
    return np.asarray(drawn[np.unique(group[drawn], return_index=True)[1]])


# the rule


def answers(probabilities: np.ndarray, thresholds: Mapping[int, float]) -> np.ndarray:
    """(n,) int64 numbers of classes, of (n, k) by the thresholds of some classes."""
    promised = np.array(list(thresholds))
    factor = probabilities[:, promised] / np.array(list(thresholds.values()))
    called = promised[factor.argmax(1)]
    others = np.setdiff1d(np.arange(probabilities.shape[1]), promised)
    if len(others):
        called = np.where(factor.max(1) >= 1, called, others[probabilities[:, others].argmax(1)])
    return called.astype(np.int64)


def contested(probabilities: np.ndarray, thresholds: Mapping[int, float], number: int) -> np.ndarray:
    """(n,): up to which threshold of its own each row is called the class, the others' being what they are."""
    own = probabilities[:, number]
    rivals = [probabilities[:, other] / threshold for other, threshold in thresholds.items() if other != number]
    factor = np.max(rivals, axis=0, initial=0.0)
    return np.where(factor < 1, own, BELOW * own / np.maximum(factor, 1.0))


def _ruling(classes: list[_Class], labels: Sequence[str]) -> list[_Class]:
    """Those of which thresholds are found: where something is promised of every class, all but the one of the smallest
    recall, which is answered where none is reached. Of two classes all that is promised then bounds one threshold from
    above or below, so that what is found is exact: what may be called the other one is to be found of this."""
    if len(classes) < len(labels):
        return classes
    *ruling, last = sorted(classes, key=lambda one: one.shares.get(RECALL, 0.0), reverse=True)
    if len(labels) == 2 and RECALL in ruling[0].shares and ALARMS in last.shares:
        found = max(ruling[0].shares[RECALL], 1 - last.shares[ALARMS])
        return [replace(ruling[0], shares={**ruling[0].shares, RECALL: found})]
    return ruling


def _gives(one: _Class) -> float:
    """By which its threshold is moved without breaking what is promised of it: more is found, or less called so."""
    return STEP if RECALL in one.shares else 1 / STEP


# words and pictures


def _place(flag: str, name: str, labels: Sequence[str]) -> int:
    if not name and len(labels) != 2:
        raise ConfigError(f"{flag} without a name is of the positive class of two; of these {len(labels)} name one")
    label = targets.named(name, labels) if name else labels[-1]
    if label is None:
        raise ConfigError(f"{flag} {name}: there is no such class; {nearest(name, labels)}")
    return labels.index(label)


def _rows_of(flag: str, label: str) -> str:
    """By which it is shown."""
    return f"rows of {label!r}" if flag == RECALL else f"rows of other classes than {label!r}"


def _named(name: str, share: float) -> str:
    return f"{name}={share:g}" if name else f"{share:g}"


def _floor(share: float) -> float:
    return math.floor(100 * share) / 100


def _ceil(share: float) -> float:
    return math.ceil(100 * share) / 100


def _measured(figure: Mapping[str, Any], promised: float | None, side: str) -> tuple[str, str]:
    """ "96", and " (93 to 98; promised: at least 95)"."""
    value = "–" if figure["value"] is None else in_hundred(figure["value"])
    return value, measured(figure, "" if promised is None else f"promised: {side} {100 * promised:g}")


def _beside_likeliest(columns: Columns, number: int, threshold: float | None) -> str:
    """From which probability on the class is answered, where it has a threshold, and what the likeliest answers find
    at which false alarms, where both are known."""
    said = "" if threshold is None else f", answered from a probability of {threshold:.3g} on"
    likeliest = _of_likeliest(columns, number)
    if likeliest is None:
        return said
    called, found = map(in_hundred, likeliest)
    return f"{said} (the likeliest answers find {found}, at {called})"


def _of_likeliest(columns: Columns, number: int) -> tuple[float, float] | None:
    """False alarms, and what is found, by the likeliest answers; None where all rows are of the class, or none."""
    own = np.asarray(columns["target"]) == number
    if own.all() or not own.any():
        return None
    likeliest = np.asarray(columns["probabilities"]).argmax(1) == number
    return float(likeliest[~own].mean()), float(likeliest[own].mean())


def _others_called(columns: Columns, number: int) -> np.ndarray:
    """(m,) bool, of the rows of other classes."""
    others = np.asarray(columns["target"]) != number
    return np.asarray(np.asarray(columns["prediction"])[others] == number)


def _false_alarms(labels: Sequence[str], number: int) -> Metric:
    def share(columns: Columns, weight: np.ndarray) -> float:
        others = np.asarray(columns["target"]) != number
        return weighted_mean(_others_called(columns, number).astype(np.float64), weight[others])

    return Metric(
        share,
        trials=partial(_others_called, number=number),
        among=lambda columns: np.asarray(columns["target"]) != number,
        higher_is_better=False,
        description=f"share of the rows of other classes that are called '{labels[number]}'",
        undefined=f"every row is of class '{labels[number]}'",
        bounds=UNIT,
        words=FigureWords("False alarms", "share"),
    )


def _curve(
    columns: Columns, number: int, label: str, at: list[float | None], promised: Mapping[str, float]
) -> dict[str, Json]:
    """What each threshold would find, and at how many false alarms; empty where all rows are of the class, or none."""
    own = np.asarray(columns["target"]) == number
    score = np.asarray(columns["probabilities"], np.float64)[:, number]
    likeliest = _of_likeliest(columns, number)
    if likeliest is None:
        return {}
    levels = np.unique(np.quantile(score, np.linspace(0, 1, POINTS)))[::-1]
    found = [int((score[own] >= level).sum()) for level in levels]
    ends = [wilson(number_found, int(own.sum())) for number_found in found]
    return {
        "x": [float((score[~own] >= level).mean()) for level in levels],
        "y": [number_found / int(own.sum()) for number_found in found],
        "low": [low for low, _ in ends],
        "high": [high for _, high in ends],
        "x_title": f"False alarms: of the other rows, the share called {label!r}",
        "y_title": f"Found: of {label!r}, the share called so",
        **({} if None in at else {"at": list(at)}),
        "likeliest": list(likeliest),
        **({"promised_y": promised[RECALL]} if RECALL in promised else {}),
        **({"promised_x": promised[ALARMS]} if ALARMS in promised else {}),
    }
