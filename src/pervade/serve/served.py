"""What is served, as the rest of this package sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np

from pervade.core.contracts import TensorSpec

T = TypeVar("T")

Kind: TypeAlias = Literal["picture", "sound", "text", "messages", "seed", "label", "numbers", "file"]


@dataclass(frozen=True)
class Field:
    """One of the things that make an input, such as a question and the text it is about."""

    name: str  # its key in JSON; of the only one "input"
    kind: Kind  # what the page draws for it
    title: str  # as the domain calls it
    suffixes: tuple[str, ...] = ()  # of files that can be read for it, lower case, with the dot


@dataclass(frozen=True)
class About:
    """What a model is, said once for the page and for every protocol."""

    name: str  # in addresses
    version: str  # the first 12 hexadecimal digits of the SHA-256 of its weights; answers carry it
    checkpoint: str
    task: str  # as the Hugging Face Hub calls it
    takes: tuple[Field, ...]
    reads: str  # the same in words (`Domain.reads`)
    labels: tuple[str, ...] = ()
    remark: str = ""  # what to know of it, such as that its training goes on


@dataclass(frozen=True)
class Given:
    """One input as a client sent it. Nothing in it is ever opened as a path or an address."""

    name: str  # what its answer is called, of a file as the client calls it; empty: as `predict` calls such an input
    # By the name of the field: the bytes of a file, a text, messages; or, by name, what `TakesTensors` takes.
    content: Mapping[str, bytes | str | list[Any] | np.ndarray]
    number: int = 1  # its place in the request


class Compute(Protocol):
    """Runs `work` in the models' own thread, one at a time, and returns what it returns."""

    def __call__(self, work: Callable[[], T], /) -> T: ...


def at_once(work: Callable[[], T]) -> T:
    """A `Compute` of whoever is alone."""
    return work()


@runtime_checkable
class Served(Protocol):
    """A model that answers."""

    @property
    def about(self) -> About: ...

    def answers(self, inputs: Sequence[Given], top: int, compute: Compute) -> list[dict[str, Any]]:
        """One for each input, in order, as `predict --json` prints it; "error" says why one has none. Called in several
        threads at once, so that inputs are read while the model computes others; what a network does, and whatever
        changes this model, is handed to `compute`."""
        ...

    def close(self) -> None:
        """Gives memory and files back. Nothing is asked of it afterwards."""
        ...


@dataclass(frozen=True)
class Sureness:
    """How often answers were right of which the likeliest class had a probability in (low, high], of rows that nothing
    was learnt from."""

    low: float
    high: float
    right: float  # share
    right_low: float  # its 95% interval
    right_high: float
    n: int


@dataclass(frozen=True)
class Introduction:
    """What a model says of itself to whoever meets it on the page. Sentences are whole ones."""

    does: str = ""  # "This model sorts pictures into 10 classes."
    measured: str = ""  # how well
    promises: tuple[str, ...] = ()  # what is promised of its answers, and whether that is kept
    sureness: tuple[Sureness, ...] = ()
    threshold: float | None = None  # the cosine from which two embeddings count as of the same


@runtime_checkable
class Introduced(Protocol):
    def introduction(self) -> Introduction:
        """Read when it is first asked for, in any thread."""
        ...


@runtime_checkable
class Plays(Protocol):
    """It acts in an environment."""

    def episode(self, seed: int) -> dict[str, Any]:
        """The episode by this seed: "seed", "return", "length", "cut", curves of what the agent made of it with
        "every", and "frames" (PNG files in Base64) with "frames_every" and "rate" a second. Of a bounded number of
        steps; called in the models' own thread."""
        ...


@runtime_checkable
class TakesTensors(Protocol):
    """A model that also takes the tensors of its graph: its answer to them has "outputs", the graph's by name."""

    @property
    def takes(self) -> Sequence[TensorSpec]: ...

    @property
    def gives(self) -> Sequence[TensorSpec]: ...


@runtime_checkable
class HasReference(Protocol):
    """A model that can be compared with what it is asked about."""

    def reference(self) -> Mapping[str, Sequence[float]]:
        """Values on rows that it did not learn from, by statistic (watch.py); empty where none are known."""
        ...
