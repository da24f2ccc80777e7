"""A number for each picture: losses, units, intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pervade.core.contracts import Context
from pervade.core.errors import DataError
from pervade.core.types import Rows
from pervade.domains.image import Image
from pervade.metrics import conformal
from pervade.models.reference_mlp import ReferenceMLP
from pervade.tasks.regress import Regress
from pervade.testing import check_task

DOMAIN = Image(size=8, target="number", scale=(100.0, 20.0), mean=(0.5,) * 3, deviation=(0.2,) * 3)


@pytest.mark.parametrize("loss", ["huber", "mse", "mae"])
def test_contract(loss: str) -> None:
    torch.manual_seed(0)
    task = Regress(loss_name=loss)  # type: ignore[arg-type]
    network = ReferenceMLP((8,)).build(DOMAIN.inputs(), task.outputs(DOMAIN))
    given = {"row": torch.arange(6), "input": torch.rand(6, 3, 8, 8), "target": torch.randn(6)}
    check_task(task, network, given, Context(DOMAIN))


@pytest.mark.parametrize(("loss", "wanted"), [("mse", [0.25, 9.0]), ("mae", [0.5, 3.0]), ("huber", [0.125, 2.5])])
def test_losses_by_hand(loss: str, wanted: list[float]) -> None:
    output, given = {"value": torch.tensor([[0.5], [-2.0]])}, {"target": torch.tensor([0.0, 1.0])}
    parts = Regress(loss_name=loss).loss(output, given)  # type: ignore[arg-type]
    assert parts["loss"].tolist() == pytest.approx(wanted)
    assert parts["error_in_deviations"].tolist() == [0.5, 3.0]


def test_answers_are_in_the_unit_of_the_table() -> None:
    output, given = (
        {"value": torch.tensor([[0.5], [-1.0]])},
        {"row": torch.arange(2), "target": torch.tensor([0.0, 1.0])},
    )
    table = Regress().predictions(output, given, Context(DOMAIN, decision={"reach": 7.0}))
    assert table["prediction"].tolist() == [110.0, 80.0]
    assert table["target"].tolist() == [100.0, 120.0]
    assert Regress().answers(table, DOMAIN, 3)[0] == {"value": 110.0, "low": 103.0, "high": 117.0, "coverage": 0.9}
    bare = Regress().predictions(output, {"row": torch.arange(2)}, Context(DOMAIN, targets=False))
    assert Regress().answers(bare, DOMAIN, 3)[1] == {"value": 80.0}


def test_the_context_says_whether_there_are_targets() -> None:
    """And not the batch, which may hold them all the same."""
    output, given = {"value": torch.tensor([[0.5]])}, {"row": torch.arange(1), "target": torch.tensor([2.0])}
    for targets, score in ((True, -1.5), (False, 0.5)):
        context = Context(DOMAIN, targets=targets)
        assert Regress().score(output, given, context).tolist() == [score]
        assert ("target" in Regress().predictions(output, given, context)) == targets


def test_views_are_averaged() -> None:
    output, given = {"value": torch.tensor([[0.0], [1.0]])}, {"row": torch.tensor([3, 3]), "part": torch.tensor([0, 1])}
    table = Regress().reduce(
        Regress().predictions(output, given, Context(DOMAIN, decision={"reach": 4.0}, targets=False)), DOMAIN
    )
    assert [table[name].tolist() for name in ("prediction", "low", "high")] == [[110.0], [106.0], [114.0]]


def test_the_interval_holds_what_it_promises() -> None:
    """Split conformal, over many draws: at least 90% and at most 1 / (n + 1) more."""
    generator = np.random.default_rng(0)
    held = []
    for _ in range(2000):
        errors = np.abs(generator.standard_cauchy(40))  # however errors are spread
        held.append(errors[-1] <= conformal.quantile(errors[:-1], 0.9))
    assert np.mean(held) == pytest.approx(0.9, abs=0.03)
    assert conformal.quantile(np.arange(9.0), 0.9) == 8.0
    assert math.isnan(conformal.quantile(np.arange(8.0), 0.9))
    few = {"prediction": np.zeros(5), "target": np.ones(5)}
    assert Regress().decide(few, DOMAIN) == {}
    many = {"prediction": np.zeros(50), "target": np.arange(50.0)}
    assert Regress().decide(many, DOMAIN) == {"reach": 45.0, "coverage": 0.9}
    assert Regress(interval=False).decide(many, DOMAIN) == {}


def test_rows_it_cannot_learn_from() -> None:
    for targets, fault in (
        (["a", "b"], r"'a', not a number; .*domain\.target=number"),
        ([2.5, 2.5], "all targets to learn from are 2.5"),
    ):
        with pytest.raises(DataError, match=fault):
            Regress().examine(Rows({"id": ["1", "2"], "target": targets}))
    with pytest.raises(DataError, match="no numbers to learn"):
        Regress().examine(Rows({"id": ["1"]}))
    split = Rows({"id": list("123"), "target": [1.0, 1.0, 2.0], "split": ["train", "train", "test"]})
    with pytest.raises(DataError, match=r"all targets to learn from are 1\.0"):
        Regress().examine(split)
