"""The only training loop.

`Learner` takes optimiser steps; `Learner.fit` runs passes over a source and yields a `Moment` after every step and
every pass. Whoever iterates decides what to log, when to save and when to stop, so that this file knows nothing of
files, clocks or screens.

    learner = Learner(task, network, context, SGD(lr=0.1), OneCycle(), total_steps=300)
    for moment in learner.fit(source, passes=10):
        ...

A step's gradient is the sum over its rows divided once by the sum of their counts, over all micro-batches and ranks,
so it does not depend on how the batch was cut (batch normalisation is the exception: it looks at all ranks, but at one
micro-batch of each).
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from pervade.core import memory
from pervade.core.contracts import Context, Gradient, Optimizer, Phase, Schedule, Source, Task, Tuning
from pervade.core.errors import ConfigError, ContractError, ResourceError, TrainingError
from pervade.core.types import Batch, Parts
from pervade.engine import flat, ranks
from pervade.engine.flat import Flat
from pervade.engine.regularise import Average, Penalty
from pervade.nn import backbone, batch_norm


@dataclass(frozen=True)
class Moment:
    """Where training is: after a step (`kind` "step") or at the end of a pass (`kind` "pass")."""

    kind: Literal["step", "pass"]
    step: int  # optimiser steps taken
    passes: int  # passes completed
    rows: int = 0  # rows of this step, all ranks
    stop: bool = False  # some rank was asked to stop (`Learner.request_stop`); all ranks see it at the same step


class Summed:
    """The usual gradient: the sum over rows, divided by the number of units (core/contracts/training.py: Gradient)."""

    def accumulate(self, loss: Tensor, parameters: Sequence[Parameter]) -> None:
        loss.sum().backward()

    def divisor(self, parameters: Sequence[Parameter], count: float) -> float:
        return max(count, 1.0)


class Learner:
    """A model being trained: network, companions, one optimiser a phase, and the count of steps and passes."""

    def __init__(
        self,
        task: Task,
        network: Module,
        context: Context,
        optimizer: Optimizer,
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
        if micro_batch is not None and task.couples_rows:
            raise ContractError(
                f"{type(task).__name__} compares the rows of a batch, so a batch cannot be cut into micro-batches; "
                "leave micro_batch unset"
            )
        self.task, self.network, self.context = task, network, context
        self.schedule, self.total_steps = schedule, total_steps
        self.gradient: Gradient | Summed = gradient or Summed()
        self.micro_batch, self.clip_norm, self.precision = micro_batch, clip_norm, precision
        self.tuning = tuning
        backbone.mark_rows(network)
        self.phases = task.phases(network, context)
        self.starts: list[list[float]] = []  # by phase and group: when in the training it begins to learn
        if tuning is not None:
            self.phases = [self._tuned(tuning, phase) for phase in self.phases]
        self.flats: list[Flat | None] = []
        self.optimizers = [self._optimizer(optimizer, number) for number in range(len(self.phases))]
        self.peaks = [[group["lr"] for group in each.param_groups] for each in self.optimizers]
        self.penalty = Penalty(network, l1, l2) if l1 or l2 else None
        self.average = Average(network, average) if average is not None else None
        self.device = next(network.parameters()).device
        self.step = self.passes = 0
        self.pass_over = False
        self._stop = False
        self._begun = -1  # groups that had begun to learn when the network's modes were set last
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, float] = {}
        # torch's own entry into autocast costs 20 microseconds, so full precision does without
        self._autocast: Callable[[], Any] = contextlib.nullcontext
        if precision == "bf16":
            self._autocast = lambda: torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _tuned(self, tuning: Tuning, phase: Phase) -> Phase:
        """The phase with only those parameters that are to learn; the others are told so."""
        learning = {id(p) for group in tuning.groups(self.network, phase.parameters) for p in group.parameters}
        for parameter in phase.parameters:
            parameter.requires_grad_(id(parameter) in learning)
        return replace(phase, parameters=[p for p in phase.parameters if id(p) in learning])

    def _optimizer(self, optimizer: Optimizer, number: int) -> Any:
        phase = self.phases[number]
        if self.tuning is None:
            self.starts.append([0.0])
            whole = self.task.dense and getattr(optimizer, "elementwise", False) and flat.fits(phase.parameters)
            self.flats.append(Flat(phase.parameters) if whole else None)
            each = self.flats[-1]
            return optimizer.build(phase.parameters if each is None else [each.vector])
        self.flats.append(None)
        groups = self.tuning.groups(self.network, phase.parameters)
        self.starts.append([group.start for group in groups])
        spared = {"weight_decay": 0.0}
        return optimizer.build(
            {"params": g.parameters, "lr": optimizer.lr * g.rate, **({} if g.decay else spared)} for g in groups
        )

    # what a caller asks

    @property
    def judged(self) -> Module:
        """The network that is validated, saved and used: the averaged weights where there are any, as the task finishes
        them."""
        network = self.network if self.average is None else self.average.network
        return self.task.finished(network, self.context)

    @property
    def progress(self) -> float:
        return min(self.step / max(self.total_steps, 1), 1.0)

    @property
    def lr(self) -> float:
        return float(self.optimizers[0].param_groups[0]["lr"])

    def request_stop(self) -> None:
        """Asks for an end after the step under way; `Moment.stop` tells when all ranks have heard it."""
        self._stop = True

    def reopen_pass(self) -> None:
        """Back from the end of a pass to its last step, so that a state saved here sees that end again."""
        self.passes, self.pass_over = self.passes - 1, True

    def averages(self) -> dict[str, float]:
        """Mean of every part of the loss since the last call: "loss" a unit, the others a row.

        Raises TrainingError where the loss is not finite, since going on would only hide it.
        """
        sums = {name: float(value.sum()) for name, value in self._sums.items()}
        sums = ranks.sum_floats(sums)
        counts = ranks.sum_floats(self._counts)
        self._sums, self._counts = {}, {}
        means = {name: value / max(counts[name], 1.0) for name, value in sums.items()}
        for name, value in means.items():
            if not math.isfinite(value):
                raise TrainingError(
                    f"the {name} became {value} at step {self.step}; lower the learning rate (--lr, now {self.lr:g}), "
                    "or bound the gradient with -o clip_norm=1"
                )
        return means

    # the loop

    def fit(self, source: Source, passes: int) -> Iterator[Moment]:
        """Trains until `passes` passes are complete; goes on where a loaded state left off.

        Whoever looks at the network in between leaves it in training mode (engine/predict.py does).
        """
        self._train_mode()
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

    def _train_mode(self) -> None:
        self.network.train()
        if self.tuning is not None:
            for module in self.tuning.frozen(self.network, self.progress):
                module.eval()
        self._begun = self._groups_begun()

    def _groups_begun(self) -> int:
        return sum(start <= self.progress for group in self.starts for start in group)

    def _take_step(self, batch: Batch) -> tuple[Parts, int, bool]:
        parts: Parts = {}
        rows, stop = _rows(batch), self._stop
        progress = self.progress
        if self._groups_begun() != self._begun:
            self._train_mode()
        for number, (phase, optimizer, peaks) in enumerate(zip(self.phases, self.optimizers, self.peaks, strict=True)):
            if self.step % phase.every:
                continue
            factor = self.schedule.factor(progress)
            for group, peak, start in zip(optimizer.param_groups, peaks, self.starts[number], strict=True):
                group["lr"] = peak * factor
                if start:
                    for parameter in group["params"]:  # without a gradient an optimiser passes a weight by
                        parameter.requires_grad_(progress >= start)
            new, rows, stop = self._update(phase, optimizer, batch)
            parts |= {self._part(phase, name): value for name, value in new.items()}
        self.step += 1
        self.task.after_step(self.network, self.context, self.step)
        if self.average is not None:
            self.average.update(self.step)
        return parts, rows, stop

    def _update(self, phase: Phase, optimizer: Any, batch: Batch) -> tuple[Parts, int, bool]:
        for parameter in phase.parameters:
            parameter.grad = None
        pieces = self._pieces(batch)
        rows, whole = _rows(batch), self.flats[self.phases.index(phase)]
        plain = len(pieces) == 1 and ranks.world() == 1 and isinstance(self.gradient, Summed)
        known = self._descend(batch) if plain and whole is not None else None
        parts = self._losses(phase, pieces[0]) if known is None else known
        if known is not None:
            self._note(phase, parts)
            stop = self._stop
        elif plain:
            # The plain case: dividing the loss saves going through all gradients again.
            count = self._note(phase, parts)
            # As the gradient of the sum over the count, without the two calls and their own gradients.
            parts["loss"].backward(torch.full_like(parts["loss"], 1.0 / max(count, 1.0)))
            stop = self._stop
        else:
            count, all_parts = 0.0, []
            for number, piece in enumerate(pieces):
                parts = parts if number == 0 else self._losses(phase, piece)
                count += self._note(phase, parts)
                self.gradient.accumulate(parts["loss"], phase.parameters)
                all_parts.append({name: value.detach() for name, value in parts.items()})
            parts = {name: torch.cat([each[name] for each in all_parts]) for name in all_parts[0]}
            gradients = [p.grad for p in phase.parameters if p.grad is not None]
            if ranks.world() > 1:
                gradients = ranks.sum_gradients(phase.parameters)
            count, rows_all, asked = ranks.sum_numbers(count, rows, self._stop)
            rows, stop = int(rows_all), asked > 0
            divisor = self.gradient.divisor(phase.parameters, count)
            if gradients:
                torch._foreach_div_(gradients, divisor)
        if self.penalty is not None:
            self.penalty.add_gradient()
        if whole is not None:
            whole.gather()
        if self.clip_norm is not None and whole is not None:
            whole.bound(self.clip_norm)
        elif self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(phase.parameters, self.clip_norm)
        optimizer.step()
        return {name: value.detach() for name, value in parts.items()}, rows, stop

    def _descend(self, batch: Batch) -> Parts | None:
        """By the task's own way to its gradient, where it has one for such a network."""
        alone = len(self.phases) == 1 and self.precision == "fp32"
        return self.task.descend(self.network, batch, self.context) if alone else None

    def _pieces(self, batch: Batch) -> list[Batch]:
        """The micro-batches: on several ranks equally many, since a layer may wait for the others' rows in each
        (nn/batch_norm.py). Shares differ by a row, and so a piece may have a row more than `micro_batch`."""
        if self.micro_batch is None or ranks.world() == 1:
            return cut(batch, self.micro_batch)
        rows = len(batch["row"])
        most, fewest = ranks.largest(math.ceil(rows / self.micro_batch), -rows)
        number = int(min(most, -fewest))
        bounds = [rows * each // number for each in range(number + 1)]
        return [_slice(batch, start, stop) for start, stop in itertools.pairwise(bounds)]

    def _losses(self, phase: Phase, piece: Batch) -> Parts:
        with self._autocast():
            parts = phase.loss(piece)
        rows = len(piece["row"])
        if "loss" not in parts or parts["loss"].shape != (rows,):
            shape = tuple(parts["loss"].shape) if "loss" in parts else None
            raise ContractError(
                f'{type(self.task).__name__}: "loss" must hold one value a row, shape ({rows},), but is {shape}'
            )
        return parts

    def _part(self, phase: Phase, name: str) -> str:
        """With several players each part carries its player's name: "critic.loss"."""
        return name if len(self.phases) == 1 else f"{phase.name}.{name}"

    def _note(self, phase: Phase, parts: Parts) -> float:
        """Adds to the running means; returns the units in `parts`."""
        rows = parts["loss"].shape[0]
        count = float(parts["count"].sum()) if "count" in parts else float(rows)
        for name, value in parts.items():
            if name != "count":
                self._add(self._part(phase, name), value.detach(), count if name == "loss" else rows)
        return count

    def _add(self, name: str, value: Tensor, count: float) -> None:
        """Row by row while batches have as many rows: one addition a step, and the sum when somebody asks."""
        if name not in self._sums:
            self._sums[name], self._counts[name] = value.clone(), count
            return
        held = self._sums[name]
        self._sums[name] = held.add_(value) if held.shape == value.shape else held.sum() + value.sum()
        self._counts[name] += count

    def rehearse(self, batch: Batch | None) -> None:
        """Goes through one step on the largest batch without keeping anything of it: no update; random state, buffers
        and optimisers put back. Raises ResourceError, saying what to change, where memory does not suffice."""
        if batch is None:
            return
        batch = to_device(batch, self.device)
        try:
            with self._leaving_no_trace():
                for phase in self.phases:
                    piece = cut(batch, self.micro_batch)[0]
                    self.gradient.accumulate(self._losses(phase, piece)["loss"], phase.parameters)
                for phase, optimizer in zip(self.phases, self.optimizers, strict=True):
                    self._step_of_nothing(phase, optimizer)
        except Exception as error:  # of any kind, as `memory.ran_out` knows them
            if batch_norm.lacks_rows(error):
                raise ConfigError(
                    "one row at a time leaves batch normalisation one value of a channel, which has no variance; take "
                    "--batch-size 2 or more, and leave -o micro_batch out"
                ) from None
            if not memory.ran_out(error):
                raise
            raise ResourceError(
                f"a batch of {_rows(batch)} does not fit into memory; use a smaller --batch-size, "
                f"or keep it and set -o micro_batch={max((self.micro_batch or len(batch['row'])) // 2, 1)}, "
                "which gives the same result in smaller pieces"
            ) from error

    @contextlib.contextmanager
    def trying(self, batches: Iterator[Batch]) -> Iterator[Callable[[], int]]:
        """Gives what goes through one step, reading its batch included, without an update, and returns its rows: to see
        how long it takes. Nothing of it is kept."""

        def step() -> int:
            batch = to_device(next(batches), self.device)
            for phase in self.phases:
                for parameter in phase.parameters:
                    parameter.grad = None
                for piece in self._pieces(batch):
                    self.gradient.accumulate(self._losses(phase, piece)["loss"], phase.parameters)
            return _rows(batch)

        with self._leaving_no_trace():
            yield step

    @contextlib.contextmanager
    def _leaving_no_trace(self) -> Iterator[None]:
        self._train_mode()
        modules = [self.network] + ([self.context.companions] if self.context.companions is not None else [])
        buffers = [(b, b.clone()) for module in modules for b in module.buffers()]
        random = rng_state(self.device)
        try:
            yield
        finally:
            for module in modules:
                module.zero_grad(set_to_none=True)
            for optimizer in self.optimizers:
                optimizer.state.clear()
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
            restore_rng(random, self.device)

    def _step_of_nothing(self, phase: Phase, optimizer: Any) -> None:
        """A step with gradients and rate of zero: weights stay, and the optimiser takes the memory it will keep."""
        for parameter in phase.parameters:
            if parameter.grad is not None:
                parameter.grad.zero_()
        for group in optimizer.param_groups:
            group["lr"] = 0.0
        optimizer.step()

    # the state

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, but for the source."""
        companions = self.context.companions
        return {
            "network": self.network.state_dict(),
            "average": {} if self.average is None else self.average.network.state_dict(),
            "companions": {} if companions is None else companions.state_dict(),
            "optimizers": [each.state_dict() for each in self.optimizers],
            "step": self.step,
            "passes": self.passes,
            "pass_over": self.pass_over,
            "total_steps": self.total_steps,
            "sums": self._sums,
            "counts": self._counts,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.network.load_state_dict(state["average"])
        if self.context.companions is not None:
            self.context.companions.load_state_dict(state["companions"])
        for optimizer, each in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(each)
            _restore_layout(optimizer)
        self.step, self.passes, self.pass_over = state["step"], state["passes"], state["pass_over"]
        self.total_steps = state["total_steps"]
        self._sums = {name: value.to(self.device) for name, value in state["sums"].items()}
        self._counts = dict(state["counts"])


def _restore_layout(optimizer: Any) -> None:
    """Gives the optimiser's tensors the memory layout of their parameters (channels last), which files do not keep.

    Fused kernels walk parameter and state in memory order, so the layouts must be the same.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _rows(batch: Batch) -> int:
    """Rows of the data, each counted once, though it may be there in several parts (views, windows)."""
    return int((batch["part"] == 0).sum()) if "part" in batch else len(batch["row"])


def cut(batch: Batch, size: int | None) -> list[Batch]:
    """The batch in pieces of at most `size` rows; one piece where `size` is None or large enough."""
    rows = len(batch["row"])
    if size is None or rows <= size:
        return [batch]
    return [_slice(batch, start, start + size) for start in range(0, rows, size)]


def _slice(batch: Batch, start: int, stop: int) -> Batch:
    return {k: _slice(v, start, stop) if isinstance(v, dict) else v[start:stop] for k, v in batch.items()}


def to_device(batch: Batch, device: torch.device) -> Batch:
    if device.type == "cpu":
        return batch
    return {
        k: to_device(v, device) if isinstance(v, dict) else v.to(device, non_blocking=True) for k, v in batch.items()
    }


def rng_state(device: torch.device) -> dict[str, Tensor]:
    """The state of torch's generators that a training step on this device draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_rng(state: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
