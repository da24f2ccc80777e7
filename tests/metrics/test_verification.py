"""Verification and retrieval: against hand-made numbers and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from pervade.core.errors import DataError
from pervade.metrics import retrieval, verification
from pervade.metrics.estimate import estimate
from pervade.metrics.retrieval import retrieval_family, retrieval_metrics
from pervade.metrics.verification import Curve, pairs_of, roc, verification_family, verification_metrics


def at_angles(degrees: list[float], people: list[int]) -> dict[str, np.ndarray]:
    """Points of the unit circle, so that a pair's cosine is that of the angle between."""
    turned = np.radians(degrees)
    embedding = np.stack([np.cos(turned), np.sin(turned)], axis=1).astype(np.float32)
    return {"row": np.arange(len(people)), "group": np.array(people), "embedding": embedding}


def drawn(seed: int, people: int = 8, each: int = 6, spread: float = 0.8) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(people), each)
    embedding = rng.normal(size=(people, 5))[group] + spread * rng.normal(size=(people * each, 5))
    return {"row": np.arange(len(group)), "group": group, "embedding": embedding.astype(np.float32)}


def measured(columns: dict[str, np.ndarray]) -> dict[str, float]:
    return dict(verification_family(columns)(np.ones(len(columns["row"]))))


def test_by_hand() -> None:
    # a at 0 and 40, b at 50 and 70: pairs of one person 40 and 20 apart, of two 50, 70, 10 and 30.
    # By rising angle: 10 other, 20 same, 30 other, 40 same, 50 other, 70 other.
    columns = at_angles([0, 40, 50, 70], [0, 0, 1, 1])
    pairs = pairs_of(columns)
    assert pairs.same.tolist() == [False, True, False, True, False, False]
    assert np.allclose(np.degrees(np.arccos(pairs.score)), [10, 20, 30, 40, 50, 70], atol=1e-3)
    assert (pairs.num_same, pairs.num_different) == (2, 4)
    curve = roc(pairs, np.ones(4))
    assert curve is not None
    assert curve.far.tolist() == [0, 0.25, 0.25, 0.5, 0.5, 0.75, 1]
    assert curve.tar.tolist() == [0, 0, 0.5, 0.5, 1, 1, 1]
    # FAR grows from 0.25 to 0.5 while FRR stands at 0.5: they meet at 0.5.
    assert curve.equal_error_rate == 0.5
    assert curve.tar_at(0.25) == 0.5
    assert curve.tar_at(0.2) == 0.0
    # Of 2 x 4 comparisons, 20 beats 30, 50 and 70, and 40 beats 50 and 70.
    assert curve.area == pytest.approx(5 / 8)
    # FAR and FRR are nearest after the third pair or the fourth; the first of them counts: half-way from 30 to 40.
    assert verification.equal_error_threshold(columns) == pytest.approx(
        (math.cos(math.radians(30)) + math.cos(math.radians(40))) / 2, abs=1e-6
    )


def test_equal_error_rate_between_two_points() -> None:
    curve = Curve(np.array([0, 0.1, 0.3, 1]), np.array([0, 0.8, 0.9, 1]))
    # FRR falls from 0.2 to 0.1 while FAR grows from 0.1 to 0.3: equal a third of the way.
    assert curve.equal_error_rate == pytest.approx(0.1 + 0.2 / 3)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.booleans())
def test_curve_is_that_of_scikit_learn(seed: int, ties: bool) -> None:
    columns = drawn(seed)
    if ties:
        columns["embedding"] = np.sign(columns["embedding"])
    pairs = pairs_of(columns)
    curve = roc(pairs, np.ones(len(columns["row"])))
    assert curve is not None
    score = pairs.score
    far, tar, _ = roc_curve(pairs.same, score, drop_intermediate=False)
    assert np.allclose(curve.far, far)
    assert np.allclose(curve.tar, tar)
    assert curve.area == pytest.approx(roc_auc_score(pairs.same, score))


def test_all_pairs_are_there_once() -> None:
    columns = drawn(0, people=4, each=3)
    pairs = pairs_of(columns)
    assert {frozenset(pair) for pair in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)} == {
        frozenset((i, j)) for i in range(12) for j in range(i)
    }
    assert np.array_equal(pairs.same, columns["group"][pairs.first] == columns["group"][pairs.second])


def test_somebody_drawn_twice_is_two_people() -> None:
    columns = drawn(3, people=4, each=3)
    weight = np.repeat([2.0, 0.0, 1.0, 1.0], 3)
    twice = np.array([0, 1, 2, 0, 1, 2, 6, 7, 8, 9, 10, 11])
    copied = {
        "row": np.arange(12),
        "group": np.repeat([0, 1, 2, 3], 3),  # the second copy is somebody else …
        "embedding": columns["embedding"][twice],
    }
    pairs = pairs_of(copied)
    between = (pairs.first < 3) & (pairs.second >= 3) & (pairs.second < 6)
    expected = roc_curve(pairs.same[~between], pairs.score[~between], drop_intermediate=False)  # … never compared
    curve = roc(pairs_of(columns), weight)
    assert curve is not None
    for far, tar in zip(*expected[:2], strict=True):
        assert np.isclose(curve.far, far).any()
        assert np.isclose(curve.tar[np.isclose(curve.far, far)], tar).any()
    assert curve.area == pytest.approx(np.trapezoid(expected[1], expected[0]))


def test_too_many_pairs_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = drawn(1, people=12, each=20, spread=1.0)
    whole = measured(columns)
    monkeypatch.setattr(verification, "MOST_PAIRS", 1500)
    pairs = pairs_of(columns)
    assert len(pairs.first) == 3000
    assert (pairs.num_same, pairs.num_different) == (12 * 190, 66 * 400)
    assert (pairs.first != pairs.second).all()
    assert np.array_equal(pairs.same, columns["group"][pairs.first] == columns["group"][pairs.second])
    some = measured(columns)
    assert some == measured(columns)
    assert some["roc_auc"] == pytest.approx(whole["roc_auc"], abs=0.02)


def test_far_that_cannot_be_told() -> None:
    """28 x 36 pairs of different people are 1,008: enough for 1%, not for 0.1%."""
    found = estimate(verification_metrics(), drawn(0), resamples=50)
    assert not math.isnan(found["tar_at_far_0.01"].value)
    assert math.isnan(found["tar_at_far_0.001"].value)
    assert "takes 10,000 pairs of different people" in found["tar_at_far_0.001"].why
    assert "no threshold was settled" in found["threshold_accuracy"].why
    assert found["equal_error_rate"].low < found["equal_error_rate"].value < found["equal_error_rate"].high
    assert "over 8 groups" in found["equal_error_rate"].method


def test_at_the_threshold() -> None:
    columns = at_angles([0, 40, 50, 70], [0, 0, 1, 1])
    columns["threshold"] = np.full(4, math.cos(math.radians(25)), np.float32)
    values = measured(columns)  # accepted: 10 (different) and 20 (same)
    assert (values["threshold_far"], values["threshold_frr"], values["threshold_accuracy"]) == (0.25, 0.5, 0.625)


@pytest.mark.parametrize("people", [[0, 0, 0, 0], [0, 1, 2, 3]])
def test_undefined_without_both_kinds_of_pairs(people: list[int]) -> None:
    columns = at_angles([0, 40, 50, 70], people)
    assert all(math.isnan(value) for value in measured(columns).values())
    assert math.isnan(verification.equal_error_threshold(columns))
    assert verification.curve(columns) == {}
    found = estimate(verification_metrics() | retrieval_metrics(), columns)
    assert "takes two rows of one person" in found["equal_error_rate"].why


def test_missing_or_bent_columns() -> None:
    columns = drawn(0)
    with pytest.raises(DataError, match="no column 'embedding'"):
        verification_family({"row": columns["row"], "group": columns["group"]})
    with pytest.raises(DataError, match="one line a row"):
        verification_family({**columns, "embedding": columns["embedding"][:, 0]})


def test_curve_for_the_report() -> None:
    detail = verification.curve(at_angles([0, 40, 50, 70], [0, 0, 1, 1]))
    assert detail["points"][-1] == [1.0, 1.0]
    hardest = [(each["rows"], each["same"]) for each in detail["mistakes"]]
    assert hardest == [([1, 2], False), ([0, 3], False), ([0, 1], True), ([2, 3], True)]


# retrieval


def test_recall_by_hand() -> None:
    columns = at_angles([0, 1, 3, 90, 94, 100], [0, 1, 0, 2, 2, 1])
    found = retrieval.retrieved(columns)
    assert found.hit[1].tolist() == [False, False, False, True, True, False]
    assert found.hit[5].all()
    values = retrieval_family(columns)(np.ones(6))
    # R is 1 for all, so mean average precision at R is recall at 1.
    assert values["map_at_r"] == values["recall_at_1"] == pytest.approx(2 / 6)
    assert retrieval_family(columns)(np.array([1.0, 1, 1, 2, 2, 1]))["recall_at_1"] == pytest.approx(4 / 8)


def test_map_at_r_by_hand() -> None:
    # The first of person 0 has R = 3 and finds, nearest first, right, wrong, right: (1/1 + 2/3) / 3.
    columns = at_angles([0, 1, 2, 3, 60], [0, 0, 1, 0, 0])
    assert retrieval.retrieved(columns).precision[0] == pytest.approx((1 + 2 / 3) / 3)


def test_who_is_alone_does_not_ask() -> None:
    columns = at_angles([0, 1, 50], [0, 0, 1])
    assert retrieval.retrieved(columns).asks.tolist() == [0, 1]
    people = retrieval.by_person(columns)
    assert people == [{"row": 0, "n": 2, "found": 2}]


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = drawn(5)
    whole = retrieval_family(columns)(np.ones(48))
    monkeypatch.setattr(retrieval, "BLOCK", 7)
    assert retrieval_family(columns)(np.ones(48)) == whole
