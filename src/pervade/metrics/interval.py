"""How sure a figure is: Wilson's score interval for proportions, and the bootstrap for everything else."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np


def wilson(successes: float, trials: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a proportion of independent trials; both ends lie in [0, 1].

    With p = successes / trials and z the normal quantile of (1 + level) / 2:

        (p + z²/2n ± z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n)

    It is chosen over p ± z sqrt(p (1 - p) / n) because that one is far too narrow near 0 and 1, where good classifiers
    live; 20 right out of 20 gives [0.84, 1], not [1, 1].

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927);
    R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998).

    Returns:
        (low, high), both nan where there are no trials.

    Raises:
        ValueError: successes are not between 0 and trials, or level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1")
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials: successes must lie between 0 and trials")
    if trials == 0:
        return math.nan, math.nan
    z = NormalDist().inv_cdf((1 + level) / 2)
    proportion = successes / trials
    scale = 1 + z**2 / trials
    center = (proportion + z**2 / (2 * trials)) / scale
    half_width = z * math.sqrt(proportion * (1 - proportion) / trials + z**2 / (4 * trials**2)) / scale
    # At 0 and 1 the formula gives exactly that end, up to rounding; rounding must not leave the proportion outside.
    low = 0.0 if successes == 0 else center - half_width
    high = 1.0 if successes == trials else center + half_width
    return low, high


def clopper_pearson(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a proportion of independent trials; both ends lie in [0, 1].

    The end at which as few, or as many, successes still have the probability (1 - level) / 2. Of 20 out of 20 it is
    [0.025^(1/20), 1] = [0.83, 1].

    C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
    Biometrika 26 (1934).
    """
    from scipy.special import betaincinv

    tail, failures = (1 - level) / 2, trials - successes
    low = 0.0 if successes == 0 else float(betaincinv(successes, failures + 1, tail))
    high = 1.0 if failures == 0 else float(betaincinv(successes + 1, failures, 1 - tail))
    return low, high


def largest_share(successes: np.ndarray, trials: np.ndarray, level: float) -> np.ndarray:
    """What proportions of independent trials are at most, with confidence `level`: (m,), of successes and trials (m,).
    The upper end of `clopper_pearson` alone; 1 where there are no trials.
    """
    from scipy.special import betaincinv

    failures = np.asarray(trials, np.float64) - successes
    bounds = betaincinv(np.asarray(successes, np.float64) + 1, np.maximum(failures, 1e-9), level)
    return np.asarray(np.where(failures > 0, bounds, 1.0))


def student(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The interval of the mean of independent values, (m,): mean ± t s / sqrt(m), with t of m - 1 degrees of freedom.

    W. S. Gosset ("Student"), "The probable error of a mean", Biometrika 6 (1908).

    Returns:
        (low, high), both nan where there are fewer than two values.
    """
    from scipy.special import stdtrit

    count = len(values)
    if count < 2:
        return math.nan, math.nan
    half_width = float(stdtrit(count - 1, (1 + level) / 2) * values.std(ddof=1) / math.sqrt(count))
    return float(values.mean()) - half_width, float(values.mean()) + half_width


def without_each(group: np.ndarray) -> Iterator[np.ndarray]:
    """How often each row counts, 1 or 0, (n,) float64, where one group after the other is left out."""
    unique, index = np.unique(group, return_inverse=True)
    for left_out in range(len(unique)):
        yield (index != left_out).astype(np.float64)


def jackknife(value: float, without: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The interval of a figure by what it becomes without each of g groups, (g,): value ± t s, with t of g - 1 degrees
    of freedom and s² = (g - 1) / g sum (without - mean)².

    For the mean of groups of one size it is Student's interval of the groups' means.

    R. G. Miller, "The jackknife: a review", Biometrika 61 (1974); with Student's t for few clusters: J. G. MacKinnon,
    M. Ø. Nielsen and M. D. Webb, "Fast and reliable jackknife and bootstrap methods for cluster-robust inference",
    Journal of Applied Econometrics 38 (2023).

    Returns:
        (low, high), both nan where there are fewer than two groups.
    """
    from scipy.special import stdtrit

    count = len(without)
    if count < 2:
        return math.nan, math.nan
    half_width = float(stdtrit(count - 1, (1 + level) / 2)) * spread_without(without)
    return value - half_width, value + half_width


def spread_without(without: np.ndarray) -> float:
    """The jackknife's standard error (see `jackknife`) of a figure, by its values without each of g groups, (g,)."""
    return math.sqrt((len(without) - 1) * float(without.var()))


def resample(group: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each row counts in each bootstrap resample; whole groups are drawn with replacement.

    The draws hang on the seed and on the set of groups alone, not on the order of the rows: two checkpoints measured on
    the same rows meet the same resamples, which is what a paired comparison needs.

    B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979); drawing whole clusters:
    A. C. Davison and D. V. Hinkley, "Bootstrap Methods and their Application" (1997), section 3.8.

    Args:
        group: (n,), equal for rows that depend on each other.

    Yields:
        (n,) float64 counts, `resamples` times.
    """
    unique, index = np.unique(group, return_inverse=True)
    num_groups = len(unique)
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        drawn = generator.integers(0, num_groups, num_groups)
        yield np.bincount(drawn, minlength=num_groups)[index].astype(np.float64)


def percentiles(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval: the middle `level` of bootstrap values, (resamples,) without nan."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
