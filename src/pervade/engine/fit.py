"""The only training loop.

`Learner` takes optimiser steps; `Learner.fit` runs passes over a source and yields a `Moment` after every step and
every pass. Whoever iterates decides what to log, when to save and when to stop, so that this file knows nothing of
files, clocks or screens.

    learner = Learner(task, network, context, SGD(lr=0.1), OneCycle(), total_steps=300)
    for moment in learner.fit(source, passes=10):
        ...

A step's gradient is the sum over its rows divided once by the sum of their counts, over all micro-batches and ranks,
so it does not depend on how the batch was cut (batch normalisation is the exception: it looks at all ranks, but at one
micro-batch of each). How one is taken is engine/step.py's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch.nn import Module

from pervade.core import runtime
from pervade.core.contracts import Context, Gradient, Optimizer, Recipe, Schedule, Source, Task, Tuning
from pervade.core.contracts.abilities import CouplesRows, HasCompanions
from pervade.core.errors import ContractError
from pervade.core.types import Batch, Parts
from pervade.engine import ranks
from pervade.engine.batches import num_rows, to_device
from pervade.engine.means import Means
from pervade.engine.regularise import Average, Penalty
from pervade.engine.step import Setting, Summed, steps
from pervade.nn import backbone


@dataclass(frozen=True)
class Moment:
    """Where training is: after a step (`kind` "step") or at the end of a pass (`kind` "pass")."""

    kind: Literal["step", "pass"]
    step: int  # optimiser steps taken
    passes: int  # passes completed
    rows: int = 0  # rows of this step, all ranks
    stop: bool = False  # some rank was asked to stop (`Learner.request_stop`); all ranks see it at the same step


class Learner:
    """A model being trained: network, companions, one optimiser a player, and the count of steps and passes."""

    def __init__(
        self,
        task: Task,
        network: Module,
        context: Context,
        optimizer: Optimizer | Mapping[str, Optimizer],
        schedule: Schedule,
        total_steps: int,
        *,
        gradient: Gradient | None = None,
        micro_batch: int | None = None,
        clip_norm: float | None = None,
        precision: str = "fp32",
        tuning: Tuning | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        average: float | None = None,
    ) -> None:
        if micro_batch is not None and isinstance(task, CouplesRows):
            raise ContractError(
                f"{type(task).__name__} compares the rows of a batch, so a batch cannot be cut into micro-batches; "
                "leave micro_batch unset"
            )
        self.task, self.network, self.context = task, network, context
        self.optimizer, self.schedule, self.total_steps = optimizer, schedule, total_steps
        self.companioned = task if isinstance(task, HasCompanions) else None
        self.means = Means()
        backbone.mark_rows(network)
        penalty = Penalty(network, l1, l2) if l1 or l2 else None
        how = gradient or Summed(), self.means, micro_batch, clip_norm, precision, penalty, tuning
        self.setting = Setting(task, network, context, *how)
        self.steps = steps(self.setting, optimizer)
        self.average = Average(network, average) if average is not None else None
        self.device = next(network.parameters()).device
        self.step = self.passes = 0
        self.pass_over = False
        self._stop = False
        self._finished: tuple[int, Module] | None = None  # after which step, and what is `judged` then
        self._begun = -1  # groups that had begun to learn when the network's modes were set last

    @classmethod
    def by(cls, recipe: Recipe, network: Module, context: Context, total_steps: int) -> Learner:
        """As the recipe says, on the device of the network."""
        return cls(
            recipe.task,
            network,
            context,
            recipe.optimizer,
            recipe.schedule,
            total_steps,
            gradient=recipe.gradient,
            micro_batch=recipe.micro_batch,
            clip_norm=recipe.clip_norm,
            precision=runtime.training_precision(next(network.parameters()).device.type, recipe.precision),
            tuning=recipe.tuning,
            l1=recipe.l1,
            l2=recipe.l2,
            average=recipe.average,
        )

    # what a caller asks

    @property
    def judged(self) -> Module:
        """The network that is validated, saved and used: the averaged weights where there are any, as the task finishes
        them."""
        if self._finished is None or self._finished[0] != self.step:
            network = self.network if self.average is None else self.average.network
            network = network if self.companioned is None else self.companioned.finished(network, self.context)
            self._finished = self.step, network
        return self._finished[1]

    @property
    def progress(self) -> float:
        return min(self.step / max(self.total_steps, 1), 1.0)

    @property
    def lr(self) -> float:
        """Of the first player."""
        return float(self.steps[0].optimizer.param_groups[0]["lr"])

    @property
    def rates(self) -> dict[str, float]:
        """Each learning rate, by the setting that changes it."""
        alone = not isinstance(self.optimizer, Mapping)
        return {
            "--lr" if alone else f"-o optimizer.{step.phase.name}.lr": float(step.optimizer.param_groups[0]["lr"])
            for step in self.steps
        }

    def request_stop(self) -> None:
        """Asks for an end after the step under way; `Moment.stop` tells when all ranks have heard it."""
        self._stop = True

    def reopen_pass(self) -> None:
        """Back from the end of a pass to its last step, so that a state saved here sees that end again."""
        self.passes, self.pass_over = self.passes - 1, True

    def averages(self) -> dict[str, float]:
        """Mean of every part of the loss since the last call: "loss" a unit, the others a row.

        Raises TrainingError where the loss is not finite.
        """
        return self.means.take(self.step, self.rates)

    # the loop

    def fit(self, source: Source, passes: int) -> Iterator[Moment]:
        """Trains until `passes` passes are complete; goes on where a loaded state left off.

        Whoever looks at the network in between leaves it in training mode (engine/predictor.py does).
        """
        self.train_mode()
        while self.passes < passes:
            if not self.pass_over:
                for batch in source:
                    batch = to_device(batch, self.device)
                    parts, rows, stop = self._take_step(batch)
                    # set before the moment is seen, so that a state saved there knows that the pass ended with it
                    self.pass_over = ranks.any_true(source.feedback(batch, parts))
                    yield Moment("step", self.step, self.passes, rows, stop)
                    if self.pass_over:
                        break
            self.pass_over = False
            self.passes += 1
            yield Moment("pass", self.step, self.passes)

    def train_mode(self) -> None:
        self.network.train()
        tuning = self.setting.tuning
        if tuning is not None:
            for module in tuning.frozen(self.network, self.progress):
                module.eval()
        self._begun = self._groups_begun()

    def _groups_begun(self) -> int:
        return sum(start <= self.progress for step in self.steps for start in step.starts)

    def _take_step(self, batch: Batch) -> tuple[Parts, int, bool]:
        parts: Parts = {}
        rows, stop = num_rows(batch), self._stop
        progress = self.progress
        if self._groups_begun() != self._begun:
            self.train_mode()
        for step in self.steps:
            if self.step % step.phase.every:
                continue
            step.set_rate(self.schedule.factor(progress), progress)
            new, rows, stop = step.take(batch, self._stop)
            parts |= new
        self.step += 1
        if self.companioned is not None:
            self.companioned.after_step(self.network, self.context, self.step)
        if self.average is not None:
            self.average.update(self.step)
        return parts, rows, stop

    # the state

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, but for the source. All ranks must ask; the first gets it whole."""
        companions = self.context.companions
        state = {
            "network": self.network.state_dict(),
            "average": {} if self.average is None else self.average.network.state_dict(),
            "companions": {} if companions is None else companions.state_dict(),
            "optimizers": [step.optimizer.state_dict() for step in self.steps],
            "step": self.step,
            "passes": self.passes,
            "pass_over": self.pass_over,
            "total_steps": self.total_steps,
            **self.means.state_dict(),
        }
        return dict(ranks.whole(state))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        ranks.load(self.network, state["network"])
        if self.average is not None:
            ranks.load(self.average.network, state["average"])
        if self.context.companions is not None:
            self.context.companions.load_state_dict(state["companions"])
        for step, own in zip(self.steps, state["optimizers"], strict=True):
            step.load_optimizer(own)
        self._finished = None
        self.step, self.passes, self.pass_over = state["step"], state["passes"], state["pass_over"]
        self.total_steps = state["total_steps"]
        self.means.load_state_dict(state, self.device)
