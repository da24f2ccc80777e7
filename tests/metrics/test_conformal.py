"""Conformal prediction: limits by hand, the paper's algorithm restated, and the promise over many draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pervade.metrics import conformal
from pervade.metrics.interval import clopper_pearson, largest_share


def test_the_quantile_by_hand() -> None:
    scores = np.array([5.0, 1.0, 4.0, 2.0, 3.0, 9.0, 8.0, 7.0, 6.0])
    # ceil(10 x 0.9) = 9, ceil(10 x 0.5) = 5, and ceil(10 x 0.41) = 5.
    assert [conformal.quantile(scores, share) for share in (0.9, 0.5, 0.41)] == [9.0, 5.0, 5.0]
    assert math.isnan(conformal.quantile(scores, 0.91))
    assert math.isnan(conformal.quantile(scores[:8], 0.9))
    # 0.57 x 100 is 56.99999999999999 in floating point, and 0.07 x 100 is 7.000000000000001.
    assert [conformal.quantile(np.arange(1.0, 100.0), share) for share in (0.57, 0.07)] == [57.0, 7.0]


def test_a_new_row_is_rarely_beyond_the_quantile() -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 20.0))  # 1 to 19
    assert conformal.quantile(scores, 0.95) == 19.0  # ceil(20 * 0.95) = 19
    assert math.isnan(conformal.quantile(scores[scores < 19], 0.95))
    assert conformal.quantile(np.arange(1.0, 40.0), 0.95) == 38.0  # ceil(40 * 0.95) = 38 of 39
    assert math.isnan(conformal.quantile(np.empty(0), 0.95))
    rng = np.random.default_rng(1)
    beyond = [rng.normal() > conformal.quantile(rng.normal(size=30), 0.95) for _ in range(4000)]
    assert 0.025 < np.mean(beyond) < 0.05  # 1 / 31


@pytest.mark.parametrize("share", [0.5, 0.8, 0.9, 0.95, 0.99, 0.999])
def test_rows_needed_are_the_fewest(share: float) -> None:
    needed = conformal.rows_needed(share)
    assert not math.isnan(conformal.quantile(np.arange(float(needed)), share))
    assert math.isnan(conformal.quantile(np.arange(float(needed - 1)), share))


def test_each_group_counts_alike() -> None:
    """Of the groups {1, 2, 3, 4}, {10} and {20}, of which each weighs 1, the sums over the sorted scores are 1/4, 1/2,
    3/4, 1, 2 and 3: (3 + 1) x 0.5 = 2 is reached at 10, (3 + 1) x 0.25 = 1 at 4."""
    scores, group = np.array([10.0, 1.0, 2.0, 20.0, 3.0, 4.0]), np.array([5, 0, 0, 7, 0, 0])
    assert conformal.quantile(scores, 0.5, group) == 10.0
    assert conformal.quantile(scores, 0.25, group) == 4.0
    assert math.isnan(conformal.quantile(scores, 0.8, group))
    alone = np.arange(6)
    assert conformal.quantile(scores, 0.5, alone) == conformal.quantile(scores, 0.5)


def test_the_promise_over_many_draws() -> None:
    """The limit that n = 99 uniform scores set at 0.9 holds of the next with a probability that is the 90th smallest of
    them: by definition Beta(90, 10) over draws."""
    generator = np.random.default_rng(0)
    held = [conformal.quantile(generator.random(99), 0.9) for _ in range(200)]
    assert stats.kstest(held, stats.beta(90, 10).cdf).pvalue > 0.05
    assert np.mean(held) == pytest.approx(0.9, abs=3 * 0.0298 / math.sqrt(200))


def test_the_promise_of_new_groups() -> None:
    """Rows of one group are nearly the same, and groups are of 1 to 40 rows: by rows the limit is that of the large
    groups, whose rows lie nearer; by group it holds of a new one."""
    generator = np.random.default_rng(0)
    held = {"rows": [], "groups": []}
    for _ in range(200):
        sizes = generator.integers(1, 41, 30)
        group = np.repeat(np.arange(30), sizes)
        scores = (generator.random(30) * np.where(sizes > 20, 0.5, 1.0))[group] + 1e-6 * generator.random(len(group))
        new = generator.random(500) * np.where(generator.integers(1, 41, 500) > 20, 0.5, 1.0)
        held["rows"].append(np.mean(new <= conformal.quantile(scores, 0.9)))
        held["groups"].append(np.mean(new <= conformal.quantile(scores, 0.9, group)))
    assert np.mean(held["rows"]) < 0.87
    assert 0.89 < np.mean(held["groups"]) < 0.94  # at most 1 / 31 more than promised


def restated(probabilities: np.ndarray, label: int, u: float, free: int, penalty: float) -> float:
    """Equation 4 of Angelopoulos et al. (2021), word for word: rho + pi u + lambda (o - k_reg)+."""
    own = probabilities[label]
    likelier = sum(p for p in probabilities if p > own)
    rank = sum(1 for p in probabilities if p >= own)
    return likelier + own * u + penalty * max(rank - free, 0)


def test_adaptive_scores_are_the_papers() -> None:
    generator = np.random.default_rng(1)
    probabilities = generator.dirichlet(np.full(12, 0.4), size=40)
    scores = conformal.adaptive_scores(probabilities)
    by_the_paper = [[restated(row, label, 0.0, 5, 0.01) for label in range(12)] for row in probabilities]
    assert scores == pytest.approx(np.array(by_the_paper), abs=1e-12)
    # And the sets are theirs: all classes up to the one at which the limit is passed.
    limit = 0.7
    for row, inside in zip(probabilities, conformal.within(scores, limit), strict=True):
        taken, total = [], 0.0
        for rank, label in enumerate(np.argsort(-row), start=1):
            if total + 0.01 * max(rank - 5, 0) > limit:
                break
            taken.append(label)
            total += row[label]
        assert sorted(taken) == np.flatnonzero(inside).tolist()


def test_sets_by_hand() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25], [0.34, 0.33, 0.33]])
    scores = conformal.threshold_scores(probabilities)
    assert conformal.within(scores, 0.655).tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 0]]
    assert conformal.within(scores, 0.655, empty=True).tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert conformal.within(scores, np.array([0.655, 0.9, 0.0])).tolist() == [[1, 1, 0], [1, 1, 0], [0, 1, 0]]
    assert conformal.adaptive_scores(probabilities)[1].tolist() == pytest.approx([0.0, 0.4, 0.75])


@pytest.mark.parametrize(("successes", "trials"), [(0, 20), (3, 40), (19, 20), (20, 20)])
def test_exact_bounds_are_scipys(successes: int, trials: int) -> None:
    for level in (0.8, 0.9, 0.98):
        exact = stats.binomtest(successes, trials)
        assert clopper_pearson(successes, trials, level) == pytest.approx(
            tuple(exact.proportion_ci(level, method="exact"))
        )
        one = stats.binomtest(successes, trials, alternative="less").proportion_ci(level, method="exact").high
        assert largest_share(np.array([successes]), np.array([trials]), level) == pytest.approx([one])
    assert largest_share(np.zeros(1), np.zeros(1), 0.9).tolist() == [1.0]
