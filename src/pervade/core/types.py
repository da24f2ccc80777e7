"""What passes between the floors. Axis letters used in this project: n rows of a batch, c channels, h height, w width,
k classes, t positions in time or text, d features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pervade.core.errors import DataError, nearest

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Json = None | bool | int | float | str | list[Any] | dict[str, Any]

# Always "row" (n,) int64, which indexes data.json, and "input"; often "target", "mask", "part" (n,), which numbers the
# windows of one row. Axis 0 of every tensor is the batch. Input is in natural units (pixels 0-1, waveform -1..1).
# Many modalities: "input" is itself a dict.
Batch = dict[str, Any]

# What a model returns: named tensors, axis 0 = batch.
Output = dict[str, "Tensor"]

# One example before collating: the same keys as Batch, without axis 0.
Example = dict[str, Any]

# Columns of equal length, as they go into the predictions file: scalars, short lists, text.
Table = dict[str, Any]

# The named parts of a loss: "loss" (n,), summed over a row's units; "count" (n,) how many units; others are logged.
Parts = dict[str, "Tensor"]


class Rows:
    """A table of rows: named columns of equal length, with at least "id" (str, unique within a data set).

    Columns that the frame itself knows: "id", "split" (str), "group" (str: rows that depend on each other),
    "bundle" (str: groups that no split divides: paragraphs of one article),
    "hash" (str: equal where the content is the same), "fold_given" (str or None: a fold that the data itself names; a
    single run makes nothing of it), "target" (what a stratified split keeps balanced), "synthetic" (bool: made for
    training, and no row of the data; only what trains has these).
    A `Rows` that was selected from another keeps the numbers of the first in `number` (n,), and these are what
    batches carry as "row".
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]], number: Sequence[int] | None = None) -> None:
        self.columns = dict(columns)
        lengths = {name: len(values) for name, values in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns differ in length: {lengths}")
        self.length = next(iter(lengths.values()), 0)
        self.number: Sequence[int] = range(self.length) if number is None else number

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = {name: values[index] for name, values in self.columns.items()}
        row["row"] = int(self.number[index])
        return row

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def __contains__(self, column: str) -> bool:
        return column in self.columns

    def column(self, name: str) -> Sequence[Any]:
        """Raises DataError where there is none of this name."""
        if name not in self.columns:
            raise DataError(f"the rows have no column {name!r}; {nearest(name, self.columns)}")
        return self.columns[name]

    def select(self, indices: Sequence[int]) -> Rows:
        """The rows at these positions, with the numbers they have in the whole data set."""
        columns = {name: [values[i] for i in indices] for name, values in self.columns.items()}
        return Rows(columns, [int(self.number[i]) for i in indices])

    def where(self, column: str, value: Any) -> Rows:
        return self.select([i for i, held in enumerate(self.column(column)) if held == value])

    def real(self) -> Rows:
        """Those of the data."""
        return self.where("synthetic", False) if "synthetic" in self else self

    def with_columns(self, **columns: Sequence[Any]) -> Rows:
        return Rows({**self.columns, **columns}, self.number)


@dataclass(frozen=True)
class Media:
    """Something of a single row to look at or listen to: `kind` is png, wav, gif or text."""

    kind: str
    data: bytes | str
    caption: str = ""


@dataclass(frozen=True)
class Display:
    """An answer as people see it: the `line` at a terminal, and `rows` of a table, which have the same columns."""

    line: str
    rows: list[dict[str, Any]]
    prose: bool = False  # the line is a text, whose own ends of lines are shown


@dataclass(frozen=True)
class LeftOut:
    """A source that was not used, and why."""

    source: str
    reason: str
    ungrouped: bool = False  # what its name says by --group-pattern is missing

    @staticmethod
    def of(path: Path, reason: str) -> LeftOut:
        return LeftOut(str(path), reason)


@dataclass(frozen=True)
class Linear:
    """The weights (k, d) and biases (k,) of a linear layer, float64."""

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, rows: Any) -> np.ndarray:
        """(n, k) of rows (n, d), sparse or dense."""
        answers: np.ndarray = rows @ self.weight.T + self.bias
        return answers
