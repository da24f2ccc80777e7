"""The figures of a classifier, from the columns "target" (n,), "prediction" (n,) and "probabilities" (n, k).

Classes are numbered 0 .. k - 1 in the order of their labels. With two classes, the last is the positive one.

    metrics = classification_metrics(["cat", "dog"])
    estimates = estimate(metrics, columns)      # estimates["recall[cat]"].low

Axis letters: n rows, k classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from pervade.core.errors import ConfigError
from pervade.core.words import NUMBER, SHARE, FigureWords
from pervade.metrics.baseline import beside
from pervade.metrics.calibration import NUM_BINS, brier_scores, calibration_error, log_losses, top_class
from pervade.metrics.columns import Columns, class_column, count_rows, probability_column
from pervade.metrics.confusion import confusion_values
from pervade.metrics.estimate import UNIT, Family, Measure, Metric, Shared, weighted_mean
from pervade.metrics.ranking import mean_areas

RIGHT = FigureWords(
    "Right answers (accuracy)",
    "share",
    size="share of right answers",
    reached="right on",
    sentence="On {rows}, it was right on {value}.",
    baseline="{name} would be right on {value} of the same {n}",
)
# What a constant answer can be measured by: precision of a class it never names says nothing.
BASELINE_METRICS = ("accuracy", "balanced_accuracy", "f1_macro", "f1_weighted")


def classification_metrics(labels: Sequence[str]) -> dict[str, Metric]:
    """All figures of a classifier, in the order a reader wants them; those of single classes are `recall[cat]`.

    Precision, recall and F1 of a class are missing where there are no rows to compute them from (see
    `confusion_values` for how the averages count such a class).

    Args:
        labels: (k,) names of the classes, by their number; at least two, none twice.

    Raises:
        ConfigError: fewer than two labels, or a label twice.
    """
    labels = tuple(labels)
    if len(labels) < 2:
        raise ConfigError(f"a classifier needs at least 2 labels, not {len(labels)}: {', '.join(labels) or 'none'}")
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise ConfigError(f"labels must differ; these stand there twice: {', '.join(twice)}")
    family = partial(confusion_family, num_classes=len(labels))
    return _averages(labels, family) | _rankings(labels) | _calibrations(labels) | _of_single_classes(labels, family)


def majority_baseline(columns: Columns, labels: Sequence[str], majority: int) -> dict[str, Any]:
    """What always answering one class reaches on these rows beside the answers given (see `baseline.beside`): accuracy,
    balanced_accuracy, f1_macro, f1_weighted, and the recall of each class.

    Args:
        majority: the most frequent class OF THE TRAINING SPLIT. Taking it from these rows would let the baseline see
            the answers.

    Raises:
        ConfigError: majority is no class.
        DataError: as `estimate`.
    """
    if not 0 <= majority < len(labels):
        raise ConfigError(f"majority is {majority}; allowed are 0 to {len(labels) - 1}")
    constant = {**columns, "prediction": np.full(count_rows(columns), majority, np.int64)}
    metrics = classification_metrics(labels)
    chosen = {name: metrics[name] for name in (*BASELINE_METRICS, *(f"recall[{label}]" for label in labels))}
    name = f"always {labels[majority]!r}, the most frequent class in training"
    return beside(name, chosen, constant, columns)


# Families: what is done once a file, and in it what is done once a resample.


def confusion_family(columns: Columns, num_classes: int) -> Measure:
    target = class_column(columns, "target", num_classes)
    prediction = class_column(columns, "prediction", num_classes)
    right = np.flatnonzero(target == prediction)
    hit = target[right]

    def measure(weight: np.ndarray) -> Mapping[str, Any]:
        hits = np.bincount(hit, weight[right], num_classes)
        return confusion_values(
            hits, np.bincount(target, weight, num_classes), np.bincount(prediction, weight, num_classes)
        )

    return measure


def ranking_family(columns: Columns, num_classes: int) -> Measure:
    """Two classes: of the last. More: one against the rest, averaged over the classes for which it is defined, so that
    a rare class that a resample lacks does not take the figure away."""
    target = class_column(columns, "target", num_classes)
    probabilities = probability_column(columns, num_classes)
    classes = np.array([1]) if num_classes == 2 else np.unique(target)
    rows = np.flatnonzero(np.isin(target, classes))
    positives = rows, np.searchsorted(classes, target[rows])
    return mean_areas(probabilities, classes, positives, {"roc": "roc_auc", "precision": "pr_auc"})


def calibration_family(columns: Columns, num_classes: int) -> Measure:
    target = class_column(columns, "target", num_classes)
    probabilities = probability_column(columns, num_classes)
    losses, brier = log_losses(probabilities, target), brier_scores(probabilities, target)
    confidence, correct, bin_index = top_class(probabilities, target, NUM_BINS)
    gap = correct - confidence
    return lambda weight: {
        "log_loss": weighted_mean(losses, weight),
        "brier": weighted_mean(brier, weight),
        "ece": calibration_error(gap, bin_index, weight, NUM_BINS),
    }


# Metrics: names, words and trials for what the families compute.


def _averages(labels: tuple[str, ...], family: Family) -> dict[str, Metric]:
    balanced = "Right answers, each class counting the same (balanced accuracy)"
    told = {
        "balanced_accuracy": ("mean recall of the classes that have rows", FigureWords(balanced, "share")),
        "precision_macro": ("mean precision of the classes that occur", averaged("precision", "macro")),
        "recall_macro": ("mean recall of the classes that occur", averaged("recall", "macro")),
        "f1_macro": ("mean F1 of the classes that occur", averaged("f1", "macro")),
        "precision_weighted": ("precision averaged over classes by their rows", averaged("precision", "weighted")),
        "f1_weighted": ("F1 averaged over classes by their rows", averaged("f1", "weighted")),
    }
    averages = {
        name: Metric(Shared(family, name), description=text, bounds=UNIT, words=words)
        for name, (text, words) in told.items()
    }
    right, text = partial(_right, num_classes=len(labels)), "share of rows right"
    accuracy = Metric(Shared(family, "accuracy"), trials=right, description=text, bounds=UNIT, words=RIGHT)
    return {"accuracy": accuracy} | averages


def averaged(figure: str, how: str) -> FigureWords:
    """Words of precision, recall or F1, averaged over classes ("macro"), over rows ("weighted"), or of all answers to
    all labels together ("micro"), as scikit-learn and the Hub call it."""
    over = {"macro": "mean over classes", "weighted": "mean over rows", "micro": "of all answers together"}[how]
    kind = NUMBER if figure == "f1" else SHARE
    return replace(kind, title=f"{figure.capitalize()}, {over}", hub=figure, hub_arguments={"average": how})


def _rankings(labels: tuple[str, ...]) -> dict[str, Metric]:
    family = partial(ranking_family, num_classes=len(labels))
    which = f"of '{labels[1]}'" if len(labels) == 2 else "one class against the rest, mean over classes"
    lacks = "needs rows of at least two classes" if len(labels) > 2 else f"needs rows of both classes, {labels}"
    positive = f"no row is of class '{labels[1]}'"
    told = {
        "roc_auc": ("Area under the ROC curve", f"area under the ROC curve, {which}", lacks),
        "pr_auc": ("Area under the precision-recall curve", f"average precision, {which}", positive),
    }
    return {
        name: Metric(Shared(family, name), description=text, undefined=why, bounds=UNIT, words=FigureWords(title))
        for name, (title, text, why) in told.items()
    }


def _calibrations(labels: tuple[str, ...]) -> dict[str, Metric]:
    family = partial(calibration_family, num_classes=len(labels))
    brier = "in [0, 1]" if len(labels) == 2 else "summed over classes, in [0, 2]"
    ece = f"expected calibration error of the top probability, {NUM_BINS} bins of equal width"
    told = {
        "log_loss": (FigureWords("Log-loss"), "mean -ln probability of the true class, in nats", math.inf),
        "brier": (
            FigureWords("Brier score", hub="brier_score"),
            f"mean squared error of the probabilities, {brier}",
            1.0 if len(labels) == 2 else 2.0,
        ),
        "ece": (FigureWords("Expected calibration error"), ece, 1.0),
    }
    return {
        name: Metric(Shared(family, name), higher_is_better=False, description=text, bounds=(0.0, most), words=words)
        for name, (words, text, most) in told.items()
    }


def _of_single_classes(labels: tuple[str, ...], family: Family) -> dict[str, Metric]:
    metrics: dict[str, Metric] = {}
    within = partial(Metric, bounds=UNIT)
    for index, label in enumerate(labels):
        absent = f"no row is of class '{label}'"
        for name, column, among, undefined in (
            ("precision", "prediction", f"called '{label}'", f"no row was called '{label}'"),
            ("recall", "target", f"of class '{label}'", absent),
        ):
            metrics[f"{name}[{label}]"] = within(
                Shared(family, name, index),
                trials=partial(_right_where, column=column, index=index),
                among=partial(_is, column=column, index=index),
                description=f"share right of the rows {among}",
                undefined=undefined,
                words=SHARE,
            )
        metrics[f"f1[{label}]"] = within(
            Shared(family, "f1", index),
            description=f"harmonic mean of precision and recall of '{label}'",
            undefined=absent,
        )
    return metrics


def _right(columns: Columns, num_classes: int) -> np.ndarray:
    return np.asarray(class_column(columns, "target", num_classes) == class_column(columns, "prediction", num_classes))


def _right_where(columns: Columns, column: str, index: int) -> np.ndarray:
    """Unchecked, since the family has been: with a thousand classes it would be checked two thousand times."""
    chosen = np.flatnonzero(_is(columns, column, index))
    return np.asarray(columns["target"][chosen] == columns["prediction"][chosen])


def _is(columns: Columns, column: str, index: int) -> np.ndarray:
    return np.asarray(columns[column] == index)
