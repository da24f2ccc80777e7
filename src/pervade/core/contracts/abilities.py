"""What only some tasks can do, or need. A task has an ability by having its methods, which `isinstance` tells; many
have a default, so that to inherit one is to say that it is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from pervade.core.contracts.deployment import TensorSpec
from pervade.core.contracts.domain import Domain, PlainFeatures
from pervade.core.contracts.task import Context, Phase, Plain, Task
from pervade.core.types import Batch, Json, LeftOut, Linear, Media, Output, Parts, Rows, Table

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor
    from torch.nn import Module

    from pervade.core.contracts.training import Recipe


# before training


@runtime_checkable
class SelectsRows(Protocol):
    """Some rows are of no use, or must not be parted."""

    def arrange(self, rows: Rows) -> tuple[Rows, list[LeftOut]]:
        """The rows as they are to be split, and those of no use: where people must not stand on both sides, their names
        are the "group"."""
        return rows, []

    def measurable(self, rows: Rows, domain: Domain) -> tuple[Rows, list[LeftOut]]:
        """Of other data than the model's own, without splits, the rows that it can be measured on, and those of no use:
        of classes it never learnt. Raises DataError where there is none."""
        ...


@runtime_checkable
class CouplesRows(Protocol):
    """Rows of a batch matter to one another (contrast, GAN): no cutting, no private training, no mixing."""

    couples_rows: ClassVar[bool] = True


# while it trains


@runtime_checkable
class HasCompanions(Protocol):
    """Something learns, or is remembered, beside the model."""

    def companions(self, model: Module, domain: Domain) -> Module | None:
        """Modules beside the model (target network, teacher, class centres): saved and resumed with the state.

        Their parameters are trained unless `requires_grad` is off.
        """
        ...

    def after_step(self, model: Module, context: Context, step: int) -> None:
        """Called after every optimiser step, counted from 1."""
        return

    def finished(self, model: Module, context: Context) -> Module:
        """The model as it is judged, saved and used, while training goes on with `model`: a copy into which was worked
        what companions learnt (a whitening), or `model` itself."""
        return model


@runtime_checkable
class GoesOn(Protocol):
    def goes_on(self) -> str | None:
        """The setting by which it learns from the network that training begins with, which then must have learnt
        something; None where it does not."""
        ...


@runtime_checkable
class HasPlayers(Protocol):
    """A step has several players, each with losses, weights and an optimiser of its own (a GAN)."""

    def phases(self, model: Module, context: Context) -> list[Phase]: ...


@runtime_checkable
class GoesAstray(Protocol):
    """Its training may come to where it does not come back from (one of two players has won for good)."""

    def astray(self, context: Context) -> str | None:
        """Why it has, and what to change, in a line; None: it goes on. Asked after each pass, once it is judged:
        training ends then, and the best pass counts."""
        return None


@runtime_checkable
class FindsGradient(Protocol):
    """Every weight that learns gets a gradient in every step, which may be known without autograd."""

    def descend(self, model: Module, batch: Batch, context: Context) -> Parts | None:
        """Leaves the gradient of the mean loss in the weights, as `backward` would, and returns `loss`'s parts. None,
        without having done anything, where autograd is to find it. Asked of small networks on a processor, a whole
        batch at a time (engine/step.py)."""
        return None


@runtime_checkable
class HasLinearHead(Protocol):
    """A linear layer answers it, whose best weights can be found at once."""

    def fit_head(
        self,
        features: Any,
        target: np.ndarray,
        number: np.ndarray,
        domain: Domain,
        strengths: Sequence[float],
        group: np.ndarray | None = None,
    ) -> Mapping[str, Linear]:
        """By output, from the features (n, d) of all rows, sparse or dense, their targets as batches hold them, and
        the numbers of the rows that they are of, of which one may have several; the penalty is chosen among
        `strengths`, by rows that are held out for it, of other groups where `group` says which these are."""
        ...

    def at_once(self) -> Task:
        """The task as it is asked where these weights are found: without a loss that learns something beside them."""
        task: Any = self
        return task


@runtime_checkable
class CanBeBlended(Protocol):
    """Answers of several networks can be put together (models/blend.py)."""

    def output_scale(self, decision: Mapping[str, Any]) -> float:
        """What a network's output is multiplied by where its decision (`Task.decide`) is taken into account."""
        return 1.0

    def blended(self, tables: Sequence[Table], weights: Sequence[float], domain: Domain) -> Table:
        """The predictions of a network whose outputs are the weighted sum of those behind the tables, which hold the
        same rows and no decision."""
        ...

    def log_likelihood(self, table: Table) -> np.ndarray:
        """(n,): the logarithm of the probability, or density, that the table gives to what is right of each row."""
        ...


@runtime_checkable
class CanTeach(Protocol):
    """A small network can learn it from the answers of a large one (tasks/distil.py)."""

    def imitation(self, output: Output, teacher: Output, batch: Batch, temperature: float) -> Tensor:
        """(n,): how far what a student said in training (`forward`) is from what its teacher said of the same inputs,
        0 where they say the same; the mean over a row's units. Logits are divided by the temperature."""
        ...


@runtime_checkable
class Acts(Protocol):
    """An agent. Arrays come from and go to environments, so they are numpy's; a space is `nn.actions.Space`."""

    def asks(self, space: Any) -> tuple[str, ...]:
        """The outputs that acting takes."""
        ...

    def noise(self, space: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """(*shape, …): what `act` draws by."""
        ...

    def act(self, output: Mapping[str, np.ndarray], space: Any, noise: np.ndarray | None) -> np.ndarray:
        """Actions (n, width), the likeliest where there is no noise to draw by."""
        ...

    def shown(self, space: Any) -> Sequence[str]:
        """The outputs that `inner` takes."""
        ...

    def inner(self, output: Mapping[str, np.ndarray], space: Any) -> dict[str, np.ndarray]:
        """What is shown beside a film, (n, …)."""
        ...


@runtime_checkable
class Explores(Acts, Protocol):
    """An agent that learns from what it remembers, whoever acted."""

    def explore(
        self, output: Mapping[str, np.ndarray], space: Any, noise: np.ndarray | None, epsilon: float
    ) -> np.ndarray:
        """As `act`, but by chance in a share `epsilon` (0-1) of rows."""
        ...


# when it is measured


@runtime_checkable
class MakesSamples(Protocol):
    def made(self, model: Module, train: Rows, context: Context) -> dict[str, Json]:
        """What the model makes by itself (samples), shown beside the metrics as `Task.details` are."""
        ...


@runtime_checkable
class LearntSampling(Protocol):
    def learnt_sampling(self) -> Mapping[str, str]:
        """Fields of its `sampling` that the weights have in them, so that nothing else can be asked for afterwards, and
        why."""
        ...


@runtime_checkable
class Writes(Protocol):
    """It writes texts token after token, by its `sampling` (nn/sampling.py)."""

    def endings(self, domain: Domain) -> tuple[int, ...]:
        """The tokens that end a text."""
        ...

    def decode(self, tokens: Sequence[int], domain: Domain) -> str:
        """The text of what was written, up to the first of the texts at which to stop."""
        ...


@runtime_checkable
class MakesMedia(Protocol):
    """What it answers is to be looked at or listened to: `predict` writes it to files."""

    makes: ClassVar[str] = ""  # in words: "sounds"
    takes: ClassVar[str] = ""  # what is said of how long that takes; empty: nothing

    def media(self, answer: Mapping[str, Any]) -> tuple[Media, dict[str, Any]]:
        """The file of one of `Task.answers`, called after its caption, else after the row; and what of the answer
        stands beside the file's name."""
        ...


@runtime_checkable
class ShowsProgress(Protocol):
    def progress(self, model: Module, train: Rows, context: Context) -> Media | None:
        """What the model makes at this moment of its training, by the same seeds each time; None where it cannot make
        anything yet."""
        ...


@runtime_checkable
class HasMembers(Protocol):
    """Other networks have a part in what it makes or in how that is judged, each a run inside this one."""

    needs: ClassVar[tuple[str, ...]] = ()  # names of these runs, whose checkpoints are in `Context.members`

    def before(self, rows: Rows, domain: Domain) -> Mapping[str, Recipe]:
        """Those that learn from the same rows, and their splits, before it does, by name."""
        return {}

    def taken(self) -> Mapping[str, str]:
        """Those that are there already, by name the path of a run, whose checkpoint is copied."""
        return {}

    def accept(self, name: str, member: Any, domain: Domain) -> None:
        """Raises ConfigError where a checkpoint (engine.checkpoint.Loaded) that is taken can have no part in it."""
        return


@runtime_checkable
class JudgesAll(Protocol):
    judges: ClassVar[
        tuple[str, ...]
    ] = ()  # names of the runs inside it that judge: by others it would be other figures

    def judged(self, table: Table, rows: Rows, train: Rows, context: Context) -> Table:
        """The predictions of all `rows`, a line each in their order, with columns that are known only once all are
        there, and what training saw (`train`) is beside them; where figures are asked for (`Context.asks`) those that
        these are told from suffice. Each value belongs to the row of its line, so that
        figures remain functions of the predictions file."""
        ...


@runtime_checkable
class KeepsSamples(Protocol):
    def samples(self, columns: Mapping[str, Any], rows: Rows, domain: Domain) -> Iterator[tuple[str, Media]]:
        """What was measured, and what it was measured by, as files that others can measure too: the path of each inside
        the folder that evaluation keeps them in."""
        ...


@runtime_checkable
class RepliesToRows(Protocol):
    def replies(self, model: Module, rows: Rows, train: Rows, context: Context) -> dict[str, Json]:
        """What the model answers to a few of the measured rows, shown beside the metrics as `Task.details` are."""
        ...


@runtime_checkable
class HasPlainModel(Protocol):
    def plain(self, features: PlainFeatures, train: Rows, columns: Mapping[str, Any], domain: Domain) -> Plain | None:
        """What a linear model on plain features says of the rows of a predictions file, as the same columns; None where
        there is none after all."""
        ...


@runtime_checkable
class ComparesSeeds(Protocol):
    def together(self, members: Mapping[str, Table], plain: Mapping[str, Table]) -> dict[str, Json]:
        """What several seeds' predictions files, by member, say together; `plain` holds the simplest model's."""
        ...


@runtime_checkable
class ChoosesClass(Protocol):
    """A row is of one class of several."""

    def class_logits(self, output: Output) -> Tensor:
        """(n, k), real: whose softmax the classes' probabilities are, before anything is settled of them."""
        ...

    def prior(self, decision: Mapping[str, Any], domain: Domain) -> np.ndarray | None:
        """(k,) by which probabilities are divided before the largest is answered; None where the likeliest is."""
        ...


@runtime_checkable
class Deployable(Protocol):
    """What it answers can be computed inside an exported graph."""

    def gives(self, domain: Domain) -> tuple[TensorSpec, ...]:
        """The graph's outputs, in their order. Raises ConfigError where it answers what no graph can, with the reason
        and what to take instead."""
        ...

    def deployed(self, model: Module, batch: Batch, context: Context) -> dict[str, Tensor]:
        """These outputs, by name, of a batch without "row" or "target": what `infer`, `predictions` and `decide` come
        to, in torch alone, without control flow that hangs on values."""
        ...


ABILITIES: tuple[type, ...] = (
    *(SelectsRows, CouplesRows, HasCompanions, GoesOn, HasPlayers, GoesAstray, FindsGradient, HasLinearHead),
    *(
        CanBeBlended,
        CanTeach,
        Acts,
        Explores,
        MakesSamples,
        MakesMedia,
        ShowsProgress,
        HasMembers,
        JudgesAll,
        KeepsSamples,
        RepliesToRows,
    ),
    *(HasPlainModel, ComparesSeeds, ChoosesClass, LearntSampling, Writes, Deployable),
)
