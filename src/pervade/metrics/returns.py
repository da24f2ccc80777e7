"""What an agent's episodes came to, and what several trainings of it say together.

Mean, interquartile mean and spread over episodes are of one policy. Across seeds the figures are those of Agarwal et
al. 2021 ("Deep reinforcement learning at the edge of the statistical precipice", arXiv:2108.13264): the interquartile
mean with an interval by bootstrap, stratified by environment, and the probability that one way of training beats
another.

Axis letters: n episodes, s seeds, e environments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from pervade.core.words import FigureWords
from pervade.metrics.columns import Columns
from pervade.metrics.estimate import Metric, weighted_mean
from pervade.metrics.interval import percentiles

# Scores of a random policy and of a person, by game (Mnih et al. 2015, Nature 518, extended data table 2).
ATARI = {
    "Alien": (227.8, 6875.4),
    "Asterix": (210.0, 8503.3),
    "Asteroids": (719.1, 13156.7),
    "BeamRider": (363.9, 5774.7),
    "Boxing": (0.1, 4.3),
    "Breakout": (1.7, 31.8),
    "Enduro": (0.0, 309.6),
    "Freeway": (0.0, 29.6),
    "MontezumaRevenge": (0.0, 4366.7),
    "MsPacman": (307.3, 15693.4),
    "Pong": (-20.7, 9.3),
    "Qbert": (163.9, 13455.0),
    "Riverraid": (1338.5, 13513.3),
    "Seaquest": (68.4, 20181.8),
    "SpaceInvaders": (148.0, 1652.3),
}
RESAMPLES = 2000


def scale_of(environment: str) -> tuple[float, float] | None:
    """What a random policy and a person score; None where that is not known.

    >>> scale_of("ALE/Pong-v5")
    (-20.7, 9.3)
    """
    return ATARI.get(environment.removeprefix("ALE/").rpartition("-")[0]) if environment.startswith("ALE/") else None


def metrics(scale: tuple[float, float] | None = None) -> dict[str, Metric]:
    """Of "return", "length", "cut" and "drawn" (actions were drawn from the policy, and not the likeliest)."""
    reached = FigureWords(
        "Return of an episode, mean (likeliest actions)",
        "sum",
        size="mean return",
        sentence="Over {rows}, it reached a mean return of {value}, taking {best} each time.",
        alike="In each of {rows}, it reached a return of {value}, taking {best} each time. All being alike, they give "
        "no interval.",
        baseline="{name} would reach {value} in the same {n}",
        hub="mean_reward",  # what the Hub's leaderboard of agents goes by
    )
    likeliest = partial(Metric, counted=_counted(False))
    middle = "Return of the middle half of the episodes (interquartile mean)"
    text = "episodes that were ended for their length alone, the environment having set no limit"
    metrics = {
        "mean_return": likeliest(
            _mean("return", False), description="sum of an episode's rewards, likeliest actions", words=reached
        ),
        "mean_return_drawn": Metric(
            _mean("return", True),
            counted=_counted(True),
            description="the same, actions drawn from the policy",
            words=FigureWords("Return of an episode, mean (actions drawn from the policy)", "sum"),
        ),
        "interquartile_mean_return": likeliest(
            _interquartile,
            description="of the middle half of the episodes, likeliest actions",
            words=FigureWords(middle, "sum"),
        ),
        "lowest_tenth_return": likeliest(
            _lowest_tenth,
            description="mean of the worst tenth of the episodes",
            words=FigureWords("Return of the worst tenth of the episodes", "sum"),
        ),
        "mean_length": likeliest(
            _mean("length", False),
            higher_is_better=None,
            description="steps of an episode, likeliest actions",
            words=FigureWords("Steps of an episode, mean", "sum"),
        ),
        "cut_share": likeliest(
            _mean("cut", False),
            higher_is_better=None,
            bounds=(0.0, 1.0),
            description=text,
            words=FigureWords("Episodes cut for their length", "share"),
        ),
    }
    if scale is not None:
        low, high = scale
        mean = _mean("return", False)
        metrics["human_normalised"] = Metric(
            lambda columns, weight: (mean(columns, weight) - low) / (high - low),
            counted=_counted(False),
            description=f"0 is a random policy ({low:g}), 1 a person ({high:g}), as Mnih et al. 2015 measured them",
            words=FigureWords("Return between a random policy (0) and a person (1)"),
        )
    return metrics


def _of(columns: Columns, name: str, drawn: bool, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kept = np.asarray(columns["drawn"]).astype(bool) == drawn
    return np.asarray(columns[name], np.float64)[kept], weight[kept]


def _counted(drawn: bool) -> Callable[[Columns], int]:
    return lambda columns: int((np.asarray(columns["drawn"]).astype(bool) == drawn).sum())


def _mean(name: str, drawn: bool) -> Callable[[Columns, np.ndarray], float]:
    return lambda columns, weight: weighted_mean(*_of(columns, name, drawn, weight))


def _interquartile(columns: Columns, weight: np.ndarray) -> float:
    return interquartile_mean(*_of(columns, "return", False, weight))


def _lowest_tenth(columns: Columns, weight: np.ndarray) -> float:
    values, counts = _of(columns, "return", False, weight)
    return _between(values, counts, 0.0, 0.1)


def interquartile_mean(values: np.ndarray, weight: np.ndarray | None = None) -> float:
    """The mean of the middle half of (n,); episodes at its edges count in part.

    >>> interquartile_mean(np.array([0.0, 1.0, 2.0, 100.0]))
    1.5
    """
    return _between(values, np.ones(len(values)) if weight is None else weight, 0.25, 0.75)


def _between(values: np.ndarray, weight: np.ndarray, low: float, high: float) -> float:
    """The mean of what lies between two shares of the whole, in order."""
    total = weight.sum()
    if total <= 0:
        return math.nan
    order = np.argsort(values, kind="stable")
    ends = np.cumsum(weight[order])
    inside = np.clip(ends, low * total, high * total) - np.clip(ends - weight[order], low * total, high * total)
    return float((inside * values[order]).sum() / inside.sum())


# across seeds


def interquartile_mean_of_runs(scores: np.ndarray) -> float:
    """Of all runs of all environments, (s, e), together."""
    return interquartile_mean(np.asarray(scores, np.float64).reshape(-1))


def stratified_bootstrap(
    scores: Sequence[np.ndarray],
    statistic: Callable[..., float],
    *,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile interval of `statistic(*scores)`, runs (s, e) drawn anew with replacement in every environment.

    Returns (nan, nan) where there are fewer than three runs, or all resamples agree: the spread says nothing.
    """
    if min(len(game) for game in scores) < 3:
        return math.nan, math.nan
    generator = np.random.default_rng(seed)
    values = np.empty(resamples)
    for at in range(resamples):
        drawn = []
        for game in scores:
            s, e = game.shape
            drawn.append(np.take_along_axis(game, generator.integers(0, s, (s, e)), axis=0))
        values[at] = statistic(*drawn)
    # All alike: an interval of no width would claim a certainty that nobody has.
    return (math.nan, math.nan) if np.ptp(values) == 0 else percentiles(values, level)


def probability_of_improvement(one: np.ndarray, other: np.ndarray) -> float:
    """How likely a run of the first (s, e) does better than one of the second (r, e), ties counting half, the mean over
    environments: Mann and Whitney's U over s r.

    >>> probability_of_improvement(np.array([[2.0], [3.0]]), np.array([[1.0], [3.0]]))
    0.625
    """
    apart = one[:, None, :] - other[None, :, :]
    return float((np.sign(apart) / 2 + 0.5).mean())


def across_seeds(members: Sequence[np.ndarray], chance: Sequence[np.ndarray]) -> dict[str, Any]:
    """Of every member's episodes: a run's score is their mean. `chance`: the same of a random policy, by member."""
    scores = np.array([[member.mean()] for member in members])
    low, high = stratified_bootstrap([scores], interquartile_mean_of_runs)
    figures: dict[str, Any] = {
        "runs": len(scores),
        "episodes": int(sum(len(member) for member in members)),
        "interquartile_mean": figure(interquartile_mean_of_runs(scores), low, high),
        "method": f"bootstrap of {RESAMPLES:,} resamples of whole runs (Agarwal et al. 2021)",
    }
    if chance:
        other = np.array([[member.mean()] for member in chance])
        low, high = stratified_bootstrap([scores, other], probability_of_improvement)
        figures["better_than_chance"] = figure(probability_of_improvement(scores, other), low, high)
    return figures


def figure(value: float, low: float, high: float) -> dict[str, float | None]:
    """For JSON, which has no nan: an interval that is not known is None."""
    ends = [None if math.isnan(end) else end for end in (low, high)]
    return {"value": value, "low": ends[0], "high": ends[1]}
