"""What is promised of answers, and what is done about classes of which some are rare."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from pervade.core import registry
from pervade.core.contracts.deployment import TensorSpec
from pervade.core.contracts.domain import Domain
from pervade.core.contracts.task import Task
from pervade.core.types import Json, Rows, Table

if TYPE_CHECKING:
    from torch import Tensor

    from pervade.core.contracts.training import Recipe

SPLIT = "promise"  # of rows that chose nothing, and by which promises are settled


@dataclass(frozen=True)
class Told:
    """What became of a promise on measured rows, for the terminal, the report and the card."""

    sentence: str  # "finds 95 of 100 defects (93 to 98 measured), at 7 false alarms in 100"
    flag: str  # `Promise.asked`
    # A picture: "x", "y" (lists), "low" and "high" of y where known, "x_title", "y_title"; "at": the [x, y] chosen,
    # "likeliest": that of the likeliest answers; "promised_x" and "promised_y": the shares that were promised.
    curve: Mapping[str, Json] = field(default_factory=dict)
    broken: bool | None = None  # whether its interval lies wholly on the wrong side of what was promised, where known


@runtime_checkable
class Promise(Protocol):
    """Something that is to hold of answers to rows like those it was settled on, which chose nothing else.

    What is settled lies in decision.json; whatever answers (engine/predictor.py) keeps it in the same way.
    """

    kind: ClassVar[str] = "promise"
    changes: ClassVar[tuple[str, ...]] = ()  # columns of a predictions file that it settles: no other may, too
    settles: ClassVar[bool] = True  # whether it takes rows that choose nothing else
    shows: ClassVar[tuple[str, ...]] = ()  # keys that `answer` adds, which people see before what the task shows

    @property
    def asked(self) -> str:
        """As it is asked for: "--min-recall defect=0.95"."""
        return registry.name_of(type(self)) or type(self).__name__

    def examine(self, task: Task, rows: Rows, domain: Domain) -> None:
        """Before training, with the rows of every split. Raises ConfigError where the task cannot keep it or a class is
        not there, DataError where the rows of the split "promise" cannot suffice, with the number that it takes."""
        ...

    def settle(self, columns: Mapping[str, Any], domain: Domain) -> dict[str, Json]:
        """From the predictions of the rows of the split "promise", all else being decided. Raises PromiseError where
        it cannot be kept, with the nearest that can."""
        ...

    def keep(self, table: Table, settled: Mapping[str, Any], domain: Domain) -> Table:
        """The answers (n rows, with or without "target") as the promise has them: columns replaced or added."""
        ...

    def metrics(self, settled: Mapping[str, Any], domain: Domain) -> Mapping[str, Any]:
        """What is measured of it, from the predictions file: name to `metrics.Metric`."""
        ...

    def told(
        self, figures: Mapping[str, Any], columns: Mapping[str, Any], settled: Mapping[str, Any], domain: Domain
    ) -> Told:
        """`figures`: the measured values of `metrics` and of the task's, each with value, low, high and n."""
        ...

    def answer(self, answer: dict[str, Any], table: Table, place: int, domain: Domain) -> dict[str, Any]:
        """What `predict` gives for the row at this place of the kept table, made of the task's own `answer`."""
        return answer


@runtime_checkable
class KeptInGraph(Promise, Protocol):
    """A promise that an exported graph keeps, too."""

    def adds(self, settled: Mapping[str, Any], gives: Collection[str], domain: Domain) -> tuple[TensorSpec, ...] | None:
        """The outputs that a graph whose task `gives` these has beside them; None where it cannot keep this."""
        ...

    def deployed(self, answers: dict[str, Tensor], settled: Mapping[str, Any], domain: Domain) -> dict[str, Tensor]:
        """As `keep`, in torch, of what the task's graph gives."""
        ...


@runtime_checkable
class Imbalance(Protocol):
    """What is done about classes of which some are rare, on every kind of data."""

    kind: ClassVar[str] = "imbalance"

    def check(self, recipe: Recipe) -> None:
        """Raises ConfigError where the recipe's task has no such classes. Asked before the data are read."""
        ...

    def settle(self, recipe: Recipe, counts: Mapping[str, int], held: Mapping[str, int]) -> tuple[Recipe, list[str]]:
        """The recipe with it, and what is to be said; `counts` are the rows of each class that train, `held` those that
        validate. Where it has nothing to do, the recipe without it. The same again where it is settled already. Raises
        ConfigError as `check`, and where it cannot go with what the recipe has."""
        ...

    def making(self) -> MakesRows | None:
        """How rows of rare classes are made, which train beside the real ones (run/synthetic.py); None: none are."""
        return None

    def open_weights(self) -> TriesWeights | None:
        """Where it is open whether rows weigh by their class, which is tried where weights are found at once
        (run/weighing.py): what takes the answer. None: nothing is open."""
        return None


class MakesRows(Protocol):
    @property
    def model(self) -> str:
        """What makes them, by its registered name."""
        ...

    @property
    def size(self) -> int | None:
        """Pixels a side of what is made; None: by what reads them."""
        ...

    @property
    def time(self) -> float:
        """The part of a time limit in which it learns."""
        ...

    def wanted(self, counts: Mapping[str, int]) -> dict[str, int]:
        """How many rows of each rare class are to be made, `counts` being those that train."""
        ...


class TriesWeights(Protocol):
    def tried(
        self, recipe: Recipe, weights: Literal["none", "balanced"], answers: Literal["likeliest", "balanced"]
    ) -> Recipe:
        """The recipe with what is taken (`Classify.class_weights`, `Classify.answers`), and nothing open any more."""
        ...
