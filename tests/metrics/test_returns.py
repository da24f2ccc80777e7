"""Returns of episodes and of runs, against scipy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from pervade.metrics import returns
from pervade.metrics.estimate import estimate

NUMBERS = st.floats(-1e3, 1e3).map(lambda x: round(x, 3))


def columns(likeliest: list[float], drawn: list[float] = ()) -> dict:  # type: ignore[assignment]
    both = [*likeliest, *drawn]
    return {
        "row": np.arange(len(both)),
        "group": [f"seed {i}" for i in range(len(likeliest))] + [f"seed {i}" for i in range(len(drawn))],
        "return": np.array(both),
        "length": np.arange(1, len(both) + 1),
        "cut": np.arange(len(both)) % 2 == 1,
        "drawn": np.array([False] * len(likeliest) + [True] * len(drawn)),
    }


@settings(deadline=None)
@given(st.lists(NUMBERS, min_size=4, max_size=40).filter(lambda each: len(each) % 4 == 0))
def test_interquartile_mean_against_scipy(values: list[float]) -> None:
    expected = scipy.stats.trim_mean(values, 0.25)
    assert returns.interquartile_mean(np.array(values)) == pytest.approx(expected, abs=1e-9)


def test_episodes_at_the_edge_count_in_part() -> None:
    """Of five, 1.25 on each side are left out: (0.75 * 2 + 3 + 0.75 * 9) / 2.5."""
    assert returns.interquartile_mean(np.array([100.0, 2, 3, 9, -50])) == pytest.approx((1.5 + 3 + 6.75) / 2.5)
    # Two that stand twice are two: weights are what a bootstrap draws.
    weight = np.array([2.0, 1, 1, 0])
    assert returns.interquartile_mean(np.array([1.0, 3, 5, 99]), weight) == pytest.approx((1 + 3) / 2)
    assert math.isnan(returns.interquartile_mean(np.array([1.0]), np.zeros(1)))


@settings(deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=20), st.lists(NUMBERS, min_size=1, max_size=20))
def test_probability_of_improvement_against_scipy(one: list[float], other: list[float]) -> None:
    """Mann and Whitney's U over the number of pairs."""
    statistic = scipy.stats.mannwhitneyu(one, other).statistic if len({*one, *other}) > 1 else len(one) * len(other) / 2
    found = returns.probability_of_improvement(np.array(one)[:, None], np.array(other)[:, None])
    assert found == pytest.approx(statistic / (len(one) * len(other)))


def test_probability_of_improvement_is_a_mean_over_environments() -> None:
    one, other = np.array([[1.0, 5.0], [2.0, 6.0]]), np.array([[0.0, 7.0]])
    assert returns.probability_of_improvement(one, other) == 0.5  # always in the first, never in the second


def test_every_figure_counts_its_own_episodes() -> None:
    found = estimate(returns.metrics((0.0, 10.0)), columns([0, 1, 2, 3, 4, 5, 6, 7, 8, 100], [20, 30]))
    values = {name: each.value for name, each in found.items()}
    assert {name: each.n for name, each in found.items()} == dict.fromkeys(values, 10) | {"mean_return_drawn": 2}
    assert values["mean_return"] == 13.6
    assert values["mean_return_drawn"] == 25
    assert values["interquartile_mean_return"] == pytest.approx((0.5 * 2 + 3 + 4 + 5 + 6 + 0.5 * 7) / 5)
    assert values["lowest_tenth_return"] == 0
    assert values["mean_length"] == 5.5
    assert values["cut_share"] == 0.5
    assert values["human_normalised"] == pytest.approx(1.36)
    for each in found.values():
        assert each.low <= each.value <= each.high


def test_what_atari_is_compared_with() -> None:
    assert returns.scale_of("ALE/Pong-v5") == (-20.7, 9.3)
    assert returns.scale_of("ALE/SpaceInvaders-v5") == (148.0, 1652.3)
    assert returns.scale_of("ALE/NoSuchGame-v5") is None
    assert returns.scale_of("CartPole-v1") is None
    assert "human_normalised" not in returns.metrics(None)


# across seeds


def test_stratified_bootstrap_draws_runs_within_their_environment() -> None:
    """Two environments of scores near 0 and near 100: drawn within each, the mean stays near 50."""
    rng = np.random.default_rng(0)
    scores = np.stack([rng.normal(0, 1, 10), rng.normal(100, 1, 10)], axis=1)
    low, high = returns.stratified_bootstrap([scores], lambda each: float(each.mean()))
    assert low < scores.mean() < high
    # Each environment's mean of ten has a deviation of 1 / sqrt(10); the mean of both that over sqrt(2).
    width = 2 * 1.96 * np.sqrt(scores.var(0).sum() / 10) / 2
    assert high - low == pytest.approx(width, rel=0.1)


def test_the_interval_holds_what_it_says() -> None:
    """Of 200 experiments of 10 runs the 95% interval of their mean holds the true one in 84 to 98%: the percentile
    bootstrap of so few is known to be a little narrow."""
    rng = np.random.default_rng(1)
    held = 0
    for number in range(200):
        scores = rng.normal(3.0, 2.0, (10, 1))
        low, high = returns.stratified_bootstrap([scores], lambda each: float(each.mean()), resamples=300, seed=number)
        held += low <= 3.0 <= high
    assert 168 <= held <= 196


def test_fewer_than_three_runs_have_no_interval() -> None:
    low, high = returns.stratified_bootstrap([np.array([[1.0], [2.0]])], lambda each: float(each.mean()))
    assert math.isnan(low)
    assert math.isnan(high)
    found = returns.across_seeds([np.array([1.0, 3.0])], [np.array([0.0])])
    assert found["interquartile_mean"] == {"value": 2.0, "low": None, "high": None}


def test_what_seeds_say_together() -> None:
    """Four members with episodes each; a run's score is their mean; chance got 0 in all, a tie with the last member."""
    members = [np.array([8.0, 12.0]), np.array([20.0, 20.0]), np.array([30.0]), np.array([0.0, 0.0])]
    found = returns.across_seeds(members, [np.zeros(2)] * 4)
    assert (found["runs"], found["episodes"]) == (4, 7)
    assert found["interquartile_mean"]["value"] == 15
    assert 0 <= found["interquartile_mean"]["low"] < 15 < found["interquartile_mean"]["high"] <= 30
    assert found["better_than_chance"]["value"] == (3 + 0.5) / 4
    assert found["better_than_chance"]["high"] == 1
