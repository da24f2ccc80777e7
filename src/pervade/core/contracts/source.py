"""Where batches come from: the contract of a source, and what one is opened with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from pervade.core.contracts.abilities import Acts
from pervade.core.contracts.task import Context, Task
from pervade.core.types import Batch, Parts, Rows

if TYPE_CHECKING:
    from numpy.random import Generator
    from torch.nn import Module


@runtime_checkable
class Augment(Protocol):
    """Changes a whole training batch at once (MixUp, CutMix). All randomness comes from `rng`."""

    kind: ClassVar[str] = "augment"

    @property
    def mixing(self) -> float:
        """The probability with which it puts rows of a batch together; 0 where it changes each row by itself."""
        return 0.0

    def __call__(self, batch: Batch, rng: Generator) -> Batch: ...


class Sampler(Protocol):
    """Lists of positions into the rows: the batches of one pass. The same for the same epoch."""

    def batches(self, epoch: int, batch_size: int) -> list[list[int]]: ...


@runtime_checkable
class Sampling(Protocol):
    """Which rows make a batch, where each once a pass, in random order, will not do (people x pictures, equal
    classes)."""

    kind: ClassVar[str] = "sampler"

    def over(self, rows: Rows, seed: int, world: int = 1) -> Sampler:
        """The batches of these training rows. Each of `world` ranks takes every `world`-th row of a batch. Raises
        DataError where they cannot be drawn."""
        ...


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

    def suits(self, task: Task) -> bool:
        """Whether it gives what the task learns from."""
        return not isinstance(task, Acts)

    def open(self, opening: Opening) -> Source: ...

    def remarks(self, opening: Opening) -> list[str]:
        """What it will take, said before it is opened. Raises ResourceError where that is not there."""
        return []
