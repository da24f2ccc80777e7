"""What a training is made of: network, first weights, which of them learn and how, and the recipe of it all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import Field

from pervade.core.bounds import BatchRows, Count, Duration, Passes, Positive, Seed, Threads, Weight
from pervade.core.contracts.abilities import CouplesRows
from pervade.core.contracts.domain import Domain
from pervade.core.contracts.inputs import Inputs
from pervade.core.contracts.methods import Change
from pervade.core.contracts.promises import Imbalance, Promise
from pervade.core.contracts.source import Augment, SourceSpec
from pervade.core.contracts.task import Task
from pervade.core.errors import ConfigError
from pervade.core.types import Batch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter
    from torch.optim import Optimizer as TorchOptimizer


@runtime_checkable
class Model(Protocol):
    """A recipe for a network. The network is called as network(input, mask=None) -> Output."""

    kind: ClassVar[str] = "model"
    reads: ClassVar[str] = "data of its own kind"  # what it is for, as `pervade models` says it
    task: ClassVar[str] = ""  # the registered name of the only one that it learns by; empty: any it can answer

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> Module:
        """`inputs` is Domain.inputs(), `outputs` Task.outputs(). Raises ConfigError where they do not fit."""
        ...


@dataclass(frozen=True)
class Started:
    """What an initialiser did: one line to say aloud, and the names of the weights by what became of them."""

    summary: str
    loaded: tuple[str, ...] = ()  # weights of the network that were taken from the checkpoint
    left_out: tuple[str, ...] = ()  # weights of the checkpoint that the network has no place for, with the reason
    new: tuple[str, ...] = ()  # weights of the network drawn at random, with the reason
    licence: str = ""  # of the checkpoint, as those say who published it; empty where they do not

    def table(self, most: int = 3) -> list[str]:
        """The account as lines to read, with the first `most` names of each kind; init.json has them all."""
        lines = [f"init: {self.summary}"]
        if self.left_out or (self.loaded and self.new):
            lines.append(f"init: {len(self.loaded)} loaded, {len(self.left_out)} left out, {len(self.new)} new")
            for kind, names in (("left out", self.left_out), ("new", self.new)):
                lines += [f"  {kind}: {name}" for name in names[:most]]
                lines += [f"  {kind}: {len(names) - most} more, all in init.json"] if len(names) > most else []
        return lines


@runtime_checkable
class Initializer(Protocol):
    """Puts the first weights into a freshly built network."""

    kind: ClassVar[str] = "init"

    def fetch(self, model: Model) -> None:
        """Gets what must be downloaded, and looks at it, before anything else is done. Raises CheckpointError."""
        return

    def adapt(self, domain: Domain, model: Model) -> Domain:
        """The fitted domain as the weights want it: a checkpoint's own normalisation in place of the data's.

        Called once, before the network is built. Raises ConfigError or CheckpointError where they cannot go together.
        """
        return domain

    def apply(self, network: Module, model: Model, domain: Domain) -> Started: ...

    def place(self, model: Model) -> str | None:
        """Where others keep these weights, in words, if `apply` can read them there again at any time: then what stays
        of them need not be saved with every checkpoint. None where they are this machine's own, or random."""
        return None


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that learn at `rate` times the optimiser's learning rate, from `start` (0-1) of the training on."""

    parameters: list[Parameter]
    rate: float = 1.0
    start: float = 0.0
    decay: bool = True  # off: the optimiser's weight decay leaves them alone


@runtime_checkable
class Tuning(Protocol):
    """Which weights learn, how fast and from when: all of them, the head alone, adapters. One that puts what learns
    into the network is a `Change` as well, made once the first weights are there."""

    kind: ClassVar[str] = "tuning"

    def groups(self, network: Module, parameters: Sequence[Parameter]) -> list[ParameterGroup]:
        """How `parameters`, all that one player could train, are to learn. Those in no group stay as they are."""
        return [ParameterGroup(list(parameters))]

    def frozen(self, network: Module, progress: float) -> list[Module]:
        """Modules that are in evaluation mode at `progress` (0-1) through the training, so that their running
        statistics stay as well. Asked at the beginning, and again when a group starts.

        Where this is the whole body, and nothing of it ever learns, its features may be computed once for each row.
        """
        return []

    def kept(self, network: Module) -> set[str]:
        """Names, in the changed network's state, of what stays bit for bit as the initialiser put it, and is to be read
        from its place again (`Initializer.place`) rather than saved with what was learnt."""
        return set()


@runtime_checkable
class Optimizer(Protocol):
    kind: ClassVar[str] = "optimizer"

    @property
    def lr(self) -> float:
        """The learning rate at the schedule's peak."""
        ...

    def build(self, parameters: Iterable[Parameter] | Iterable[dict[str, Any]]) -> TorchOptimizer:
        """`parameters` may be torch's parameter groups, each with a learning rate of its own."""
        ...


@runtime_checkable
class Solver(Optimizer, Protocol):
    """Finds a network's weights from all rows at once, in one step (engine/step.py)."""

    @property
    def lr(self) -> float:
        """There is none: nothing is approached step by step."""
        return 0.0

    def build(self, parameters: Iterable[Parameter] | Iterable[dict[str, Any]]) -> TorchOptimizer:
        """What holds the weights that will be found, and remembers nothing of its own."""
        from torch.optim import SGD

        return SGD(parameters, lr=0.0)

    def solve(
        self,
        network: Module,
        task: Task,
        domain: Domain,
        pieces: Sequence[Batch],
        until: float | None,
        latest: float | None,
    ) -> str:
        """Puts them into the network. `pieces` are batches that together hold all rows; `until` is when it is to be
        done, and `latest` when some weights must be there (time.monotonic; None: whenever). Returns what was left out,
        for time or size, in words; else "".

        Raises ConfigError where network or task are not of its kind, TrainingError where the time does not suffice.
        """
        ...


@runtime_checkable
class Schedule(Protocol):
    """The learning rate as a multiple of its peak, at `progress` in 0-1 through the training."""

    kind: ClassVar[str] = "schedule"

    def factor(self, progress: float) -> float: ...


@runtime_checkable
class Gradient(Protocol):
    """How per-row losses become gradients: `engine.fit.Summed`, or clipped and noised for privacy."""

    kind: ClassVar[str] = "gradient"

    def accumulate(self, loss: Tensor, parameters: Sequence[Parameter]) -> None:
        """Adds the gradient of one micro-batch's losses (n,) into `.grad`."""
        ...

    def divisor(self, parameters: Sequence[Parameter], count: float) -> float:
        """Called once a step, after all micro-batches; what the gradient is divided by (`count` units were seen)."""
        ...


@dataclass(frozen=True)
class EarlyStopping:
    """Chooses the checkpoint by `metric` on the validation split; stops after `patience` passes without a better."""

    metric: str | None = None  # None: no checkpoint is chosen, the last one counts
    patience: Count | None = None  # None: keep going, but still keep the best checkpoint
    every: Annotated[Passes, Field(ge=1)] = 1  # passes between two looks at the validation split, the last among them


@dataclass(frozen=True)
class Recipe:
    """One complete configuration. recipe.yaml is its JSON; `recipes/` holds functions that return one."""

    domain: Domain
    task: Task
    model: Model
    optimizer: Optimizer | Mapping[str, Optimizer]  # one for all, or one for each player by name (Phase.name)
    schedule: Schedule
    init: Initializer
    source: SourceSpec
    tuning: Tuning | None = None  # None: every weight learns, all at the same rate
    changes: tuple[Change, ...] = ()  # made to the network, in this order, before its first weights are put in
    augment: tuple[Augment, ...] = ()  # what is done to whole training batches, in this order
    gradient: Gradient | None = None  # None: the sum over rows, divided by the units
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    epochs: Passes = 10  # passes over the source; 0: the first weights, measured as they are
    batch_size: BatchRows = 32  # rows of one optimiser step, all ranks together
    micro_batch: BatchRows | None = None  # rows that go through the model at once; None: the batch
    clip_norm: Positive | None = None  # largest norm of the gradient
    l1: Weight = 0.0  # penalty on |weight|, biases and normalisation spared
    l2: Weight = 0.0  # penalty on weight^2 / 2, likewise; apart from an optimiser's own decay
    average: Annotated[float, Field(gt=0, lt=1)] | None = None  # decay of a moving average of the weights, which is
    # what is judged, saved and used (Polyak & Juditsky 1992); None: the weights as they are
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.15  # share of rows to choose the checkpoint, unless given
    test: Annotated[float, Field(ge=0, lt=1)] = 0.15  # share of rows for the final figures, unless given
    seed: Seed = 0
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # of training; evaluation and prediction run in fp32
    workers: Annotated[int, Field(ge=0, le=256)] = 1  # threads that read ahead; 0: none
    # That torch computes with. auto: one or as many as torch takes by itself, whichever is measured to be faster before
    # the first step; the number then stands here. None: as many as torch takes, which is what older runs mean.
    threads: Threads = "auto"
    time_limit: Duration | None = None  # seconds for the whole command: reading, training,
    # evaluation and report
    imbalance: Imbalance | None = None  # what is done about rare classes; None: nothing
    promises: tuple[Promise, ...] = ()  # of answers; for these half of the validation rows is set apart
    then: Recipe | None = None  # learns next, from this one's predictions on its training split

    @property
    def one_optimizer(self) -> Optimizer:
        """Raises ConfigError where each player has one of its own."""
        if not isinstance(self.optimizer, Mapping):
            return self.optimizer
        rates = ", ".join(f"-o optimizer.{name}.lr" for name in self.optimizer)
        raise ConfigError(f"each player has an optimizer of its own, so there is no one rate to look for; set {rates}")

    def __post_init__(self) -> None:
        if self.validation + self.test >= 1:
            raise ConfigError(f"validation {self.validation} and test {self.test} leave nothing to train on")
        if not self.source.suits(self.task):
            source, task = type(self.source).__name__, type(self.task).__name__
            raise ConfigError(
                f"source: {source} does not give what {task} learns from; leave source as the recipe has it"
            )
        mixing = [(type(augment).__name__, augment.mixing) for augment in self.augment if augment.mixing > 0]
        if mixing and isinstance(self.task, CouplesRows):
            raise ConfigError(
                f"augment: {mixing[0][0]} mixes the rows of a batch, but {type(self.task).__name__} compares them, so "
                "a mixed row would be nobody's; leave it out"
            )
        if any(probability == 1 for _, probability in mixing[:-1]):
            raise ConfigError(
                f"augment: a batch is mixed once at most, so {mixing[-1][0]} would never come to it; give "
                f"{mixing[0][0]} a probability below 1: [{{use: mixup, probability: 0.5}}, cutmix]"
            )
