"""A linear layer that puts rows of one class near each other: worked by hand, and on classes never seen."""

from __future__ import annotations

import numpy as np
import pytest

from pervade.data import discriminant
from pervade.data.linear import STRENGTHS


def people(rng: np.random.Generator, number: int, each: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """They differ by small numbers in the first five of nine places, and each by large ones in the others."""
    own = np.concatenate([rng.normal(size=(number, 5)), np.zeros((number, 4))], 1)
    target = np.repeat(np.arange(number), each)
    return own[target] + rng.normal(size=(len(target), 9)) * [*[0.2] * 5, *[5.0] * 4], target


def test_four_rows_by_hand() -> None:
    rows = np.array([[-1.0, 0.0], [1.0, 0.0], [1.0, 4.0], [3.0, 4.0]])
    target = np.array([0, 0, 1, 1])
    model = discriminant.directions(rows, target, 2, 1e9)
    # Within classes only the first place differs, with a variance of 4 / (4 - 2) = 2, which becomes 1. The second does
    # not: what is added, a tenth of 1e-9 of their mean, 1, is all that it is divided by.
    said = model(rows)
    assert said.mean(0) == pytest.approx(0, abs=1e-6)
    assert abs(said[0, 0] - said[2, 0]) == pytest.approx(4 / np.sqrt(1e-10), rel=1e-3)
    assert abs(said[0, 1] - said[1, 1]) == pytest.approx(2 / np.sqrt(2), rel=1e-3)


def test_strangers_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    rows, target = people(rng, 20)
    others, who = people(rng, 10)
    model = discriminant.embedding(rows, target, 32, STRENGTHS, np.arange(len(rows)))
    assert model.weight.shape == (32, 9)
    assert not model.weight[9:].any()  # there are nine directions
    assert discriminant.apart(others, who) < 0.6
    assert discriminant.apart(model(others), who) > 0.95


def test_the_same_by_fewer_rows_than_features_and_by_more() -> None:
    """The two ways to find the principal directions."""
    rng = np.random.default_rng(1)
    rows, target = people(rng, 4)
    wide = np.concatenate([rows, np.zeros((len(rows), 40))], 1)
    one, other = (discriminant.directions(given, target, 9, 1.0)(given) for given in (rows, wide))
    np.testing.assert_allclose(one @ one.T, other @ other.T, atol=1e-8)


def test_pairs_by_hand() -> None:
    rows = np.array([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0], [0.1, 3.0]])
    assert discriminant.apart(rows, np.array([0, 0, 1, 1])) == 1
    # Of six pairs the two of one person have cosines near 0, of the four others two are near 1 and two near 0.
    assert discriminant.apart(rows, np.array([0, 1, 0, 1])) < 0.5
    assert discriminant.apart(rows, np.zeros(4)) == 0.5


@pytest.mark.parametrize("rows", [np.ones((6, 3)), np.eye(6)[[0, 0, 1, 1, 2, 2]]], ids=["all alike", "nothing within"])
def test_what_does_not_vary(rows: np.ndarray) -> None:
    model = discriminant.embedding(rows, np.array([0, 0, 1, 1, 2, 2]), 4, STRENGTHS, np.arange(6))
    assert np.isfinite(model.weight).all()
    assert np.isfinite(model(rows)).all()


@pytest.mark.parametrize(("classes", "rows_of_each"), [(6, 50), (90, 3)])
def test_those_that_judge_are_of_several_classes_and_several_of_each(
    classes: int, rows_of_each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows stand in the order of their classes, and there are more of them than are judged."""
    rows, target = people(np.random.default_rng(0), classes, rows_of_each)
    judged = []

    def seen(embedding: np.ndarray, own: np.ndarray) -> float:
        judged.append(np.unique(own, return_counts=True)[1].tolist())
        return 0.5

    monkeypatch.setattr(discriminant, "JUDGED", 40)
    monkeypatch.setattr(discriminant, "apart", seen)
    discriminant.embedding(rows, target, 4, (0.1, 1.0), np.arange(len(rows)))
    assert judged == [[20] * 2 if classes == 6 else [2] * 20] * 3 * 2
