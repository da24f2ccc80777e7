"""Joining what was predicted of the parts of a row (views, windows): one line a row remains."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from pervade.core.types import Table


def average(table: Table, columns: Collection[str]) -> Table:
    """One line a row: `columns` (numbers (n,), or matrices (n, d)) are the mean over the row's parts, the others what
    the first part says. Rows stay in the order in which they come first. Without a column "part" the table as it is.

    The sum goes through a row's parts in the order of the table, so it does not depend on how rows were batched.
    """
    if "part" not in table:
        return table
    _, first, inverse = np.unique(np.asarray(table["row"]), return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    line, firsts = place[inverse], first[order]  # of each part: its line; of each line: its first part
    parts = np.bincount(line)
    out: Table = {}
    for name, values in table.items():
        if name == "part":
            continue
        if name in columns:
            whole = np.asarray(values, dtype=np.float64)
            total = np.zeros((len(order), *whole.shape[1:]))
            np.add.at(total, line, whole)
            out[name] = total / parts.reshape(-1, *[1] * (whole.ndim - 1))
        else:
            out[name] = values[firsts] if isinstance(values, np.ndarray) else [values[i] for i in firsts]
    return out


def add_up(table: Table, columns: Collection[str]) -> Table:
    """One line a row, by its number: the sums of `columns`, numbers (n,), over the row's parts, and nothing else.
    Without these columns the table as it is."""
    if not table.keys() >= set(columns):
        return table
    rows, place = np.unique(np.asarray(table["row"]), return_inverse=True)
    return {"row": rows, **{name: np.bincount(place, np.asarray(table[name], np.float64)) for name in columns}}
