"""What the metrics ask of a predictions file, checked before any figure is computed from it.

Axis letters: n rows, k classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pervade.core.errors import DataError

Columns = Mapping[str, Any]
"""The columns of one predictions file; axis 0 = its n rows: arrays of numbers, lists of anything else. "row" (which
example) and "group" (rows of one group depend on each other) are always there."""

# Probabilities written in bfloat16 carry 8 significant bits, so a row of them may miss 1 by nearly this much.
SUM_TOLERANCE = 0.01


def column(columns: Columns, name: str) -> np.ndarray:
    """One column by its name.

    Raises:
        DataError: there is no such column.
    """
    return np.asarray(values(columns, name))


def values(columns: Columns, name: str) -> Sequence[Any]:
    """One column as it stands in the file: strings, or lists of them, too.

    Raises:
        DataError: there is no such column.
    """
    if name not in columns:
        raise DataError(f"the predictions file has no column '{name}'; its columns are {', '.join(columns) or 'none'}")
    column: Sequence[Any] = columns[name]
    return column


def count_rows(columns: Columns) -> int:
    """n, the number of rows.

    Raises:
        DataError: there are no rows, or the columns differ in length.
    """
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"the columns of the predictions file differ in length: {lengths}")
    num_rows = next(iter(lengths.values()), 0)
    if num_rows == 0:
        raise DataError("the predictions file has no rows, so there is nothing to measure")
    return num_rows


def class_column(columns: Columns, name: str, num_classes: int) -> np.ndarray:
    """A column of class indices, (n,) int64, each in 0 .. num_classes - 1.

    Raises:
        DataError: the column is missing, is not one integer a row, or holds an index outside the classes.
    """
    values = column(columns, name)
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer):
        raise DataError(
            f"column '{name}' must hold one class index (an integer) a row, not {values.dtype} {values.shape}"
        )
    outside = np.flatnonzero((values < 0) | (values >= num_classes))
    if len(outside):
        at = outside[0]
        raise DataError(f"column '{name}' at position {at} is {values[at]}; allowed are 0 to {num_classes - 1}")
    return values.astype(np.int64)


def probability_column(columns: Columns, num_classes: int) -> np.ndarray:
    """The column "probabilities", (n, k) in its own floating type; each row sums to 1.

    Raises:
        DataError: the column is missing, has another shape, or a row is no probability distribution.
    """
    values = column(columns, "probabilities")
    if values.ndim != 2 or values.shape[1] != num_classes or not np.issubdtype(values.dtype, np.floating):
        raise DataError(
            f"column 'probabilities' must be floating numbers of shape (rows, {num_classes}), "
            f"not {values.dtype} {values.shape}"
        )
    total = values.sum(axis=1, dtype=np.float64)
    # Written so that nan, for which every comparison is false, counts as wrong.
    right = (values >= 0).all(axis=1) & (np.abs(total - 1) <= SUM_TOLERANCE)
    if not right.all():
        at = np.flatnonzero(~right)[0]
        raise DataError(
            f"column 'probabilities' at position {at} sums to {total[at]:.6g}, lowest {values[at].min():.6g}; "
            f"a row must be finite, not negative, and sum to 1"
        )
    return values


def number_column(columns: Columns, name: str) -> np.ndarray:
    """A column of real numbers as float64, (n,) or (n, outputs).

    Raises:
        DataError: the column is missing, is not numeric, or holds nan or infinity.
    """
    values = column(columns, name)
    if values.ndim not in (1, 2) or values.dtype.kind not in "iufb":
        raise DataError(f"column '{name}' must hold numbers, (rows,) or (rows, outputs), not {values.dtype}")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        at = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))[0]
        raise DataError(f"column '{name}' at position {at} is not finite")
    return values
