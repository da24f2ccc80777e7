"""What is asked of a model: the contract of a task, and what it is handed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from pervade.core.contracts.domain import Domain, PlainFeatures
from pervade.core.types import Batch, Json, LeftOut, Output, Parts, Rows, Table

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter

    from pervade.core.contracts.source import Sampler


@dataclass(frozen=True)
class Context:
    """What a task may look at besides model and batch. `companions` is None outside training.

    `decision` is what `Task.decide` learnt on the validation split (decision.json); empty while training.
    """

    domain: Domain
    companions: Module | None = None
    decision: Mapping[str, Any] = field(default_factory=dict)


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

    `couples_rows` is True where rows of a batch matter to one another (contrast, GAN): no cutting, no private training.
    """

    kind: ClassVar[str] = "task"
    couples_rows: ClassVar[bool] = False
    question: ClassVar[str] = ""  # where several tasks are measured by the same figures, what all of them answer
    dense: ClassVar[bool] = False  # every weight that learns gets a gradient in every step

    def examine(self, rows: Rows) -> None:
        """Raises DataError where the question cannot be asked of these rows (one class only, no targets)."""
        return

    def arrange(self, rows: Rows) -> tuple[Rows, list[LeftOut]]:
        """The rows as they are to be split, and those of no use: where people must not stand on both sides, their names
        are the "group"."""
        return rows, []

    def measurable(self, rows: Rows, domain: Domain) -> tuple[Rows, list[LeftOut]]:
        """Of other data than the model's own, without splits, the rows that it can be measured on, and those of no use:
        of classes it never learnt. Raises DataError where there is none."""
        self.examine(rows)
        return rows, []

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

    def score(self, output: Output, batch: Batch) -> Tensor:
        """(n,): the quantity explained or attacked."""
        return -self.loss(output, batch)["loss"]

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        """Decoding, beam search, sampling, acting; where there is none of these, forward."""
        return self.forward(model, batch, context)

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        """Columns of predictions.parquet for these rows, "row" among them."""
        ...

    def reduce(self, table: Table, domain: Domain) -> Table:
        """Joins the parts (windows, chunks, views) of one row into one line (`data.parts.average`)."""
        return table

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

    def made(self, model: Module, train: Rows, context: Context) -> dict[str, Json]:
        """What the model makes by itself (samples), shown beside the metrics as `details` are."""
        return {}

    def replies(self, model: Module, rows: Rows, train: Rows, context: Context) -> dict[str, Json]:
        """What the model answers to a few of the measured rows, shown beside the metrics as `details` are."""
        return {}

    def plain(self, features: PlainFeatures, train: Rows, columns: Mapping[str, Any], domain: Domain) -> Plain | None:
        """What a linear model on plain features says of the rows of a predictions file, as the same columns; None where
        this task has none."""
        return None

    def answers(self, table: Table, domain: Domain, top: int) -> list[dict[str, Any]]:
        """What `predict` shows of each row of `predictions`: plain values by name; the `top` likeliest where ranked."""
        return [{name: table[name][i] for name in table if name != "row"} for i in range(len(table["row"]))]

    def phases(self, model: Module, context: Context) -> list[Phase]:
        trainable = [p for p in model.parameters() if p.requires_grad]
        if context.companions is not None:
            trainable += [p for p in context.companions.parameters() if p.requires_grad]
        return [Phase("main", trainable, lambda batch: mixed_loss(self, self.forward(model, batch, context), batch))]

    def companions(self, model: Module, domain: Domain) -> Module | None:
        """Modules beside the model (target network, teacher, class centres): saved and resumed with the state.

        Their parameters are trained unless `requires_grad` is off.
        """
        return None

    def descend(self, model: Module, batch: Batch, context: Context) -> Parts | None:
        """For a task that knows its gradient: leaves that of the mean loss in the weights, as `backward` would, and
        returns `loss`'s parts. None, without having done anything, where autograd is to find it. Asked of `dense` tasks
        for small networks on a processor, a whole batch at a time."""
        return None

    def after_step(self, model: Module, context: Context, step: int) -> None:
        """Called after every optimiser step, counted from 1."""
        return

    def finished(self, model: Module, context: Context) -> Module:
        """The model as it is judged, saved and used, while training goes on with `model`: a copy into which was worked
        what companions learnt (a whitening), or `model` itself."""
        return model

    def together(self, members: Mapping[str, Table], plain: Mapping[str, Table]) -> dict[str, Json]:
        """What several seeds' predictions files, by member, say together; `plain` holds the simplest model's."""
        return {}

    def sampler(self, rows: Rows, seed: int) -> Sampler | None:
        """Which rows make a batch (people x pictures, equal classes); None: each row once a pass, in random order."""
        return None


def mixed_loss(task: Task, output: Output, batch: Batch) -> Parts:
    """The loss of a batch whose inputs may have been mixed: "mix" (n,) is the share of a row's own picture, and
    "other_target" the target of what was mixed in (MixUp, Zhang et al. 2018, arXiv:1710.09412: the losses are mixed as
    the inputs were)."""
    parts = task.loss(output, batch)
    if "mix" not in batch:
        return parts
    other = task.loss(output, {**batch, "target": batch["other_target"]})
    share = batch["mix"]
    return {name: share * parts[name] + (1 - share) * other[name] for name in parts}
