"""How much each of several models is to count when they answer together: greedy selection with replacement by what they
say of the validation split (Caruana et al. 2004, "Ensemble selection from libraries of models")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pervade.core import spec
from pervade.core.contracts import Domain, Task
from pervade.core.contracts.abilities import CanBeBlended
from pervade.core.types import Table
from pervade.engine import predictions
from pervade.metrics.estimate import Metric
from pervade.metrics.paired import differences
from pervade.run.settling import FINER, only

ROUNDS = 20  # in each of which one model counts once more


def weights(task: CanBeBlended, tables: Sequence[Table], scales: Sequence[float], domain: Domain) -> list[float]:
    """Of each model's output, its `scale` (`CanBeBlended.output_scale`) included. The tables hold the same rows."""
    metric = _fine(task, domain)
    sign = -1.0 if metric.higher_is_better is False else 1.0

    def score(counts: Sequence[int]) -> float:
        table = task.blended(tables, _shares(counts, scales), domain)
        return sign * float(metric.compute(table, np.ones(len(table["row"]))))

    counts = [0] * len(tables)
    best, chosen = -np.inf, counts
    for _ in range(ROUNDS):
        tried = [[count + (place == more) for place, count in enumerate(counts)] for more in range(len(tables))]
        scored = [score(more) for more in tried]
        counts = tried[int(np.argmax(scored))]
        if max(scored) > best:
            best, chosen = max(scored), counts
    return _shares(chosen, scales)


def crossed(
    task: CanBeBlended,
    tables: Sequence[Table],
    scales: Sequence[Sequence[float]],
    half_of: Mapping[int, int],
    domain: Domain,
    answered: Sequence[Table] | None = None,
) -> Table:
    """What the models say together of rows that had no say in how much each counts: those of one half (`half_of` row
    numbers: 0 or 1) by the weights that the other one finds, with that one's `scales`. Where one is empty, there is no
    other. `answered`: tables of which the answers are put together, where weights are found by other ones."""
    answered = tables if answered is None else answered
    half, own_half = (_halves(some[0], half_of) for some in (tables, answered))
    together: list[Table] = []
    for side in np.unique(own_half):
        other = int(1 - side) if (half != side).any() else int(side)
        shares = weights(task, [only(table, half == other) for table in tables], scales[other], domain)
        together.append(task.blended([only(table, own_half == side) for table in answered], shares, domain))
    order = np.argsort(np.concatenate([np.flatnonzero(own_half == side) for side in np.unique(own_half)]))
    return {name: predictions.in_order(values, order) for name, values in predictions.concatenate(together).items()}


def asked(task: Task) -> Task:
    """What is asked of models together. Targets that were smoothed for one of them are no part of it: what each says
    was scaled by what it settled, which undoes that."""
    return replace(task, smoothing=0.0) if "smoothing" in spec.field_names(type(task)) else task  # type: ignore[type-var]


def _halves(table: Table, half_of: Mapping[int, int]) -> np.ndarray:
    return np.array([half_of[row] for row in np.asarray(table["row"]).tolist()])


def better(task: Any, alone: Table, together: Table, domain: Domain, headline: str = "") -> bool:
    """Whether the validation split shows the models together to be better than the best of them: in the `headline`
    figure (unless named, the first), or in the finer one where the headline is no worse."""
    metrics: Mapping[str, Metric] = task.metrics(domain)
    headline = headline or next(iter(metrics))
    fine = FINER if FINER in metrics else headline
    asked = {name: metrics[name] for name in dict.fromkeys((headline, fine))}
    apart = differences(asked, [alone, together])[0]
    gains = {name: -one.difference if one.higher_is_better is False else one.difference for name, one in apart.items()}
    return any(apart[name].shown and gains[name] > 0 for name in gains) and gains[headline] >= 0


def _fine(task: Any, domain: Domain) -> Metric:
    metrics: Mapping[str, Metric] = task.metrics(domain)
    return metrics.get(FINER, next(iter(metrics.values())))


def _shares(counts: Sequence[int], scales: Sequence[float]) -> list[float]:
    return [count * scale / max(sum(counts), 1) for count, scale in zip(counts, scales, strict=True)]
