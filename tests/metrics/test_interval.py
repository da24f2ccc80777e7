"""Intervals against published numbers, and against what an interval promises."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pervade.metrics.interval import jackknife, percentiles, resample, student, wilson, without_each


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3 (score, without continuity correction).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_wilson_by_hand_at_the_ends():
    # With no success the high end is z² / (n + z²); z² = 3.841459 at 95%.
    assert wilson(0, 10) == pytest.approx((0.0, 3.841459 / 13.841459), abs=1e-7)
    assert wilson(10, 10) == pytest.approx((10 / 13.841459, 1.0), abs=1e-7)


def test_wilson_without_trials_is_nan():
    assert all(math.isnan(end) for end in wilson(0, 0))


@pytest.mark.parametrize(("successes", "trials", "level"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0), (1, 2, 0.0)])
def test_wilson_refuses_what_cannot_be(successes, trials, level):
    with pytest.raises(ValueError):
        wilson(successes, trials, level)


@given(st.integers(1, 10_000), st.data(), st.floats(0.5, 0.999))
def test_wilson_holds_the_proportion_and_stays_in_range(trials, data, level):
    successes = data.draw(st.integers(0, trials))
    low, high = wilson(successes, trials, level)
    assert 0 <= low <= successes / trials <= high <= 1
    mirrored = wilson(trials - successes, trials, level)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-12)


def test_resample_draws_whole_groups():
    group = np.array([7, 3, 7, 3, 9])
    for weight in resample(group, 50, seed=1):
        assert weight[0] == weight[2]
        assert weight[1] == weight[3]
        assert weight[0] + weight[1] + weight[4] == 3


def test_resample_follows_the_groups_and_not_the_order_of_the_rows():
    group = np.arange(20) // 2
    order = np.random.default_rng(0).permutation(20)
    for straight, shuffled in zip(resample(group, 5, seed=3), resample(group[order], 5, seed=3), strict=True):
        assert (straight[order] == shuffled).all()


def test_resample_is_the_same_for_the_same_seed_alone():
    first, again, other = (np.stack(list(resample(np.arange(30), 4, seed=seed))) for seed in (5, 5, 6))
    assert (first == again).all()
    assert (first != other).any()


def test_percentiles_keep_the_middle():
    assert percentiles(np.arange(1001.0), 0.95) == pytest.approx((25, 975))


def test_the_jackknife_of_a_mean_is_students_interval_of_the_groups_means():
    values, group = np.arange(12.0) ** 2, np.arange(12) // 3
    without = np.array([weight @ values / weight.sum() for weight in without_each(group)])
    means = values.reshape(4, 3).mean(1)
    assert jackknife(values.mean(), without) == pytest.approx(student(means))
    assert jackknife(1.0, without[:1]) == pytest.approx((math.nan, math.nan), nan_ok=True)
