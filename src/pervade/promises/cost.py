"""The answer that costs least: where mistakes cost differently, the likeliest answer need not be the cheapest.

    answer = argmin over j of sum over i of p_i cost(i, j)

with the calibrated probabilities p (C. Elkan, "The foundations of cost-sensitive learning", IJCAI 2001).

Axis letters: n rows, k classes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from pervade.core import files
from pervade.core.contracts import Domain, Task, TensorSpec, Told
from pervade.core.contracts.capabilities import labels_of
from pervade.core.contracts.promises import KeptInGraph
from pervade.core.errors import ConfigError, DataError, nearest
from pervade.core.registry import register
from pervade.core.types import Json, Rows, Table
from pervade.core.words import FigureWords, measured
from pervade.data.read import encodings, separated
from pervade.data.read.columns import listed
from pervade.data.read.targets import number_of
from pervade.engine.promises import answered
from pervade.metrics.columns import Columns
from pervade.metrics.estimate import Metric, weighted_mean
from pervade.tasks.classify import Classify

if TYPE_CHECKING:
    from torch import Tensor

MOST = 1e9
Money = Annotated[float, Field(ge=0, le=MOST)]


@register("promise")
@dataclass(frozen=True)
class Cost(KeptInGraph):
    """What each answer costs, by the true class and the answered one, of all classes."""

    costs: Mapping[str, Mapping[str, Money]] = field(default_factory=dict)

    # Every row is answered: what is found would be less where others are handed on.
    changes: ClassVar[tuple[str, ...]] = ("prediction", "label", "answered")
    settles: ClassVar[bool] = False  # the answers follow from the probabilities
    shows: ClassVar[tuple[str, ...]] = ("answer",)

    @property
    def asked(self) -> str:
        return "--cost"

    def examine(self, task: Task, rows: Rows, domain: Domain) -> None:
        if not isinstance(task, Classify):
            raise ConfigError("--cost is for tasks that say of each row one class; leave it out")
        labels, there = set(labels_of(domain)), set(self.costs)
        for names, told in ((labels - there, "has no costs of"), (there - labels, "has costs of")):
            if names:
                shown, near = (
                    listed(map(repr, sorted(names)), 5),
                    nearest(min(names), there if names <= labels else labels),
                )
                close = f" ({near})" if near.startswith("did you mean") else ""
                classes = listed(map(repr, sorted(labels)), 10)
                raise DataError(f"--cost {told} {shown}{close}, and the classes are {classes}")
        for name, row in self.costs.items():
            if set(row) != there:
                raise DataError(f"--cost: the row of {name!r} is of other answers than {listed(map(repr, there), 5)}")
            cheapest = min(row, key=lambda answer: row[answer])
            if row[cheapest] < row[name]:  # Elkan's reasonableness
                raise DataError(
                    f"--cost: a row of {name!r} costs {row[name]:g} where it is called so, and {row[cheapest]:g} where "
                    f"it is called {cheapest!r}; no mistake may cost less than the right answer"
                )
        if all(len(set(row.values())) == 1 for row in self.costs.values()):
            raise DataError(
                "--cost: of each class every answer costs the same, so none is the cheapest; mend the table"
            )

    def settle(self, columns: Mapping[str, Any], domain: Domain) -> dict[str, Json]:
        """Nothing is to be found: the answers follow from the probabilities."""
        return {}

    def keep(self, table: Table, settled: Mapping[str, Any], domain: Domain) -> Table:
        expected = np.asarray(table["probabilities"], np.float64) @ self._matrix(domain)
        return answered(table, expected.argmin(1).astype(np.int64), domain)

    def adds(self, settled: Mapping[str, Any], gives: Collection[str], domain: Domain) -> tuple[TensorSpec, ...] | None:
        return () if "probabilities" in gives else None

    def deployed(self, answers: dict[str, Tensor], settled: Mapping[str, Any], domain: Domain) -> dict[str, Tensor]:
        import torch

        costs = torch.tensor(self._matrix(domain), dtype=torch.float32)
        return {**answers, "prediction": (answers["probabilities"] @ costs).argmin(1)}

    def answer(self, answer: dict[str, Any], table: Table, place: int, domain: Domain) -> dict[str, Any]:
        return {"answer": table["label"][place], **answer}

    def metrics(self, settled: Mapping[str, Any], domain: Domain) -> Mapping[str, Metric]:
        costs = self._matrix(domain)
        return {
            name: Metric(
                partial(_mean_cost, costs=costs, likeliest=which == "likeliest"),
                higher_is_better=False,
                description=f"mean cost of a row, by the {which} answers",
                bounds=(0.0, MOST),
                words=FigureWords(f"Cost of a row, by the {which} answers"),
            )
            for name, which in (("mean_cost", "cheapest"), ("mean_cost_likeliest", "likeliest"))
        }

    def told(
        self, figures: Mapping[str, Any], columns: Mapping[str, Any], settled: Mapping[str, Any], domain: Domain
    ) -> Told:
        own, likeliest = (_measured(figures[name]) for name in ("mean_cost", "mean_cost_likeliest"))
        return Told(f"costs {own} a row, where the likeliest answers would cost {likeliest}", self.asked)

    def _matrix(self, domain: Domain) -> np.ndarray:
        """(k, k), true class by answer."""
        labels = labels_of(domain)
        return np.array([[self.costs[true][answer] for answer in labels] for true in labels], np.float64)


def read(path: Path) -> dict[str, dict[str, float]]:
    """Costs from a table: the first line names the answers, the first cell of each other line a true class. Raises
    DataError where it is of another form."""
    data = files.read_bytes(path, error=DataError)
    rows = separated.read(path, encodings.decode(data, path))
    names = [cell.strip() for cell in rows[0][1:]] if rows else []
    lines = {row[0].strip(): row[1:] for row in rows[1:]}
    if not names or len(lines) != len(rows) - 1 or set(lines) != set(names) or len(set(names)) != len(names):
        own = [row[0].strip() for row in rows[1:]]
        twice = sorted({name for among in (own, names) for name in among if among.count(name) > 1})
        single = sorted(set(own) ^ set(names))
        odd = [
            *(f"; {name!r} stands twice" for name in twice[:3]),
            *(f"; {name!r} is in one alone" for name in single[:3]),
        ]
        raise DataError(
            f"--cost {path} has {len(rows[1:]):,} lines ({_shown(lines)}) and {len(names):,} columns ({_shown(names)}) "
            "of costs; it takes a line of each true class, which its first cell names, and a column of each answer, "
            f"which the first line names, both of the same classes{''.join(odd)}"
        )
    return {true: _line(path, true, cells, names) for true, cells in lines.items()}


def _line(path: Path, true: str, cells: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    if len(cells) != len(names):
        raise DataError(f"--cost {path}: the line of {true!r} has {len(cells)} costs for {len(names)} answers")
    costs = {name: number_of(cell.strip()) for name, cell in zip(names, cells, strict=True)}
    for (name, cost), cell in zip(costs.items(), cells, strict=True):
        if cost is None or not 0 <= cost <= MOST:
            raise DataError(
                f"--cost {path}: a row of {true!r} called {name!r} costs {cell!r}; give a number from 0 to {MOST:g}"
            )
    return {name: float(cost) for name, cost in costs.items() if cost is not None}


def _shown(names: Sequence[str] | Mapping[str, Any]) -> str:
    return listed(map(repr, names), 5) or "none"


def _mean_cost(columns: Columns, weight: np.ndarray, costs: np.ndarray, likeliest: bool) -> float:
    answers = np.asarray(columns["probabilities"]).argmax(1) if likeliest else np.asarray(columns["prediction"])
    return weighted_mean(costs[np.asarray(columns["target"]), answers], weight)


def _measured(figure: Mapping[str, Any]) -> str:
    written = "{:.3g}".format
    return "–" if figure["value"] is None else written(figure["value"]) + measured(figure, written=written)
