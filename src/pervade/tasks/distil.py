"""A small network learns a task from what a trained one says: a task around a task.

With L the task's own loss and D how far the student's output is from the teacher's (`CanTeach.imitation`), a row's loss
is

    share x L + (1 - share) x units x (D + features x E)

(Hinton et al. 2015, arXiv:1503.02531). Teacher and student see the very same inputs, however these were cut, coloured
or mixed, so that every look at a row is a new lesson (Beyer et al. 2022, arXiv:2106.05237). E is how far the student's
features, as its heads are given them, are from its teacher's, where both networks have heads (`nn.distillation.apart`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Linear, Module

from pervade.core import registry
from pervade.core.bounds import Weight
from pervade.core.contracts import Context, Domain, Task, Wrapping, inputs
from pervade.core.contracts.abilities import CanTeach, HasCompanions
from pervade.core.contracts.capabilities import Tokenised, labels_of
from pervade.core.errors import CheckpointError, ConfigError
from pervade.core.registry import register
from pervade.core.run import RunDirectory
from pervade.core.types import Batch, Output, Parts, Table
from pervade.engine.base import digest
from pervade.engine.checkpoint import Loaded, load_checkpoint
from pervade.nn.backbone import known
from pervade.nn.distillation import apart
from pervade.tasks.classify import Classify
from pervade.weights import locate

SAID = "teacher's "  # before the names of the teacher's outputs
FEATURES = "what the heads are given"
OWN = ("mean", "deviation")  # of inputs: by what a network normalises inside, which the other need not


@register("task")
@dataclass(frozen=True)
class Distil(Wrapping, HasCompanions):
    """`teacher` is a run, or the folder of a checkpoint. Outside training there is no teacher, and the task is the
    inner one."""

    task: Task = field(default_factory=Classify)
    teacher: str = ""
    temperature: Annotated[float, Field(gt=0, le=100)] = 2.0  # above 1 also tells what is unlikely, and how much so
    share: Annotated[float, Field(ge=0, le=1)] = 0.1  # of the true targets
    features: Weight = (
        0.0  # of how far the features that the heads are given are from the teacher's, beside the answers
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.task, CanTeach):
            classes = {name: registry.find("task", name)[0] for name in registry.names("task")}
            teaching = [name for name, cls in classes.items() if issubclass(cls, CanTeach)]
            raise ConfigError(
                f"task.task: {registry.full_name(self.task)} has no answers that a student could learn; distil is for "
                f"{', '.join(teaching)}"
            )

    def outputs(self, domain: Domain) -> dict[str, int]:
        return self.task.outputs(domain)

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        return self.task.predictions(output, batch, context)

    def companions(self, model: Module, domain: Domain) -> Module:
        """ "teacher"; where the inner task has some, "own"; and "map", which learns to make features as wide as the
        teacher's. Raises ConfigError where there are features to be learnt, and a network shows none."""
        companions = Module()
        companions.teacher = Teacher(self._fitting(domain), self.teacher)
        if self.features:
            width, teachers = _width(model), _width(companions.teacher.network)
            if width != teachers:
                companions.map = Linear(width, teachers)
        own = self.task.companions(model, domain) if isinstance(self.task, HasCompanions) else None
        if own is not None:
            companions.own = own
        return companions

    def after_step(self, model: Module, context: Context, step: int) -> None:
        if isinstance(self.task, HasCompanions):
            self.task.after_step(model, _inner(context), step)

    def finished(self, model: Module, context: Context) -> Module:
        return self.task.finished(model, _inner(context)) if isinstance(self.task, HasCompanions) else model

    def forward(self, model: Module, batch: Batch, context: Context) -> Output:
        if context.companions is None:
            return self.task.forward(model, batch, _inner(context))
        output = self._said(model, batch, _inner(context))
        teacher: Any = context.companions.get_submodule("teacher")
        with torch.no_grad():
            said = self._said(teacher.network, batch, replace(context, companions=None))
        if hasattr(context.companions, "map"):
            output[FEATURES] = context.companions.get_submodule("map")(output[FEATURES])
        return {**output, **{f"{SAID}{name}": value for name, value in said.items()}}

    def _said(self, network: Module, batch: Batch, context: Context) -> Output:
        """With what its heads were given, where that is to be learnt."""
        if not self.features:
            return self.task.forward(network, batch, context)
        given: list[Any] = []
        body = known(network, "task.features").body
        hook = body.register_forward_hook(lambda module, read, made: given.append(made))
        try:
            output = self.task.forward(network, batch, context)
        finally:
            hook.remove()
        return {**output, FEATURES: given[-1][0] if isinstance(given[-1], tuple) else given[-1]}

    def loss(self, output: Output, batch: Batch) -> Parts:
        """Beside it "imitation", how far it is from the teacher, a unit, and "features", how far these are."""
        own = {name: value for name, value in output.items() if not name.startswith(SAID)}
        said = {name.removeprefix(SAID): value for name, value in output.items() if name.startswith(SAID)}
        features = own.pop(FEATURES, None)
        parts = self.task.loss(own, batch)
        if not said:
            return parts
        assert isinstance(self.task, CanTeach), "see __post_init__"
        learnt = imitation = self.task.imitation(own, said, batch, self.temperature)
        if features is not None:
            counted = own.get("frames", batch.get("mask")) if features.ndim > 2 else None
            between = apart(features, said[FEATURES], counted)
            learnt, parts = learnt + self.features * between, {**parts, "features": between.detach()}
        if "count" in parts:
            learnt = learnt * parts["count"]
        loss = self.share * parts["loss"] + (1 - self.share) * learnt if self.share else learnt
        return {**parts, "loss": loss, "imitation": imitation.detach()}

    def _fitting(self, domain: Domain) -> Loaded:
        """The teacher. Raises ConfigError where it is asked something else, or reads rows in another way."""
        teacher = loaded(self.teacher)
        asked, answers = self.task.outputs(domain), teacher.task.outputs(teacher.domain)
        if asked != answers or labels_of(domain) != labels_of(teacher.domain):
            raise ConfigError(
                f"{self.teacher} answers {answers}, and its student is asked for {asked}, of the same labels in the "
                "same order; take a teacher that was trained on the same data by the same task"
            )
        if _reads(domain) != _reads(teacher.domain):
            raise ConfigError(
                f"{self.teacher} reads {teacher.domain.inputs()}, and its student {domain.inputs()}; both see the same "
                "inputs, so leave the domain as the teacher has it (of a blend take one of its members as teacher)"
            )
        return teacher


class Teacher(Module):
    """A trained network that only answers: always in evaluation mode, without gradients. Its weights lie where they
    came from, so the state of a training holds their SHA-256 alone."""

    def __init__(self, teacher: Loaded, place: str) -> None:
        super().__init__()
        self.place = place
        network = teacher.network.eval().requires_grad_(False)
        # Inside of something that is no module, it is out of reach of state_dict, train and parameters.
        self._kept = (network,)
        self.sha256 = digest(state := network.state_dict(), state)

    @property
    def network(self) -> Module:
        return self._kept[0]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Teacher:
        """What moves a module to a device."""
        self.network._apply(fn, recurse)
        super()._apply(fn, recurse)
        return self

    def get_extra_state(self) -> str:
        return self.sha256

    def set_extra_state(self, state: str) -> None:
        """Raises CheckpointError where the training began with another teacher."""
        if state != self.sha256:
            raise CheckpointError(
                f"{self.place} holds other weights now than those of the teacher that this training began with "
                f"(SHA-256 {self.sha256[:12]}, not {state[:12]}); put those back there, or begin a new run"
            )


def loaded(teacher: str) -> Loaded:
    """A run's best checkpoint, or the one whose folder it is. Raises CheckpointError where it is neither."""
    own = locate.own_checkpoint(Path(teacher)) if teacher else None
    if own is None:
        raise CheckpointError(f"task.teacher: {teacher!r} is no run and no checkpoint's folder; name one that is")
    return load_checkpoint(RunDirectory(own.parents[1]), own.name)


def _width(network: Module) -> int:
    """Numbers that its heads are given. Raises ConfigError where it has none."""
    heads: Any = known(network, "task.features").head
    if not heads:
        raise ConfigError(f"task.features: {type(network).__name__} has no head of its own; leave it away (features=0)")
    return int(next(iter(heads.values())).in_features)


def _reads(domain: Domain) -> tuple[Any, ...]:
    """By what two domains would give the same batch to both networks."""
    ((kind, fields),) = inputs.to_json(domain.inputs()).items()
    taken = {name: value for name, value in fields.items() if name not in OWN}
    return kind, taken, domain.tokenizer if isinstance(domain, Tokenised) else ""


def _inner(context: Context) -> Context:
    """The context as the inner task's own."""
    companions = context.companions
    own = companions.get_submodule("own") if companions is not None and hasattr(companions, "own") else None
    return replace(context, companions=own)
