"""Figures of the confusion matrix: accuracy, precision, recall, F1.

Axis letters: n rows, k classes. Rows of the matrix are the true class, columns the predicted one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pervade.metrics.columns import Columns, column
from pervade.metrics.estimate import estimate, share

MOST_CLASSES = 100  # of which the matrix is kept: ten thousand cells, beyond which nobody reads it
MOST_PAIRS = 10


def confusion_matrix(
    target: np.ndarray, prediction: np.ndarray, num_classes: int, weight: np.ndarray | None = None
) -> np.ndarray:
    """How often (row) a class was (column) predicted, (k, k): int64 counts, or float64 sums of `weight` (n,).

    Args:
        target: (n,) integers in 0 .. num_classes - 1.
        prediction: (n,), likewise.
    """
    pair = target * num_classes + prediction
    return np.bincount(pair, weights=weight, minlength=num_classes**2).reshape(num_classes, num_classes)


def most_confused(columns: Columns, labels: Sequence[str], most: int = MOST_PAIRS) -> dict[str, Any]:
    """ "pairs": which class was taken for which, the most frequent first, by their numbers "true" and "answer", with
    the "count" of rows and the share of the true class's rows that these are (see `Estimate.as_dict`); and "kinds", how
    many such pairs there are.

    Args:
        columns: "target", "prediction" and "group" (n,) are read.
    """
    target, prediction, k = column(columns, "target"), column(columns, "prediction"), len(labels)
    wrong = target != prediction
    codes, counts = np.unique(target[wrong] * k + prediction[wrong], return_counts=True)
    pairs = [(int(pair) // k, int(pair) % k, int(count)) for pair, count in zip(codes, counts, strict=True)]
    rows = np.bincount(target, minlength=k)
    pairs.sort(key=lambda pair: (-pair[2], -pair[2] / rows[pair[0]], labels[pair[0]], labels[pair[1]]))
    shares = {str(at): share(prediction == j, target == i) for at, (i, j, _) in enumerate(pairs[:most])}
    file = {"row": np.arange(len(target)), "group": column(columns, "group")}
    shown = zip(pairs, estimate(shares, file).values(), strict=False)
    told = [{"true": i, "answer": j, "count": count, **share.as_dict()} for (i, j, count), share in shown]
    return {"pairs": told, "kinds": len(pairs)}


def precision_recall_f1(
    hits: np.ndarray, rows: np.ndarray, predicted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per class (k,), of h hits, r rows of the class and p predictions of it: h/p, h/r and 2h/(r + p).

    nan where the denominator is 0; F1 is nan also where the class has no rows, for there is nothing it could find.
    """
    f1 = np.where(rows > 0, ratio(2 * hits, rows + predicted), math.nan)
    return ratio(hits, predicted), ratio(hits, rows), f1


def confusion_values(hits: np.ndarray, rows: np.ndarray, predicted: np.ndarray) -> Mapping[str, Any]:
    """Every figure of a confusion matrix by name; "precision", "recall" and "f1" (k,), one a class. Its diagonal and
    its sums by row and by column, (k,) each, say it all, and of a thousand classes the matrix has a million cells.

    `…_macro` averages over the classes that have rows or predictions, `…_weighted` over the rows; both count a class's
    precision as 0 where it was never predicted and its recall and F1 as 0 where it has no rows, as scikit-learn does
    with zero_division=0. `balanced_accuracy` averages the recall of the classes that have rows. Not listed apart,
    because with one label a row they all equal accuracy: micro averages, and recall weighted by rows.
    """
    precision, recall, f1 = precision_recall_f1(hits, rows, predicted)
    total = float(rows.sum())
    occurs, has_rows = rows + predicted > 0, rows > 0
    share = rows / total if total > 0 else np.full(len(rows), math.nan)
    values: dict[str, Any] = {
        "accuracy": float(hits.sum()) / total if total > 0 else math.nan,
        "balanced_accuracy": _mean(recall[has_rows]),
    }
    for name, per_class in (("precision", precision), ("recall", recall), ("f1", f1)):
        filled = np.where(np.isnan(per_class), 0.0, per_class)
        values[f"{name}_macro"] = _mean(filled[occurs])
        if name != "recall":
            values[f"{name}_weighted"] = float(share @ filled)
        values[name] = per_class
    return values


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    out = np.full(len(above), math.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out


def _mean(values: np.ndarray) -> float:
    return float(values.sum()) / len(values) if len(values) else math.nan
