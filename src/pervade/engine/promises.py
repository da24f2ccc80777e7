"""What is promised of answers (core/contracts/promises.py): examined before training, and kept by whatever answers.

    decision.json   "promises": [{"promise": {"use": …}, "settled": {…}, "n": 262, "kept": true, "why": ""}, …]

They are settled once all else is decided (run/promising.py), each on the answers as those before it have them, and kept
in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pervade.core import contents, spec
from pervade.core.contracts import Domain, Promise, Recipe, Task, Told, Wrapping
from pervade.core.contracts.capabilities import labels_of
from pervade.core.errors import ConfigError, DataError
from pervade.core.types import Display, Json, Rows, Table
from pervade.metrics.estimate import Metric

ENTRY = "promises"  # of decision.json, and of the details of results


@dataclass(frozen=True)
class Settled:
    """An entry of decision.json."""

    promise: Promise
    settled: Mapping[str, Any]
    n: int  # rows that settled it
    kept: bool
    why: str  # it is not kept

    def reading(self) -> AbstractContextManager[None]:
        """Around what takes apart what was stored."""
        where = f"decision.json, where it says how {self.promise.asked} is kept,"
        return contents.understood(where, "use another checkpoint, or train again")


def of(decision: Mapping[str, Any]) -> list[Settled]:
    """Raises ConfigError where one is not registered here, or damaged."""
    entries = decision.get(ENTRY, ())
    try:
        promises: list[Promise] = [spec.decode(entry["promise"], Promise) for entry in entries]
    except ConfigError as error:
        raise ConfigError(*(f"decision.json: {problem}" for problem in error.problems)) from None
    return [
        Settled(promise, entry["settled"], entry["n"], entry["kept"], entry["why"])
        for promise, entry in zip(promises, entries, strict=True)
    ]


def kept(decision: Mapping[str, Any]) -> list[Settled]:
    return [one for one in of(decision) if one.kept]


def without(decision: Mapping[str, Any]) -> dict[str, Any]:
    """What is decided but for promises."""
    return {name: value for name, value in decision.items() if name not in (ENTRY, "format")}


# before training


def take_rows(promises: Sequence[Promise]) -> bool:
    """Whether rows are set apart, by which something of them is settled."""
    return any(promise.settles for promise in promises)


def check(promises: Sequence[Promise]) -> None:
    """Raises ConfigError where two settle the same."""
    for place, promise in enumerate(promises):
        for other in promises[:place]:
            if set(promise.changes) & set(other.changes):
                raise ConfigError(f"{other.asked} and {promise.asked} exclude each other: each says what is answered")


def examine(recipe: Recipe, rows: Rows, domain: Domain) -> None:
    """`domain` is fitted. Raises ConfigError or DataError where these rows cannot keep a promise of the recipe."""
    check(recipe.promises)
    task = recipe.task
    while isinstance(task, Wrapping):  # whose answers are those of the task inside
        task = task.task
    for promise in recipe.promises:
        promise.examine(task, rows, domain)


def units(held: Rows) -> list[Any]:
    """What rows are independent by: the group of each, where they have any."""
    return list(held.column("group" if "group" in held else "id"))


def too_few(asked: str, needed: int, rows: str, held: Rows, there: int, less: str, provided: str = "") -> DataError:
    """That what is asked takes so many of such `rows` (`provided` something), and among those `held` for it there are
    fewer; `less` that could be promised ends the sentence."""
    counting = " (one a group)" if "group" in held else ""
    # Which is twice the usual share; of fewer no division leaves enough.
    more = ", or leave more of them for validation (-o validation=0.3)" if needed <= 2 * there else ""
    return DataError(
        f"{asked} takes {needed:,} {rows}{counting} that choose nothing else{provided}. Half of the validation split "
        f"is kept for that, {len(held):,} rows, and of such there are {there:,}; give more data{more}{less}"
    )


# wherever there are answers


def keep(table: Table, decision: Mapping[str, Any], domain: Domain) -> Table:
    """The answers as what is promised has them. Raises CheckpointError where what is settled is damaged."""
    for one in kept(decision):
        with one.reading():
            table = one.promise.keep(table, one.settled, domain)
    return table


def answered(table: Table, prediction: np.ndarray, domain: Domain) -> Table:
    """The table with other answers: numbers of labels, (n,) int64."""
    labels = labels_of(domain)
    return {**table, "prediction": prediction, "label": [labels[number] for number in prediction.tolist()]}


def answers(
    made: list[dict[str, Any]], table: Table, decision: Mapping[str, Any], domain: Domain
) -> list[dict[str, Any]]:
    """What `predict` gives of a kept table, from what the task makes of it."""
    for one in kept(decision):
        with one.reading():
            made = [one.promise.answer(answer, table, place, domain) for place, answer in enumerate(made)]
    return made


def display(task: Task, decision: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Display]:
    """How people see an answer: as the task shows it, and before it what promises made of it."""
    names = [name for one in kept(decision) for name in one.promise.shows]

    def show(answer: Mapping[str, Any]) -> Display:
        plain = task.display(answer)
        more = {name: answer[name] for name in names if name in answer}
        said = [f"{name} {_said(value)}" for name, value in more.items()]
        return Display("  ".join([*said, plain.line]), [{**more, **row} for row in plain.rows], plain.prose)

    return show


def _said(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def not_kept(asked: str, why: str) -> str:
    """
    >>> not_kept("--max-risk 0.01", "--max-risk 0.01 cannot be kept"), not_kept("--cost", "no rows")
    ('promise NOT kept: --max-risk 0.01 cannot be kept', 'promise NOT kept: --cost: no rows')
    """
    return f"promise NOT kept: {why if why.startswith(asked) else f'{asked}: {why}'}"


# measuring


def metrics(decision: Mapping[str, Any], domain: Domain) -> dict[str, Metric]:
    measured: dict[str, Metric] = {}
    for one in kept(decision):
        with one.reading():
            measured |= one.promise.metrics(one.settled, domain)
    return measured


def broken(figure: Mapping[str, Any], promised: float, at_most: bool = False) -> bool | None:
    """Whether the interval of a measured figure lies wholly on the wrong side of what it was to be: at least that, or
    `at_most`. None where there is no interval."""
    low, high = figure["low"], figure["high"]
    if low is None or high is None:
        return None
    return bool(low > promised if at_most else high < promised)


def told(
    decision: Mapping[str, Any], figures: Mapping[str, Any], columns: Mapping[str, Any], domain: Domain
) -> list[dict[str, Json]]:
    """What became of each promise on measured rows, as results hold it ("promises" of their details)."""
    lines: list[dict[str, Json]] = []
    for one in of(decision):
        said = Told(f"{one.promise.asked} is not kept", one.promise.asked)
        if one.kept:
            with one.reading():
                said = one.promise.told(figures, columns, one.settled, domain)
        decides = "prediction" in one.promise.changes  # what is answered
        lines.append({**asdict(said), "kept": one.kept, "why": one.why, "n": one.n, "decides": decides})
    return lines
