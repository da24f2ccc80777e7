"""Estimates keep their promises: coverage, groups, seeds, and honest silence where nothing can be said."""

import json
import math
import time

import numpy as np
import pytest

from pervade.core.errors import DataError
from pervade.metrics.classification import classification_metrics
from pervade.metrics.estimate import (
    FEWEST_RESAMPLES,
    Metric,
    Shared,
    affordable,
    bootstrap,
    estimate,
    weighted_mean,
)

ACCURACY = Metric(
    lambda columns, weight: weighted_mean(columns["right"].astype(float), weight),
    trials=lambda columns: columns["right"],
)
MEAN = Metric(lambda columns, weight: weighted_mean(columns["right"].astype(float), weight))


def file_of(right, group=None):
    right = np.asarray(right)
    rows = np.arange(len(right))
    return {"row": rows, "group": rows if group is None else np.asarray(group), "right": right}


def classified(n, k, seed=0):
    generator = np.random.default_rng(seed)
    target = generator.integers(0, k, n)
    logits = generator.normal(size=(n, k))
    logits[np.arange(n), target] += 1.5
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows = np.arange(n)
    prediction = probabilities.argmax(axis=1)
    return {"row": rows, "group": rows, "target": target, "probabilities": probabilities, "prediction": prediction}


def test_independent_proportions_get_wilson():
    found = estimate({"accuracy": ACCURACY}, file_of(np.arange(263) < 81))["accuracy"]
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert (found.value, found.n, found.method) == (81 / 263, 263, "Wilson")


@pytest.mark.parametrize(("metric", "method"), [(ACCURACY, "Wilson"), (MEAN, "bootstrap of 1,000 resamples by row")])
def test_intervals_cover_the_truth_as_often_as_promised(metric, method):
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        found = estimate({"it": metric}, file_of(generator.random(150) < 0.8), seed=trial)["it"]
        assert found.method == method
        covered += found.low <= 0.8 <= found.high
    assert 180 <= covered <= 198


def test_bootstrap_by_group_covers_where_rows_repeat_each_other():
    """Five copies of each answer: as if there were 150 rows. By row, such an interval would cover about 62%."""
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        right = np.repeat(generator.random(150) < 0.8, 5)
        found = estimate({"it": ACCURACY}, file_of(right, np.repeat(np.arange(150), 5)), seed=trial)["it"]
        covered += found.low <= 0.8 <= found.high
    assert found.method == "bootstrap of 1,000 resamples by group"
    assert 180 <= covered <= 198


def test_by_group_is_wider_where_rows_repeat_each_other():
    right = np.repeat(np.random.default_rng(0).random(60) < 0.7, 4)
    by_row = estimate({"it": MEAN}, file_of(right))["it"]
    by_group = estimate({"it": MEAN}, file_of(right, np.repeat(np.arange(60), 4)))["it"]
    # Four copies of a row hold a quarter of the information, so the interval is twice as wide.
    assert (by_group.high - by_group.low) / (by_row.high - by_row.low) == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize("groups", [3, 6, 9])
def test_few_groups_cover_as_often_as_promised(groups):
    """Speakers who differ, 40 recordings each: what a resampling of three would hold in 3 of 4 cases."""
    generator = np.random.default_rng(groups)
    covered = 0
    for trial in range(200):
        shares = np.clip(generator.normal(0.8, 0.06, groups), 0, 1)
        right = (generator.random((groups, 40)) < shares[:, None]).ravel()
        found = estimate({"it": ACCURACY}, file_of(right, np.repeat(np.arange(groups), 40)), seed=trial)["it"]
        covered += found.low <= 0.8 <= found.high
    assert found.method == f"jackknife over {groups} groups, with Student's t"
    assert 180 <= covered <= 199


def test_of_few_groups_what_one_alone_defines_has_no_interval():
    """Of class b there are rows of one group only: without it nobody knows."""
    target = np.array([0, 0, 0, 0, 1, 1])
    columns = {
        "group": np.array([0, 0, 1, 1, 2, 2]),
        "target": target,
        "prediction": target,
        "probabilities": np.eye(2)[target],
    }
    found = estimate(classification_metrics(["a", "b"]), columns)
    assert found["recall[b]"].value == 1
    assert found["recall[b]"].why == "it is not defined without one of the 3 groups: no row is of class 'b'"
    assert found["f1_macro"].why == "every group gives the same value, so it cannot be told how sure it is"


@pytest.mark.parametrize("groups", [3, 9, 10, 40])
@pytest.mark.parametrize("right", [True, False])
def test_what_is_alike_in_every_group_has_an_exact_interval_over_groups(groups, right):
    """By hand: all of g groups right is as likely as 2.5% where a share of 0.025^(1/g) of groups is."""
    found = estimate({"it": ACCURACY}, file_of([right] * (4 * groups), np.arange(4 * groups) // 4))["it"]
    least = 0.025 ** (1 / groups)
    assert (found.low, found.high) == pytest.approx((least, 1.0) if right else (0.0, 1 - least))
    assert found.method == f"Clopper-Pearson over {groups} groups, which are all alike"
    assert found.why == ""


def test_only_groups_that_have_rows_of_a_class_speak_of_it():
    """Twelve groups of two rows; class b stands in the last three of them, and all are right."""
    group = np.arange(24) // 2
    target = ((group >= 9) & (np.arange(24) % 2 == 0)).astype(int)
    columns = {"group": group, "target": target, "prediction": target, "probabilities": np.eye(2)[target]}
    found = estimate(classification_metrics(["a", "b"]), columns)
    assert (found["recall[b]"].low, found["recall[b]"].high) == pytest.approx((0.025 ** (1 / 3), 1.0))
    assert found["accuracy"].low == pytest.approx(0.025 ** (1 / 12))


def test_of_few_groups_no_interval_leaves_its_bounds():
    columns = {
        "group": np.arange(30) // 10,
        "target": (np.arange(30) != 19).astype(int),
        "prediction": np.ones(30, int),
        "probabilities": np.tile([0.3, 0.7], (30, 1)),
    }
    found = estimate(classification_metrics(["a", "b"]), columns)["accuracy"]
    assert found.low < found.value < found.high == 1.0


def test_same_seed_same_estimates_whatever_the_order_of_the_rows():
    columns = classified(80, 3)
    metrics = classification_metrics(["a", "b", "c"])
    first = estimate(metrics, columns, seed=4)
    assert first == estimate(metrics, columns, seed=4)
    assert first["f1_macro"] != estimate(metrics, columns, seed=5)["f1_macro"]
    order = np.random.default_rng(1).permutation(80)
    shuffled = estimate(metrics, {name: values[order] for name, values in columns.items()}, seed=4)
    for name, found in first.items():
        assert (shuffled[name].low, shuffled[name].high) == pytest.approx((found.low, found.high), abs=1e-12)


def test_bootstrap_pairs_two_checkpoints_on_the_same_rows():
    """Checkpoint 2 is right wherever 1 is, and on one row more: in every resample it is ahead by that row's count."""
    right = np.random.default_rng(0).random(50) < 0.6
    better = right.copy()
    better[np.flatnonzero(~right)[0]] = True
    first, second = (bootstrap({"it": MEAN}, file_of(each), seed=7)["it"] for each in (right, better))
    assert (second - first >= -1e-12).all()
    assert (second - first).mean() == pytest.approx(1 / 50, rel=0.15)


def test_a_family_is_prepared_once_and_computed_once_a_resample():
    calls = {"prepared": 0, "computed": 0}

    def family(columns):
        calls["prepared"] += 1

        def measure(weight):
            calls["computed"] += 1
            return {"mean": weighted_mean(columns["right"].astype(float), weight), "rows": weight.sum()}

        return measure

    metrics = {"mean": Metric(Shared(family, "mean")), "rows": Metric(Shared(family, "rows"))}
    drawn = bootstrap(metrics, file_of(np.arange(10) < 6), resamples=25)
    assert calls == {"prepared": 1, "computed": 25}
    assert (drawn["rows"] == 10).all()
    assert (drawn["mean"] == bootstrap({"mean": MEAN}, file_of(np.arange(10) < 6), resamples=25)["mean"]).all()


def test_large_files_get_fewer_resamples_and_say_so(monkeypatch):
    monkeypatch.setattr("pervade.metrics.estimate.WORK_LIMIT", 100 * 300)
    found = estimate({"it": MEAN}, file_of(np.arange(100) < 60))["it"]
    assert found.method == "bootstrap of 300 resamples by row (1,000 asked, fewer for the size of the file)"
    assert affordable(1000, 10**9, 100) == FEWEST_RESAMPLES
    assert affordable(50, 10**9, 100) == 50


@pytest.mark.parametrize(
    ("groups", "within"), [(1, "within the one group that there is"), (2, "within the two groups that there are")]
)
def test_of_one_group_or_two_the_interval_speaks_of_these_alone(groups, within):
    right = np.arange(40) % 4 > 0
    found = estimate({"it": MEAN}, file_of(right, np.arange(40) % groups))["it"]
    own = estimate({"it": MEAN}, file_of(right))["it"]
    assert (found.value, found.low, found.high) == (own.value, own.low, own.high)
    assert found.method == f"{own.method}, {within}: another may differ"


def test_metrics_that_read_the_groups_see_them_where_there_are_two():
    """People who are told apart, say."""
    seen = []

    def family(columns):
        seen.append(len(np.unique(columns["group"])))
        return lambda weight: {"it": weight.mean()}

    estimate({"it": Metric(Shared(family, "it"))}, file_of(np.arange(40) % 4 > 0, np.arange(40) % 2))
    assert set(seen) == {2}


def test_one_row_has_a_value_but_no_interval():
    found = estimate({"it": MEAN}, file_of([True], [0]))["it"]
    assert found.value == 1.0
    assert math.isnan(found.low)
    assert "one row" in found.why


def test_one_row_has_wilson_for_proportions_and_nothing_else():
    found = estimate({"proportion": ACCURACY, "other": MEAN}, file_of([True]))
    assert found["proportion"].low == pytest.approx(1 / (1 + 3.841459), abs=1e-6)
    assert found["other"].as_dict()["low"] is None


def test_no_certainty_is_claimed_where_every_resample_agrees():
    found = estimate({"it": MEAN}, file_of([True] * 20))["it"]
    assert found.value == 1
    assert math.isnan(found.low)
    assert "same value" in found.why


def test_undefined_values_are_none_in_json_with_a_reason():
    nothing = Metric(lambda columns, weight: math.nan, undefined="no cats here")
    record = estimate({"it": nothing}, file_of([True, False]))["it"].as_dict()
    assert record["value"] is record["low"] is record["high"] is None
    assert record["why"] == "no cats here"
    assert "NaN" not in json.dumps(record)


def test_resamples_in_which_a_metric_is_undefined_are_counted():
    def share_of_rare(columns, weight):
        return 0.5 + weight[1] / 10 if weight[0] > 0 else math.nan

    found = estimate({"it": Metric(share_of_rare)}, file_of([True] * 10))["it"]
    left_out = int(found.method.split(", ")[1].split()[0])
    # A row is missing from a resample with probability (1 - 1/10)^10 = 0.349.
    assert 300 <= left_out <= 400
    assert found.low < found.high


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "no rows"),
        (file_of([]), "no rows"),
        ({"right": np.array([True])}, "no column 'group'"),
        ({"group": np.arange(2), "right": np.array([True])}, "differ in length"),
    ],
)
def test_files_that_cannot_be_used_are_refused(columns, message):
    with pytest.raises(DataError, match=message):
        estimate({"it": MEAN}, columns)


def test_weights_of_another_length_are_refused():
    with pytest.raises(DataError, match="weighted"):
        weighted_mean(np.ones(3), np.ones(2))


def test_no_metrics_no_estimates():
    assert estimate({}, file_of([True, False])) == {}


def test_a_thousand_rows_take_well_under_two_seconds():
    columns, metrics = classified(1000, 5), classification_metrics(list("abcde"))
    start = time.process_time()
    estimate(metrics, columns)
    # Measured 0.2 s; the room is for a loaded machine.
    assert time.process_time() - start < 1.5


def test_what_is_not_to_be_resampled_has_a_value_and_a_reason():
    """Rows drawn twice would change it: here the share of rows that are there once."""

    def once(columns, weight):
        return float((weight == 1).sum() / (weight > 0).sum())

    columns = file_of(np.arange(20) % 2 == 0)
    found = estimate({"once": Metric(once, resampled=False), "mean": MEAN}, columns)
    assert found["once"].value == 1.0
    assert math.isnan(found["once"].low)
    assert math.isnan(found["once"].high)
    assert "rows drawn several times" in found["once"].why
    assert found["once"].method == "none"
    assert found["mean"].low < 0.5 < found["mean"].high
    assert estimate({"once": Metric(once)}, columns)["once"].high < 1.0
    grouped = file_of(columns["right"], np.arange(20) // 4)
    assert math.isnan(estimate({"once": Metric(once, resampled=False)}, grouped)["once"].low)
