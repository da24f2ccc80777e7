"""What is done with a network: it is changed, explained, attacked, made smaller, exported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from pervade.core.contracts.inputs import InputSpace
from pervade.core.types import Batch, Output

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


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


@runtime_checkable
class Compressor(Protocol):
    kind: ClassVar[str] = "compress"

    def __call__(self, model: Module, batches: Iterable[Batch]) -> Module: ...


@runtime_checkable
class Exporter(Protocol):
    """Writes the model to a folder, reloads what it wrote and compares before returning the file's path."""

    kind: ClassVar[str] = "export"

    def __call__(self, model: Module, batch: Batch, folder: Path) -> Path: ...
