"""From named metrics and one predictions file to values with intervals.

A metric is a function of the file and of how often each row counts. The same function thus serves the value itself
(every row counts once) and the bootstrap (a row counts as often as it was drawn), and no figure is ever an average over
batches. Metrics that share work, such as a sort or a confusion matrix, come from one `Family`.

Axis letters: n rows.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from pervade.core.errors import DataError
from pervade.core.words import NUMBER, FigureWords
from pervade.metrics.columns import Columns, column, count_rows
from pervade.metrics.interval import clopper_pearson, jackknife, percentiles, resample, wilson, without_each
from pervade.metrics.method import Method

Measure = Callable[[np.ndarray], Mapping[str, Any]]
"""weight (n,) -> the values of a whole family by name, one number each, or (k,), one a class: the part of the work done
once a resample."""

Family = Callable[[Columns], Measure]
"""columns -> Measure: the part of the work done once a file, such as checking and sorting."""

# So many rows x metrics x resamples are spent on a bootstrap, which takes about 20 s on one core (Zen 4).
# A deterministic count and not a clock, so that the same file always gives the same interval.
WORK_LIMIT = 10_000_000_000
SHARED_WORK = 8  # members of a family that all of them together cost as much as: they share their work
BLOCK = 64  # resamples at a time, where figures are told by their slopes

# Below this an end of a 95% interval rests on fewer than five resamples.
FEWEST_RESAMPLES = 200

# Resamples of fewer groups than this vary less than new groups would (Cameron, Gelbach & Miller 2008, "Bootstrap-based
# improvements for inference with clustered errors"): the jackknife with Student's t takes their place.
FEW_GROUPS = 10
FEWEST_GROUPS = 3  # that say how groups differ: of two, Student's t makes 12 times their difference

UNIT = (0.0, 1.0)  # bounds of shares, areas and means of them
NOT_RESAMPLED = "it is of all rows together, and of rows drawn several times it would be another figure"


@dataclass(frozen=True)
class Shared:
    """The member `name` of a family, as a `Metric.compute`: `measure` computes a family once for all its members.
    `index`: which of its numbers, where a member has one a class."""

    family: Family
    name: str
    index: int | None = None

    def of(self, values: Mapping[str, Any]) -> float:
        value = values[self.name]
        return float(value if self.index is None else value[self.index])

    def __call__(self, columns: Columns, weight: np.ndarray) -> float:
        return self.of(self.family(columns)(weight))


@dataclass(frozen=True)
class Linearised:
    """A `Measure` that is too dear to be computed a thousand times. Its resamples are told from its slopes: a figure
    T(w) of how often each row counts is T(1) + sum over rows of (w - 1) dT/dw at w = 1, up to second order. What the
    bootstrap makes of that is the infinitesimal jackknife (B. Efron, "The Jackknife, the Bootstrap and Other Resampling
    Plans" (1982), chapter 6)."""

    exact: Measure
    slopes: Callable[[], Mapping[str, np.ndarray]]  # of every member: (n,), or (n, k) where it has one number a class

    def __call__(self, weight: np.ndarray) -> Mapping[str, Any]:
        return self.exact(weight)


@dataclass(frozen=True)
class Metric:
    """One figure: how to compute it from the predictions file, and how its interval is found."""

    # (columns, weight (n,) float64 >= 0) -> value. weight: how often each row counts; nan where undefined.
    compute: Callable[[Columns, np.ndarray], float]
    # For a proportion: its outcomes, (m,) bool, whose mean is the value. Wilson's interval, where rows are independent.
    trials: Callable[[Columns], np.ndarray] | None = None
    among: Callable[[Columns], np.ndarray] | None = None  # (n,) bool: the rows that the trials are of; None: all
    higher_is_better: bool | None = True  # None: neither
    description: str = ""
    undefined: str = "not defined on these rows"  # the reason to give where the value is nan
    bounds: tuple[float, float] = (-math.inf, math.inf)  # between which every value lies, both included
    counted: Callable[[Columns], int] | None = None  # over how many rows it is computed; None: all
    words: FigureWords = NUMBER  # what it is called, and how it is written
    resampled: bool = True  # off: rows that are there twice would change what it is of (how far two distributions are)
    needs: str = ""  # the column without which it is not defined; empty: a file without what it reads is faulty

    def of(self, columns: Columns) -> Metric:
        """Itself, or one that is not defined where the file has no column that it needs."""
        if not self.needs or self.needs in columns:
            return self
        why = f"the predictions file has no column {self.needs!r}"
        return replace(self, compute=_undefined, trials=None, among=None, counted=None, undefined=why)

    @property
    def bounded(self) -> bool:
        """Whether it has two bounds, so that a difference says something by itself."""
        return all(math.isfinite(bound) for bound in self.bounds)

    def loss(self, lost: float, before: float) -> float:
        """How much it is that a value of `before` got worse by `lost`: of a metric with two bounds as it is, of others,
        which may have a unit, as a share of what was before.

        >>> Metric(_undefined, bounds=UNIT).loss(0.02, 0.5), Metric(_undefined).loss(0.02, -0.5)
        (0.02, 0.04)
        """
        return lost if self.bounded or not before else lost / abs(before)


def _undefined(columns: Columns, weight: np.ndarray) -> float:
    return math.nan


@dataclass(frozen=True)
class Estimate:
    """A value and the interval that holds the true one with probability `level`; nan where `why` says so."""

    value: float
    low: float
    high: float
    n: int  # rows, or trials of a proportion, that the value is computed over
    how: Method  # low and high were found
    level: float = 0.95
    why: str = ""  # why the value, or its interval, is missing

    @property
    def method(self) -> str:
        """In words."""
        return str(self.how)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which has no nan: what is missing is None, and only then "why" is there."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        record: dict[str, Any] = {name: None if math.isnan(number) else number for name, number in numbers.items()}
        record |= {"n": self.n, "method": self.method, "how": self.how.as_json(), "level": self.level}
        return record | ({"why": self.why} if self.why else {})


def estimate(
    metrics: Mapping[str, Metric],
    columns: Columns,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    until: float | None = None,
) -> dict[str, Estimate]:
    """Every metric's value and interval.

    Proportions get Wilson's interval where every row is a group of its own. All else, and everything where rows depend
    on each other, gets the percentile bootstrap over whole groups, in which all metrics meet the same resamples. From
    three to nine groups are too few to resample: there each is left out once, the jackknife with Student's t. Of one
    group (the speaker who was held out) or two, intervals speak of these alone, and `method` says so.

    Args:
        columns: must hold "group" (n,) beside what the metrics read.
        level: probability that the interval holds the true value, between 0 and 1.
        resamples: how many to draw; fewer are drawn for large files (see `affordable`), and `method` then says so.
        until: when to draw no more (time.monotonic), but never fewer than 200; `method` then says so.

    Raises:
        DataError: there are no rows, or a column is missing or holds what a metric cannot read.
    """
    metrics = {name: metric.of(columns) for name, metric in metrics.items()}
    num_rows = count_rows(columns)
    group = column(columns, "group")
    num_groups = len(np.unique(group))
    alone = too_few_groups(num_groups, num_rows)
    independent = alone or num_groups == num_rows
    few = few_groups(num_groups, num_rows)
    within = num_groups if alone else 0
    prepared = measure(metrics, columns)
    values = prepared(np.ones(num_rows))

    proportions = {name: metric.trials(columns) for name, metric in metrics.items() if metric.trials}
    others = {name: metric for name, metric in metrics.items() if not (independent and name in proportions)}
    # A metric that is undefined on the file itself has no interval to find.
    others = {name: metric for name, metric in others.items() if metric.resampled and not math.isnan(values[name])}
    drawn: dict[str, np.ndarray] = {}
    if others and num_rows > 1:
        chosen = prepared.only(others)
        if few:
            drawn = chosen.drawn(without_each(group))
        else:
            drawn_by = np.arange(num_rows) if alone else group
            drawn = chosen.resampled(drawn_by, resamples, seed, until)
    late = until is not None and time.monotonic() >= until

    estimates = {}
    for name, metric in metrics.items():
        n = len(proportions[name]) if name in proportions else metric.counted(columns) if metric.counted else num_rows
        if math.isnan(values[name]):
            estimates[name] = Estimate(math.nan, math.nan, math.nan, n, Method(), level, metric.undefined)
        elif not metric.resampled:
            estimates[name] = Estimate(values[name], math.nan, math.nan, n, Method(), level, NOT_RESAMPLED)
        elif independent and name in proportions:
            low, high = wilson(int(proportions[name].sum()), n, level)
            estimates[name] = Estimate(values[name], low, high, n, Method("Wilson", alone=within), level)
        elif num_rows == 1:
            why = "one row alone: how it varies from row to row cannot be seen"
            estimates[name] = Estimate(values[name], math.nan, math.nan, n, Method(), level, why)
        elif few:
            estimates[name] = _from_groups(metric, values[name], drawn[name], n, level)
        else:
            interval = _from_resamples(values[name], drawn[name], n, level, resamples, independent, late)
            how = replace(interval.how, linear=prepared.linearised(metric), alone=within)
            low, high = max(interval.low, metric.bounds[0]), min(interval.high, metric.bounds[1])
            estimates[name] = replace(interval, low=low, high=high, how=how)
        if name in proportions and not independent and estimates[name].why and values[name] in UNIT:
            estimates[name] = _at_the_end(metric, estimates[name], columns)
    return estimates


def _at_the_end(metric: Metric, estimate: Estimate, columns: Columns) -> Estimate:
    """The interval of a proportion that is 0% or 100% in every group: as of so many trials as groups have rows of it,
    since a further group may be the first to be otherwise."""
    group = column(columns, "group")
    count = len(np.unique(group if metric.among is None else group[metric.among(columns)]))
    if count < 2:
        return estimate
    low, high = clopper_pearson(round(estimate.value * count), count, estimate.level)
    return replace(estimate, low=low, high=high, how=Method("Clopper-Pearson", "group", count), why="")


def share(right: np.ndarray, among: np.ndarray) -> Metric:
    """The share that is `right` of the rows `among` all, (n,) bool each, as a metric of the file that they are of. So
    whatever is said of some rows has its interval by the method by which figures of all rows have theirs."""
    hits, rows = np.flatnonzero(right & among), np.flatnonzero(among)

    def compute(columns: Columns, weight: np.ndarray) -> float:
        total = weight[rows].sum()
        return float(weight[hits].sum() / total) if total > 0 else math.nan

    return Metric(compute, lambda columns: right[rows], lambda columns: among, bounds=UNIT)


def few_groups(num_groups: int, num_rows: int) -> bool:
    """Whether rows depend on each other in so few groups that these are left out one by one, not resampled."""
    return FEWEST_GROUPS <= num_groups < min(FEW_GROUPS, num_rows)


def too_few_groups(num_groups: int, num_rows: int) -> bool:
    """Whether there are so few groups that rows are resampled, and intervals speak of these groups alone."""
    return num_groups < min(FEWEST_GROUPS, num_rows)


def _from_groups(metric: Metric, value: float, without: np.ndarray, n: int, level: float) -> Estimate:
    how = Method("jackknife", "group", len(without))
    if np.isnan(without).any():
        why = f"it is not defined without one of the {len(without)} groups: {metric.undefined}"
        return Estimate(value, math.nan, math.nan, n, how, level, why)
    if alike(without, value):
        why = "every group gives the same value, so it cannot be told how sure it is"
        return Estimate(value, math.nan, math.nan, n, replace(how, alike=True), level, why)
    low, high = jackknife(value, without, level)
    return Estimate(value, max(low, metric.bounds[0]), min(high, metric.bounds[1]), n, how, level)


def alike(drawn: np.ndarray, value: float) -> bool:
    """Up to rounding of the sums: say all at 100% right. [1, 1] would claim a certainty that nobody has."""
    return bool(np.ptp(drawn) <= 1e-12 * max(1.0, abs(value)))


def _from_resamples(
    value: float, drawn: np.ndarray, n: int, level: float, asked: int, independent: bool, late: bool
) -> Estimate:
    defined = drawn[~np.isnan(drawn)]
    how = Method("bootstrap", "row" if independent else "group", len(drawn), undefined=len(drawn) - len(defined))
    if len(drawn) < asked:
        how = replace(how, asked=asked, late=late)
    if len(defined) == 0 or alike(defined, value):
        why = "every resample gives the same value, so resampling cannot tell how sure it is"
        return Estimate(value, math.nan, math.nan, n, replace(how, alike=True), level, why)
    return Estimate(value, *percentiles(defined, level), n, how, level)


def bootstrap(
    metrics: Mapping[str, Metric],
    columns: Columns,
    *,
    group: np.ndarray | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """The values of every metric in the same resamples of whole groups, (resamples,) each, nan where undefined.

    `group`: (n,), what is drawn together, where it is not the file's own "group".

    For a paired comparison of two checkpoints on the same rows, call it for both with one seed and subtract.
    """
    drawn_by = column(columns, "group") if group is None else group
    return measure(metrics, columns).resampled(drawn_by, resamples, seed)


def affordable(resamples: int, num_rows: int, num_metrics: int) -> int:
    """How many of the resamples asked for are drawn, so that large files do not take minutes; never below 200."""
    limit = max(FEWEST_RESAMPLES, WORK_LIMIT // (num_rows * max(num_metrics, 1)))
    return min(resamples, limit)


def _in_time(weights: Iterator[np.ndarray], until: float | None) -> Iterator[np.ndarray]:
    for number, weight in enumerate(weights):
        if until is not None and number >= FEWEST_RESAMPLES and time.monotonic() >= until:
            return
        yield weight


class Prepared:
    """All metrics of one file as one function of the weights, every family prepared once and computed once a call."""

    def __init__(self, metrics: Mapping[str, Metric], columns: Columns, families: Mapping[Family, Measure]) -> None:
        self.metrics, self.columns, self.families = metrics, columns, families

    def only(self, metrics: Mapping[str, Metric]) -> Prepared:
        """Some of the metrics, without preparing anything anew."""
        used = {metric.compute.family for metric in metrics.values() if isinstance(metric.compute, Shared)}
        return Prepared(metrics, self.columns, {name: family for name, family in self.families.items() if name in used})

    def __call__(self, weight: np.ndarray) -> dict[str, float]:
        shared = {family: compute(weight) for family, compute in self.families.items()}
        return {
            name: metric.compute.of(shared[metric.compute.family])
            if isinstance(metric.compute, Shared)
            else float(metric.compute(self.columns, weight))
            for name, metric in self.metrics.items()
        }

    def linearised(self, metric: Metric) -> bool:
        """Whether the metric's resamples are told from its slopes."""
        return isinstance(metric.compute, Shared) and isinstance(self.families[metric.compute.family], Linearised)

    def resampled(
        self, group: np.ndarray, resamples: int, seed: int, until: float | None = None
    ) -> dict[str, np.ndarray]:
        """The values in resamples of whole groups, as many as can be afforded: (resamples,) each."""
        members = Counter(
            metric.compute.family for metric in self.metrics.values() if isinstance(metric.compute, Shared)
        )
        alone = len(self.metrics) - members.total()
        units = alone + sum(min(count, SHARED_WORK) for count in members.values())
        count = affordable(resamples, len(group), units)
        return self._collected(_in_time(resample(group, count, seed), until), linear=True)

    def drawn(self, weights: Iterator[np.ndarray]) -> dict[str, np.ndarray]:
        """The exact values at each of the weights: (weights,) each."""
        return self._collected(weights, linear=False)

    def _collected(self, weights: Iterator[np.ndarray], linear: bool) -> dict[str, np.ndarray]:
        """What is shared is kept as the family gives it, one number or one a class, and taken apart at the end."""
        shared = {metric.compute for metric in self.metrics.values() if isinstance(metric.compute, Shared)}
        members = {(part.family, part.name) for part in shared}
        sloped = {f: m for f, m in self.families.items() if linear and isinstance(m, Linearised)}
        values_of: dict[Any, list[Any]] = {key: [] for key in (*members, *self.metrics)}
        slopes = {family: function.slopes() for family, function in sloped.items()}
        at_one = {family: function(np.ones(count_rows(self.columns))) for family, function in sloped.items()}
        while block := list(islice(weights, BLOCK)):
            for weight in block:
                values = {family: compute(weight) for family, compute in self.families.items() if family not in sloped}
                for family, name in members:
                    if family not in sloped:
                        values_of[family, name].append(values[family][name])
                for name, metric in self.metrics.items():
                    if not isinstance(metric.compute, Shared):
                        values_of[name].append(metric.compute(self.columns, weight))
            more = np.stack(block) - 1.0 if sloped else np.empty(0)
            for family, name in members:
                if family in sloped:
                    values_of[family, name].extend(at_one[family][name] + more @ slopes[family][name])
        stacked = {key: np.ascontiguousarray(np.asarray(column, np.float64).T) for key, column in values_of.items()}
        return {name: _part(stacked, name, metric.compute) for name, metric in self.metrics.items()}


def measure(metrics: Mapping[str, Metric], columns: Columns) -> Prepared:
    """All metrics as one function of the weights."""
    metrics = {name: metric.of(columns) for name, metric in metrics.items()}
    families = {metric.compute.family for metric in metrics.values() if isinstance(metric.compute, Shared)}
    return Prepared(metrics, columns, {family: family(columns) for family in families})


def _part(stacked: Mapping[Any, np.ndarray], name: str, compute: Any) -> np.ndarray:
    """One metric's values out of what was collected."""
    if not isinstance(compute, Shared):
        return stacked[name]
    whole = stacked[compute.family, compute.name]
    return whole if compute.index is None else whole[compute.index]


def weighted_mean(values: np.ndarray, weight: np.ndarray) -> float:
    """sum(weight * values) / sum(weight) over (n,); nan where no row counts.

    Raises:
        DataError: values and weight differ in length.
    """
    if values.shape != weight.shape:
        raise DataError(f"{values.shape} values cannot be weighted by {weight.shape} weights")
    total = weight.sum()
    # Not by BLAS, whose threads take longer to meet than the sum takes, and whose last digit hangs on their number.
    return float(np.einsum("n,n->", weight, values) / total) if total > 0 else math.nan
