"""How one player of a step learns from a batch: its gradient is found, bounded and applied.

`Step` is the usual way: autograd, in micro-batches and over ranks where there are several. `FusedStep` is that of a
small network on a processor, whose arithmetic costs less than the calls for it: all weights are one vector
(engine/flat.py), and the task may know its gradient itself. `SolvedStep` has a solver find all weights at once. `steps`
chooses.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from pervade.core.contracts import Context, Gradient, Optimizer, Phase, Solver, Task, Tuning
from pervade.core.contracts.abilities import FindsGradient, HasPlayers
from pervade.core.errors import ConfigError, ContractError
from pervade.core.types import Batch, Output, Parts
from pervade.engine import batches, flat, ranks
from pervade.engine.flat import Flat
from pervade.engine.means import Means
from pervade.engine.regularise import Penalty
from pervade.nn.modes import evaluating


class Summed:
    """The usual gradient: the sum over rows, divided by the number of units (core/contracts/training.py: Gradient)."""

    def accumulate(self, loss: Tensor, parameters: Sequence[Parameter]) -> None:
        loss.sum().backward()

    def divisor(self, parameters: Sequence[Parameter], count: float) -> float:
        return max(count, 1.0)


@dataclass(frozen=True)
class Setting:
    """What is the same for all players of a step."""

    task: Task
    network: Module
    context: Context
    gradient: Gradient | Summed
    means: Means
    micro_batch: int | None = None
    clip_norm: float | None = None
    precision: str = "fp32"
    penalty: Penalty | None = None
    tuning: Tuning | None = None


class Step:
    def __init__(self, phase: Phase, optimizer: Optimizer, setting: Setting, prefix: str = "") -> None:
        """`prefix` stands before the names of the phase's losses, where there are several: "critic."."""
        self.phase, self.setting, self.prefix = phase, setting, prefix
        self.starts = [0.0]  # by group: when in the training (0-1) it begins to learn
        self.optimizer = self._build(optimizer)
        self.peaks = [group["lr"] for group in self.optimizer.param_groups]
        # torch's own entry into autocast costs 20 microseconds, so full precision does without
        self._autocast: Callable[[], Any] = contextlib.nullcontext
        if setting.precision == "bf16":
            device = next(setting.network.parameters()).device.type
            self._autocast = lambda: torch.autocast(device, dtype=torch.bfloat16)

    def _build(self, optimizer: Optimizer) -> Any:
        tuning, parameters = self.setting.tuning, self.phase.parameters
        if tuning is None:
            return optimizer.build(parameters)
        groups = tuning.groups(self.setting.network, parameters)
        self.starts = [group.start for group in groups]
        spared = {"weight_decay": 0.0}
        return optimizer.build(
            {"params": g.parameters, "lr": optimizer.lr * g.rate, **({} if g.decay else spared)} for g in groups
        )

    def set_rate(self, factor: float, progress: float) -> None:
        """`factor` of the peak at `progress` (0-1) through the training."""
        for group, peak, start in zip(self.optimizer.param_groups, self.peaks, self.starts, strict=True):
            group["lr"] = peak * factor
            if start:
                for parameter in group["params"]:  # without a gradient an optimiser passes a weight by
                    parameter.requires_grad_(progress >= start)

    def take(self, batch: Batch, stop: bool) -> tuple[Parts, int, bool]:
        """The loss's parts, the rows of all ranks, and whether any of them was asked to `stop`."""
        setting, rows = self.setting, batches.num_rows(batch)
        self.forget_gradients()
        pieces = batches.micro_batches(batch, setting.micro_batch)
        if len(pieces) == 1 and ranks.world() == 1 and isinstance(setting.gradient, Summed):
            parts = self._backward(pieces[0])
        else:
            parts, rows, stop = self._accumulate(pieces, rows, stop)
        if setting.penalty is not None:
            setting.penalty.add_gradient()
        self._bound()
        self.optimizer.step()
        return {self.prefix + name: value.detach() for name, value in parts.items()}, rows, stop

    def forget_gradients(self) -> None:
        for parameter in self.phase.parameters:
            parameter.grad = None

    def losses(self, piece: Batch) -> Parts:
        with self._autocast():
            parts = self.phase.loss(piece)
        rows = len(piece["row"])
        if "loss" not in parts or parts["loss"].shape != (rows,):
            shape = tuple(parts["loss"].shape) if "loss" in parts else None
            raise ContractError(
                f'{type(self.setting.task).__name__}: "loss" must hold one value a row, shape ({rows},), but is {shape}'
            )
        return parts

    def _backward(self, batch: Batch) -> Parts:
        """A whole batch in one process: dividing the loss saves going through all gradients again."""
        parts = self.losses(batch)
        count = self.setting.means.add(parts, self.prefix)
        # As the gradient of the sum over the count, without the two calls and their own gradients.
        parts["loss"].backward(torch.full_like(parts["loss"], 1.0 / max(count, 1.0)))
        return parts

    def _accumulate(self, pieces: Sequence[Batch], rows: int, stop: bool) -> tuple[Parts, int, bool]:
        gradient, count, all_parts = self.setting.gradient, 0.0, []
        for piece in pieces:
            parts = self.losses(piece)
            count += self.setting.means.add(parts, self.prefix)
            gradient.accumulate(parts["loss"], self.phase.parameters)
            all_parts.append({name: value.detach() for name, value in parts.items()})
        gradients = [p.grad for p in self.phase.parameters if p.grad is not None]
        if ranks.world() > 1:
            gradients = ranks.sum_gradients(self.phase.parameters)
        count, rows_all, asked = ranks.sum_numbers(count, rows, stop)
        divisor = gradient.divisor(self.phase.parameters, count)
        if gradients:
            torch._foreach_div_(gradients, divisor)
        whole = {name: torch.cat([parts[name] for parts in all_parts]) for name in all_parts[0]}
        return whole, int(rows_all), asked > 0

    def _bound(self) -> None:
        if self.setting.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.phase.parameters, self.setting.clip_norm)

    def of_nothing(self) -> None:
        """A step with gradients and rate of zero: weights stay, and the optimiser takes the memory it will keep."""
        for parameter in self.phase.parameters:
            if parameter.grad is not None:
                parameter.grad.zero_()
        for group in self.optimizer.param_groups:
            group["lr"] = 0.0
        self.optimizer.step()

    def load_optimizer(self, state: dict[str, Any]) -> None:
        """Gives its tensors the memory layout of their parameters (channels last), which files do not keep: fused
        kernels walk parameter and state in memory order, so the layouts must be the same."""
        self.optimizer.load_state_dict(state)
        for parameter, held in self.optimizer.state.items():
            for name, value in held.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    held[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(ranks.share(value, parameter))


class FusedStep(Step):
    """Of a task that `FindsGradient`."""

    def _build(self, optimizer: Optimizer) -> Any:
        task, alone = self.setting.task, not self.prefix and self.setting.precision == "fp32"
        self.descend = task.descend if isinstance(task, FindsGradient) and alone else None
        self.flat = Flat(self.phase.parameters)
        return optimizer.build([self.flat.vector])

    def _backward(self, batch: Batch) -> Parts:
        setting = self.setting
        known = self.descend(setting.network, batch, setting.context) if self.descend is not None else None
        if known is None:
            return super()._backward(batch)
        setting.means.add(known)
        return known

    def _bound(self) -> None:
        self.flat.gather()
        if self.setting.clip_norm is not None:
            self.flat.bound(self.setting.clip_norm)


class SolvedStep(Step):
    """Of a `Solver`: nothing is approached, and the batch is all rows."""

    until: float | None = None  # when the weights are to be found (time.monotonic); None: whenever
    latest: float | None = None  # when some must be there, if not the best
    remark = ""  # what was left out, for time or size

    def take(self, batch: Batch, stop: bool) -> tuple[Parts, int, bool]:
        setting = self.setting
        pieces: list[Batch] = batch.get("pieces", [batch])

        def solve() -> None:
            with evaluating(setting.network):
                about = setting.network, setting.task, setting.context.domain
                self.remark = self.solver.solve(*about, pieces, self.until, self.latest)

        ranks.by_first(solve)  # for all, since each has all rows
        ranks.same_network(setting.network)
        parts: Parts = {}
        with torch.no_grad():
            for piece in pieces:
                # Of rows that go through in small batches one of each piece: all would take longer than the finding.
                parts = self.losses(batches.cut(piece, setting.micro_batch)[0])
                setting.means.add(parts, self.prefix)
        return parts, batches.num_rows(batch), ranks.any_true(stop)

    def _build(self, optimizer: Optimizer) -> Any:
        self.solver = cast(Solver, optimizer)
        return super()._build(optimizer)


def steps(setting: Setting, optimizer: Optimizer | Mapping[str, Optimizer]) -> list[Step]:
    """One a player. Raises ConfigError where optimisers are named and the players are others."""
    task, tuning = setting.task, setting.tuning
    whole = task, setting.network, setting.context
    phases = task.phases(setting.network, setting.context) if isinstance(task, HasPlayers) else [only_phase(*whole)]
    if tuning is not None:
        phases = [_tuned(setting.network, tuning, phase) for phase in phases]
    names = [phase.name for phase in phases]
    if isinstance(optimizer, Mapping) and sorted(optimizer) != sorted(names):
        raise ConfigError(
            f"optimizer: names {', '.join(sorted(optimizer))}, and the players of {type(task).__name__} are "
            f"{', '.join(names)}; name one optimizer for each of these, or give one for all"
        )
    players = []
    for phase in phases:
        own = optimizer[phase.name] if isinstance(optimizer, Mapping) else optimizer
        small = getattr(own, "elementwise", False) and flat.fits(phase.parameters)
        fused = tuning is None and isinstance(task, FindsGradient) and small
        prefix = f"{phase.name}." if len(phases) > 1 else ""
        kind = SolvedStep if isinstance(own, Solver) else FusedStep if fused else Step
        players.append(kind(phase, own, setting, prefix))
    return players


def only_phase(task: Task, network: Module, context: Context) -> Phase:
    """Of a task without players: all that can learn, by the task's loss."""
    trainable = [p for p in network.parameters() if p.requires_grad]
    if context.companions is not None:
        trainable += [p for p in context.companions.parameters() if p.requires_grad]
    return Phase("main", trainable, lambda batch: mixed_loss(task, task.forward(network, batch, context), batch))


def _tuned(network: Module, tuning: Tuning, phase: Phase) -> Phase:
    """The phase with only those parameters that are to learn; the others are told so."""
    learning = {id(p) for group in tuning.groups(network, phase.parameters) for p in group.parameters}
    for parameter in phase.parameters:
        parameter.requires_grad_(id(parameter) in learning)
    return replace(phase, parameters=[p for p in phase.parameters if id(p) in learning])


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
