"""The linear models beside a result, against what they must find."""

from __future__ import annotations

import numpy as np

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
    assert linear._strength(RNG.normal(size=(200, 50)), noise) == min(linear.STRENGTHS)


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
    assert linear._strength(features, noise) == linear._strength(features[:-4], noise[:-4]) < 1.0
