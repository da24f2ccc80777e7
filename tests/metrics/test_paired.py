"""Paired tests: worked by hand, against scipy, and kept to the error rates that they promise."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from pervade.core.errors import DataError
from pervade.metrics.classification import classification_metrics
from pervade.metrics.estimate import Metric, weighted_mean
from pervade.metrics.paired import differences, discordant, holm, mcnemar

RIGHT = Metric(
    lambda columns, weight: weighted_mean(columns["right"].astype(float), weight),
    trials=lambda columns: columns["right"],
)
ERROR = Metric(lambda columns, weight: weighted_mean(columns["error"], weight), higher_is_better=False)


def file_of(group=None, **columns):
    rows = np.arange(len(next(iter(columns.values()))))
    return {"row": rows, "group": rows if group is None else np.asarray(group), **columns}


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    # By hand: 2 (C(6,0) + C(6,1)) / 2^6 = 14/64; 2 / 2^5; both alike; nothing to tell by.
    [(1, 5, 14 / 64), (5, 0, 1 / 16), (4, 4, 1.0), (0, 0, 1.0)],
)
def test_mcnemar_by_hand(only_first, only_second, p):
    assert mcnemar(only_first, only_second) == pytest.approx(p, rel=1e-12)
    assert mcnemar(only_second, only_first) == mcnemar(only_first, only_second)


@pytest.mark.parametrize(("fewer", "more"), [(3, 11), (40, 75), (480, 520), (0, 60), (499_000, 501_000)])
def test_mcnemar_against_scipy(fewer, more):
    assert mcnemar(fewer, more) == pytest.approx(stats.binomtest(fewer, fewer + more).pvalue, rel=1e-7)


def test_mcnemar_of_impossible_counts():
    with pytest.raises(ValueError, match="below 0"):
        mcnemar(-1, 2)


def test_holm_by_hand():
    # 3 x 0.01, then 2 x 0.04, and 0.03 (the second smallest) 2 x 0.03 = 0.06 keeps 0.04 from falling below it.
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    adjusted = holm([math.nan, 0.02, 0.5])
    assert math.isnan(adjusted[0])
    assert adjusted[1:] == [0.04, 0.5]


def test_the_four_kinds_of_rows_are_counted():
    first = file_of(right=np.array([1, 1, 1, 0, 0, 0], bool))
    second = file_of(right=np.array([1, 0, 0, 1, 0, 0], bool))
    counts = discordant(RIGHT, first, second)
    assert counts is not None
    assert (counts.both, counts.only_first, counts.only_second, counts.neither) == (1, 2, 1, 2)
    assert discordant(ERROR, first, second) is None


def test_a_share_has_mcnemar_and_a_bootstrap_interval():
    first, second = np.zeros(200, bool), np.zeros(200, bool)
    first[:120] = second[:115] = True  # 5 only the first
    second[120:150] = True  # 30 only the second
    (found,) = differences({"accuracy": RIGHT}, [file_of(right=first), file_of(right=second)])
    it = found["accuracy"]
    assert (it.first, it.second, it.difference) == pytest.approx((0.6, 0.725, 0.125))
    assert it.p == pytest.approx(stats.binomtest(5, 35).pvalue)
    # Normal approximation: 0.125 +- 1.96 sqrt(35/200 - 0.125^2) / sqrt(200) = 0.125 +- 0.0553.
    assert (it.low, it.high) == pytest.approx((0.0697, 0.1803), abs=0.006)
    assert it.shown
    assert "McNemar" in it.method


def test_grouped_rows_have_no_mcnemar_and_wider_intervals():
    """Four copies of 50 rows are not 200 rows: what McNemar would find sure, is not."""
    generator = np.random.default_rng(3)
    first = np.repeat(generator.random(50) < 0.6, 4)
    second = np.repeat(generator.random(50) < 0.7, 4)
    group = np.repeat(np.arange(50), 4)
    (by_row,) = differences({"it": RIGHT}, [file_of(right=first), file_of(right=second)])
    (by_group,) = differences({"it": RIGHT}, [file_of(group, right=first), file_of(group, right=second)])
    assert "McNemar" not in by_group["it"].method
    assert "by group" in by_group["it"].method
    wider = (by_group["it"].high - by_group["it"].low) / (by_row["it"].high - by_row["it"].low)
    assert wider == pytest.approx(2, rel=0.15)
    assert by_group["it"].p > by_row["it"].p


def test_of_few_groups_false_alarms_are_as_rare_as_promised():
    """Six speakers, each of whom suits one of the two models."""
    generator = np.random.default_rng(0)
    alarms, group = 0, np.repeat(np.arange(6), 20)
    for _ in range(300):
        favour = np.repeat(generator.normal(size=6), 20)
        files = [file_of(group, error=generator.normal(size=120) + sign * favour) for sign in (-1, 1)]
        (found,) = differences({"it": ERROR}, files)
        alarms += found["it"].shown
        it = found["it"]
        assert (it.p < 0.05) == (it.low > 0 or it.high < 0)
    assert it.method == "paired jackknife over 6 groups, with Student's t"
    assert 4 <= alarms <= 27  # 15 expected, standard deviation 3.8


def test_few_groups_against_students_test_of_their_means():
    generator = np.random.default_rng(1)
    errors = generator.normal(size=(2, 60)) + np.array([[0.0], [0.5]])
    files = [file_of(np.repeat(np.arange(5), 12), error=each) for each in errors]
    (found,) = differences({"it": ERROR}, files)
    tested = stats.ttest_1samp((errors[1] - errors[0]).reshape(5, 12).mean(1), 0)
    assert found["it"].p == pytest.approx(tested.pvalue)
    assert (found["it"].low, found["it"].high) == pytest.approx(tuple(tested.confidence_interval()))


def test_false_alarms_are_as_rare_as_promised():
    generator = np.random.default_rng(0)
    alarms = 0
    for trial in range(200):
        hard = generator.normal(size=120)
        files = [file_of(error=hard + 0.5 * generator.normal(size=120)) for _ in range(2)]
        (found,) = differences({"it": ERROR}, files, resamples=400, seed=trial)
        alarms += found["it"].shown
    assert alarms <= 18  # 10 expected, standard deviation 3.1


def test_pairing_sees_what_two_intervals_would_hide():
    generator = np.random.default_rng(0)
    hard = 10 * generator.normal(size=100)
    first, second = file_of(error=hard), file_of(error=hard - 0.5 + 0.5 * generator.normal(size=100))
    (found,) = differences({"it": ERROR}, [first, second])
    assert found["it"].shown
    assert found["it"].high < 0


def test_the_same_answers_claim_nothing():
    right = np.arange(30) < 20
    (found,) = differences({"it": RIGHT}, [file_of(right=right), file_of(right=right)])
    it = found["it"]
    assert (it.difference, it.p, it.shown) == (0, 1, False)
    assert math.isnan(it.low)
    assert it.as_dict()["low"] is None


def test_several_are_corrected_together():
    generator = np.random.default_rng(1)
    files = [file_of(right=generator.random(300) < share) for share in (0.6, 0.72, 0.6)]
    found = differences({"it": RIGHT}, files)
    p = [each["it"].p for each in found]
    assert [each["it"].adjusted for each in found] == holm(p)
    assert found[0]["it"].adjusted == 2 * p[0]


def test_a_figure_that_is_not_defined_has_a_reason():
    nothing = Metric(lambda columns, weight: math.nan, undefined="no cats here")
    (found,) = differences({"it": nothing}, [file_of(right=np.ones(4)), file_of(right=np.ones(4))])
    assert found["it"].why == "no cats here"
    assert not found["it"].shown
    (found,) = differences({"it": RIGHT}, [file_of(right=np.array([True]))] * 2)
    assert "one row alone" in found["it"].why


@pytest.mark.parametrize(
    ("groups", "within"), [(1, "within the one group that there is"), (2, "within the two groups that there are")]
)
def test_of_one_group_or_two_differences_speak_of_these_alone(groups, within):
    """As single figures do: 90% against 20% is shown, whoever spoke."""
    first, second = np.arange(200) % 5 == 0, np.arange(200) % 10 > 0
    (own,) = differences({"it": RIGHT}, [file_of(right=each) for each in (first, second)])
    (found,) = differences({"it": RIGHT}, [file_of(np.arange(200) % groups, right=each) for each in (first, second)])
    assert (found["it"].low, found["it"].high) == (own["it"].low, own["it"].high)
    assert found["it"].shown
    assert found["it"].method.endswith(f"{within}: another may differ")


def test_no_difference_of_shares_is_beyond_one():
    metric = replace(RIGHT, bounds=(0.0, 1.0))
    right = np.repeat([True, True, False, True], 5), np.repeat([False, False, False, True], 5)
    (found,) = differences({"it": metric}, [file_of(np.arange(20) // 5, right=each) for each in right])
    assert found["it"].low == -1.0


def test_files_that_do_not_belong_together_are_refused():
    first, second = file_of(right=np.ones(4)), file_of(right=np.ones(3))
    with pytest.raises(DataError, match="the same rows"):
        differences({"it": RIGHT}, [first, second])
    with pytest.raises(DataError, match="two or more"):
        differences({"it": RIGHT}, [first])


def test_a_classifier_whole():
    """All figures of a real metric set, and the same again."""
    generator = np.random.default_rng(0)
    target = generator.integers(0, 3, 90)
    files = []
    for skill in (0.5, 3.0):
        logits = generator.normal(size=(90, 3))
        logits[np.arange(90), target] += skill
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        files.append(file_of(target=target, prediction=probabilities.argmax(1), probabilities=probabilities))
    metrics = classification_metrics(["a", "b", "c"])
    (found,) = differences(metrics, files, resamples=300)
    assert found == differences(metrics, files, resamples=300)[0]
    assert found["accuracy"].shown
    assert found["log_loss"].high < 0  # lower, and lower is better


@pytest.mark.parametrize("groups", [40, 5])
def test_what_is_not_to_be_resampled_differs_without_an_interval(groups):
    rng = np.random.default_rng(0)
    files = [{"group": np.arange(40) % groups, "answer": rng.normal(size=40) + shift} for shift in (0.0, 1.0)]
    mean = Metric(lambda columns, weight: weighted_mean(columns["answer"], weight))
    apart = differences({"mean": mean, "whole": replace(mean, resampled=False)}, files, resamples=200)[0]
    assert apart["whole"].difference == apart["mean"].difference
    assert math.isnan(apart["whole"].low)
    assert math.isnan(apart["whole"].p)
    assert "rows drawn several times" in apart["whole"].why
    assert apart["mean"].low < apart["mean"].difference < apart["mean"].high
