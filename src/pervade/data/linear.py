"""Linear models on plain features, by scikit-learn: what a large model must beat to earn its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

FEW = 5000  # rows up to which strength of the penalty is chosen by cross-validation, and beyond which it is 1
STRENGTHS = (0.3, 1.0, 3.0, 10.0)


Classifier = Callable[[Any], np.ndarray]
"""features (n, d) -> probabilities (n, k)."""


def classifier(train: Any, target: Sequence[int], num_classes: int) -> Classifier:
    """Logistic regression. Classes that never train have probability 0."""
    from sklearn.linear_model import LogisticRegression

    target_array = np.asarray(target)
    model = None
    if len(np.unique(target_array)) > 1:
        model = LogisticRegression(C=_strength(train, target_array), max_iter=1000).fit(train, target_array)

    def probabilities(rows: Any) -> np.ndarray:
        probabilities = np.zeros((rows.shape[0], num_classes))
        if model is None:
            probabilities[:, target_array[0]] = 1.0
        else:
            probabilities[:, model.classes_] = model.predict_proba(rows)
        return probabilities

    return probabilities


def labeller(train: Any, target: np.ndarray) -> Classifier:
    """One logistic regression for each of k labels; target (n, k) of 0 and 1."""
    predictors = [classifier(train, target[:, i].astype(int).tolist(), 2) for i in range(target.shape[1])]
    return lambda rows: np.stack([predictor(rows)[:, 1] for predictor in predictors], axis=1)


def numbers(train: Any, target: Sequence[float], rows: Any) -> np.ndarray:
    """(n,) by ridge regression."""
    from sklearn.linear_model import Ridge

    values = np.asarray(target, np.float64)
    scale = max(float(values.std()), 1e-12)
    model = Ridge(alpha=1.0).fit(train, (values - values.mean()) / scale)
    predicted: np.ndarray = np.asarray(model.predict(rows)).reshape(-1) * scale + values.mean()
    return predicted


def _strength(train: Any, target: np.ndarray) -> float:
    """The inverse strength of the penalty with the least log-loss over five folds of the rows that train."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedKFold

    counts = np.bincount(target)
    if train.shape[0] > FEW or counts[counts > 0].min() < 5:
        return 1.0
    losses = dict.fromkeys(STRENGTHS, 0.0)
    for inside, outside in StratifiedKFold(5, shuffle=True, random_state=0).split(np.zeros(len(target)), target):
        for strength in STRENGTHS:
            model = LogisticRegression(C=strength, max_iter=1000).fit(train[inside], target[inside])
            losses[strength] += log_loss(target[outside], model.predict_proba(train[outside]), labels=model.classes_)
    return min(losses, key=losses.__getitem__)
