"""Which rows train, which choose the checkpoint (validation), which give the final figures (test).

Rows that hold the same bytes ("hash") or belong together ("group") are one unit, and a unit is never divided. Units
are drawn by seed, class by class, so that every split has the classes in the same shares.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

from pervade.core import seed as seeds
from pervade.core.types import LeftOut, Rows

NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
# Where the same picture stands in two given splits it stays in the one nearest to the final figures.
PRECEDENCE = ("test", "validation", "train")


def assign(rows: Rows, *, validation: float, test: float, seed: int) -> tuple[Rows, list[LeftOut]]:
    """Rows with a "split" each, and duplicates that were taken out of a split because another one has them.

    Splits that the data already has are kept; one that is missing is drawn from the training rows. `validation` and
    `test` are shares in 0-1 of the rows that are drawn from.
    """
    given = list(rows.column("split")) if "split" in rows else ["train"] * len(rows)
    keep, left_out = _one_split_each(rows, given)
    rows, given = rows.select(keep), [given[i] for i in keep]
    shares = {
        name: share for name, share in (("test", test), ("validation", validation)) if share > 0 and name not in given
    }
    return rows.with_columns(split=_draw(rows, given, shares, seed)), left_out


def _one_split_each(rows: Rows, given: Sequence[str]) -> tuple[list[int], list[LeftOut]]:
    if "hash" not in rows:
        return list(range(len(rows))), []
    best: dict[str, tuple[int, int]] = {}  # hash -> (precedence, position) of the split that keeps it
    for position, (digest, split) in enumerate(zip(rows.column("hash"), given, strict=True)):
        candidate = (PRECEDENCE.index(split), position)
        best[digest] = min(best.get(digest, candidate), candidate)
    keep, left_out = [], []
    for position, (digest, split) in enumerate(zip(rows.column("hash"), given, strict=True)):
        precedence, other = best[digest]
        if PRECEDENCE.index(split) == precedence:
            keep.append(position)
        else:
            twin = rows.column("id")[other]
            reason = f"byte-identical to {twin} in the {PRECEDENCE[precedence]} split, so not used for {split}"
            left_out.append(LeftOut(str(rows.column("id")[position]), reason))
    return keep, left_out


def _draw(rows: Rows, given: Sequence[str], shares: dict[str, float], seed: int) -> list[str]:
    splits = list(given)
    if not shares:
        return splits
    strata: dict[Hashable, list[list[int]]] = defaultdict(list)
    trained: Counter[Hashable] = Counter()  # in how many units that train each class stands
    for unit in units(rows, [i for i, split in enumerate(given) if split == "train"]):
        strata[_stratum(rows, unit[0])].append(unit)
        trained.update({_stratum(rows, row) for row in unit})
    for number, stratum in enumerate(sorted(strata, key=str)):
        members = strata[stratum]
        order = iter(seeds.generator(seed, number).permutation(len(members)))
        for position, (name, share) in enumerate(shares.items()):
            # At least one of every class where there are enough.
            wanted = max(round(share * len(members)), 1) if len(members) > position + 1 else 0
            while wanted and (index := next(order, None)) is not None:
                classes = {_stratum(rows, row) for row in members[index]}
                if any(trained[each] == 1 for each in classes):
                    continue  # the last unit of a class always trains
                trained.subtract(classes)
                for row in members[index]:
                    splits[row] = name
                wanted -= 1
    return splits


def _stratum(rows: Rows, position: int) -> Hashable:
    """What is kept balanced: the class; a number that is measured, not named, has none."""
    target: Any = rows.column("target")[position] if "target" in rows else None
    return target if isinstance(target, (str, int)) else None


def units(rows: Rows, positions: Sequence[int]) -> list[list[int]]:
    """Positions that must stay together, because they share a group or their bytes (by union-find)."""
    parent = {position: position for position in positions}

    def root(position: int) -> int:
        while parent[position] != position:
            parent[position] = parent[parent[position]]
            position = parent[position]
        return position

    for column in ("group", "hash"):
        if column not in rows:
            continue
        first: dict[Any, int] = {}
        values = rows.column(column)
        for position in positions:
            other = first.setdefault(values[position], position)
            parent[root(position)] = root(other)
    together: dict[int, list[int]] = defaultdict(list)
    for position in positions:
        together[root(position)].append(position)
    return list(together.values())
