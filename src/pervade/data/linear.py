"""Linear models, by scikit-learn: what a large model must beat to earn its place, and heads on features that stay.

Axis letters: n rows, d features, k classes or labels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np

from pervade.core.types import Linear

FEW = 5000  # rows up to which the penalty is chosen by five folds; beyond by one, which holds out a fifth
MOST = 50_000  # rows by which it is chosen
# Inverse, of the penalty, from the strongest to the weakest.
STRENGTHS = (1e-4, 1e-3, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


Classifier = Callable[[Any], np.ndarray]
"""features (n, d) -> probabilities (n, k)."""


def classes(
    train: Any,
    target: np.ndarray,
    num_classes: int,
    strengths: Sequence[float] = STRENGTHS,
    number: np.ndarray | None = None,
    weighed: bool = True,
    group: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> Linear:
    """Logistic regression: the softmax of what it answers are probabilities. Classes that never train have none.
    `weights` (n,): what each row weighs, also where it judges penalties; None: all the same.
    `number` (n,) says which are views of one thing, as in all functions here: none of them judges another; nor does
    what is of one `group` (n,), where there are enough of them. `weighed`: of sparse features also by how much each
    tells, where rows that were held out say that this is better."""
    rows, back = _standardised(train)
    weight, bias = np.zeros((num_classes, train.shape[1])), np.full(num_classes, -np.inf)
    there = np.unique(target)
    if len(there) == 1:
        bias[there[0]] = 0.0
        return Linear(weight, bias)
    sparse = not isinstance(rows, np.ndarray)
    ways = (_logistic, _Weighed) if weighed and sparse else (_logistic,)
    best = _best(rows, target, strengths, _copies(rows) if sparse else number, ways, group, weights)
    model = best.fit(rows, target, weights)
    own = Linear(model.coef_, model.intercept_)
    if len(there) == 2:  # one row of weights, for the second against the first
        own = Linear(np.concatenate([-own.weight, own.weight]) / 2, np.concatenate([-own.bias, own.bias]) / 2)
    own = back(own)
    weight[model.classes_], bias[model.classes_] = own.weight, own.bias
    return Linear(weight, bias)


def labels(
    train: Any,
    target: np.ndarray,
    strengths: Sequence[float] = STRENGTHS,
    number: np.ndarray | None = None,
    weighed: bool = True,
    group: np.ndarray | None = None,
    positive: np.ndarray | None = None,
) -> Linear:
    """One logistic regression for each of k labels; target (n, k) of 0 and 1. The sigmoid of what it answers are
    probabilities. `positive` (k,): what a row that has the label weighs, beside 1; None: the same."""
    weights = [None] * target.shape[1] if positive is None else list(np.where(target > 0.5, positive, 1.0).T)
    models = [
        classes(train, column.astype(int), 2, strengths, number, weighed, group, own)
        for column, own in zip(target.T, weights, strict=True)
    ]
    with np.errstate(invalid="ignore"):  # of a label that all rows have, or none: no difference of infinities is asked
        return Linear(
            np.stack([model.weight[1] - model.weight[0] for model in models]),
            np.array([_odds(model.bias) for model in models]),
        )


def numbers(
    train: Any,
    target: np.ndarray,
    strengths: Sequence[float] = (1.0,),
    number: np.ndarray | None = None,
    group: np.ndarray | None = None,
) -> Linear:
    """Ridge regression; the strengths are inverse, in units of the target's variance, and the one is taken whose
    answers are nearest to rows that were held out for it."""
    from sklearn.linear_model import Ridge

    rows, back = _standardised(train)
    mean, scale = float(target.mean()), max(float(target.std()), 1e-12)
    scaled, several = (target - mean) / scale, min(len(strengths), len(target)) > 1
    folds = list(_folds(target, number, group, even=False)) if several else []

    def error(strength: float, inside: np.ndarray, outside: np.ndarray) -> float:
        model = Ridge(alpha=1.0 / strength).fit(rows[inside], scaled[inside])
        return float(np.square(scaled[outside] - model.predict(rows[outside])).mean())

    model = Ridge(alpha=1.0 / _least(strengths, error, folds)[0]).fit(rows, scaled)
    weight = np.asarray(model.coef_, np.float64).reshape(1, -1)
    return back(Linear(weight * scale, np.atleast_1d(model.intercept_ * scale + mean)))


def classifier(train: Any, target: Sequence[int], num_classes: int) -> Classifier:
    from scipy.special import softmax

    model = classes(train, np.asarray(target), num_classes, weighed=False)
    return lambda rows: np.asarray(softmax(model(rows), axis=1))


def labeller(train: Any, target: np.ndarray) -> Classifier:
    from scipy.special import expit

    model = labels(train, target, weighed=False)
    return lambda rows: np.asarray(expit(model(rows)))


def _odds(bias: np.ndarray) -> float:
    """Of the second of two; 0 or 1 is never said for certain in what is saved as numbers."""
    return float(np.clip(np.nan_to_num(bias[1] - bias[0], posinf=50.0, neginf=-50.0), -50.0, 50.0))


def _standardised(rows: Any) -> tuple[Any, Callable[[Linear], Linear]]:
    """Dense features with mean 0, and 1 for their mean variance, and how weights for these become weights for what was
    given. One scale for all: where each had its own, what hardly varies would get the largest weights, and a body that
    goes on learning moves it first. Sparse ones stay, since most of them are 0."""
    if not isinstance(rows, np.ndarray):
        return rows, lambda model: model
    rows = rows.astype(np.float64)
    mean = rows.mean(0)
    scale = max(float(np.sqrt(rows.var(0).mean())), 1e-12)

    def back(model: Linear) -> Linear:
        weight = model.weight / scale
        return Linear(weight, model.bias - weight @ mean)

    return (rows - mean) / scale, back


def _logistic(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=1000)


class _Weighed:
    """Logistic regression on features of 0 or more, each times the root of the largest of its log-count ratios, a class
    against all others: how much more it is there than elsewhere (Wang & Manning 2012, aclanthology.org/P12-2018, who
    take no root; with it the log-loss on rows held out was lower, docs/results.md)."""

    COUNTED = 0.1  # beforehand, of every feature in every class

    def __init__(self, strength: float) -> None:
        self.model = _logistic(strength)

    def fit(self, rows: Any, target: np.ndarray, weights: np.ndarray | None = None) -> Self:
        everywhere = np.asarray(rows.sum(0)).ravel() + 2 * self.COUNTED
        self.root = np.zeros(rows.shape[1])
        for number in np.unique(target):
            own = np.asarray(rows[target == number].sum(0)).ravel() + self.COUNTED
            other = everywhere - own
            np.maximum(self.root, np.abs(np.log(own / own.sum()) - np.log(other / other.sum())), out=self.root)
        np.sqrt(self.root, out=self.root)
        self.model.fit(self._weigh(rows), target, weights)
        self.classes_, self.intercept_ = self.model.classes_, self.model.intercept_
        self.coef_ = self.model.coef_ * self.root
        return self

    def predict_proba(self, rows: Any) -> np.ndarray:
        return np.asarray(self.model.predict_proba(self._weigh(rows)))

    def _weigh(self, rows: Any) -> Any:
        return rows.multiply(self.root).tocsr()


def _best(
    train: Any,
    target: np.ndarray,
    strengths: Sequence[float] = STRENGTHS,
    number: np.ndarray | None = None,
    ways: Sequence[Callable[[float], Any]] = (_logistic,),
    group: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> Any:
    """The way, with the inverse strength of its penalty, of the least log-loss on rows that train and were held out for
    it; not fitted yet. With one strength, as where time is short, it is the last way. Classes of which fewer than five
    rows choose cannot stand in every fold, and have no say."""
    from sklearn.metrics import log_loss

    once = np.arange(len(target)) if number is None else np.unique(number, return_index=True)[1]
    fewest = 5 * max(len(once) / MOST, 1.0)
    kept = np.flatnonzero(np.bincount(target[once], minlength=int(target.max()) + 1)[target] >= fewest)
    train, target = train[kept], target[kept]
    number, group, weights = (None if known is None else known[kept] for known in (number, group, weights))
    if len(strengths) == 1 or len(np.unique(target)) < 2:
        return ways[-1](1.0 if 1.0 in strengths else strengths[len(strengths) // 2])
    folds, tried = list(_folds(target, number, group)), []
    for way in ways:

        def loss(strength: float, inside: np.ndarray, outside: np.ndarray, way: Callable[[float], Any] = way) -> float:
            within, without = (None if weights is None else weights[part] for part in (inside, outside))
            model = way(strength).fit(train[inside], target[inside], within)
            said = model.predict_proba(train[outside])
            return float(log_loss(target[outside], said, labels=model.classes_, sample_weight=without))

        tried.append((*_least(strengths, loss, folds), way))
    strength, _, way = min(tried, key=lambda trial: trial[1])
    return way(strength)


def _copies(rows: Any) -> np.ndarray:
    """A number for each sparse row, the same for those that are equal, which must not judge one another."""
    ends = rows.indptr.tolist()
    known: dict[tuple[bytes, bytes], int] = {}
    keys = [(rows.indices[a:b].tobytes(), rows.data[a:b].tobytes()) for a, b in itertools.pairwise(ends)]
    return np.array([known.setdefault(key, len(known)) for key in keys])


def _least(
    strengths: Sequence[float], loss: Callable[..., float], folds: Sequence[tuple[Any, Any]]
) -> tuple[float, float]:
    """The strength with the least loss over the folds, and the loss. They are tried from the strongest penalty on,
    which is found the soonest, and none is that is weaker than one by which the loss rose: beyond the best it only
    rises."""
    best, least = 0.0, math.inf
    for strength in sorted(strengths):
        total = sum(loss(strength, *fold) for fold in folds)
        if total >= least:
            break
        best, least = strength, total
    return best, least


Parts = tuple[np.ndarray, np.ndarray]
"""Positions inside and outside."""


def _folds(
    target: np.ndarray, number: np.ndarray | None, group: np.ndarray | None = None, even: bool = True
) -> Iterator[Parts]:
    """By groups, or else by rows; `even`: each class in its share."""
    from sklearn import model_selection

    if group is not None and (whole := _by_group(target, group, even)):
        yield from whole
        return
    if number is not None and len(first := np.unique(number, return_index=True)[1]) < len(number):
        there = np.sort(first)
        for inside, outside in _folds(target[there], None, even=even):
            seen, held = (np.isin(number, number[there[part]]) for part in (inside, outside))
            yield np.flatnonzero(seen), np.flatnonzero(held)
        return
    parts: Any
    if len(target) <= FEW:
        kind = model_selection.StratifiedKFold if even else model_selection.KFold
        parts = kind(min(5, len(target)), shuffle=True, random_state=0)
    else:
        test = min(len(target) // 5, MOST // 5)
        once = model_selection.StratifiedShuffleSplit if even else model_selection.ShuffleSplit
        parts = once(1, train_size=min(4 * test, len(target) - test), test_size=test, random_state=0)
    yield from parts.split(np.zeros(len(target)), target)


def _by_group(target: np.ndarray, group: np.ndarray, even: bool) -> list[Parts]:
    """Up to five folds that part no group, of which those count that leave some of every class inside. A penalty that
    rows of people who are known have chosen is too weak for others."""
    from sklearn import model_selection

    number = min(5, len(np.unique(group)))
    if number < 2:
        return []
    kind: Any = model_selection.StratifiedGroupKFold if even else model_selection.GroupKFold
    parts = kind(number).split(np.zeros(len(target)), target, group)
    whole = [(inside, outside) for inside, outside in parts if not even or _every(target[inside], target)]
    if len(target) <= FEW or not whole:
        return whole
    inside, outside = whole[0]
    some = _some(inside, 4 * (MOST // 5))
    return [(some if not even or _every(target[some], target) else inside, _some(outside, MOST // 5))]


def _some(rows: np.ndarray, most: int) -> np.ndarray:
    """That many of them at most, drawn evenly and in their order."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(0).permutation(rows)[:most])


def _every(some: np.ndarray, target: np.ndarray) -> bool:
    return len(np.unique(some)) == len(np.unique(target))
