"""What is done with a model that has learnt: it is explained, attacked, made smaller, exported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, runtime_checkable

from pervade.core.contracts.domain import Domain
from pervade.core.contracts.task import Context, Task
from pervade.core.types import Batch, Output

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


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
