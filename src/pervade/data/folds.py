"""k-fold cross-validation (Stone 1974): every row is tested once, by a model that never saw it.

As in a single split (data/split.py), rows that share their bytes or a group are one unit, a unit is never divided, and
the classes have the same shares in every fold.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

from pervade.core import seed as seeds
from pervade.core.errors import DataError
from pervade.core.types import LeftOut, Rows
from pervade.data import split

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
