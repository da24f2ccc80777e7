"""k-fold cross-validation (Stone 1974): every row is tested once, by a model that never saw it.

As in a single split (data/split.py), rows that share their bytes or a group are one unit, a unit is never divided, and
the classes have the same shares in every fold.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

from pervade.core import seed as seeds
from pervade.core.errors import DataError
from pervade.core.types import LeftOut, Rows
from pervade.data import split
from pervade.data.targets import natural

MOST_GROUPS = 100  # that are held out one at a time
ASIDE = "aside"  # the split, in every member, of rows that the data itself keeps for a test


def assign(rows: Rows, folds: int, seed: int) -> tuple[Rows, list[LeftOut]]:
    """Rows with a "fold" from 1 to `folds` each and the split "test"; rows of a given test split have fold 0 and the
    split "aside". A given validation split is taken up into the folds.

    Raises DataError where a class, or the data, has fewer units than it takes.
    """
    splits = rows.column("split") if "split" in rows else ["train"] * len(rows)
    # What belongs to a row that is set aside must not train either; train and validation are one here.
    given = ["test" if each == "test" else "train" for each in splits]
    keep, left_out = split.one_split_each(rows, given)
    rows, given = rows.select(keep), [given[i] for i in keep]
    whole, rows = rows, split.whole_classes(rows)
    strata: dict[Hashable, list[list[int]]] = defaultdict(list)
    units = split.units(rows, [i for i, each in enumerate(given) if each != "test"])
    if len(units) < folds:
        raise DataError(
            f"{len(units)} independent rows cannot be divided into {folds} folds; ask for at most {len(units)}, "
            "or for --seeds instead"
        )
    balanced = split.strata(rows)
    for unit in units:
        strata[balanced[unit[0]]].append(unit)
    fold = [0] * len(rows)
    turn = 0  # goes on from class to class, so that the folds are of nearly equal size
    for number, each in enumerate(sorted(strata, key=str)):
        for index in seeds.generator(seed, number, folds).permutation(len(strata[each])):
            for row in strata[each][index]:
                fold[row] = turn % folds + 1
            turn += 1
    _every_class_trains(rows, fold, folds)
    return whole.with_columns(fold=fold, split=[ASIDE if each == 0 else "test" for each in fold]), left_out


def assign_groups(rows: Rows, names: Callable[[Sequence[str]], None], seed: int) -> tuple[Rows, list[LeftOut]]:
    """As `assign`, a fold for each group; `names` is told theirs, in the order of their numbers. What stands byte by
    byte in two groups is kept in the first of them only.

    Raises DataError where rows have no groups, there are fewer than two or more than 100, or a class has only one.
    """
    if "group" not in rows:
        raise DataError(
            "--folds group takes what groups there are, and the data names none; say with --group-by which column "
            "does, or with --group-pattern what in the files' names"
        )
    splits = rows.column("split") if "split" in rows else ["train"] * len(rows)
    given = ["test" if each == "test" else "train" for each in splits]
    keep, left_out = split.one_split_each(rows, given)
    rows, given = rows.select(keep), [given[i] for i in keep]
    keep, twins = _one_group_each(rows)
    rows, given = rows.select(keep), [given[i] for i in keep]
    groups = [str(each) for each in rows.column("group")]
    there = sorted({group for group, each in zip(groups, given, strict=True) if each != "test"}, key=natural)
    if not 2 <= len(there) <= MOST_GROUPS:
        raise DataError(
            f"--folds group would train {len(there)} times, once without each group; it takes 2 to {MOST_GROUPS} of "
            "them: ask for --folds 5, which keeps groups whole"
        )
    number = {group: place for place, group in enumerate(there, start=1)}
    fold = [0 if each == "test" else number[group] for group, each in zip(groups, given, strict=True)]
    _every_class_trains(rows, fold, len(there))
    names(there)
    found = rows.with_columns(fold=fold, split=[ASIDE if each == 0 else "test" for each in fold])
    return found, [*left_out, *twins]


def _one_group_each(rows: Rows) -> tuple[list[int], list[LeftOut]]:
    if "hash" not in rows:
        return list(range(len(rows))), []
    first: dict[str, int] = {}
    keep, left_out = [], []
    groups, names = rows.column("group"), rows.column("id")
    for i, digest in enumerate(rows.column("hash")):
        other = first.setdefault(digest, i)
        if groups[other] == groups[i]:
            keep.append(i)
        else:
            reason = f"byte-identical to {names[other]} of the group {groups[other]!r}, so not used for {groups[i]!r}"
            left_out.append(LeftOut(str(names[i]), reason))
    return keep, left_out


def _every_class_trains(rows: Rows, fold: list[int], folds: int) -> None:
    where: dict[Hashable, set[int]] = defaultdict(set)
    for position, number in enumerate(fold):
        if number:
            for each in split.classes(rows, [position]):
                where[each].add(number)
    for label, numbers in where.items():
        if label is not None and len(numbers) == 1:
            raise DataError(
                f"all rows of class {label!r} belong together (one group, or the same picture), so that one of the "
                f"{folds} folds would leave none to train on; add others, or leave the class out"
            )


def member(rows: Rows, number: int, validation: float, seed: int) -> Rows:
    """The rows as the member sees them that is tested on fold `number`; its validation split is drawn from the rest."""
    given = [ASIDE if fold == 0 else "test" if fold == number else "train" for fold in rows.column("fold")]
    shares = {"validation": validation} if validation > 0 else {}
    return rows.with_columns(split=split.draw(rows, given, shares, seed))
