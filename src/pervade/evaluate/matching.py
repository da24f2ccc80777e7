"""Which rows of several runs are the same, and how their rows differ where they are not.

A row is known by its content where every run has hashes: files may be called the same and hold something else. Without
hashes it is known by its id, and then the runs must have read the same data source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

NAMED = 3  # rows that a message names


@dataclass(frozen=True)
class RowsOf:
    """The rows that one run predicted, out of all its rows."""

    name: str  # of the run, for messages
    source: str  # where its data came from
    stored: Mapping[str, Sequence[Any]]  # columns of data.json
    numbers: Sequence[int]  # (n,) which of them were predicted


@dataclass(frozen=True)
class Matching:
    """`positions` holds for each run where in its predictions the common rows stand, (m,) each, in the same order.

    `differences` says in words how the rows differ; empty where they are all the same.
    """

    positions: list[list[int]]
    differences: list[str]


def match(runs: Sequence[RowsOf]) -> Matching:
    """The rows common to all runs, in the order of the first, and how every other run differs from the first."""
    hashed = all("hash" in rows.stored for rows in runs)
    keys = [_keys(rows, hashed) for rows in runs]
    places = [{key: position for position, key in enumerate(keys_of_run)} for keys_of_run in keys]
    targets = [[_target(rows, number) for number in rows.numbers] for rows in runs]
    differences: list[str] = []
    common = list(keys[0])
    for other in range(1, len(runs)):
        there = [key for key in keys[0] if key in places[other]]
        relabelled = [key for key in there if targets[0][places[0][key]] != targets[other][places[other][key]]]
        pair = (runs[0], runs[other])
        if not hashed and pair[0].source != pair[1].source:
            differences.append(
                f"the data comes from different places ({pair[0].source} for {pair[0].name}, {pair[1].source} for "
                f"{pair[1].name}) and has no hashes to tell rows by, only names"
            )
        first, second = (set(keys[0]), set(keys[other]))
        if first != second:
            parts = [f"{len(there):,} in both"]
            parts += [
                _only(runs[0], keys[0], second, runs[other], hashed),
                _only(runs[other], keys[other], first, runs[0], hashed),
            ]
            differences.append(", ".join(part for part in parts if part))
        if relabelled:
            differences.append(_relabelled(pair, relabelled, places[0], places[other], targets[0], targets[other]))
        kept = set(there) - set(relabelled)
        common = [key for key in common if key in kept]
    return Matching([[places_of_run[key] for key in common] for places_of_run in places], differences)


def joined(groups: Sequence[np.ndarray]) -> np.ndarray:
    """Groups (m,) in which rows depend on each other if they do in any of those given, (m,) each."""
    codes = [np.unique(group, return_inverse=True)[1] for group in groups]
    label = codes[0].astype(np.int64)
    while True:
        before = label
        for code in codes:
            least = np.full(code.max(initial=-1) + 1, len(label), np.int64)
            np.minimum.at(least, code, label)
            label = least[code]
        if np.array_equal(label, before):
            return label


def _keys(rows: RowsOf, hashed: bool) -> list[Hashable]:
    """One for each prediction, none twice. Files of the same bytes are numbered in the order of their ids, several
    predictions of one row (of several seeds) in their own order."""
    ids = [str(rows.stored["id"][number]) for number in rows.numbers]
    contents = [str(rows.stored["hash"][number]) for number in rows.numbers] if hashed else ids
    seen: Counter[str] = Counter()
    keys: list[Hashable] = [None] * len(ids)
    for position in sorted(range(len(ids)), key=lambda i: ids[i]):
        keys[position] = (contents[position], seen[contents[position]])
        seen[contents[position]] += 1
    return keys


def _target(rows: RowsOf, number: int) -> Any:
    """What the row is said to be; several labels in no order."""
    target = rows.stored["target"][number] if "target" in rows.stored else None
    return sorted(target, key=str) if isinstance(target, (list, tuple)) else target


def _only(rows: RowsOf, keys: list[Hashable], others: set[Hashable], other: RowsOf, hashed: bool) -> str:
    """How many rows the other run did not predict, their first names, and where that run has them instead."""
    numbers = [rows.numbers[position] for position, key in enumerate(keys) if key not in others]
    if not numbers:
        return ""
    text = f"{len(numbers):,} only in {rows.name} ({_names(rows, numbers)})"
    column = "hash" if hashed else "id"
    elsewhere = dict(zip(other.stored[column], other.stored.get("split", ()), strict=False))
    trained = sum(elsewhere.get(rows.stored[column][number]) == "train" for number in numbers)
    return f"{text}, {trained:,} of which {other.name} learnt from" if trained else text


def _relabelled(
    pair: tuple[RowsOf, RowsOf],
    keys: list[Hashable],
    here: Mapping[Hashable, int],
    there: Mapping[Hashable, int],
    own: list[Any],
    others: list[Any],
) -> str:
    key = keys[0]
    numbers = [pair[0].numbers[here[key]] for key in keys]
    return (
        f"{len(keys):,} with another target ({_names(pair[0], numbers)}; the first is {own[here[key]]!r} in "
        f"{pair[0].name} and {others[there[key]]!r} in {pair[1].name})"
    )


def _names(rows: RowsOf, numbers: Sequence[int]) -> str:
    names = sorted(str(rows.stored["id"][number]) for number in numbers)
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
