"""What a ladder says beforehand of its rungs: prices are of rows that are tried in memory, and decide nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pervade.core.types import Rows
from pervade.engine import ranks
from pervade.run import forecast, opening, rungs
from pervade.run.forecast import Expected, Price
from pervade.run.training import Options
from tests import texts

TASK = "text-classification"
SPLITS = {"train": 100, "validation": 50}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    data = texts.write(tmp_path_factory.mktemp("data") / "reviews.tsv", texts.reviews(120))
    recipe = texts.recipe()
    return opening.open_data(data, recipe.domain, recipe.task).rows


@pytest.mark.parametrize(
    ("left", "alone", "said", "taken"),
    [
        (None, False, "up to 1 min 50 s for 10 passes", 110.0),
        (220.0, False, "up to 1 min 50 s for 10 passes", 110.0),
        (55.0, False, "up to 1 min 50 s for 10 passes; at most 5 fit in the 55 s that are then left", 55.0),
        (4.4, True, "up to 1 min 50 s for 10 passes; at most 0.4 fit in the 4 s that are then left", 4.4),
        (
            4.4,
            False,
            "up to 1 min 50 s for 10 passes; at most 0.4 fit in the 4 s that are then left, of which nothing is "
            "learnt: it is likely to be passed by",
            0.0,
        ),
    ],
)
def test_a_training_is_priced_by_its_passes(left: float | None, alone: bool, said: str, taken: float) -> None:
    """A pass takes 100 x 0.1 s and 50 x 0.02 s to judge it."""
    own = Expected(texts.recipe(epochs=10), Price(0.0, 0.1, 0.02), 200, SPLITS)
    line, seconds = own.told(left, alone)
    assert line == said
    assert seconds == pytest.approx(taken)


def test_of_a_rung_that_is_solved_reading_its_rows_is_priced() -> None:
    """200 x 0.05 s to read all, and 150 x 0.02 s for what its layer is given; of 17 s left 70% are 11.9 s."""
    (plain,) = rungs.climbable(rungs.plan(texts.recipe(), TASK, ["plain"])).values()
    own = Expected(plain, Price(0.05, 0.0, 0.02), 200, SPLITS)
    line = "about 13 s to read 150 rows, and longer until its weights are found"
    assert own.told(None, alone=False) == (line, pytest.approx(13.0))
    assert own.told(17.0, alone=True) == (line, pytest.approx(13.0))
    late, taken = own.told(17.0, alone=False)
    assert late == f"{line}; of the 17 s that are then left that is too much: it is likely to be passed by"
    assert taken == pytest.approx(0.65)  # what is looked at before it is given up
    rough = Expected(plain, Price(0.05, 0.0, 0.02, rough=True), 200, SPLITS)
    assert rough.told(17.0, alone=False)[0] == line.replace("about", "at most")


def test_what_costs_the_same_for_any_number_of_rows_counts_once() -> None:
    """1 s, and 0.1 s a row: of 100 rows 11 s."""
    train = Rows({"id": list(map(str, range(100)))})
    some, more = (2, Price(0.0, 1.2, 0.0)), (8, Price(0.0, 1.8, 0.0))
    price = forecast._of_all([some, more], train)
    assert (price.learn, price.rough) == (pytest.approx(0.11), False)
    assert forecast._of_all([some], train) == Price(0.0, pytest.approx(0.6), 0.0, rough=True)


def test_the_first_rows_that_are_tried_are_of_several_classes() -> None:
    target = ["a"] * 500 + ["b"] * 8 + ["c"]
    order = forecast._mixed(Rows({"id": list(map(str, range(509))), "target": target}))
    assert sorted(target[place] for place in order[:5]) == ["a", "a", "b", "b", "c"]
    assert sorted(order) == list(range(509))


def test_rows_are_tried_and_nothing_of_it_is_kept(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "ENOUGH", 8)
    recipe = texts.recipe()
    planned = rungs.climbable(rungs.plan(recipe, TASK, ["plain", "trained"]))
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    prices = forecast._prices(planned, rows, recipe, 20.0)
    assert list(prices) == ["plain", "trained"]
    assert prices["plain"].read > prices["trained"].read == 0.0  # as the ladder does
    assert min(prices["trained"].learn, prices["trained"].look, prices["plain"].look) > 0.0
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


def test_what_is_not_known_is_said(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = texts.recipe()
    planned = rungs.climbable(rungs.plan(recipe, TASK, ["plain", "trained"]))
    unknown = ["expected of plain: not known before it has begun", "expected of trained: not known before it has begun"]
    assert list(forecast.told(planned, rows, recipe, Options(), 1e-6, True)) == unknown  # no time to try anything
    monkeypatch.setattr(ranks, "world", lambda: 2)
    (line,) = forecast.told(planned, rows, recipe, Options(), None, True)
    assert "since several processes climb together" in line
