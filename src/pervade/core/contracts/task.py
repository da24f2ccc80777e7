"""What is asked of a model: the contract of a task, and what it is handed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from pervade.core.contracts.domain import Domain
from pervade.core.types import Batch, Display, Json, Output, Parts, Rows, Table
from pervade.core.words import TaskWords

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import Module, Parameter


@dataclass(frozen=True)
class Context:
    """What a task may look at besides model and batch. `companions` is None outside training. `targets` says whether
    the batch holds what is right ("target"): not so where `predict` asks for an answer.

    `decision` is what `Task.decide` learnt on the validation split (decision.json); empty while training, and where
    rungs are judged: then nothing is `decided`, and what answers take may be found out by `reduce`, from all rows.
    `members` are the checkpoints (engine.checkpoint.Loaded) of runs inside this one that the task asks for, by name
    (abilities.py: HasMembers), as far as these have been trained. `figures` names those that are asked for, where these
    are not all, as while passes are judged: what only others are told from need not be found out. `device` is the
    model's, which further networks are taken to.
    """

    domain: Domain
    companions: Module | None = None
    decision: Mapping[str, Any] = field(default_factory=dict)
    targets: bool = True
    decided: bool = True
    members: Mapping[str, Any] = field(default_factory=dict)
    figures: frozenset[str] | None = None  # None: all
    device: torch.device | str = "cpu"

    def asks(self, names: Iterable[str]) -> bool:
        """Whether one of these figures is asked for."""
        return self.figures is None or not self.figures.isdisjoint(names)


@dataclass(frozen=True)
class Plain:
    """The simplest model's answers. `name` says which one; `columns` replace those of a predictions file."""

    name: str
    columns: Table


@dataclass(frozen=True)
class Phase:
    """One player of a step: GANs have two, most tasks one. Each has its own optimiser.

    Runs when the step's number is a multiple of `every`; n critic steps to one of the generator is every=n for the
    latter. `loss` maps a batch to Parts.
    """

    name: str
    parameters: list[Parameter]
    loss: Callable[[Batch], Parts]
    every: int = 1


@runtime_checkable
class Task(Protocol):
    """What is ASKED of the model. State lives in companions, never in the frozen task.

    What only some tasks need is an ability (abilities.py).
    """

    kind: ClassVar[str] = "task"

    # what is asked

    def wording(self, domain: Domain) -> TaskWords:
        """What it has a model do, in words."""
        return TaskWords()

    def examine(self, rows: Rows) -> None:
        """Raises DataError where the question cannot be asked of these rows (one class only, no targets)."""
        return

    # learning

    def outputs(self, domain: Domain) -> dict[str, int]:
        """The tensors a model must return, and the size of each one's last axis."""
        ...

    def forward(self, model: Module, batch: Batch, context: Context) -> Output:
        """Everything that `loss` needs. In training `context.companions` is there."""
        return model(batch["input"], mask=batch.get("mask"))

    def loss(self, output: Output, batch: Batch) -> Parts:
        """ "loss" (n,), summed over a row's units; "count" (n,), its units; others are logged as means over rows.

        `fit` divides once, over the whole optimiser step, all micro-batches and ranks.
        """
        ...

    def score(self, output: Output, batch: Batch, context: Context) -> Tensor:
        """(n,): the quantity explained or attacked; of what is likeliest where there are no targets."""
        return -self.loss(output, batch)["loss"]

    # predicting

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        """Decoding, beam search, sampling, acting; where there is none of these, forward."""
        return self.forward(model, batch, context)

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        """Columns of predictions.parquet for these rows, "row" among them."""
        ...

    def reduce(self, table: Table, domain: Domain) -> Table:
        """Joins the parts (windows, chunks, views) of one row into one line (`data.rows.parts.average`)."""
        return table

    def answers(self, table: Table, domain: Domain, top: int) -> list[dict[str, Any]]:
        """What `predict` shows of each row of `predictions`: plain values by name; the `top` likeliest where ranked."""
        return [{name: table[name][i] for name in table if name != "row"} for i in range(len(table["row"]))]

    def display(self, answer: Mapping[str, Any]) -> Display:
        """One of `answers` as people see it."""
        own = {name: value for name, value in answer.items() if name not in ("input", "cut", "error")}
        return Display("  ".join(f"{name} {value}" for name, value in own.items()), [own])

    # measuring

    def metrics(self, domain: Domain) -> Mapping[str, Any]:
        """Name to `metrics.Metric`: functions of the predictions file, nothing else."""
        return {}

    def decide(self, columns: Mapping[str, Any], domain: Domain) -> dict[str, Json]:
        """What is settled on the validation split's predictions once training is over (temperature, thresholds): goes
        to decision.json and from there into every `Context` that evaluates or predicts."""
        return {}

    def details(self, columns: Mapping[str, Any], train: Rows, domain: Domain) -> dict[str, Json]:
        """What is shown beside the metrics, from the predictions file: "baseline", "confusion", "reliability" …"""
        return {}
