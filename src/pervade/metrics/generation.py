"""How far samples that were made lie from real ones, by features (n, d) of a network that had no part in making them.

Row i holds one made and one real sample, so that there are as many of the one as of the other. Intervals are told from
slopes (metrics/estimate.py: Linearised): all these are figures of pairs of samples, and a sample drawn twice would be
its own nearest neighbour.

Axis letters: n rows, d features, k neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pervade.core.words import FigureWords
from pervade.metrics.balls import Balls, Reached
from pervade.metrics.columns import Columns, column, count_rows, number_column
from pervade.metrics.discrepancy import Gaussian, KernelSums, frechet_distance, kernel_distance, numbers
from pervade.metrics.estimate import UNIT, Linearised, Measure, Metric, Shared

MOST, WORK = 5_000, 3e10  # rows of which figures of pairs are computed, and n * n * d, at most
NEIGHBOURS = {"": 3, "_k5": 5}  # of precision and recall, by the end of their names (Kynkäänniemi et al. take 3)
DENSE = 5  # neighbours of density and coverage (Naeem et al.)
COPIES = ("copies_pixels", "copies_features")
KS = sorted({*NEIGHBOURS.values(), DENSE})
RARE = 0.01  # of the real samples: those that are nearest to the training split
FEWEST = round(1 / RARE)  # real samples, below which the nearest one of them is taken for that hundredth


# distances


def _kernel_family(columns: Columns) -> Linearised:
    rows, made, real = _sets(columns)
    once = KernelSums.of(made, real, np.ones(len(rows)))

    def exact(weight: np.ndarray) -> Mapping[str, float]:
        own = weight[rows]
        return {"kernel_distance": (once if (own == 1).all() else KernelSums.of(made, real, own)).distance}

    return Linearised(exact, lambda: {"kernel_distance": _placed(once.slopes(), rows, columns)})


def _frechet_family(columns: Columns) -> Linearised:
    rows, made, real = _sets(columns)

    def exact(weight: np.ndarray) -> Mapping[str, float]:
        own = weight[rows]
        if own.sum() <= 1:
            return {"frechet_distance": math.nan}
        return {"frechet_distance": Gaussian.of(made, own).distance(Gaussian.of(real, own))}

    def slopes() -> Mapping[str, np.ndarray]:
        first, second = (Gaussian.of(side, np.ones(len(rows))) for side in (made, real))
        both = first.slopes(second, made) + second.slopes(first, real)
        return {"frechet_distance": _placed(both, rows, columns)}

    return Linearised(exact, slopes)


# neighbours


@dataclass(frozen=True)
class Neighbours:
    """Which made samples lie in the real ones' neighbourhoods of k, and which real ones in those of the made."""

    among_real: Reached
    among_made: Reached
    k: int

    @classmethod
    def of(cls, made: np.ndarray, real: np.ndarray, ks: Sequence[int]) -> list[Neighbours]:
        """For each k, of sets (n, d); those k are left out of which nobody has so many neighbours, and one more."""
        ks = [k for k in ks if len(made) > k + 1]
        if not ks:
            return []
        among_real, among_made = Reached.of(made, Balls.of(real, ks)), Reached.of(real, Balls.of(made, ks))
        return [cls(*both) for both in zip(among_real, among_made, ks, strict=True)]

    def of_rows(self) -> dict[str, np.ndarray]:
        """What each figure is the mean of, (n,)."""
        return {
            "precision": (self.among_real.count > 0).astype(np.float64),
            "recall": (self.among_made.count > 0).astype(np.float64),
            "density": self.among_real.count / self.k,
            "coverage": (self.among_real.held > 0).astype(np.float64),
        }

    def slopes(self) -> dict[str, np.ndarray]:
        """(n,) of each figure: what it loses where the row's made and real samples are left out."""
        as_reference = {
            "precision": self.among_real.left_outside,
            "recall": self.among_made.left_outside,
            "density": self.among_real.fewer / self.k,
            "coverage": self.among_real.left_empty,
        }
        rows = self.of_rows().items()
        return {name: (values - values.mean() + as_reference[name]) / len(values) for name, values in rows}


def precision_and_recall(made: np.ndarray, real: np.ndarray, k: int = 3) -> tuple[float, float]:
    """The share of made samples that lie among the real ones, and of real ones that lie among the made, of sets (n, d):
    within the distance of one of them to its k-th nearest neighbour (Kynkäänniemi et al. 2019, arXiv:1904.06991); nan
    of k + 1 rows and fewer."""
    means = _neighbour_means(Neighbours.of(*numbers(made, real), [k]), np.ones(len(made)), [k])[k]
    return means["precision"], means["recall"]


def density_and_coverage(made: np.ndarray, real: np.ndarray, k: int = DENSE) -> tuple[float, float]:
    """In how many of the real samples' neighbourhoods a made one lies, by k, and the share of these neighbourhoods that
    hold a made one (Naeem et al. 2020, arXiv:2002.09797): a single real sample that lies far out spoils neither."""
    means = _neighbour_means(Neighbours.of(*numbers(made, real), [k]), np.ones(len(made)), [k])[k]
    return means["density"], means["coverage"]


def _neighbour_means(
    neighbours: Sequence[Neighbours], weight: np.ndarray, ks: Sequence[int]
) -> dict[int, dict[str, float]]:
    """By k, each row counting `weight` (n,) times."""
    means = {k: dict.fromkeys(("precision", "recall", "density", "coverage"), math.nan) for k in ks}
    for known in neighbours:
        rows = known.of_rows().items()
        means[known.k] = {name: float(weight @ values / weight.sum()) for name, values in rows}
    return means


def _called(by_k: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """By the names of the figures in the results."""
    near = {f"{name}{end}": by_k[k][name] for end, k in NEIGHBOURS.items() for name in ("precision", "recall")}
    return near | {name: by_k[DENSE][name] for name in ("density", "coverage")}


def _neighbour_figures(made: np.ndarray, real: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    """Of the samples that count at all; each then counts as often as it does."""
    there = weight > 0
    return _called(_neighbour_means(Neighbours.of(made[there], real[there], KS), weight[there], KS))


def _neighbour_family(columns: Columns) -> Linearised:
    rows, made, real = _sets(columns)
    once = Neighbours.of(made, real, KS)

    def exact(weight: np.ndarray) -> Mapping[str, float]:
        own = weight[rows]
        if (own == 1).all():
            return _called(_neighbour_means(once, own, KS))
        return _neighbour_figures(made, real, own)

    def slopes() -> Mapping[str, np.ndarray]:
        nothing = dict.fromkeys(("precision", "recall", "density", "coverage"), np.zeros(len(rows)))
        by_k = dict.fromkeys(KS, nothing) | {known.k: known.slopes() for known in once}
        return {name: _placed(values, rows, columns) for name, values in _called(by_k).items()}

    return Linearised(exact, slopes)


# copies, and what a classifier calls them


def copies(made: np.ndarray, real: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Of distances (n,) to the nearest training sample: the share of made samples that are at least as near as the
    nearest hundredth of the real ones (which were never learnt from), less the share of real ones that are."""
    weight = np.ones(len(made)) if weight is None else weight
    total = weight.sum()
    if total <= 0:
        return math.nan
    order = np.argsort(real, kind="stable")
    reached = np.searchsorted(np.cumsum(weight[order]), RARE * total)
    near = real[order[min(int(reached), len(order) - 1)]]
    return float((weight @ (made <= near) - weight @ (real <= near)) / total)


def apart(made: np.ndarray, real: np.ndarray, classes: np.ndarray) -> float:
    """How far the made samples (n, d) of a class (n,) are from one another, beside the real ones: the root of their
    variance by that of these. 0 where one and the same is made again and again; nan where the real ones are all
    alike."""
    within = [
        sum(float(np.square(own - own.mean(0)).sum()) for own in (side[classes == one] for one in np.unique(classes)))
        for side in numbers(made, real)
    ]
    return math.sqrt(within[0] / within[1]) if within[1] > 0 else math.nan


def _copies_family(columns: Columns) -> Measure:
    pairs = {
        f"copies_{kind}": [number_column(columns, f"near_{kind}_{side}") for side in ("made", "real")]
        for kind in ("pixels", "features")
    }
    return lambda weight: {name: copies(made, real, weight) for name, (made, real) in pairs.items()}


class CopiesMetric(Metric):
    """Without an interval of fewer rows than FEWEST: in a resample the nearest one is another."""

    def of(self, columns: Columns) -> Metric:
        return replace(super().of(columns), resampled=count_rows(columns) >= FEWEST)


def asked(columns: Columns) -> np.ndarray:
    """(n,) bool: the rows made by a class that the judge knows."""
    rows: np.ndarray = (column(columns, "class") > 0) & (column(columns, "named") >= 0)
    return rows


def _named_as_asked(columns: Columns, weight: np.ndarray) -> float:
    among, right = asked(columns), column(columns, "named") == column(columns, "class")
    total = weight[among].sum()
    return float(weight[among & right].sum() / total) if total > 0 else math.nan


# the predictions file


def used(columns: Columns) -> np.ndarray:
    """Rows that figures of pairs are of: all, or of more than can be afforded some, drawn by chance."""
    number, most = count_rows(columns), _most(columns)
    return (
        np.arange(number) if number <= most else np.sort(np.random.default_rng(0).choice(number, most, replace=False))
    )


def halves(columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two halves (h,) of those that were measured, drawn by chance, neither larger than can be afforded."""
    order = np.random.default_rng(0).permutation(count_rows(columns))
    half = min(len(order) // 2, _most(columns))
    return np.sort(order[:half]), np.sort(order[half : 2 * half])


def _most(columns: Columns) -> int:
    return min(MOST, int(math.sqrt(WORK / max(column(columns, "real").shape[1], 1))))


def _sets(columns: Columns) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, and their made and real features."""
    rows = used(columns)
    return rows, *numbers(number_column(columns, "made")[rows], number_column(columns, "real")[rows])


def _placed(values: np.ndarray, rows: np.ndarray, columns: Columns) -> np.ndarray:
    placed = np.zeros(count_rows(columns))
    placed[rows] = values
    return placed


def figures(made: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """All that are of two sets of features (n, d), by their names in the results."""
    made, real = numbers(made, real)
    near = _neighbour_figures(made, real, np.ones(len(made)))
    return {"kernel_distance": kernel_distance(made, real), "frechet_distance": frechet_distance(made, real), **near}


def metrics(judge: str, by_class: bool) -> dict[str, Metric]:
    """Of a predictions file with the columns of engine/judging.py. `judge` names the network whose features they are;
    `by_class`: whether samples were asked for by class. None is defined of a file that no judge has looked at."""
    judge = judge.replace("{", "(").replace("}", ")")
    every = _distances(judge) | _shares(judge) | (_of_classes(judge) if by_class else {}) | _copies(judge)
    return {name: replace(metric, needs="made") for name, metric in every.items()}


def _counted(columns: Columns) -> int:
    return len(used(columns))


def _distances(judge: str) -> dict[str, Metric]:
    features = f"in the features of {judge}"
    lower = Metric(_named_as_asked, higher_is_better=False, undefined="takes two rows", counted=_counted)
    kernel = replace(
        lower,
        compute=Shared(_kernel_family, "kernel_distance"),
        description=f"unbiased squared MMD, {features}",
        words=FigureWords(
            "Kernel distance (KID)",
            size="kernel distance",
            sentence="Beside {rows}, as many that it made lie {value} away by the kernel distance, which is about 0 "
            f"where made and real ones cannot be told apart, {features}.",
            baseline="{name} would lie {value} away",
        ),
    )
    frechet = replace(
        lower,
        compute=Shared(_frechet_family, "frechet_distance"),
        description=f"between normal distributions of both, {features}; few samples make it larger, which its "
        "interval leaves in",
        words=FigureWords("Fréchet distance (FID)"),
    )
    return {"kernel_distance": kernel, "frechet_distance": frechet}


def _shares(judge: str) -> dict[str, Metric]:
    usual = (
        ("precision", "share of made ones that lie among real ones"),
        ("recall", "share of real ones among made ones"),
    )
    told = [(f"{name}{end}", name, k, words) for end, k in NEIGHBOURS.items() for name, words in usual]
    told += [
        ("coverage", "coverage", DENSE, "share of real ones with a made one in their neighbourhood"),
        (
            "density",
            "density",
            DENSE,
            "neighbourhoods of real ones that a made one lies in, by their number of neighbours",
        ),
    ]
    return {
        name: Metric(
            Shared(_neighbour_family, name),
            description=f"{words}, by {k} nearest neighbours, in the features of {judge}; it depends on how "
            "many samples there are",
            undefined=f"takes {k + 2} rows",
            bounds=(0.0, math.inf) if member == "density" else UNIT,
            counted=_counted,
            words=FigureWords(f"{member.capitalize()} ({k} neighbours)", "number" if member == "density" else "share"),
        )
        for name, member, k, words in told
    }


def _of_classes(judge: str) -> dict[str, Metric]:
    return {
        "named_as_asked": Metric(
            _named_as_asked,
            lambda columns: (column(columns, "named") == column(columns, "class"))[asked(columns)],
            asked,
            description=f"share of made ones that {judge} calls what was asked for",
            undefined="the judge knows none of the classes",
            bounds=UNIT,
            counted=lambda columns: int(asked(columns).sum()),
            words=FigureWords("Named as asked", "share", beside="The judge called {value} of them what was asked for."),
        )
    }


def _copies(judge: str) -> dict[str, Metric]:
    by = {"pixels": "by their pixels", "features": f"by the features of {judge}"}
    return {
        f"copies_{kind}": CopiesMetric(
            Shared(_copies_family, f"copies_{kind}"),
            higher_is_better=False,
            description="share of made ones as near to a training sample as the nearest 1% of real ones that nobody "
            f"learnt from, {words}, less the share of the real ones; of many training samples some are compared with",
            bounds=(-1.0, 1.0),
            words=FigureWords(f"Copies beyond chance, by {kind}", "share"),
        )
        for kind, words in by.items()
    }
