"""The truth is in what is said, so often: a set of classes or of answers, a range of numbers, a bound on wrong words.

Split conformal prediction (metrics/conformal.py) on rows that chose nothing, with the correction for how few they are:
the limit is the ceil((n + 1) share)-th smallest score of theirs, so the promise is kept by few rows as by many.

    pervade train photos/ --coverage 0.9
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from pervade.core.contracts import Domain, Task, TensorSpec, Told
from pervade.core.contracts.capabilities import Answerable, able, labels_of
from pervade.core.contracts.deployment import ROWS
from pervade.core.contracts.promises import SPLIT, KeptInGraph
from pervade.core.errors import ConfigError, PromiseError
from pervade.core.registry import full_name, register
from pervade.core.types import Json, Rows, Table
from pervade.core.words import in_hundred, measured
from pervade.engine import promises
from pervade.metrics import conformal, coverage
from pervade.tasks.classify import Classify
from pervade.tasks.regress import Regress
from pervade.tasks.tag import Tag

if TYPE_CHECKING:
    from torch import Tensor

# Classes above which sets are found by the adaptive score: by a threshold on p those of unsure rows are empty.
MANY = 20


@register("promise")
@dataclass(frozen=True)
class Coverage(KeptInGraph):
    """Classes: a set of them ("threshold" on the probability, or the "adaptive" score of RAPS; "auto": the latter above
    20 classes). Numbers: a range, in place of the task's own interval. Questions: a set of answers, of which one is
    right. Transcripts: the largest share of wrong words.

    `by` "class": the promise holds of the rows of each class, which has a limit of its own (V. Vovk, "Conditional
    validity of inductive conformal predictors", 2012). Where rows depend on each other (several of a patient) it holds
    of a row of a new group, each group counting alike: no split divides a group, so a new row's is none of those it is
    settled on, and none could have a limit of its own. `by` "group" refuses data that name no groups.

    A set without any class, where even the likeliest does not reach the threshold, is given the likeliest, unless
    `empty` leaves it so; and so is what is answered in its place (by a threshold, say). By that the truth is in more
    sets than promised where the likeliest class is right more often.
    """

    share: Annotated[float, Field(ge=0.01, le=0.999)] = 0.9
    by: Literal["all", "class", "group"] = "all"
    method: Literal["auto", "threshold", "adaptive"] = "auto"  # of classes
    empty: bool = False  # whether sets of classes may be
    changes: ClassVar[tuple[str, ...]] = ("set", "low", "high", "error_bound")
    shows: ClassVar[tuple[str, ...]] = ("set", "error_bound")

    @property
    def asked(self) -> str:
        return f"--coverage {self.share:g}" + ("" if self.by == "all" else f" --coverage-by {self.by}")

    def examine(self, task: Task, rows: Rows, domain: Domain) -> None:
        self._refuse_task(task)
        held = rows.where("split", SPLIT)
        needed = conformal.rows_needed(self.share)
        unit = promises.units(held)
        counts = {"rows": len(set(unit))}
        if self.by == "class":
            there = Counter(label for label, _ in set(zip(map(str, held.column("target")), unit, strict=True)))
            counts = {f"rows of class {label!r}": there[label] for label in labels_of(domain)}
        if self.by == "group" and "group" not in rows:
            raise ConfigError(
                f"{self.asked} takes groups, and the data names none; say with --group-by which column does, or leave "
                "--coverage-by out"
            )
        what, least = min(counts.items(), key=lambda pair: pair[1])
        if least < needed:
            less = f", or promise less: --coverage {_reached(least):g}" if least else ""
            raise promises.too_few(self.asked, needed, what, held, least, less)

    def _refuse_task(self, task: Task) -> None:
        from pervade.tasks.answer_span import AnswerSpan
        from pervade.tasks.dictate import Dictate
        from pervade.tasks.transcribe import Transcribe

        name = full_name(task)
        if isinstance(task, Tag):
            raise ConfigError(
                f"{self.asked} is not for several labels a row, whose truth is no single class of a set; leave it out, "
                "or learn one label at a time (--task of a single class)"
            )
        if isinstance(task, Dictate) or not isinstance(task, (Classify, Regress, AnswerSpan, Transcribe)):
            raise ConfigError(
                f"{self.asked} is for classes, numbers, answers to questions and transcripts that say how sure they "
                f"are, and not for the task {name!r}; leave it out"
            )
        if not isinstance(task, Classify) and (self.by == "class" or self.method != "auto" or self.empty):
            given = "--coverage-by class" if self.by == "class" else "a set that may be empty"
            given = given if self.method == "auto" else f"method {self.method!r}"
            raise ConfigError(f"{given} is for classes, and the task {name!r} has none; leave it out")

    def settle(self, columns: Mapping[str, Any], domain: Domain) -> dict[str, Json]:
        """ "limit" of the score, or "limits" of each class; "of" which kind of answer; how many "groups" the rows are
        of, where they depend on each other."""
        of = _kind_of(columns)
        scores = self._kind(of, domain).scores(columns)
        group = np.asarray(columns["group"])
        number = len(np.unique(group))
        groups: dict[str, Json] = {"groups": number} if number < len(group) else {}
        if self.by == "class":
            target = np.asarray(columns["target"])
            limits: dict[str, Json] = {
                label: self._limit(scores[target == index], group[target == index], f"rows of class {label!r}")
                for index, label in enumerate(labels_of(domain))
            }
            return {"of": of, "limits": limits, **groups}
        return {"of": of, "limit": self._limit(scores, group, "rows"), **groups}

    def _limit(self, scores: np.ndarray, group: np.ndarray, what: str) -> float:
        limit = conformal.quantile(scores, self.share, group)
        number = len(np.unique(group))
        if math.isnan(limit):
            raise PromiseError(
                f"{self.asked} takes at least {conformal.rows_needed(self.share)} {what} that chose nothing else, and "
                f"there are {number}"
            )
        if math.isinf(limit):
            reached = _reached(number, float(conformal.weights(group)[np.isfinite(scores)].sum()))
            raise PromiseError(
                f"{self.asked} cannot be kept: the right answer is among the likeliest {in_hundred(reached)} times of "
                f"100 at most; --coverage {reached:g} or less may be"
            )
        return limit

    def _kind(self, of: str, domain: Domain) -> coverage.Kind:
        if of == "numbers":
            return coverage.Numbers()
        if of == "transcripts":
            return coverage.Transcripts()
        if of == "answers":
            known = able(domain, Answerable)
            return coverage.Answers(known.by_character, known.unanswerable)
        labels = tuple(labels_of(domain))
        usual: Literal["adaptive", "threshold"] = "adaptive" if len(labels) > MANY else "threshold"
        return coverage.Classes(labels, usual if self.method == "auto" else self.method, self.empty)

    def keep(self, table: Table, settled: Mapping[str, Any], domain: Domain) -> Table:
        """With what its kind of answer adds or replaces (metrics/coverage.py)."""
        limits = settled.get("limits")
        limit = settled["limit"] if limits is None else np.array([limits[label] for label in labels_of(domain)])
        return self._kind(settled["of"], domain).keep(table, limit)

    def adds(self, settled: Mapping[str, Any], gives: Collection[str], domain: Domain) -> tuple[TensorSpec, ...] | None:
        if settled["of"] == "numbers":
            ends = f"end of the range that holds the number {100 * self.share:g} times of 100"
            return (
                TensorSpec("low", "float64", (ROWS,), f"lower {ends}"),
                TensorSpec("high", "float64", (ROWS,), f"upper {ends}"),
            )
        if "probabilities" not in gives:
            return None
        said = f"1 where the label may be the true one; that is in the set {100 * self.share:g} times of 100"
        return (TensorSpec("set", "int64", (ROWS, len(labels_of(domain))), said),)

    def deployed(self, answers: dict[str, Tensor], settled: Mapping[str, Any], domain: Domain) -> dict[str, Tensor]:
        import torch

        if settled["of"] == "numbers":
            prediction, reach = answers["prediction"], float(settled["limit"])
            return {**answers, "low": prediction - reach, "high": prediction + reach}
        kind = self._kind(settled["of"], domain)
        assert isinstance(kind, coverage.Classes), "as `adds` asks"
        limits = settled.get("limits")
        limit = settled["limit"] if limits is None else [limits[label] for label in labels_of(domain)]
        return {**answers, "set": _set_of(answers, kind, torch.tensor(limit, dtype=torch.float32))}

    def metrics(self, settled: Mapping[str, Any], domain: Domain) -> Mapping[str, Any]:
        kind = self._kind(settled["of"], domain)
        grouped = {"coverage_of_groups": coverage.by_group(kind)} if "groups" in settled else {}
        return {**kind.metrics(self.share), **grouped}

    def told(
        self, figures: Mapping[str, Any], columns: Mapping[str, Any], settled: Mapping[str, Any], domain: Domain
    ) -> Told:
        kind = self._kind(settled["of"], domain)
        figure = figures["coverage_of_groups" if "groups" in settled else "coverage"]
        promised = f"promised: {100 * self.share:g}"
        sentence = f"{kind.covered_when} {in_hundred(figure['value'])} of 100 times{measured(figure, promised)}"
        size = {"limit": f"{settled['limit']:.4g}"} if isinstance(kind, coverage.Numbers) else {}
        for name, written in (("set_size", "{:.1f}"), ("error_bound", "{:.1%}")):
            if name in figures:
                size = {"size": written.format(figures[name]["value"])}
        sentence += f", {kind.sized.format(**size)}"
        sentence += ", each group counting alike" if "groups" in settled else ""
        worst = self._worst(figures, domain)
        missed = True if worst and self.by == "class" else promises.broken(figure, self.share)
        return Told(sentence + worst, self.asked, broken=missed)

    def _worst(self, figures: Mapping[str, Any], domain: Domain) -> str:
        """The class whose rows are covered least, where that is shown to be less than promised."""
        classes = [(label, figures.get(f"coverage[{label}]")) for label in labels_of(domain)]
        less = [(label, of) for label, of in classes if of and of["high"] is not None and of["high"] < self.share]
        if not less:
            return ""
        label, worst = min(less, key=lambda pair: float(pair[1]["value"]))
        advice = "" if self.by == "class" else ": --coverage-by class promises it of each class"
        return f"; of {label!r} only {in_hundred(worst['value'])} of 100 times{measured(worst)}{advice}"

    def answer(self, answer: dict[str, Any], table: Table, place: int, domain: Domain) -> dict[str, Any]:
        kind = self._kind(_kind_of(table), domain)
        return {**answer, **kind.shown(table, place), "coverage": self.share}


def _kind_of(columns: Mapping[str, Any]) -> str:
    """By what only its task writes."""
    marks = {"low": "numbers", "candidates": "answers", "confidence": "transcripts"}
    return next((kind for mark, kind in marks.items() if mark in columns), "classes")


def _reached(rows: int, known: float | None = None) -> float:
    """The largest share, in hundredths, that so many rows (or groups) can promise, `known` of which have a score."""
    return math.floor(100 * (rows if known is None else known) / (rows + 1)) / 100


def _set_of(answers: Mapping[str, Tensor], kind: coverage.Classes, limit: Tensor) -> Tensor:
    """(n, k) int64, as `coverage.Classes.keep` has it, in torch."""
    import torch

    probabilities = answers["probabilities"]
    scores, labels = 1 - probabilities, torch.arange(probabilities.shape[1])
    if kind.method == "adaptive":
        ranked, order = probabilities.sort(stable=True, dim=1, descending=True)
        penalty = conformal.PENALTY * (labels + 1 - conformal.FREE).clamp(min=0)
        scores = (ranked.cumsum(1) - ranked + penalty).gather(1, order.argsort(1))
    inside = scores <= limit
    if not kind.empty:
        lowest = labels == scores.argmin(1)[:, None]
        inside = inside | (lowest & ~inside.any(1)[:, None]) | (labels == answers["prediction"][:, None])
    return inside.long()
