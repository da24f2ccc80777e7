"""What a run's model takes and gives where it leaves this project: the tensors of an exported graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from pervade.core.contracts.domain import Domain

ROWS = "n"  # the axis of rows, the first of every tensor
Translations: TypeAlias = Mapping[Callable[..., Any], Callable[..., Any]]  # a torch operator, by what writes it in ONNX


@dataclass(frozen=True)
class TensorSpec:
    name: str
    type: str  # as numpy calls it: "float32", "int64", "uint8", "bool"
    shape: tuple[int | str, ...]  # an axis of any length goes by its name, the same axis by the same
    meaning: str  # what the numbers are, with their range and unit


@dataclass(frozen=True)
class Signature:
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]  # called as the columns of a predictions file, where these hold the same
    labels: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()  # what of the run's answers a graph does not hold, and why, in words


@runtime_checkable
class Graphless(Protocol):
    """A domain or a task of which no graph can be, whatever its kin can."""

    graphless: ClassVar[str]  # why, and what to take instead


@runtime_checkable
class SharesFeed(Protocol):
    """A domain that may be fed the tensors of another, where both read the same rows in a graph."""

    def fed_alike(self, other: Domain) -> bool:
        """Whether what a graph is fed of any row is the same for both, and goes by the same names."""
        ...


@runtime_checkable
class Translated(Protocol):
    """A module, or a change of a network, with operators of its own, which an ONNX graph writes in its own way."""

    def translations(self) -> Translations: ...


@runtime_checkable
class Approximated(Protocol):
    """A change of a network whose graph answers a little otherwise than the run."""

    @property
    def apart(self) -> str:
        """Where, and why, in words; empty where it does not."""
        ...


@runtime_checkable
class Finished(Protocol):
    """A change of a network that has something to do on the ONNX graph as a whole."""

    def finish(self, model: Any) -> Any:
        """The model (onnx.ModelProto) as it is to be saved; may be the same, changed in place."""
        ...
