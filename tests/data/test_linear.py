"""The linear models beside a result, against what they must find."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from pervade.data import linear

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3))


def test_classes_labels_and_numbers_that_are_linear() -> None:
    target = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
    found = linear.classifier(X, target.tolist(), 4)(X)
    assert found.shape == (200, 4)
    np.testing.assert_allclose(found.sum(1), 1)
    assert (found.argmax(1) == target).mean() > 0.7
    assert not found[:, 3].any()  # never trained
    labels = np.stack([X[:, 0] > 0, X[:, 1] > 0], 1)
    assert ((linear.labeller(X, labels)(X) > 0.5) == labels).mean() > 0.95
    numbers = 3 * X[:, 0] - X[:, 2] + 100
    np.testing.assert_allclose(linear.numbers(X, numbers)(X)[:, 0], numbers, atol=0.1)


def test_one_class_alone() -> None:
    assert (linear.classifier(X, [1] * 200, 2)(X) == [0.0, 1.0]).all()


def test_the_penalty_is_chosen_without_the_rows_that_are_measured() -> None:
    """Noise is learnt by heart without a penalty; chosen on folds it is strong."""
    noise = RNG.integers(0, 2, 200)
    strength = linear._best(RNG.normal(size=(200, 50)), noise).C
    assert strength == min(linear.STRENGTHS)


def test_views_of_one_row_stay_on_one_side() -> None:
    number = np.arange(40).repeat(2)[::-1]
    folds = list(linear._folds(number % 2, number))
    assert len(folds) == 5
    for inside, outside in folds:
        assert not set(number[inside]) & set(number[outside])
        assert sorted([*inside, *outside]) == list(range(80))
        assert (number[outside] % 2).mean() == 0.5


def test_a_rare_class_does_not_end_the_search_for_a_penalty() -> None:
    features, noise = RNG.normal(size=(204, 50)), RNG.integers(0, 2, 204)
    noise[-4:] = 2
    assert linear._best(features, noise).C == linear._best(features[:-4], noise[:-4]).C < 1.0


def test_what_tells_weighs_more_than_what_is_frequent() -> None:
    """Log-count ratios by hand: of three features the first is in one class alone, the second in both alike, the third
    in the other three times of four. The answers are those of logistic regression on features times their roots."""
    rows = csr_matrix([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 2.0]])
    target = np.array([0, 0, 1, 1])
    found = linear._Weighed(3.0).fit(rows, target)
    first, second = np.array([2.1, 2.1, 1.1]) / 5.3, np.array([0.1, 2.1, 3.1]) / 5.3
    np.testing.assert_allclose(found.root, np.sqrt(np.abs(np.log(first / second))))
    weighed = rows.multiply(found.root).tocsr()
    model = LogisticRegression(C=3.0, max_iter=1000).fit(weighed, target)
    np.testing.assert_allclose(found.predict_proba(rows), model.predict_proba(weighed))
    logits = rows @ found.coef_[0] + found.intercept_  # on the features as they were given
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), found.predict_proba(rows)[:, 1])


def test_features_are_weighed_where_held_out_rows_say_so_and_never_in_the_baseline() -> None:
    """A word that tells in most rows, among many that say nothing."""
    target = np.arange(300) % 2
    noise = RNG.random((300, 400)) < 0.03
    tell = (np.stack([target == 0, target == 1], 1)) & (RNG.random((300, 2)) < 0.7)
    rows = csr_matrix(np.concatenate([tell, noise], 1).astype(float))
    ways = (linear._logistic, linear._Weighed)
    assert isinstance(linear._best(rows, target, (1.0,), ways=ways), linear._Weighed)
    weighed, plain = (linear.classes(rows, target, 2, (1.0,), weighed=way) for way in (True, False))
    baseline = linear.classes(rows, target, 2, weighed=False)
    share = [np.abs(model.weight[:, :2]).sum() / np.abs(model.weight).sum() for model in (weighed, plain)]
    assert share[0] > 1.5 * share[1]
    np.testing.assert_allclose(linear.classifier(rows, target.tolist(), 2)(rows), softmax(baseline(rows), axis=1))


def test_copies_do_not_choose_the_penalty() -> None:
    """Of noise that stands there three times a weak penalty knows what is held out."""
    rows, target = csr_matrix(np.tile(RNG.normal(size=(200, 50)), (3, 1))), np.tile(RNG.integers(0, 2, 200), 3)
    number = linear._copies(rows)
    assert number.tolist() == list(range(200)) * 3
    apart, together = (linear._best(rows, target, number=known).C for known in (None, number))
    assert together == min(linear.STRENGTHS)
    assert apart > together


def test_no_group_judges_itself() -> None:
    """Rows of five speakers, each class in each: a speaker is held out whole. Where a class is of one speaker alone,
    it cannot be judged by others, so rows are held out."""
    target, group = np.tile([0, 1], 50), np.arange(100) // 20
    folds = list(linear._folds(target, None, group))
    assert sorted(len(np.unique(group[outside])) for _, outside in folds) == [1] * 5
    assert not any(set(group[inside]) & set(group[outside]) for inside, outside in folds)
    alone = list(linear._folds(group, None, group))
    assert len(alone) == 5
    assert all((np.bincount(group[outside]) == 4).all() for _, outside in alone)
    whole = list(linear._folds(RNG.normal(size=100), None, group, even=False))
    assert all(len(np.unique(group[outside])) == 1 for _, outside in whole)


def test_what_tells_speakers_apart_does_not_weaken_the_penalty() -> None:
    """How each of five speakers says either class tells it for certain, and nothing of how another one says it."""
    speaker, target = np.arange(200) // 40, np.arange(200) % 2
    features = np.eye(10)[2 * speaker + target]
    apart, together = (linear.classes(features, target, 2, group=group).weight for group in (speaker, None))
    assert np.abs(apart).max() < 0.1 < 2 < np.abs(together).max()


def test_a_class_too_rare_for_the_rows_that_choose_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 100 rows among 2,005 none of five need be: nothing could be learnt of it, or judged by it."""
    monkeypatch.setattr(linear, "FEW", 50)
    monkeypatch.setattr(linear, "MOST", 100)
    target = np.repeat([0, 1], [2000, 5])
    assert linear._best(RNG.normal(size=(2005, 3)), target).C == 1.0
    labels = np.stack([np.arange(2005) % 2, target], 1)
    assert np.isfinite(linear.labels(RNG.normal(size=(2005, 3)), labels).weight).all()


def test_no_more_rows_choose_where_groups_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "FEW", 50)
    monkeypatch.setattr(linear, "MOST", 100)
    target, group = np.arange(1000) % 2, np.arange(1000) // 100
    for wanted, even in ((target, True), (RNG.normal(size=1000), False)):
        ((inside, outside),) = linear._folds(wanted, None, group, even=even)
        assert (len(inside), len(outside)) == (80, 20)
        assert not set(group[inside]) & set(group[outside])
    rare = np.where(np.arange(1000) % 100 == 0, 2, target)  # ten rows, of which some must be inside
    ((inside, _),) = linear._folds(rare, None, group)
    assert set(rare[inside]) == {0, 1, 2}
