"""k-fold cross-validation (Stone 1974): every row is tested once, by a model that never saw it.

As in a single split (data/rows/split.py), rows that share their bytes or a group are one unit, a unit is never divided,
and the classes have the same shares in every fold.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

from pervade.core import seed as seeds
from pervade.core.contracts.promises import SPLIT
from pervade.core.errors import DataError
from pervade.core.types import LeftOut, Rows
from pervade.data.read import account
from pervade.data.read.targets import natural
from pervade.data.rows import split

MOST_GROUPS = 100  # that are held out one at a time
GIVEN = "fold_given"  # the column of the fold that the data itself names for a row (data/read/division.py)
_WORDS = {"group": "group", GIVEN: "fold"}
ASIDE = "aside"  # the split, in every member, of rows that the data itself keeps for a test


def assign(rows: Rows, folds: int, seed: int) -> tuple[Rows, list[LeftOut]]:
    """Rows with a "fold" from 1 to `folds` each and the split "test"; rows of a given test split have fold 0 and the
    split "aside", and so have those that are to settle promises. A given validation split is taken up into the folds.

    Raises DataError where a class, or the data, has fewer units than it takes.
    """
    splits = split.given(rows) or ["train"] * len(rows)
    # What belongs to a row that is set aside must not train either; train and validation are one here.
    given = ["test" if name in ("test", SPLIT) else "train" for name in splits]
    keep, left_out = split.one_split_each(rows, given)
    rows, given = rows.select(keep), [given[i] for i in keep]
    whole, rows = rows, split.whole_classes(rows)
    units = split.units(rows, [i for i, name in enumerate(given) if name != "test"])
    if len(units) < folds:
        raise DataError(
            f"{len(units)} independent rows cannot be divided into {folds} folds; ask for at most {len(units)}, "
            "or for --seeds instead"
        )
    fold = _dealt(rows, units, folds, seed)
    _every_class_trains(rows, fold, folds)
    return whole.with_columns(fold=fold, split=[ASIDE if number == 0 else "test" for number in fold]), left_out


def deal(rows: Rows, positions: Sequence[int], folds: int, seed: int) -> list[int]:
    """Of each row its fold, from 1, or 0 where it is not at one of the positions: units whole, classes in like shares.
    Of fewer units than folds some stay empty."""
    rows = split.whole_classes(rows)
    return _dealt(rows, split.units(rows, positions), folds, seed)


def _dealt(rows: Rows, units: Sequence[list[int]], folds: int, seed: int) -> list[int]:
    strata: dict[Hashable, list[list[int]]] = defaultdict(list)
    balanced = split.strata(rows)
    for unit in units:
        strata[balanced[unit[0]]].append(unit)
    fold = [0] * len(rows)
    turn = 0  # goes on from class to class, so that the folds are of nearly equal size
    for number, stratum in enumerate(sorted(strata, key=str)):
        for index in seeds.generator(seed, number, folds).permutation(len(strata[stratum])):
            for row in strata[stratum][index]:
                fold[row] = turn % folds + 1
            turn += 1
    return fold


def assign_groups(rows: Rows, names: Callable[[Sequence[str]], None]) -> tuple[Rows, list[LeftOut]]:
    """As `assign`, a fold for each group; `names` is told theirs, in the order of their numbers. What stands in two
    groups is kept in the first of them only, unless that leaves nothing to hold out, which is said.

    Raises DataError where rows have no groups, there are fewer than two or more than 100, or a class has only one.
    """
    if "group" not in rows:
        raise DataError(
            "--folds group takes what groups there are, and the data names none; say with --group-by which column "
            "does, or with --group-pattern what in the files' names"
        )
    return _held_out(rows, "group", names)


def assign_given(rows: Rows, names: Callable[[Sequence[str]], None]) -> tuple[Rows, list[LeftOut]]:
    """As `assign_groups`, a fold for each that the data name ("fold_given"). Rows that are in none are left out.

    Raises DataError where the data name none, too few or too many, or a group stands in two of them.
    """
    if not any(rows.columns.get(GIVEN, ())):
        raise DataError(
            "--folds column takes the folds that the data names, and it names none; call the column fold, or take "
            "--folds 5, or --group-by COLUMN --folds group"
        )
    splits, given = rows.columns.get("split", ["train"] * len(rows)), rows.column(GIVEN)
    lost = [i for i, fold in enumerate(given) if not fold and splits[i] != "test"]
    left_out = [LeftOut(str(rows.column("id")[i]), "it is in no fold") for i in lost]
    without = set(lost)
    rows = rows.select([i for i in range(len(rows)) if i not in without])
    for column in ("group", "bundle"):
        home: dict[str, str] = {}
        for key, fold in zip(rows.columns.get(column, ()), rows.column(GIVEN), strict=False):
            if fold and home.setdefault(key, fold) != fold:
                raise DataError(
                    f"{column} {key!r} stands in the folds {home[key]!r} and {fold!r}, so that it would be measured by "
                    "a model that learnt from it; take --folds group or --folds 5, which keep it whole, or "
                    "--group-by none where that does not matter"
                )
    assigned, more = _held_out(rows, GIVEN, names)
    return assigned, [*left_out, *more]


def _held_out(rows: Rows, column: str, names: Callable[[Sequence[str]], None]) -> tuple[Rows, list[LeftOut]]:
    """A fold for each value of the column."""
    splits = split.given(rows) or ["train"] * len(rows)
    given = ["test" if name == "test" else "train" for name in splits]
    keep, left_out = split.one_split_each(rows, given)
    rows, given = rows.select(keep), [given[i] for i in keep]
    keep, twins = _one_home_each(rows, column)
    homes = rows.column(column)
    if len({homes[i] for i in keep if given[i] != "test"}) < 2 <= len(set(homes)):
        account.note(
            f"copies: {len(twins):,} of {len(rows):,} rows stand in another {_WORDS[column]} too, and without them "
            "nothing would be left to hold out; they stay, so the figures are of what was learnt"
        )
        keep, twins = list(range(len(rows))), []
    rows, given = rows.select(keep), [given[i] for i in keep]
    values = [str(value) for value in rows.column(column)]
    there = sorted({value for value, name in zip(values, given, strict=True) if name != "test"}, key=natural)
    if not 2 <= len(there) <= MOST_GROUPS:
        raise DataError(
            f"--folds {'column' if column == GIVEN else column} would train {len(there)} times, once without each "
            f"{_WORDS[column]}; it takes 2 to {MOST_GROUPS} of them: ask for --folds 5, which keeps groups whole"
        )
    number = {value: place for place, value in enumerate(there, start=1)}
    fold = [0 if name == "test" else number[value] for value, name in zip(values, given, strict=True)]
    _every_class_trains(rows, fold, len(there))
    names([f"fold-{name}" if column == GIVEN and name.isdecimal() else name for name in there])
    assigned = rows.with_columns(fold=fold, split=[ASIDE if number == 0 else "test" for number in fold])
    return assigned, [*left_out, *twins]


def _one_home_each(rows: Rows, column: str) -> tuple[list[int], list[LeftOut]]:
    """The positions to keep, so that no bytes stand under two values of the column."""
    if "hash" not in rows:
        return list(range(len(rows))), []
    first: dict[str, int] = {}
    keep, left_out = [], []
    homes, names = rows.column(column), rows.column("id")
    for i, digest in enumerate(rows.column("hash")):
        other = first.setdefault(digest, i)
        if homes[other] == homes[i]:
            keep.append(i)
        else:
            what = _WORDS[column]
            reason = f"the same as {names[other]} of the {what} {homes[other]!r}, so not used for {homes[i]!r}"
            left_out.append(LeftOut(str(names[i]), reason))
    return keep, left_out


def _every_class_trains(rows: Rows, fold: list[int], folds: int) -> None:
    where: dict[Hashable, set[int]] = defaultdict(set)
    for position, number in enumerate(fold):
        if number:
            for label in split.classes(rows, [position]):
                where[label].add(number)
    for label, numbers in where.items():
        if label is not None and len(numbers) == 1:
            raise DataError(
                f"all rows of class {label!r} are in one of the {folds} folds (they belong together, are the same, or "
                "the data puts them there), so that none is left to train on when it is held out; add others, or leave "
                "the class out"
            )


def member(rows: Rows, number: int, validation: float, seed: int, promised: bool = False) -> Rows:
    """The rows as the member sees them that is tested on fold `number`; its validation split is drawn from the rest.
    `promised`: half of that settles promises (`for_promises`)."""
    given = [ASIDE if fold == 0 else "test" if fold == number else "train" for fold in rows.column("fold")]
    shares = {"validation": validation} if validation > 0 else {}
    rows = rows.with_columns(split=split.draw(rows, given, shares, seed))
    return for_promises(rows, seed) if promised else rows


def for_promises(rows: Rows, seed: int) -> Rows:
    """With half of the validation rows, units whole and classes in like shares, as the split that settles promises and
    nothing else. Raises DataError where there are no validation rows."""
    splits = list(rows.column("split"))
    validation = [i for i, name in enumerate(splits) if name == "validation"]
    if not validation:
        raise DataError(
            "what is promised is settled by half of the validation rows, and there are none; leave some with "
            "-o validation=0.3, or promise nothing"
        )
    half = deal(rows, validation, 2, seed)
    return rows.with_columns(split=[SPLIT if half[i] == 2 else name for i, name in enumerate(splits)])
