"""Are these two of one person? Figures over pairs of rows, from "embedding" (n, d) and "group" (n,), which says who.

A pair's score is the cosine of its embeddings. Accepting a pair from some threshold on, a share of the pairs of one
person is accepted (TAR, true accept rate; 1 - TAR is FRR, false reject rate) and a share of the pairs of different
people (FAR, false accept rate).

Resampling is by person. Somebody drawn twice stands for two people: the pairs within count twice, those with others
twice for each of the others' turns, and there is no pair between the two.

Axis letters: n rows, p pairs, r runs of equal scores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from pervade.core.errors import DataError
from pervade.core.words import FigureWords
from pervade.metrics.columns import Columns, column, count_rows, number_column
from pervade.metrics.estimate import UNIT, Estimate, Measure, Metric, Shared
from pervade.metrics.method import Method

FARS = (0.01, 0.001)
FEWEST_FALSE = 10  # false accepts that a FAR must leave room for, to say what the TAR there is
# So many pairs of a kind are looked at; of more, so many drawn evenly by a fixed seed, so that the same file always
# gives the same figures. It keeps a bootstrap of 1,000 resamples below half a minute on one core (Zen 4).
MOST_PAIRS = 500_000
MOST_MISTAKES = 6  # pairs of a kind that are shown
CURVE_POINTS = 120


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows, the most alike first."""

    first: np.ndarray  # (p,) positions of rows
    second: np.ndarray  # (p,)
    same: np.ndarray  # (p,) bool: of one person
    score: np.ndarray  # (p,) cosine, falling
    stop: np.ndarray  # (r,) where each run of equal scores ends: a threshold cuts between runs only
    num_same: int  # of all there are, where these are a draw
    num_different: int


@dataclass(frozen=True)
class Curve:
    """ROC: from (0, 0), where nothing is accepted, to (1, 1)."""

    far: np.ndarray  # (r + 1,)
    tar: np.ndarray  # (r + 1,)

    @property
    def equal_error_rate(self) -> float:
        """Where FAR and FRR are equal, on the straight line between the two points around it."""
        over = self.far - (1.0 - self.tar)
        k = int(np.argmax(over >= 0))
        share = -over[k - 1] / (over[k] - over[k - 1])
        return float(self.far[k - 1] + share * (self.far[k] - self.far[k - 1]))

    def tar_at(self, far: float) -> float:
        """The largest TAR among thresholds with at most this FAR."""
        return float(self.tar[self.far <= far + 1e-12].max())

    @property
    def area(self) -> float:
        """Equal scores count half: the trapezoid rule."""
        return float(np.diff(self.far) @ (self.tar[1:] + self.tar[:-1]) / 2)


def verification_metrics() -> dict[str, Metric]:
    """Figures over all pairs of rows. With "threshold" in the file, also what happens at it."""
    shared = partial(Shared, verification_family)
    missing = "takes two rows of one person, and rows of another"
    metrics = {
        "equal_error_rate": Metric(
            shared("equal_error_rate"),
            higher_is_better=False,
            description="share of wrong answers at the threshold where as many pairs of one person are rejected as "
            "pairs of different people are accepted",
            undefined=missing,
            words=FigureWords("Equal error rate (EER)", "share"),
        )
    }
    for far in FARS:
        metrics[name_of(far)] = Metric(
            shared(name_of(far)),
            description=f"share of pairs of one person that are accepted where at most {far:.1%} of those of different "
            "people are",
            undefined=f"takes {round(FEWEST_FALSE / far):,} pairs of different people, so that {FEWEST_FALSE} may be "
            "accepted falsely, and two rows of one person",
            words=FigureWords(
                f"One person accepted where {100 * far:g}% of strangers are (TAR at FAR {100 * far:g}%)", "share"
            ),
        )
    metrics["roc_auc"] = Metric(
        shared("roc_auc"),
        description="chance that a pair of one person is more alike than one of different people",
        undefined=missing,
        words=FigureWords("Area under the ROC curve"),
    )
    settled = "no threshold was settled, which takes a validation split of people who do not train"
    for name, title, description in (
        ("threshold_accuracy", "Right answers at the settled threshold, both kinds of pairs counting the same",
         "share of pairs judged rightly at the threshold settled on the validation split, both kinds counting the "
         "same"),
        ("threshold_far", "Strangers accepted at the settled threshold (FAR)",
         "share of pairs of different people accepted at that threshold"),
        ("threshold_frr", "One person rejected at the settled threshold (FRR)",
         "share of pairs of one person rejected at that threshold"),
    ):  # fmt: skip
        metrics[name] = Metric(
            shared(name),
            higher_is_better=name == "threshold_accuracy",
            description=description,
            undefined=settled,
            words=FigureWords(title, "share"),
        )
    return {name: replace(metric, bounds=UNIT) for name, metric in metrics.items()}


def name_of(far: float) -> str:
    return f"tar_at_far_{far:g}"


def verification_family(columns: Columns) -> Measure:
    pairs = pairs_of(columns)
    names = ["equal_error_rate", *(name_of(far) for far in FARS), "roc_auc"]
    names += ["threshold_accuracy", "threshold_far", "threshold_frr"]
    undefined = dict.fromkeys(names, math.nan)
    threshold = _threshold(columns)
    # How many runs a threshold accepts, which is the point of the curve.
    at = None if threshold is None else int((pairs.score[pairs.stop - 1] >= threshold).sum())

    def measure(weight: np.ndarray) -> dict[str, float]:
        drawn = roc(pairs, weight)
        if drawn is None:
            return undefined
        values = {**undefined, "equal_error_rate": drawn.equal_error_rate, "roc_auc": drawn.area}
        for far in FARS:
            if pairs.num_different * far >= FEWEST_FALSE:
                values[name_of(far)] = drawn.tar_at(far)
        if at is not None:
            far, frr = float(drawn.far[at]), 1.0 - float(drawn.tar[at])
            values |= {"threshold_accuracy": 1.0 - (far + frr) / 2, "threshold_far": far, "threshold_frr": frr}
        return values

    return measure


def roc(pairs: Pairs, weight: np.ndarray) -> Curve | None:
    """The curve where row i counts weight[i] times; None without a pair of both kinds."""
    first, second = weight[pairs.first], weight[pairs.second]
    amount = first * second
    within = np.flatnonzero(pairs.same)
    amount[within] = np.minimum(first[within], second[within])
    accepted = np.concatenate(([0.0], np.cumsum(amount)))
    same = np.concatenate(([0.0], np.cumsum(amount[within])))
    true = same[np.searchsorted(within, np.concatenate(([0], pairs.stop)))]
    false = accepted[np.concatenate(([0], pairs.stop))] - true
    if true[-1] <= 0 or false[-1] <= 1e-9 * accepted[-1]:
        return None
    return Curve(np.clip(false / false[-1], 0.0, 1.0), true / true[-1])


def pairs_of(columns: Columns) -> Pairs:
    """Raises DataError where a column is missing or of another shape."""
    group = column(columns, "group")
    embedding = number_column(columns, "embedding")
    if embedding.ndim != 2 or group.shape != (count_rows(columns),):
        raise DataError(f"embeddings {embedding.shape} and people {group.shape} do not fit: one line a row is wanted")
    embedding = embedding / np.maximum(np.linalg.norm(embedding, axis=1, keepdims=True), 1e-12)
    _, person, sizes = np.unique(group, return_inverse=True, return_counts=True)
    num_same = int((sizes * (sizes - 1) // 2).sum())
    num_different = len(group) * (len(group) - 1) // 2 - num_same
    rng = np.random.default_rng(0)
    alike, unlike = _within(person, sizes, num_same, rng), _between(person, num_different, rng)
    first, second = np.concatenate([alike[0], unlike[0]]), np.concatenate([alike[1], unlike[1]])
    score = np.empty(len(first))
    for start in range(0, len(first), 65_536):
        part = slice(start, start + 65_536)
        score[part] = np.einsum("pd,pd->p", embedding[first[part]], embedding[second[part]])
    order = np.argsort(-score, kind="stable")
    score = score[order]
    stop = np.flatnonzero(np.r_[score[1:] != score[:-1], True]) + 1 if len(score) else np.empty(0, np.int64)
    same = (np.arange(len(first)) < len(alike[0]))[order]
    return Pairs(first[order], second[order], same, score, stop, num_same, num_different)


def _within(person: np.ndarray, sizes: np.ndarray, count: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Pairs of one person: all, or MOST_PAIRS drawn from all with the same chance."""
    rows, start = np.argsort(person, kind="stable"), np.cumsum(sizes) - sizes
    if count <= MOST_PAIRS:
        corners = [np.triu_indices(size, 1) for size in sizes]
        first = np.concatenate([at + i for at, (i, _) in zip(start, corners, strict=True)])
        second = np.concatenate([at + j for at, (_, j) in zip(start, corners, strict=True)])
        return rows[first], rows[second]
    shares = sizes * (sizes - 1.0)
    who = rng.choice(len(sizes), MOST_PAIRS, p=shares / shares.sum())
    one = rng.integers(0, sizes[who])
    other = (one + 1 + rng.integers(0, sizes[who] - 1)) % sizes[who]
    return rows[start[who] + one], rows[start[who] + other]


def _between(person: np.ndarray, count: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Pairs of different people, likewise."""
    if count <= MOST_PAIRS and len(person) <= 20_000:
        first, second = np.triu_indices(len(person), 1)
        keep = person[first] != person[second]
        return first[keep], second[keep]
    drawn = rng.integers(0, len(person), (2, 0))
    while drawn.shape[1] < MOST_PAIRS:
        more = rng.integers(0, len(person), (2, MOST_PAIRS))
        drawn = np.concatenate([drawn, more[:, person[more[0]] != person[more[1]]]], axis=1)
    return drawn[0, :MOST_PAIRS], drawn[1, :MOST_PAIRS]


def _threshold(columns: Columns) -> float | None:
    return float(column(columns, "threshold")[0]) if "threshold" in columns else None


def equal_error_threshold(columns: Columns) -> float:
    """The cosine from which on a pair is to be accepted, so that FAR and FRR are as equal as they can be: half-way
    between the last pair accepted and the first rejected. nan without a pair of both kinds."""
    pairs = pairs_of(columns)
    drawn = roc(pairs, np.ones(count_rows(columns)))
    if drawn is None:
        return math.nan
    k = max(int(np.argmin(np.abs(drawn.far - (1.0 - drawn.tar)))), 1)
    last = pairs.stop[k - 1] - 1
    return float((pairs.score[last] + pairs.score[min(last + 1, len(pairs.score) - 1)]) / 2)


def curve(columns: Columns) -> dict[str, Any]:
    """For the report: "points" [far, tar], numbers of pairs, and the "mistakes": pairs (by "row") of different people
    that are most alike, and of one person that are least."""
    pairs = pairs_of(columns)
    drawn = roc(pairs, np.ones(count_rows(columns)))
    if drawn is None:
        return {}
    wanted = np.concatenate([np.linspace(0, 1, CURVE_POINTS // 2), np.geomspace(1e-4, 1, CURVE_POINTS // 2)])
    # The last point of each FAR, where the TAR is highest.
    places = np.unique(np.searchsorted(drawn.far, wanted, side="right") - 1)
    row = column(columns, "row")
    mistakes = []
    for same in (False, True):
        shown: set[int] = set()
        positions = np.flatnonzero(pairs.same == same)
        for place in positions[::-1] if same else positions:
            one, other = int(pairs.first[place]), int(pairs.second[place])
            if len(shown) < 2 * MOST_MISTAKES and not {one, other} & shown:  # each row once
                shown |= {one, other}
                score = round(float(pairs.score[place]), 4)
                mistakes.append({"rows": [int(row[one]), int(row[other])], "same": same, "similarity": score})
    return {
        "points": [[round(float(drawn.far[i]), 6), round(float(drawn.tar[i]), 6)] for i in places],
        "same": pairs.num_same,
        "different": pairs.num_different,
        "drawn": min(MOST_PAIRS, max(pairs.num_same, pairs.num_different)),
        "threshold": _threshold(columns),
        "mistakes": mistakes,
    }


def coin(columns: Columns) -> dict[str, dict[str, Any]]:
    """What guessing reaches, exactly: no interval."""
    n, why = count_rows(columns), "what guessing reaches is known exactly"
    values = {"equal_error_rate": 0.5, "roc_auc": 0.5, "threshold_accuracy": 0.5, **{name_of(far): far for far in FARS}}
    return {name: Estimate(value, math.nan, math.nan, n, Method(), why=why).as_dict() for name, value in values.items()}
