"""How much each of several models is to count when they answer together, by what they say of the validation split.

Shares are the mean of all that are tried, each weighed by the probability that the models together then give to the
rows (Bayesian model combination: Monteith et al. 2011, "Turning Bayesian model averaging into Bayesian model
combination"). Of few rows that is near to equal shares, of many near to the best ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from pervade.core import spec
from pervade.core.contracts import Domain, Task
from pervade.core.contracts.abilities import CanBeBlended
from pervade.core.types import Table
from pervade.engine import predictions
from pervade.metrics.estimate import Metric
from pervade.metrics.paired import differences
from pervade.run.settling import only

STEPS = 10  # in which shares are tried
LEAST = 0.1  # a model with a smaller share is left out: it would still cost all of its time


def weights(task: CanBeBlended, tables: Sequence[Table], scales: Sequence[float], domain: Domain) -> list[float]:
    """Of each model's output, its `scale` (`CanBeBlended.output_scale`) included. The tables hold the same rows."""
    tried = np.array(list(_divisions(STEPS, len(tables)))) / STEPS
    together = (task.blended(tables, (shares * scales).tolist(), domain) for shares in tried)
    likelihood = np.array([task.log_likelihood(table).sum() for table in together])
    probability = np.exp(likelihood - likelihood.max())
    share = probability @ tried / probability.sum()
    share = np.where(share < LEAST, 0.0, share)
    weighted: list[float] = (share / share.sum() * scales).tolist()
    return weighted


def _divisions(whole: int, parts: int) -> Iterator[tuple[int, ...]]:
    """All ways in which the parts, in their order, sum up to the whole."""
    if parts == 1:
        yield (whole,)
        return
    for first in range(whole + 1):
        for others in _divisions(whole - first, parts - 1):
            yield first, *others


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


def shown(metric: Metric, first: Table, second: Table) -> int:
    """1 where the rows show the second to be better than the first by the figure, -1 where they show it to be worse
    (metrics/paired.py, at 95%), else 0."""
    apart = differences({"": metric}, [first, second])[0][""]
    sign = -1 if metric.higher_is_better is False else 1
    return sign * int(np.sign(apart.difference)) if apart.shown else 0


def loses(task: CanBeBlended, headline: Metric, together: Table, alone: Table) -> bool:
    """Whether models together make the rows no likelier than the best one alone, or are shown to be worse by the
    headline figure. Both tables are `crossed`; of the second the rows of the first count."""
    alone = only(alone, np.isin(np.asarray(alone["row"]), np.asarray(together["row"])))
    likelier = float(task.log_likelihood(together).mean() - task.log_likelihood(alone).mean())
    return likelier <= 0 or shown(headline, alone, together) < 0
