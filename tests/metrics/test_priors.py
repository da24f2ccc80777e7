"""Classes of uneven size: weights by hand, and which answers are taken."""

from __future__ import annotations

import numpy as np
import pytest

from pervade.metrics.priors import choose_answers, class_weights, likelier_than_usual


def test_weights_of_classes_by_hand() -> None:
    counts = np.array([30.0, 10.0])
    assert class_weights(counts, "balanced", 0.999).tolist() == pytest.approx([40 / 60, 40 / 20])
    # Effective numbers for beta 0.9: (1 - 0.9^2) / 0.1 = 1.9, and of very many rows 1 / 0.1 = 10.
    weights = class_weights(np.array([2.0, 5000.0]), "effective", 0.9)
    assert weights[0] / weights[1] == pytest.approx(10 / 1.9)
    assert (weights * [2, 5000]).sum() == pytest.approx(5002)
    # The nearer beta is to 1, the nearer to the rows themselves; at 0 a class is a class.
    nearly = class_weights(counts, "effective", 1 - 1e-9)
    assert nearly.tolist() == pytest.approx([40 / 60, 40 / 20], rel=1e-6)
    assert class_weights(counts, "effective", 0.0).tolist() == [1, 1]


def test_the_answer_where_each_class_counts_the_same() -> None:
    """A tenth is of the second class: what has more than a tenth is likelier to be of it than rows are on the whole."""
    second = np.array([0.05, 0.09, 0.11, 0.6])
    probabilities = np.stack([1 - second, second], 1)
    assert likelier_than_usual(probabilities, [0.9, 0.1]).tolist() == [0, 0, 1, 1]
    of_rows = [[0.9, 0.1], [0.95, 0.05], [0.5, 0.5], [0.3, 0.7]]
    assert likelier_than_usual(probabilities, of_rows).tolist() == [
        0,
        1,
        0,
        0,
    ]


def rows(rare: int, detected: int, alarms: int, common: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and targets of a common class and a rare one: the likeliest answer is always the common one; of
    those that are likelier rare than usual, `detected` are so and `alarms` are not."""
    target = np.repeat([0, 1], [common, rare])
    second = np.full(common + rare, 0.01)
    second[:alarms] = second[common : common + detected] = 0.3
    return np.stack([1 - second, second], 1), target


def test_balanced_answers_are_taken_where_they_are_better() -> None:
    chosen = choose_answers(*rows(20, 16, 20), np.array([0.95, 0.05]))
    assert chosen["answers"] == "balanced"
    assert chosen["tried"]["likeliest"] == {"accuracy": pytest.approx(400 / 420, abs=1e-6), "balanced_accuracy": 0.5}
    assert chosen["tried"]["balanced"] == {
        "accuracy": pytest.approx(396 / 420, abs=1e-6),
        "balanced_accuracy": pytest.approx((0.95 + 0.8) / 2),
    }


@pytest.mark.parametrize(
    ("rare", "detected", "alarms", "answers"),
    [
        *((20, 0, 20, "likeliest"), (20, 1, 40, "likeliest"), (0, 0, 5, "likeliest")),
        *((20, 0, 0, "balanced"), (1, 1, 0, "balanced")),  # the same, and better by a row
        (20, 1, 20, "likeliest"),  # right as often where classes count the same, and less often of all rows
    ],
)
def test_the_rows_may_refuse_it(rare: int, detected: int, alarms: int, answers: str) -> None:
    assert choose_answers(*rows(rare, detected, alarms), np.array([0.95, 0.05]))["answers"] == answers
