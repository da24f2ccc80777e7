"""Two ways of training compared, and not two models: each was trained by several seeds, and a training is one draw.

Of every figure: the interquartile means, how far they are apart, and the probability that a training of the one does
better than a training of the other, with intervals by bootstrap of whole trainings (Agarwal et al. 2021,
arXiv:2108.13264).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pervade.core import files
from pervade.core.errors import CheckpointError, ConfigError
from pervade.core.run import RunDirectory
from pervade.core.words import NUMBER, FigureWords, of_figure
from pervade.engine import wording
from pervade.metrics import returns


@dataclass(frozen=True)
class FigureDifference:
    """One figure of two runs. `first` and `second` hold each training's own value."""

    name: str
    first: tuple[float, ...]
    second: tuple[float, ...]
    middle: tuple[float, float]  # interquartile means
    difference: dict[str, float | None]  # second - first: value, low, high
    better: dict[str, float | None] | None  # the probability that a training of the second does better; None where
    # neither more nor less is
    higher_is_better: bool | None = True
    words: FigureWords = NUMBER


@dataclass(frozen=True)
class SeedsComparison:
    first: str
    second: str
    split: str
    figures: tuple[FigureDifference, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def holds_seeds(run: RunDirectory) -> bool:
    return run.members.exists() and files.read_json(run.members, "kind")["kind"] == "seeds"


def compare_seeds(runs: Sequence[RunDirectory]) -> list[SeedsComparison]:
    """Every run with the first of them. Raises CheckpointError where one is unfinished, ConfigError where they have no
    figure in common, or were not measured on splits of one name."""
    results = [_results(run) for run in runs]
    return [_compared(runs[0], results[0], run, other) for run, other in zip(runs[1:], results[1:], strict=True)]


def _results(run: RunDirectory) -> dict[str, Any]:
    for meter in ("evaluate", "evaluate-validation"):
        path = run.result(meter, "members")
        if path.exists():
            return files.read_json(path, "metrics", "split")
    raise CheckpointError(f"{run.path} is not finished; go on with: pervade resume {run.path}")


def _compared(first: RunDirectory, one: dict[str, Any], second: RunDirectory, other: dict[str, Any]) -> SeedsComparison:
    if one["split"] != other["split"]:
        raise ConfigError(f"{first.name} was measured on {one['split']} and {second.name} on {other['split']}")
    common = [name for name in one["metrics"] if name in other["metrics"] and "[" not in name]
    figures = [_apart(name, one["metrics"][name], other["metrics"][name], first) for name in common]
    defined = tuple(figure for figure in figures if figure is not None)
    if not defined:
        raise ConfigError(f"{first.name} and {second.name} have no figure in common that is defined in all trainings")
    return SeedsComparison(first.name, second.name, one["split"], defined)


def _apart(name: str, one: dict[str, Any], other: dict[str, Any], run: RunDirectory) -> FigureDifference | None:
    if one.get("mean") is None or other.get("mean") is None:
        return None
    first, second = (np.array([[own["value"]] for own in of_run["members"].values()]) for of_run in (one, other))
    sign = -1.0 if one.get("higher_is_better") is False else 1.0

    def distance(b: np.ndarray, a: np.ndarray) -> float:
        return returns.interquartile_mean_of_runs(b) - returns.interquartile_mean_of_runs(a)

    def improves(b: np.ndarray, a: np.ndarray) -> float:
        return returns.probability_of_improvement(sign * b, sign * a)

    pair = [second, first]
    return FigureDifference(
        name,
        tuple(first[:, 0].tolist()),
        tuple(second[:, 0].tolist()),
        (returns.interquartile_mean_of_runs(first), returns.interquartile_mean_of_runs(second)),
        returns.figure(distance(*pair), *returns.stratified_bootstrap(pair, distance)),
        None
        if one.get("higher_is_better", True) is None
        else returns.figure(improves(*pair), *returns.stratified_bootstrap(pair, improves)),
        one.get("higher_is_better", True),
        of_figure(name, one["words"]) if "words" in one else wording.read(run).figure(name),
    )
