"""Classes of uneven size: what each row weighs in training, and which answers count each class the same.

Axis letters: n rows, k classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

LEAST = 1e-300  # of a share by which is divided


def class_weights(counts: np.ndarray, scheme: str, beta: float) -> np.ndarray:
    """(k,) what a row of each class weighs, so that the `counts` (k,) rows weigh 1 in the mean: the inverse of its
    class's rows ("balanced") or of their effective number, (1 - beta^n) / (1 - beta), never above 1 / (1 - beta)
    ("effective": Cui et al. 2019, arXiv:1901.05555)."""
    number = counts if scheme == "balanced" else (1 - beta**counts) / (1 - beta)
    return np.asarray(counts.sum() / number / (counts / number).sum())


def likelier_than_usual(probabilities: Any, prior: Any) -> np.ndarray:
    """(n,) the class of the largest p / prior; prior (k,) or (n, k). Of calibrated probabilities and the shares of
    classes it is the class whose rows are the likeliest to look so, by Bayes' rule: it has the largest mean recall."""
    return np.asarray((np.asarray(probabilities) / np.asarray(prior)).argmax(1))


def choose_answers(probabilities: np.ndarray, target: np.ndarray, prior: np.ndarray) -> dict[str, Any]:
    """Whether the `balanced` answer, by p / prior (k,), or the likeliest is right more often on these rows where each
    class counts the same: "answers", and the figures of both that were "tried".

    No test asks whether the difference is more than chance: of the few rows of a rare class that validate, one or two
    can show nothing, and what is better where probabilities are right is known beforehand. The rows may refuse it,
    where the likeliest is right more often, or as often and of all rows more often.
    """
    answered = {"likeliest": probabilities.argmax(1), "balanced": likelier_than_usual(probabilities, prior)}
    tried = {}
    for name, prediction in answered.items():
        right = prediction == target
        recall = [float(right[target == label].mean()) for label in np.unique(target)]
        figures = {"accuracy": float(right.mean()), "balanced_accuracy": float(np.mean(recall))}
        tried[name] = {figure: round(value, 6) for figure, value in figures.items()}
    likeliest, balanced = ([came["balanced_accuracy"], came["accuracy"]] for came in tried.values())
    return {"answers": "likeliest" if likeliest > balanced else "balanced", "tried": tried}
