"""The cheapest answers, by hand, and tables of costs that are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pervade.core.errors import ConfigError, DataError
from pervade.core.types import Rows
from pervade.domains.image import Image
from pervade.metrics.estimate import estimate
from pervade.promises import cost
from pervade.promises.cost import Cost
from pervade.tasks.classify import Classify
from pervade.tasks.regress import Regress

TWO = replace(Image(), labels=("healthy", "sick"), counts=(1, 1))
NINE = {"healthy": {"healthy": 0, "sick": 1}, "sick": {"healthy": 9, "sick": 0}}


def table(sick: list[float], target: list[int]) -> dict[str, Any]:
    given = np.stack([1 - np.array(sick), np.array(sick)], 1)
    number = np.arange(len(sick))
    about = {"row": number, "group": number, "target": np.array(target)}
    return {**about, "probabilities": given, "prediction": given.argmax(1), "label": [""] * len(sick)}


def test_the_cheapest_answer() -> None:
    """To overlook a sick one costs nine times a false alarm, so "sick" is cheaper from a tenth on."""
    kept = Cost(NINE).keep(table([0.09, 0.11, 0.4, 0.9], [0, 1, 0, 1]), {}, TWO)
    assert kept["prediction"].tolist() == [0, 1, 1, 1]
    assert kept["label"] == ["healthy", "sick", "sick", "sick"]
    assert Cost(NINE).answer({"top": []}, kept, 1, TWO) == {"answer": "sick", "top": []}


def test_what_it_costs_beside_the_likeliest_answers() -> None:
    """The cheapest cost 0, 0, 1, 0; the likeliest 0, 9, 0, 0."""
    promise = Cost(NINE)
    columns = promise.keep(table([0.09, 0.11, 0.4, 0.9], [0, 1, 0, 1]), {}, TWO)
    figures = {name: one.as_dict() for name, one in estimate(dict(promise.metrics({}, TWO)), columns).items()}
    assert figures["mean_cost"]["value"] == 0.25
    assert figures["mean_cost_likeliest"]["value"] == 2.25
    told = promise.told(figures, columns, {}, TWO)
    assert told.sentence.startswith("costs 0.25 (0 to ")
    assert "a row, where the likeliest answers would cost 2.25 (" in told.sentence


def test_of_equal_costs_the_likeliest_is_the_cheapest() -> None:
    rng = np.random.default_rng(0)
    labels = ("a", "b", "c")
    columns = {"probabilities": rng.dirichlet(np.ones(3), 50)}
    costs = {true: {answer: float(true != answer) for answer in labels} for true in labels}
    kept = Cost(costs).keep(columns, {}, replace(TWO, labels=labels, counts=(1, 1, 1)))
    assert (kept["prediction"] == columns["probabilities"].argmax(1)).all()


def test_a_table_of_costs(tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    path.write_text('true,sick,"healthy, so far"\n"healthy, so far",1,0\nsick,0,9.5\n')
    assert cost.read(path) == {
        "healthy, so far": {"sick": 1.0, "healthy, so far": 0.0},
        "sick": {"sick": 0.0, "healthy, so far": 9.5},
    }
    path.write_text(";a;b\na;0;1\nb;2;0\n")
    assert cost.read(path) == {"a": {"a": 0.0, "b": 1.0}, "b": {"a": 2.0, "b": 0.0}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"has 0 lines \(none\) and 0 columns \(none\) of costs"),
        ("true,a,b\na,0,1\n", r"has 1 lines \('a'\) and 2 columns \('a', 'b'\)"),
        ("true,a,b\na,0,1\nc,1,0\n", r"lines \('a', 'c'\) and 2 columns"),
        ("true,a,a\na,0,1\n", "both of the same classes; 'a' stands twice$"),
        ("true,a,b\na,0,1\na,1,0\n", "both of the same classes; 'a' stands twice; 'b' is in one alone$"),
        ("true,a,bb\na,0,1\nb,1,0\n", "the same classes; 'b' is in one alone; 'bb' is in one alone$"),
        ("true,a,b\na,0\nb,1,0\n", "the line of 'a' has 1 costs for 2 answers"),
        ("true,a,b\na,0,-1\nb,1,0\n", "a row of 'a' called 'b' costs '-1'; give a number from 0"),
        ("true,a,b\na,0,nan\nb,1,0\n", "costs 'nan'"),
        ("true,a,b\na,0,1e30\nb,1,0\n", "costs '1e30'; give a number from 0 to 1e[+]09"),
        ("true,a,b\na,0,much\nb,1,0\n", "costs 'much'"),
    ],
)
def test_tables_that_are_none(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        cost.read(path)


def test_no_table_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.csv is missing"):
        cost.read(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match="cannot be read"):
        cost.read(tmp_path)


def test_what_is_refused_before_training() -> None:
    none = Rows({"id": [], "split": [], "target": []})
    Cost(NINE).examine(Classify(), none, TWO)
    with pytest.raises(ConfigError, match="--cost is for tasks that say of each row one class"):
        Cost(NINE).examine(Regress(), none, TWO)
    with pytest.raises(DataError, match="--cost has no costs of 'sick', and the classes are 'healthy', 'sick'"):
        Cost({"healthy": {"healthy": 0}}).examine(Classify(), none, TWO)
    typed = {"healthy": {"healthy": 0, "sikc": 1}, "sikc": {"healthy": 9, "sikc": 0}}
    with pytest.raises(DataError, match=r"has no costs of 'sick' \(did you mean 'sikc'\?\), and the classes are"):
        Cost(typed).examine(Classify(), none, TWO)
    swapped = {"healthy": {"healthy": 0, "sick": 1}, "sick": {"healthy": 0, "sick": 9}}
    with pytest.raises(DataError, match="a row of 'sick' costs 9 where it is called so, and 0 where it is called 'hea"):
        Cost(swapped).examine(Classify(), none, TWO)
    with pytest.raises(DataError, match="of each class every answer costs the same, so none is the cheapest"):
        Cost({name: {"healthy": 0, "sick": 0} for name in NINE}).examine(Classify(), none, TWO)
    with pytest.raises(DataError, match="--cost has costs of 'ill'"):
        Cost({**NINE, "ill": {}}).examine(Classify(), none, TWO)
    with pytest.raises(DataError, match="the row of 'sick' is of other answers"):
        Cost({**NINE, "sick": {"sick": 0}}).examine(Classify(), none, TWO)
    with pytest.raises(DataError, match="--cost has no costs of"):
        Cost().examine(Classify(), none, TWO)
