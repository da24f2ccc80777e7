"""The contracts. Everything that is learned, and every method, is an object of one of these shapes.

What is said here about arguments is not said again where a contract is met. Shapes use the letters of core/types.py.
Specs (Domain, Task, Model, SourceSpec, Optimizer, Schedule, Initializer, Attack …) are frozen dataclasses: config,
method, command line flag and JSON record in one (core/spec.py). Whatever changes while learning lives in modules
(model, companions) and in sources, which is what a checkpoint saves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, Self, runtime_checkable

from pydantic import Field

from pervade.core.bounds import AtOnce, Count, Duration, Passes, Positive, Seed, Threads, Weight
from pervade.core.errors import ConfigError, DataError
from pervade.core.types import Batch, Example, Json, LeftOut, Media, Output, Parts, Rows, Table

if TYPE_CHECKING:
    from numpy.random import Generator
    from torch import Tensor
    from torch.nn import Module, Parameter
    from torch.optim import Optimizer as TorchOptimizer


@dataclass(frozen=True)
class Context:
    """What a task may look at besides model and batch. `companions` is None outside training.

    `decision` is what `Task.decide` learnt on the validation split (decision.json); empty while training.
    """

    domain: Domain
    companions: Module | None = None
    decision: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Domain(Protocol):
    """What an example IS. Its JSON is preprocess.json: the one path from a file to a model's input.

    A domain is frozen: `fit` returns a new one that knows its labels, statistics or tokenizer.
    """

    kind: ClassVar[str] = "domain"
    given: ClassVar[str] = "FILE"  # what `predict` is given, as a help text says it
    reads: ClassVar[str] = "data of another kind"  # what it is for, as a message says it
    cuts: ClassVar[bool] = False  # whether of a row that is too long only a part may be read

    @property
    def repeats(self) -> bool:
        """Whether training sees the same example of a row every time: `transform` uses no randomness."""
        return False

    def read(self, source: Any) -> tuple[Rows, list[LeftOut]]:
        """A table of rows, before any split, and what cannot be used. Raises DataError where nothing is left."""
        ...

    def asked(self, given: Any, number: int = 1) -> Iterable[dict[str, Any] | LeftOut]:
        """What one input of `predict`, its `number`th, stands for: rows with "id", and what cannot be used in its place
        among them (data/inputs.py). A path, a text or a number comes as str. Raises DataError where it can be nothing.
        """
        raise DataError(f"{self.reads} cannot be given to predict")

    def prepare(
        self, rows: Rows, progress: Callable[[int, int], None], keep: bool = True
    ) -> tuple[Rows, list[LeftOut]]:
        """Opens every row once: adds whatever makes `transform` fast; drops rows that cannot be opened.

        `keep` True adds "hash" too and may cache on disk; False is for rows seen once (prediction), keeps them in
        memory, and adds "cut" where the domain `cuts`: in words how much of a row is read, or None for all of it.
        `progress` is called with (rows done, rows in all).
        """
        return rows, []

    def describe(self, train: Rows) -> None:
        """Notes in the account (data/account.py) how the rows that are learnt from are seen, before anything is."""
        return

    def fit(self, train: Rows) -> Self:
        """Learns what must come from the training split alone: labels, mean and deviation, tokenizer."""
        ...

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        """One row as examples: usually one, several where a row is read through windows (their number is "part").

        `rng` None is the one path that evaluate, predict, export and serve use; otherwise it is seeded by
        (seed, epoch, row), so neither order nor workers matter.
        """
        ...

    def collate(self, examples: Sequence[Example]) -> Batch: ...

    def inputs(self) -> dict[str, Json]:
        """What a model must accept (shape, statistics, vocabulary size), known after `fit`."""
        ...

    def probe(self, model: Module, task: Task, batch: Batch, part: str | None = None) -> Probe:
        """A differentiable view of `model` on `batch`; `part` picks a modality."""
        ...

    def show(self, row: dict[str, Any], prediction: dict[str, Any] | None) -> list[Media]: ...

    def assets(self) -> Mapping[str, str]:
        """What is too large for JSON (a tokenizer): names of files to their text. They lie beside preprocess.json, and
        the domain's fields hold their SHA-256."""
        return {}

    def attach(self, folder: Path) -> None:
        """Makes the assets in `folder` known to this process, which may be done again and again. Raises CheckpointError
        where one is missing or is not what was written."""
        return

    def remarks(self, rows: Rows) -> list[str]:
        """What is to be known of how a fitted domain reads these rows (texts that are cut), in words, said aloud."""
        return []

    def plain_features(self, train: Rows, rows: Rows) -> PlainFeatures | None:
        """Features for the simplest model worth beating, learnt from `train` alone; None where there is none."""
        return None


@dataclass(frozen=True)
class PlainFeatures:
    """Of the rows that train and of those that are measured: matrices (n, d), sparse or dense, for a linear model."""

    name: str  # "TF-IDF of words"
    train: Any
    rows: Any
    of: Callable[[Rows], Any] | None = None  # the same features of further rows
    held: Rows | None = (
        None  # of the validation split, by which the model's answers were settled: so are the simplest's
    )


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


class Sampler(Protocol):
    """Lists of positions into the rows: the batches of one pass. The same for the same epoch."""

    def batches(self, epoch: int, batch_size: int) -> list[list[int]]: ...


class Source(Protocol):
    """Where batches come from: a data set, or something that acts or remembers (rollouts, replay, streams).

    Iterating yields the rest of the pass under way, or the next pass where none is. The state, saved between two
    batches, continues with the very next one.
    """

    def __iter__(self) -> Iterator[Batch]: ...

    def __len__(self) -> int:
        """Batches in a whole pass (at most, where feedback may end it)."""
        ...

    def rehearsal(self) -> Batch | None:
        """A batch of the largest examples there will be, so that memory runs out at once or not at all. No effects."""
        return None

    def trial(self) -> Iterator[Batch]:
        """Batches like those of training and made like these, without an end, to see how long a step takes. No
        effects."""
        while (batch := self.rehearsal()) is not None:
            yield batch

    def feedback(self, batch: Batch, parts: Parts) -> bool:
        """Receives the per-row parts of the loss (replay priorities, KL). True ends this pass; then the source has
        already put itself at the start of the next."""
        return False

    def news(self) -> dict[str, float]:
        """What is to be logged of the source itself since the last call (returns of episodes)."""
        return {}

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...

    def pieces(self) -> Mapping[str, Callable[[], Mapping[str, Any]] | None]:
        """What is too large for every save: names of pieces that never change, and how to get the arrays of those that
        were not named at the last one (None: it lies there). What is named no more is dropped."""
        return {}

    def load_pieces(self, read: Callable[[str], Mapping[str, Any]]) -> None:
        """Called after `load_state_dict`; `read` gives the arrays of a piece by its name."""
        return


@dataclass(frozen=True)
class Opening:
    """What a source is opened with. `model` is there for sources that act."""

    rows: Rows
    task: Task
    model: Module
    context: Context
    batch_size: int
    seed: int
    workers: int = 0
    rank: int = 0
    world: int = 1
    augment: Sequence[Augment] = ()
    passes: int = 1  # that are planned
    noted: dict[str, Any] = field(default_factory=dict)  # by `remarks`, what `open` need not find out again


@runtime_checkable
class SourceSpec(Protocol):
    kind: ClassVar[str] = "source"

    def open(self, opening: Opening) -> Source: ...

    def remarks(self, opening: Opening) -> list[str]:
        """What it will take, said before it is opened. Raises ResourceError where that is not there."""
        return []


@runtime_checkable
class Model(Protocol):
    """A recipe for a network. The network is called as network(input, mask=None) -> Output."""

    kind: ClassVar[str] = "model"

    def build(self, inputs: Mapping[str, Any], outputs: Mapping[str, int]) -> Module:
        """`inputs` is Domain.inputs(), `outputs` Task.outputs(). Raises ConfigError where they do not fit."""
        ...


@dataclass(frozen=True)
class Started:
    """What an initialiser did: one line to say aloud, and the names of the weights by what became of them."""

    summary: str
    loaded: tuple[str, ...] = ()  # weights of the network that were taken from the checkpoint
    left_out: tuple[str, ...] = ()  # weights of the checkpoint that the network has no place for, with the reason
    new: tuple[str, ...] = ()  # weights of the network drawn at random, with the reason

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
    """Which weights learn, how fast and from when: all of them, the head alone, adapters."""

    kind: ClassVar[str] = "tuning"

    def change(self, network: Module) -> Module:
        """The network with what learns in it put in place (adapters). Also applied when a checkpoint is loaded."""
        return network

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

    def merge(self, network: Module) -> Module | None:
        """The network with what `change` put in place worked into its weights, so that it is as if nothing had been; it
        may be the same module. None where there is no such thing."""
        return None


@runtime_checkable
class Augment(Protocol):
    """Changes a whole training batch at once (MixUp, CutMix). All randomness comes from `rng`."""

    kind: ClassVar[str] = "augment"

    @property
    def mixing(self) -> float:
        """The probability with which it puts rows of a batch together; 0 where it changes each row by itself."""
        return 0.0

    def __call__(self, batch: Batch, rng: Generator) -> Batch: ...


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
class InputSpace:
    """The legal range of a model's input, and its unit in words ("pixel, 0-1")."""

    low: float
    high: float
    unit: str

    def project(self, x: Tensor) -> Tensor:
        return x.clamp(self.low, self.high)


@dataclass(frozen=True)
class Probe:
    """One differentiable view of a model on one batch: all that explanation and attack may see."""

    x: Tensor
    forward: Callable[[Tensor], Output]
    score: Callable[[Output], Tensor]
    space: InputSpace

    @classmethod
    def of_input(
        cls, domain: Domain, model: Module, task: Task, batch: Batch, space: InputSpace, x: Tensor | None = None
    ) -> Self:
        """Of the batch's whole "input", or of `x`, which stands for it."""
        context = Context(domain)

        def forward(x: Tensor) -> Output:
            return task.forward(model, {**batch, "input": x}, context)

        return cls(batch["input"] if x is None else x, forward, lambda output: task.score(output, batch), space)


@runtime_checkable
class Attack(Protocol):
    """Returns an x of the probe's shape, inside its space, chosen to lower the score."""

    kind: ClassVar[str] = "attack"

    def __call__(self, probe: Probe) -> Tensor: ...


@runtime_checkable
class Explainer(Protocol):
    """Returns attributions of the probe's shape."""

    kind: ClassVar[str] = "explain"

    def __call__(self, probe: Probe) -> Tensor: ...


@runtime_checkable
class Compressor(Protocol):
    kind: ClassVar[str] = "compress"

    def __call__(self, model: Module, batches: Iterable[Batch]) -> Module: ...


@runtime_checkable
class Exporter(Protocol):
    """Writes the model to a folder, reloads what it wrote and compares before returning the file's path."""

    kind: ClassVar[str] = "export"

    def __call__(self, model: Module, batch: Batch, folder: Path) -> Path: ...


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
    optimizer: Optimizer
    schedule: Schedule
    init: Initializer
    source: SourceSpec
    tuning: Tuning | None = None  # None: every weight learns, all at the same rate
    augment: tuple[Augment, ...] = ()  # what is done to whole training batches, in this order
    gradient: Gradient | None = None  # None: the sum over rows, divided by the units
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    epochs: Passes = 10  # passes over the source; 0: the first weights, measured as they are
    batch_size: AtOnce = 32  # rows of one optimiser step, all ranks together
    micro_batch: AtOnce | None = None  # rows that go through the model at once; None: the batch
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
    then: Recipe | None = None  # learns next, from this one's predictions on its training split

    def __post_init__(self) -> None:
        if self.validation + self.test >= 1:
            raise ConfigError(f"validation {self.validation} and test {self.test} leave nothing to train on")
        mixing = [(type(each).__name__, each.mixing) for each in self.augment if each.mixing > 0]
        if mixing and self.task.couples_rows:
            raise ConfigError(
                f"augment: {mixing[0][0]} mixes the rows of a batch, but {type(self.task).__name__} compares them, so "
                "a mixed row would be nobody's; leave it out"
            )
        if any(probability == 1 for _, probability in mixing[:-1]):
            raise ConfigError(
                f"augment: a batch is mixed once at most, so {mixing[-1][0]} would never come to it; give "
                f"{mixing[0][0]} a probability below 1: [{{use: mixup, probability: 0.5}}, cutmix]"
            )
