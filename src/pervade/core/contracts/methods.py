"""What is done with a network: it is changed, explained, attacked, made smaller, exported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from pervade.core.contracts.inputs import InputSpace
from pervade.core.types import Batch, Output

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from pervade.core.contracts.training import Recipe


@runtime_checkable
class Change(Protocol):
    """Something done to the structure of a network: adapters put in, layers factorised, channels taken out. A
    checkpoint lists the changes of its network (architecture.json), and loading makes them again in this order."""

    kind: ClassVar[str] = "change"

    def apply(self, network: Module) -> Module:
        """The changed network, which may be the same module. What stays keeps its weights; those of what is new are
        learnt, or come out of the checkpoint afterwards. Raises ConfigError where the network has nothing to change."""
        ...


@runtime_checkable
class Mergeable(Change, Protocol):
    def merge(self, network: Module) -> Module:
        """The network with the change worked into its weights, as if it had never been; may be the same module."""
        ...


@dataclass(frozen=True)
class Probe:
    """One differentiable view of a model on one batch: all that explanation and attack may see (engine/probe.py)."""

    x: Tensor
    forward: Callable[[Tensor], Output]
    score: Callable[[Output], Tensor]
    space: InputSpace


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


@dataclass(frozen=True)
class Subject:
    """What a compressor may look at. `loaded` is the checkpoint (engine.checkpoint.Loaded), whose network it may change
    in place; `recipe` is by what it was trained; `place` is its folder, which `init.source` may name. `batches` are of
    training rows, on the processor, without randomness or targets. `judge` gives the headline figure of a network on
    validation rows, larger being better; `loss` says of two such, the one before first, how much got lost: in points
    where the figure has two bounds, else as a share of what was. `say` tells people a line."""

    loaded: Any
    recipe: Recipe
    place: Path
    batches: Callable[[], Iterator[Batch]]
    judge: Callable[[Module], float]
    loss: Callable[[float, float], float]
    say: Callable[[str], None]


@dataclass(frozen=True)
class Compressed:
    """`network` with all `changes` that were made to it since its model built it, in order. Where it has to learn,
    `learns` is by what: its network, once trained, is what was asked for, its task inside of what wraps it. With
    `begins_there` it begins from the weights of `network`: whoever trains it saves these first, and sets `init` to that
    place; else it begins as its `init` says. `writes` is how much text its teacher is to write for it, as a share of
    what trains. `summary` says what was done, with figures."""

    network: Module
    changes: tuple[Change, ...]
    summary: str
    learns: Recipe | None = None
    begins_there: bool = False
    writes: float = 0.0


@runtime_checkable
class Compressor(Protocol):
    """A step that makes a network smaller or faster: a frozen dataclass in compress/NAME.py, called NAME."""

    kind: ClassVar[str] = "compress"
    by_rows: ClassVar[bool] = True  # what it changes is settled on rows, not only learnt as the run learnt
    rounds: ClassVar[bool] = False  # what it makes computes in whole numbers
    on_rounded: ClassVar[bool] = False  # whether such a network may be given to it

    def __call__(self, subject: Subject) -> Compressed:
        """Raises UnfitError where the network cannot be made smaller so, ConfigError where a setting is at fault."""
        ...


@runtime_checkable
class Foreseeing(Compressor, Protocol):
    """A step of which can be known that it will not do before steps in front of it have learnt."""

    def check(self, subject: Subject) -> None:
        """Raises as the step itself, where it will not do, of the network that the first step begins from."""
        ...


@runtime_checkable
class Exporter(Protocol):
    """Writes a checkpoint (engine.checkpoint.Loaded) into a folder, in a form that others read, and returns the main
    file. What it wrote is opened again in another process and compared by whoever called it (run/exporting.py)."""

    kind: ClassVar[str] = "export"

    def __call__(self, loaded: Any, folder: Path) -> Path:
        """Raises ConfigError where there is no such form of it, with the reason and what to take instead."""
        ...


@runtime_checkable
class Reopens(Exporter, Protocol):
    """A form that can be opened again here, and asked."""

    tolerance: ClassVar[float]  # how far its numbers may be from the run's (run/parity.py: compare)
    by_signature: ClassVar[bool]  # asked by a graph's inputs, and not by a batch of the loaders

    def reopened(self, folder: Path) -> Callable[[Batch], Mapping[str, Tensor]]: ...


@runtime_checkable
class AskedOtherwise(Reopens, Protocol):
    """A form that answers something else than rows."""

    asked_of: ClassVar[str]  # in words

    def asks(self, loaded: Any) -> Iterator[tuple[str, Batch, Mapping[str, Tensor]]]:
        """What it is asked: a name of it, a batch, and what the run's network answers."""
        ...
