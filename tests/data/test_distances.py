"""Distances from what is known, against plain algebra and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import ledoit_wolf

from pervade.data.distances import NEAREST, Gaussians, Neighbours, unit


def drawn(rows: int, features: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(rows + features)
    target = np.arange(rows) % classes
    spread = rng.normal(size=(features, features)) / features
    return rng.normal(size=(classes, features))[target] + rng.normal(size=(rows, features)) @ spread, target


@pytest.mark.parametrize(("rows", "features"), [(60, 4), (24, 24), (15, 40)])
def test_the_nearest_class_by_one_covariance(rows: int, features: int) -> None:
    known, target = drawn(rows, features)
    asked = np.random.default_rng(9).normal(size=(7, features))
    means = np.stack([known[target == label].mean(0) for label in range(3)])
    covariance, share = ledoit_wolf(known - means[target], assume_centered=True)
    assert 0 < share < 1
    inverse = np.linalg.inv(covariance)
    wanted = [min(mahalanobis(row, mean, inverse) ** 2 for mean in means) for row in asked]
    np.testing.assert_allclose(Gaussians.of(known, target).distance(asked), wanted, rtol=1e-6)


def test_features_that_never_differ_say_that_a_row_is_unlike() -> None:
    known, target = drawn(40, 5)
    known = np.concatenate([known, np.zeros((40, 2))], axis=1)  # units that no training row excites
    model = Gaussians.of(known, target)
    other = known.copy()
    other[:, 5] = 3.0
    assert model.distance(other).min() > model.distance(known).max()


def test_rows_of_a_class_that_are_all_alike_have_a_distance_too() -> None:
    known = np.repeat(np.eye(3), 4, axis=0)
    distance = Gaussians.of(known, np.repeat(np.arange(3), 4)).distance(
        np.array([[1.0, 0, 0], [1.0, 1.0, 0], [0, 0, 0]])
    )
    assert np.isfinite(distance).all()
    assert distance[0] < 0.01
    assert (distance[1:] > 1e6).all()


def test_the_nearest_of_sparse_rows() -> None:
    known = csr_matrix([[3.0, 0, 0, 0], [0, 1.0, 1.0, 0]])
    asked = csr_matrix([[2.0, 1.0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 5.0], [0, 0, 0, 0]])
    # Of two known rows the second nearest counts.
    wanted = [1 - 1 / np.sqrt(10), 1, 1, 1]
    np.testing.assert_allclose(Neighbours.of(known).distance(asked), wanted, atol=1e-12)
    many = csr_matrix(np.eye(4)[[0] * NEAREST + [1] * (NEAREST - 1)])
    np.testing.assert_allclose(Neighbours.of(many).distance(csr_matrix(np.eye(4)[:3])), [0, 1, 1])
    scaled = csr_matrix([[3.0, 4.0], [0, 0]])
    np.testing.assert_allclose(unit(scaled).toarray(), [[0.6, 0.8], [0, 0]])
