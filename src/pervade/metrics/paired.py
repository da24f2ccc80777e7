"""Models on the same rows: by how much their figures differ, and how sure that is.

Rows that are hard for one model are mostly hard for the other. What both get right says nothing about which is better,
so a test of the pairs sees differences that two separate intervals, which overlap, would hide.

Axis letters: n rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pervade.core.errors import DataError
from pervade.metrics.columns import Columns, column, count_rows
from pervade.metrics.estimate import (
    NOT_RESAMPLED,
    Metric,
    alike,
    few_groups,
    measure,
    too_few_groups,
)
from pervade.metrics.interval import jackknife, percentiles, spread_without, without_each
from pervade.metrics.method import Method

RESAMPLES = 1000  # as many as for single figures; the smallest p that they can show is 0.002


@dataclass(frozen=True)
class Discordant:
    """Rows by which of two models is right on them."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def p(self) -> float:
        return mcnemar(self.only_first, self.only_second)


@dataclass(frozen=True)
class Difference:
    """second - first of one figure on the same rows, with the interval that holds the true one with `level`.

    nan where `why` says so. `p` is of the hypothesis that they do not differ; `adjusted` is p after Holm, for how
    many were asked at once: models compared with the first, in `pervade compare` single classes too.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    adjusted: float
    n: int
    how: Method  # low, high and p were found
    higher_is_better: bool | None = True  # None: neither
    level: float = 0.95
    why: str = ""

    @property
    def method(self) -> str:
        """In words."""
        return str(self.how)

    @property
    def shown(self) -> bool:
        """Whether a difference is shown: the interval leaves out 0, and the test says the same; the test alone where
        every resample has the same difference, so that there is no interval."""
        known = not math.isnan(self.low)
        return self.adjusted < 1 - self.level and (self.low > 0 or self.high < 0 if known else self.difference != 0)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which has no nan: what is missing is None."""
        record = {**vars(self), "method": self.method, "how": self.how.as_json(), "shown": self.shown}
        return {n: None if isinstance(value, float) and math.isnan(value) else value for n, value in record.items()}


def mcnemar(only_first: int, only_second: int) -> float:
    """McNemar's exact test: the probability, if both were right equally often, of a split of the rows on which just one
    is right that is at least as uneven as this one. Two-sided binomial with one half, in [0, 1]; 1 where there are no
    such rows.

    Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12 (1947). The exact form, and not chi-square, since good models disagree on few rows.

    Raises:
        ValueError: a count is below 0.
    """
    if only_first < 0 or only_second < 0:
        raise ValueError(f"counts cannot be below 0, as {min(only_first, only_second)} is")
    n, fewer = only_first + only_second, min(only_first, only_second)
    # Terms fall fast below the largest, so that a million rows take no longer than a thousand.
    term = math.exp(math.lgamma(n + 1) - math.lgamma(fewer + 1) - math.lgamma(n - fewer + 1) - n * math.log(2))
    total = 0.0
    for k in range(fewer, -1, -1):
        total += term
        term *= k / (n - k + 1)
        if term <= 1e-18 * total:
            break
    return min(1.0, 2 * total)


def discordant(metric: Metric, first: Columns, second: Columns) -> Discordant | None:
    """None where the metric is no share of all rows, or of the same rows in both (those of one class), so that there is
    no right or wrong of each row to count."""
    if metric.trials is None:
        return None
    right, other = np.asarray(metric.trials(first), bool), np.asarray(metric.trials(second), bool)
    if metric.among is not None and not np.array_equal(metric.among(first), metric.among(second)):
        return None
    if not len(right) == len(other) == (count_rows(first) if metric.among is None else len(right)):
        return None
    return Discordant(
        both=int((right & other).sum()),
        only_first=int((right & ~other).sum()),
        only_second=int((~right & other).sum()),
        neither=int((~right & ~other).sum()),
    )


def differences(
    metrics: Mapping[str, Metric],
    files: Sequence[Columns],
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[dict[str, Difference]]:
    """Every metric of every further file less that of the first.

    Intervals and p come from the paired bootstrap: both models meet the same resamples of whole groups, and p is twice
    the share of them on the other side of 0 (B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap" (1993),
    section 15.4). From three to nine groups are left out one by one instead, and p is of Student's t of the difference
    by its jackknife error (metrics/interval.py); of one group, or two, rows are resampled, and `method` says that they
    speak of these alone, as it is with single figures. A share of all rows has its p from McNemar's exact test instead,
    where no rows depend on each other. With several further files, p is corrected metric by metric after Holm.

    Args:
        files: columns of predictions of the same n rows in the same order, each with the same "group" (n,).

    Raises:
        DataError: fewer than two files, or files of different rows.
    """
    if len(files) < 2:
        raise DataError(f"{len(files)} predictions file cannot be compared; two or more are needed")
    groups = column(files[0], "group")
    if any(not np.array_equal(groups, column(file, "group")) for file in files[1:]):
        raise DataError("the files to be compared do not hold the same rows and groups in the same order")
    n, num_groups = count_rows(files[0]), len(np.unique(groups))
    prepared = [measure(metrics, file) for file in files]
    values = [figures(np.ones(n)) for figures in prepared]
    drawn: list[dict[str, np.ndarray]] = []
    chosen = [file.only({name: metric for name, metric in metrics.items() if metric.resampled}) for file in prepared]
    if few_groups(num_groups, n):
        drawn = [file.drawn(without_each(groups)) for file in chosen]
    elif n > 1:
        drawn_by = np.arange(n) if too_few_groups(num_groups, n) else groups
        drawn = [file.resampled(drawn_by, resamples, seed) for file in chosen]
    compared: list[dict[str, Difference]] = []
    for index in range(1, len(files)):
        own: dict[str, Difference] = {}
        for name, metric in metrics.items():
            pair = values[0][name], values[index][name]
            spread = drawn[index][name] - drawn[0][name] if drawn and metric.resampled else np.empty(0)
            made = _difference(metric, pair, spread, n, num_groups, level)
            counts = discordant(metric, files[0], files[index]) if num_groups == n else None
            if counts is not None:
                made = replace(made, p=counts.p, how=replace(made.how, test="McNemar"))
            own[name] = made
        compared.append(own)
    for name in metrics:
        for own, adjusted in zip(compared, holm([own[name].p for own in compared]), strict=True):
            own[name] = replace(own[name], adjusted=adjusted)
    return compared


def _difference(
    metric: Metric, pair: tuple[float, float], drawn: np.ndarray, n: int, num_groups: int, level: float
) -> Difference:
    first, second = pair
    difference, unknown = second - first, math.nan
    made = Difference(
        first, second, difference, unknown, unknown, unknown, unknown, n, Method(), metric.higher_is_better, level
    )
    if math.isnan(difference):
        return replace(made, why=metric.undefined)
    if not metric.resampled:
        return replace(made, why=NOT_RESAMPLED)
    if n == 1:
        return replace(made, why="one row alone: how it varies from row to row cannot be seen")
    if few_groups(num_groups, n):
        return _by_groups(made, metric, drawn)
    defined = drawn[~np.isnan(drawn)]
    alone = too_few_groups(num_groups, n)
    how = Method("bootstrap", "row" if alone or num_groups == n else "group", len(drawn), paired=True)
    made = replace(made, how=replace(how, undefined=len(drawn) - len(defined), alone=num_groups if alone else 0))
    if len(defined) == 0:
        return replace(made, why=f"in every resample one of them is undefined: {metric.undefined}")
    if alike(defined, max(abs(first), abs(second))):
        same = abs(difference) <= 1e-12 * max(1.0, abs(first))
        why = "the same in every resample, so resampling cannot tell how sure it is"
        return replace(made, why=why, p=1.0 if same else unknown)
    low, high = percentiles(defined, level)
    beyond = min((defined <= 0).sum(), (defined >= 0).sum())
    p = min(1.0, 2 * (1 + int(beyond)) / (1 + len(defined)))
    return replace(made, low=low, high=high, p=p)


def _by_groups(made: Difference, metric: Metric, without: np.ndarray) -> Difference:
    """`without`: the difference without each of the groups, (groups,)."""
    from scipy.special import stdtr

    made = replace(made, how=Method("jackknife", "group", len(without), paired=True))
    if np.isnan(without).any():
        why = f"not defined without one of the {len(without)} groups: {metric.undefined}"
        return replace(made, why=why)
    if alike(without, max(abs(made.first), abs(made.second))):
        same = abs(made.difference) <= 1e-12 * max(1.0, abs(made.first))
        why = "the same by every group, so it cannot be told how sure it is"
        return replace(made, why=why, p=1.0 if same else math.nan)
    low, high = jackknife(made.difference, without, made.level)
    most = metric.bounds[1] - metric.bounds[0]
    low, high = max(low, -most), min(high, most)
    p = 2 * float(stdtr(len(without) - 1, -abs(made.difference) / spread_without(without)))
    return replace(made, low=low, high=high, p=p)


def holm(p: Sequence[float]) -> list[float]:
    """Each p corrected for how many there are, so that the chance of any false alarm stays what it is for one.

    The smallest is multiplied by their number m, the next by m - 1 and so on, never falling. nan stays nan and is not
    counted. S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian J. of Statistics 6 (1979).
    """
    order = sorted((i for i, value in enumerate(p) if not math.isnan(value)), key=lambda i: p[i])
    adjusted, least = [math.nan] * len(p), 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * p[i]))
        adjusted[i] = least
    return adjusted
