"""Figures of a classifier against scikit-learn, and by hand where the conventions are our own."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from pervade.core.errors import ConfigError, DataError
from pervade.metrics.classification import classification_metrics, majority_baseline
from pervade.metrics.confusion import confusion_matrix
from pervade.metrics.estimate import estimate, measure


@st.composite
def files(draw, num_classes=None):
    """A small predictions file with many tied scores and, often, classes without rows or predictions."""
    k = num_classes or draw(st.integers(2, 5))
    n = draw(st.integers(1, 40))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # Few distinct scores, so that ties are the rule; sharper for some files, so that some are nearly perfect.
    scores = generator.integers(1, 5, (n, k)).astype(float) ** draw(st.integers(1, 4))
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    return {
        "row": np.arange(n),
        "group": np.arange(n),
        "target": generator.integers(0, draw(st.integers(1, k)), n),
        "prediction": probabilities.argmax(axis=1),
        "probabilities": probabilities,
    }


def labels_of(columns):
    return [f"c{index}" for index in range(columns["probabilities"].shape[1])]


def values_of(columns, weight=None):
    return measure(classification_metrics(labels_of(columns)), columns)(
        np.ones(len(columns["target"])) if weight is None else weight
    )


def expected(columns, weight):
    """The same figures by scikit-learn; those it has no value for are left out."""
    target, prediction, probabilities = columns["target"], columns["prediction"], columns["probabilities"]
    k = probabilities.shape[1]
    weighted = {"sample_weight": weight}
    found = {"accuracy": reference.accuracy_score(target, prediction, **weighted)}
    with warnings.catch_warnings():
        # It warns of predicted classes without rows, which these files have on purpose.
        warnings.simplefilter("ignore")
        found["balanced_accuracy"] = reference.balanced_accuracy_score(target, prediction, **weighted)
    for average in ("macro", "weighted"):
        figures = reference.precision_recall_fscore_support(
            target, prediction, average=average, zero_division=0, **weighted
        )
        found |= {
            f"{name}_{average}": value for name, value in zip(("precision", "recall", "f1"), figures, strict=False)
        }
    # Recall weighted by rows is accuracy, so we do not list it.
    assert found.pop("recall_weighted") == pytest.approx(found["accuracy"], abs=1e-9)
    figures = reference.precision_recall_fscore_support(
        target, prediction, labels=range(k), average=None, zero_division=math.nan, **weighted
    )
    for name, per_class in zip(("precision", "recall"), figures, strict=False):
        found |= {f"{name}[c{index}]": value for index, value in enumerate(per_class)}
    found |= {f"f1[c{index}]": figures[2][index] if (target == index).any() else math.nan for index in range(k)}
    one_hot = np.arange(k) == target[:, None]
    found["log_loss"] = reference.log_loss(target, probabilities, labels=range(k), **weighted)
    found["brier"] = reference.brier_score_loss(target, probabilities, labels=list(range(k)), **weighted)
    positive = [1] if k == 2 else sorted(set(target))
    found["pr_auc"] = np.mean(
        [
            reference.average_precision_score(one_hot[:, each], probabilities[:, each], **weighted)
            if one_hot[:, each].any()
            else math.nan
            for each in positive
        ]
    )
    found["roc_auc"] = np.mean(
        [
            reference.roc_auc_score(one_hot[:, each], probabilities[:, each], **weighted)
            if 0 < one_hot[:, each].sum() < len(target)
            else math.nan
            for each in positive
        ]
    )
    return found


def assert_same(found, wanted):
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name


@given(files())
@settings(deadline=None)
def test_every_figure_agrees_with_scikit_learn(columns):
    found = values_of(columns)
    wanted = expected(columns, np.ones(len(columns["target"])))
    assert set(found) - set(wanted) == {"ece"}
    assert_same(found, wanted)


@given(files(), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_weighted_figures_agree_with_scikit_learn(columns, seed):
    weight = np.random.default_rng(seed).uniform(0.1, 3, len(columns["target"]))
    assert_same(values_of(columns, weight), expected(columns, weight))


@given(files(), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_a_row_of_weight_3_is_the_row_three_times_and_of_weight_0_not_there(columns, seed):
    weight = np.random.default_rng(seed).integers(0, 4, len(columns["target"]))
    weight[0] += weight.sum() == 0
    repeated = {name: np.repeat(values, weight, axis=0) for name, values in columns.items()}
    assert_same(values_of(columns, weight.astype(float)), values_of(repeated))


@pytest.mark.parametrize("k", [2, 4])
def test_areas_agree_with_scikit_learn_on_a_large_file(k):
    generator = np.random.default_rng(0)
    target = generator.integers(0, k, 5000)
    # Hundredths, so that a score is shared by hundreds of rows.
    probabilities = generator.multinomial(100, generator.dirichlet(np.ones(k), 5000) * 0.7 + 0.3 * np.eye(k)[target])
    rows = np.arange(5000)
    columns = {"row": rows, "group": rows, "target": target, "probabilities": probabilities / 100}
    found = values_of(columns | {"prediction": probabilities.argmax(axis=1)})
    scores = columns["probabilities"][:, 1] if k == 2 else columns["probabilities"]
    wanted = reference.roc_auc_score(target, scores, multi_class="ovr", average="macro")
    assert found["roc_auc"] == pytest.approx(wanted, abs=1e-9)
    assert found["pr_auc"] == pytest.approx(reference.average_precision_score(target, scores), abs=1e-9)


@given(files())
@settings(deadline=None)
def test_confusion_matrix_agrees_with_scikit_learn(columns):
    k = columns["probabilities"].shape[1]
    found = confusion_matrix(columns["target"], columns["prediction"], k)
    assert (found == reference.confusion_matrix(columns["target"], columns["prediction"], labels=range(k))).all()
    assert found.dtype == np.int64


@given(files())
@settings(deadline=None, max_examples=30)
def test_proportions_are_the_mean_of_their_trials(columns):
    metrics = classification_metrics(labels_of(columns))
    for name, value in values_of(columns).items():
        trials = metrics[name].trials
        if trials:
            outcomes = trials(columns)
            assert value == pytest.approx(outcomes.mean() if len(outcomes) else math.nan, nan_ok=True)


def by_hand(group=None):
    """Six cats of which 3 are right, four dogs of which 4 are; no fox, and none predicted."""
    target = np.array([0] * 6 + [1] * 4)
    prediction = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 1])
    probabilities = np.full((10, 3), 0.1)
    probabilities[np.arange(10), prediction] = 0.8
    rows = np.arange(10)
    group = rows if group is None else group
    return {"row": rows, "group": group, "target": target, "prediction": prediction, "probabilities": probabilities}


def test_estimates_by_hand():
    found = estimate(classification_metrics(["cat", "dog", "fox"]), by_hand())
    assert (found["accuracy"].value, found["accuracy"].n) == (0.7, 10)
    assert (found["recall[cat]"].value, found["recall[cat]"].n) == (0.5, 6)
    assert (found["precision[cat]"].value, found["precision[cat]"].n) == (1.0, 3)
    assert found["precision[dog]"].value == pytest.approx(4 / 7)
    assert found["f1[cat]"].value == pytest.approx(2 / 3)
    assert found["f1_macro"].value == pytest.approx((2 / 3 + 8 / 11) / 2)
    assert found["balanced_accuracy"].value == 0.75
    assert found["recall[cat]"].method == found["precision[dog]"].method == "Wilson"
    assert found["f1[cat]"].n == found["log_loss"].n == 10
    assert found["log_loss"].value == pytest.approx(-0.7 * math.log(0.8) - 0.3 * math.log(0.1))
    assert found["brier"].value == pytest.approx(0.7 * (0.04 + 0.01 + 0.01) + 0.3 * (0.64 + 0.81 + 0.01))
    # Every row lies in the bin of 0.8, where 0.7 are right.
    assert found["ece"].value == pytest.approx(0.1)


def test_a_class_without_rows_is_missing_with_a_reason():
    found = estimate(classification_metrics(["cat", "dog", "fox"]), by_hand())
    for name, why in {
        "recall[fox]": "no row is of class 'fox'",
        "f1[fox]": "no row is of class 'fox'",
        "precision[fox]": "no row was called 'fox'",
    }.items():
        assert found[name].as_dict()["value"] is None
        assert found[name].why == why
    assert found["recall[fox]"].n == 0


def test_dependent_rows_take_no_wilson():
    found = estimate(classification_metrics(["cat", "dog", "fox"]), by_hand(np.arange(10) // 2))
    assert found["accuracy"].method == "jackknife over 5 groups, with Student's t"
    assert found["recall[cat]"].n == 6


@pytest.mark.parametrize("only", [0, 1])
def test_one_class_only(only):
    """Areas need both classes; everything else still has its value."""
    columns = by_hand() | {"target": np.full(10, only), "probabilities": np.tile([0.4, 0.6], (10, 1))}
    found = estimate(classification_metrics(["cat", "dog"]), columns | {"prediction": np.ones(10, int)})
    assert math.isnan(found["roc_auc"].value)
    assert "both classes" in found["roc_auc"].why
    assert found["accuracy"].value == only
    assert found["pr_auc"].value == pytest.approx(1.0 if only else math.nan, nan_ok=True)
    assert found["log_loss"].value == pytest.approx(-math.log(0.6 if only else 0.4))


def test_one_row():
    columns = {name: values[:1] for name, values in by_hand().items()}
    found = estimate(classification_metrics(["cat", "dog", "fox"]), columns)
    assert found["accuracy"].value == 1
    assert found["accuracy"].low > 0
    assert found["log_loss"].as_dict()["low"] is None


def test_impossible_rows_cost_what_the_type_can_tell_apart():
    for dtype, nats in ((np.float32, 15.9424), (np.float64, 36.0437)):
        columns = by_hand() | {"probabilities": np.tile(np.array([0, 0, 1], dtype), (10, 1))}
        assert values_of(columns)["log_loss"] == pytest.approx(nats, abs=1e-4)


def test_majority_baseline_by_hand():
    found = majority_baseline(by_hand(), ["cat", "dog", "fox"], majority=0)
    figures = found["metrics"]
    recalls = ["recall[cat]", "recall[dog]", "recall[fox]"]
    assert list(figures) == ["accuracy", "balanced_accuracy", "f1_macro", "f1_weighted", *recalls]
    assert (figures["accuracy"]["value"], figures["accuracy"]["method"]) == (0.6, "Wilson")
    assert figures["balanced_accuracy"]["value"] == 0.5
    assert figures["f1_macro"]["value"] == pytest.approx(0.75 / 2)
    assert figures["f1_weighted"]["value"] == pytest.approx(0.75 * 0.6)
    # Dogs are the majority of training: that they are not here is what the baseline must show.
    assert majority_baseline(by_hand(), ["cat", "dog", "fox"], majority=1)["metrics"]["accuracy"]["value"] == 0.4


def test_the_direction_of_every_metric_is_known():
    lower = {name for name, metric in classification_metrics(["a", "b"]).items() if not metric.higher_is_better}
    assert lower == {"log_loss", "brier", "ece"}


@pytest.mark.parametrize("labels", [[], ["cat"], ["cat", "dog", "cat"]])
def test_labels_that_cannot_be_are_refused(labels):
    with pytest.raises(ConfigError, match="labels"):
        classification_metrics(labels)


def test_a_majority_that_is_no_class_is_refused():
    with pytest.raises(ConfigError, match="majority is 3"):
        majority_baseline(by_hand(), ["cat", "dog", "fox"], majority=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": np.full(10, 3)}, "'target' at position 0 is 3; allowed are 0 to 2"),
        ({"target": np.full(10, -1)}, "'target' at position 0 is -1"),
        ({"prediction": np.full(10, 0.5)}, "must hold one class index"),
        ({"probabilities": np.full((10, 2), 0.5)}, r"shape \(rows, 3\)"),
        ({"probabilities": np.full((10, 3), np.nan)}, "sums to nan"),
        ({"probabilities": np.full((10, 3), 0.5)}, "sums to 1.5"),
        ({"probabilities": np.tile([-1.0, 1, 1], (10, 1))}, "lowest -1"),
    ],
)
def test_columns_that_cannot_be_are_refused_by_name(change, message):
    with pytest.raises(DataError, match=message):
        estimate(classification_metrics(["cat", "dog", "fox"]), by_hand() | change)
