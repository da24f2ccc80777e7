"""The figures of an answer that holds several labels, from the columns "target" (n, k), "prediction" (n, k), both of 0
and 1, and "probabilities" (n, k), each in 0-1 and free of the others.

    metrics = multilabel_metrics(["cat", "dark"])
    estimates = estimate(metrics, columns)      # estimates["average_precision[dark]"].low

Axis letters: n rows, k labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from pervade.core.errors import ConfigError, DataError
from pervade.core.words import SHARE, FigureWords
from pervade.metrics.baseline import beside
from pervade.metrics.classification import averaged
from pervade.metrics.columns import Columns, column
from pervade.metrics.confusion import ratio
from pervade.metrics.estimate import UNIT, Family, Measure, Metric, Shared, weighted_mean
from pervade.metrics.ranking import mean_areas

# What an answer that is the same for every row can be measured by.
BASELINE_METRICS = ("mean_average_precision", "f1_micro", "f1_macro", "f1_samples", "subset_accuracy", "hamming_loss")


def multilabel_metrics(labels: Sequence[str]) -> dict[str, Metric]:
    """All figures, in the order a reader wants them; those of single labels are `recall[dark]`.

    Raises:
        ConfigError: no label, or a label twice.
    """
    labels = tuple(labels)
    if not labels:
        raise ConfigError("there are no labels to measure")
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise ConfigError(f"labels must differ; these stand there twice: {', '.join(twice)}")
    ranked, counted = partial(ranking_family, labels=labels), partial(agreement_family, labels=labels)
    exact = partial(_rows_right, num_labels=len(labels))
    within = partial(Metric, bounds=UNIT)
    metrics = {
        "mean_average_precision": within(
            Shared(ranked, "mean_average_precision"),
            description="average precision of each label, mean over the labels that occur",
            undefined="no row has a label",
            words=FigureWords("Mean average precision"),
        ),
        "f1_micro": within(
            Shared(counted, "f1_micro"),
            description="F1 of all answers to all labels together",
            words=averaged("f1", "micro"),
        ),
        "f1_macro": within(
            Shared(counted, "f1_macro"),
            description="mean F1 of the labels that occur or were said",
            words=averaged("f1", "macro"),
        ),
        "f1_samples": within(
            Shared(counted, "f1_samples"),
            description="mean F1 of each row's labels; 1 where there are none, rightly",
            words=FigureWords("F1, mean over rows"),
        ),
        "subset_accuracy": within(
            Shared(counted, "subset_accuracy"),
            trials=exact,
            description="share of rows with all labels right",
            words=FigureWords("Rows with all labels right (subset accuracy)", "share"),
        ),
        "hamming_loss": within(
            Shared(counted, "hamming_loss"),
            higher_is_better=False,
            description="share of single answers that are wrong",
            words=FigureWords("Wrong among all single answers (Hamming loss)", "share"),
        ),
        "roc_auc": within(
            Shared(ranked, "roc_auc"),
            description="area under the ROC curve of each label, mean over the labels for which it is defined",
            undefined="no label has both rows with it and rows without",
            words=FigureWords("Area under the ROC curve"),
        ),
    }
    return metrics | _of_single_labels(labels, ranked, counted)


def prior_baseline(columns: Columns, labels: Sequence[str], prior: np.ndarray) -> dict[str, Any]:
    """What the same answer to every row reaches on these rows beside the answers given (see `baseline.beside`).

    Args:
        prior: (k,) the share of rows OF THE TRAINING SPLIT that have each label: the probabilities that are answered,
            and what is at least 0.5 is said.
    """
    shape = flag_column(columns, "target", len(labels)).shape
    constant = {
        **columns,
        "probabilities": np.broadcast_to(prior.astype(np.float64), shape),
        "prediction": np.broadcast_to((prior >= 0.5).astype(np.int64), shape),
    }
    metrics = multilabel_metrics(labels)
    chosen = {name: metrics[name] for name in (*BASELINE_METRICS, *(f"recall[{label}]" for label in labels))}
    usual = [label for label, share in zip(labels, prior, strict=True) if share >= 0.5]
    name = f"every label as likely as in training, so always {' and '.join(map(repr, usual)) or 'none'}"
    return beside(name, chosen, constant, columns)


# Families: what is done once a file, and in it what is done once a resample.


def agreement_family(columns: Columns, labels: tuple[str, ...]) -> Measure:
    from scipy.sparse import csc_array

    target, said = (flag_column(columns, name, len(labels)) > 0 for name in ("target", "prediction"))
    wrong = (target != said).mean(axis=1)
    exact = (wrong == 0).astype(np.float64)
    hit = target & said
    mentioned = target.sum(axis=1) + said.sum(axis=1)
    of_rows = np.divide(2.0 * hit.sum(axis=1), mentioned, out=np.ones(len(target)), where=mentioned > 0)
    # (k, n): of a thousand labels a row has a few.
    both, has, says = (csc_array(matrix, dtype=np.float64).T for matrix in (hit, target, said))

    def measure(weight: np.ndarray) -> dict[str, Any]:
        hits, have, called = both @ weight, has @ weight, says @ weight
        f1 = ratio(2 * hits, have + called)
        values: dict[str, Any] = {
            "f1_micro": float(ratio(2 * hits.sum(keepdims=True), (have + called).sum(keepdims=True))[0]),
            "f1_macro": _mean(f1[have + called > 0]),
            "f1_samples": weighted_mean(of_rows, weight),
            "subset_accuracy": weighted_mean(exact, weight),
            "hamming_loss": weighted_mean(wrong, weight),
        }
        single = {"precision": ratio(hits, called), "recall": ratio(hits, have)}
        return values | single | {"f1": np.where(have > 0, f1, math.nan)}

    return measure


def ranking_family(columns: Columns, labels: tuple[str, ...]) -> Measure:
    """A label without a row has no average precision, and one without a row that lacks it no ROC; the means are over
    the others, so that a rare label that a resample lacks does not take the figure away."""
    target = flag_column(columns, "target", len(labels)) > 0
    probabilities = share_column(columns, "probabilities", len(labels))
    names = {"roc": "roc_auc", "precision": "mean_average_precision", "each": "average_precision"}
    rows, having = np.nonzero(target)
    return mean_areas(probabilities, np.arange(len(labels)), (rows, having), names)


def flag_column(columns: Columns, name: str, num_labels: int) -> np.ndarray:
    """A column of (n, k) zeros and ones, int64.

    Raises:
        DataError: the column is missing, has another shape, or holds anything else.
    """
    values = column(columns, name)
    if values.ndim != 2 or values.shape[1] != num_labels or not np.isin(values, (0, 1)).all():
        raise DataError(
            f"column '{name}' must hold 0 or 1 for each of {num_labels} labels, not {values.dtype} {values.shape}"
        )
    return values.astype(np.int64)


def share_column(columns: Columns, name: str, num_labels: int) -> np.ndarray:
    """A column of (n, k) probabilities, float64; rows need not sum to 1.

    Raises:
        DataError: the column is missing, has another shape, or leaves 0-1.
    """
    values = column(columns, name)
    # Written so that nan, for which every comparison is false, counts as wrong.
    if values.ndim != 2 or values.shape[1] != num_labels or not ((values >= 0) & (values <= 1)).all():
        raise DataError(
            f"column '{name}' must hold {num_labels} probabilities in 0-1 a row, not {values.dtype} {values.shape}"
        )
    return values.astype(np.float64)


def _of_single_labels(labels: tuple[str, ...], ranked: Family, counted: Family) -> dict[str, Metric]:
    metrics: dict[str, Metric] = {}
    within = partial(Metric, bounds=UNIT)
    for index, label in enumerate(labels):
        absent = f"no row has '{label}'"
        for name, given, other, description, undefined in (
            (
                "precision",
                "prediction",
                "target",
                f"right of the rows called '{label}'",
                f"no row was called '{label}'",
            ),
            ("recall", "target", "prediction", f"found of the rows with '{label}'", absent),
        ):
            metrics[f"{name}[{label}]"] = within(
                Shared(counted, name, index),
                trials=partial(_right_where, given=given, other=other, index=index),
                among=partial(_has, name=given, index=index),
                description=f"share {description}",
                undefined=undefined,
                words=SHARE,
            )
        for name, family, description in (
            ("f1", counted, "harmonic mean of precision and recall"),
            ("average_precision", ranked, "area under the precision-recall curve"),
        ):
            metrics[f"{name}[{label}]"] = within(
                Shared(family, name, index), description=f"{description} of '{label}'", undefined=absent
            )
    return metrics


def _rows_right(columns: Columns, num_labels: int) -> np.ndarray:
    right: np.ndarray = (
        flag_column(columns, "target", num_labels) == flag_column(columns, "prediction", num_labels)
    ).all(axis=1)
    return right


def _right_where(columns: Columns, given: str, other: str, index: int) -> np.ndarray:
    """Of the rows where `given` has the label, whether `other` has it too. Unchecked, since the families have been."""
    return np.asarray(_has(columns, other, index)[_has(columns, given, index)])


def _has(columns: Columns, name: str, index: int) -> np.ndarray:
    rows: np.ndarray = np.asarray(columns[name])[:, index] > 0
    return rows


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan
