"""Thresholds by hand, and their bounds beside scipy's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta, binomtest

from pervade.core.errors import ConfigError, DataError, PromiseError
from pervade.core.types import Rows
from pervade.domains.image import Image
from pervade.metrics.classification import classification_metrics
from pervade.metrics.estimate import estimate
from pervade.promises.threshold import Threshold, answers, contested, least_of, lower_bound, one_each, rows_needed
from pervade.tasks.classify import Classify
from pervade.tasks.regress import Regress

TWO = replace(Image(), labels=("healthy", "sick"), counts=(1, 1))
THREE = replace(Image(), labels=("a", "b", "c"), counts=(1, 1, 1))


def table(target: list[int], probabilities: Any, group: Any = None) -> dict[str, Any]:
    """`probabilities`: of the second class where there are two."""
    given = np.asarray(probabilities, np.float64)
    given = np.stack([1 - given, given], 1) if given.ndim == 1 else given
    number = np.arange(len(target))
    return {
        "row": number,
        "group": number if group is None else np.asarray(group),
        "target": np.asarray(target),
        "probabilities": given,
        "prediction": given.argmax(1),
        "label": [""] * len(target),
    }


# bounds


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (44, 45), (45, 45), (7, 50), (997, 1000)])
def test_a_bound_is_one_side_of_the_exact_interval(successes: int, trials: int) -> None:
    bound = lower_bound(successes, trials, 0.9)
    assert bound == pytest.approx(beta.ppf(0.1, successes, trials - successes + 1) if successes else 0.0)
    exact = binomtest(successes, trials, alternative="greater").proportion_ci(0.9, "exact")
    assert bound == pytest.approx(exact.low)


def test_how_many_rows_show_a_share() -> None:
    """0.95^45 = 0.0994 is below a tenth, and 0.95^44 = 0.1047 is not."""
    assert rows_needed(0.95, 0.9) == 45
    assert least_of(44, 0.95, 0.9) == 45  # more than there are
    assert least_of(45, 0.95, 0.9) == 45
    found = least_of(262, 0.95, 0.9)
    assert lower_bound(found, 262, 0.9) >= 0.95 > lower_bound(found - 1, 262, 0.9)


@pytest.mark.slow
def test_the_bound_holds_as_often_as_is_said_though_the_same_rows_choose_the_threshold() -> None:
    """Of 2,000 draws of 100 rows of a known distribution: the share that the threshold finds of all is below what was
    promised in a tenth of them at most."""
    rng, promise, below = np.random.default_rng(0), Threshold(min_recall={"sick": 0.9}), 0
    for _ in range(2000):
        score = rng.uniform(size=100)
        settled: Any = promise.settle(table([1] * 100 + [0], [*score, 0.0]), TWO)
        below += 1 - settled["thresholds"]["sick"] < 0.9  # of a uniform score the share above t is 1 - t
    assert below / 2000 < 0.1 + 3 * (0.1 * 0.9 / 2000) ** 0.5


# thresholds


def test_the_largest_threshold_that_finds_enough() -> None:
    """Of 50 sick 49 have to be found, if 90% of all are to be at 90%: the bound of 49 is 0.924, and of 48 0.897."""
    assert lower_bound(49, 50, 0.9) == pytest.approx(0.9244, abs=1e-4)
    assert lower_bound(48, 50, 0.9) == pytest.approx(0.8970, abs=1e-4)
    sick = np.linspace(0.02, 1.0, 50)  # 0.02, 0.04 ... 1.0
    settled: Any = Threshold({"sick": 0.9}).settle(table([1] * 50 + [0, 0], [*sick, 0.03, 0.5]), TWO)
    assert settled["thresholds"] == {"sick": pytest.approx(0.04)}
    assert settled["counted"] == {"sick": {"--min-recall": 50, "--max-false-alarms": 2}}
    kept = Threshold({"sick": 0.9}).keep(table([1, 1, 0], [0.03, 0.05, 0.5]), settled, TWO)
    assert kept["prediction"].tolist() == [0, 1, 1]
    assert kept["label"] == ["healthy", "sick", "sick"]


def test_the_smallest_threshold_with_few_enough_false_alarms() -> None:
    """Of 100 healthy ones two may be called sick, where no more than 5.3% may be: the bound of 2 is 0.0523."""
    bound = binomtest(2, 100, alternative="less").proportion_ci(0.9, "exact").high
    assert bound == pytest.approx(0.0523, abs=1e-4)
    healthy = np.linspace(0.005, 0.5, 100)  # 0.005, 0.01 ... 0.5
    promise = Threshold(max_false_alarms={"": 0.053})  # of the positive class
    settled: Any = promise.settle(table([0] * 100 + [1], [*healthy, 0.9]), TWO)
    assert settled["thresholds"]["sick"] == np.nextafter(np.sort(healthy)[97], 1)
    kept = promise.keep(table([0] * 100 + [1], [*healthy, 0.9]), settled, TWO)
    assert kept["prediction"].sum() == 3  # two of the healthy, and the sick one


def test_of_rows_that_belong_together_one_counts() -> None:
    group = np.array([0, 0, 0, 1, 1, 2, 3])
    among = np.array([True, True, False, True, True, False, True])
    places = one_each(group, among)
    assert sorted(group[places]) == [0, 1, 3] and among[places].all()
    assert places.tolist() == one_each(group, among).tolist()
    rows = 60 * [1] + [0]
    assert Threshold({"sick": 0.95}).settle(table(rows, 60 * [0.9] + [0.1]), TWO)
    with pytest.raises(PromiseError, match="it takes 45 rows of 'sick'"):  # of 20 patients
        Threshold({"sick": 0.95}).settle(table(rows, 60 * [0.9] + [0.1], [*np.repeat(range(20), 3), 20]), TWO)


def test_both_on_one_class_where_they_meet_and_where_they_do_not() -> None:
    sick, healthy = np.linspace(0.5, 1.0, 50), np.linspace(0.0, 0.4, 100)
    both = Threshold({"sick": 0.9}, {"sick": 0.1})
    settled: Any = both.settle(table([1] * 50 + [0] * 100, [*sick, *healthy]), TWO)
    assert settled["thresholds"]["sick"] == pytest.approx(np.sort(sick)[1])
    # Half of the healthy ones are as likely to be sick: beside 49 of 50 found no fewer than these are called so.
    healthy[:50] = 0.9
    bound = binomtest(50, 100, alternative="less").proportion_ci(0.9, "exact").high
    assert bound == pytest.approx(0.569, abs=1e-3)
    with pytest.raises(
        PromiseError, match=r"alarms sick=0.1 cannot be kept beside --min-recall sick=0.9; sick=0.57 is"
    ):
        both.settle(table([1] * 50 + [0] * 100, [*sick, *healthy]), TWO)


def test_what_is_called_so_by_nobody_is_no_promise_kept() -> None:
    with pytest.raises(PromiseError, match="kept only where 'sick' is never answered"):
        Threshold(max_false_alarms={"sick": 0.02}).settle(table([0] * 120 + [1], [1.0] * 120 + [0.9]), TWO)


def test_the_rule_of_several_classes() -> None:
    """By the largest factor above its threshold; by none, the likeliest of the others."""
    given = np.array([[0.5, 0.3, 0.2], [0.5, 0.1, 0.4], [0.9, 0.05, 0.05], [0.1, 0.25, 0.65]])
    assert answers(given, {1: 0.2, 2: 0.3}).tolist() == [1, 2, 0, 2]
    assert answers(given, {1: 0.2}).tolist() == [1, 0, 0, 1]
    assert answers(given, {0: 0.8, 1: 0.9, 2: 0.8}).tolist() == [0, 0, 0, 2]  # of none that is nearest
    # The first row is called 1 up to 0.3, and, once 0 takes it from 0.25 on (twice as likely), up to 0.3 / 2.
    assert contested(given, {1: 0.2}, 1)[0] == 0.3
    assert contested(given, {0: 0.25, 1: 0.2}, 1)[0] == pytest.approx(0.15)


def test_classes_that_contest_rows_give_way_to_each_other() -> None:
    """Fifty rows each: five of b look like a as well, and are taken back by a lower threshold of b; the joint answers
    keep both promises."""
    of_a = np.tile([0.8, 0.15, 0.05], (50, 1))
    of_b = np.tile([0.1, 0.85, 0.05], (50, 1))
    of_b[:5] = [0.55, 0.4, 0.05]
    of_a[:3] = [0.5, 0.2, 0.3]
    columns = table([0] * 50 + [1] * 50, np.concatenate([of_a, of_b]))
    promise = Threshold({"a": 0.95, "b": 0.95})
    settled: Any = promise.settle(columns, THREE)
    called = promise.keep(columns, settled, THREE)["prediction"]
    assert (called[:50] == 0).all() and (called[50:] == 1).all()
    both = np.tile([0.45, 0.45, 0.1], (100, 1))
    with pytest.raises(PromiseError, match=r"[ab]=0.95 cannot be kept beside .* of 50 rows of '[ab]' 50 are"):
        promise.settle(table([0] * 50 + [1] * 50, both), THREE)


@pytest.mark.parametrize(
    "promise", [Threshold({"ham": 0.9}, {"spam": 0.06}), Threshold(max_false_alarms={"spam": 0.06})]
)
def test_two_classes_have_one_threshold_which_keeps_all_that_can_be(promise: Threshold) -> None:
    """Of 100 ham 98 have to be found for 94% (the bound of 98 is 0.9477, of 97 0.9345), though 94 are enough for 90%
    and would leave six false alarms."""
    assert [round(lower_bound(found, 100, 0.9), 3) for found in (98, 97, 94)] == [0.948, 0.934, 0.897]
    two = replace(TWO, labels=("ham", "spam"))
    spam = np.concatenate([np.linspace(0.005, 0.495, 99), [0.9], np.linspace(0.6, 0.99, 40)])
    settled: Any = promise.settle(table([0] * 100 + [1] * 40, spam), two)
    called = promise.keep(table([0] * 140, spam), settled, two)["prediction"]
    assert (called[:100] == 1).sum() == 2 and (called[100:] == 1).all()


def test_a_class_gives_way_where_another_may_not_be_called_so_often() -> None:
    """The largest threshold that finds 50 of 60 a is 0.6, and leaves the others to c: 10 of 110, of which 5% may be."""
    of_a = np.tile([0.6, 0.0, 0.4], (60, 1))
    of_a[:10] = [0.45, 0.0, 0.55]
    of_b, of_c = np.tile([0.1, 0.8, 0.1], (50, 1)), np.tile([0.05, 0.05, 0.9], (50, 1))
    columns = table([0] * 60 + [1] * 50 + [2] * 50, np.concatenate([of_a, of_b, of_c]))
    alone, beside = Threshold({"a": 0.7}), Threshold({"a": 0.7}, {"b": 0.05, "c": 0.05})
    first: Any = alone.settle(columns, THREE)
    assert first["thresholds"]["a"] == 0.6
    assert (alone.keep(columns, first, THREE)["prediction"][:10] == 2).all()
    settled: Any = beside.settle(columns, THREE)
    assert (beside.keep(columns, settled, THREE)["prediction"] == columns["target"]).all()


# before training


def rows(labels: list[str], **columns: list) -> Rows:
    number = len(labels)
    return Rows({"id": list(map(str, range(number))), "split": ["promise"] * number, "target": labels, **columns})


def test_what_is_refused_before_training() -> None:
    """20 rows show 0.1^(1/20) = 0.891 at most."""
    some = rows(["sick"] * 20 + ["healthy"] * 200)

    def refuses(promise: Threshold, fault: type[Exception], words: str, task: Any = None, of: Any = TWO) -> None:
        with pytest.raises(fault, match=words):
            promise.examine(task or Classify(), some, of)

    refuses(Threshold({"sick": 0.95}), DataError, r"takes 45 rows of 'sick'.* there are 20;.* promise sick=0.89$")
    refuses(Threshold(max_false_alarms={"healthy": 0.1}), DataError, r"takes 22 rows of other .* promise healthy=0.11")
    refuses(Threshold({"sik": 0.8}), ConfigError, "--min-recall sik: there is no such class; did you mean 'sick'")
    refuses(Threshold({"sick": 0.8}), ConfigError, "sick=0.8 is for tasks that say of each row one class", Regress())
    refuses(Threshold({"": 0.8}), ConfigError, "of the positive class of two; of these 3 name one", of=THREE)
    refuses(Threshold({"": 0.8, "sick": 0.9}), ConfigError, "given twice for 'sick'")
    refuses(Threshold(), ConfigError, "promises nothing; give --min-recall NAME=0.95")
    Threshold({"sick": 0.89}, {"": 0.02}).examine(Classify(), some, TWO)
    patients = rows(["sick"] * 60, group=[str(number // 2) for number in range(60)])
    with pytest.raises(DataError, match=r"45 rows of 'sick' \(one a group\) .*there are 30;"):
        Threshold({"sick": 0.95}).examine(Classify(), patients, TWO)


# what is told


@dataclass
class Measured:
    figures: dict[str, Any]
    columns: dict[str, Any]


def measured(promise: Threshold, columns: dict[str, Any], settled: Any) -> Measured:
    kept = promise.keep(columns, settled, TWO)
    metrics = classification_metrics(TWO.labels) | dict(promise.metrics(settled, TWO))
    return Measured({name: one.as_dict() for name, one in estimate(metrics, kept).items()}, kept)


def test_what_is_told_of_it() -> None:
    """Of 100 sick 96 are found, and of 200 healthy 14 called sick."""
    score = [*[0.9] * 96, *[0.1] * 4, *[0.6] * 14, *[0.2] * 186]
    promise, settled = Threshold({"sick": 0.95}, {"sick": 0.1}), {"thresholds": {"sick": 0.5}}
    seen = measured(promise, table([1] * 100 + [0] * 200, score), settled)
    alarms = seen.figures["false_alarms[sick]"]
    assert (alarms["value"], alarms["n"], alarms["method"]) == (0.07, 200, "Wilson")
    told = promise.told(seen.figures, seen.columns, settled, TWO)
    assert told.sentence == (
        "finds 96 of 100 'sick' (90 to 98; promised: at least 95), at 7 false alarms in 100 others (4 to 11; promised: "
        "at most 10), answered from a probability of 0.5 on (the likeliest answers find 96, at 7); promised with 90% "
        "confidence"
    )
    assert told.broken is False
    counted = settled | {"counted": {"sick": {"--min-recall": 45, "--max-false-alarms": 80}}}
    by = "by 45 rows of 'sick' and 80 rows of other classes than 'sick'"
    assert promise.told(seen.figures, seen.columns, counted, TWO).sentence.endswith(f"confidence {by}")
    # Of these 96 of 100 (90 to 98) are too few for 99, and 14 of 200 (4 to 11) too many for 2 in 100.
    assert Threshold({"sick": 0.99}).told(seen.figures, seen.columns, settled, TWO).broken
    assert Threshold(max_false_alarms={"sick": 0.02}).told(seen.figures, seen.columns, settled, TWO).broken
    assert Threshold({"sick": 0.97}).told(seen.figures, seen.columns, settled, TWO).broken is False
    assert told.flag == "--min-recall sick=0.95 --max-false-alarms sick=0.1"
    curve: Any = told.curve
    assert curve["at"] == [0.07, 0.96]
    assert (curve["likeliest"], curve["promised_y"], curve["promised_x"]) == ([0.07, 0.96], 0.95, 0.1)
    assert [0.07, 0.96] in [list(point) for point in zip(curve["x"], curve["y"], strict=True)]
    assert (curve["x"][-1], curve["y"][-1]) == (1.0, 1.0)
    assert all(low <= y <= high for low, y, high in zip(curve["low"], curve["y"], curve["high"], strict=True))


def test_what_is_told_where_the_class_was_not_measured() -> None:
    promise, settled = Threshold({"sick": 0.95}), {"thresholds": {"sick": 0.5}}
    seen = measured(promise, table([0] * 10, [0.6, *[0.1] * 9]), settled)
    told = promise.told(seen.figures, seen.columns, settled, TWO)
    assert told.sentence.startswith("finds – of 100 'sick' (promised: at least 95), at 10 false alarms")
    assert told.curve == {} and told.broken is None
