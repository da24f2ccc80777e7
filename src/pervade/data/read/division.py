"""Which columns of a table say how its rows are divided: into splits, into folds, into groups that are never divided.

    split                      train, validation, test, or other names of these (data/rows/split.py: NAMES)
    is_valid, is_test          true and false, or 1 and 0
    fold                       1 to 10: used by `--folds column` alone; where it holds names of splits it is a split
    speaker, patient_id …      groups

Every reader of tables asks here, so that rows that are given for a test train nowhere.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from pervade.core.errors import DataError, MisfitError, nearest
from pervade.core.types import LeftOut, Rows
from pervade.data.read import account, spellings
from pervade.data.read.columns import last_word, look, plain
from pervade.data.read.table_files import Record
from pervade.data.read.targets import natural
from pervade.data.rows.split import PRECEDENCE, named

SPLIT_COLUMNS = ("split", "data_split", "subset", "partition", "set", "aufteilung", "conjunto", "ensemble", "划分")
ALWAYS = ("split", "data_split")  # what is called so must hold splits; of the others the values tell
FLAGS = {
    **dict.fromkeys(("is_train", "is_training"), "train"),
    **dict.fromkeys(("is_valid", "is_validation", "is_val"), "validation"),
    "is_test": "test",
}
FOLD_COLUMNS = ("fold", "folds", "kfold", "fold_id", "cv_fold")
GROUP_COLUMNS = (
    *("group", "subject", "patient", "person", "speaker", "participant"),
    *("group_id", "subject_id", "patient_id", "person_id", "speaker_id", "participant_id"),
    *("client_id", "speaker_name", "user_id", "lesion_id", "animal_id", "donor_id", "case_id", "study_id"),
    *("sprecher", "sprecherin", "sprecher_id", "patientin", "proband"),
    *("hablante", "locutor", "paciente", "sujeto", "locuteur", "sujet", "falante", "sujeito", "parlante", "paziente"),
    *("说话人", "患者", "受试者", "話者", "화자", "диктор", "пациент"),
)
LIKE_GROUPS = ("user", "user_name", "username", "author", "session", "fsid")  # and what is called …_id
NONE = "none"  # instead of a column's name: none is used
MOST_SHOWN = 8
DRAW = f"--split-column {NONE} draws splits by chance"


@dataclass(frozen=True)
class Columns:
    """Empty where no column says it; `split` are several where each is true or false."""

    split: tuple[str, ...] = ()
    fold: str | None = None
    group: str | None = None

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.split, *(column for column in (self.fold, self.group) if column is not None))


def columns(
    place: Path | str,
    records: Sequence[Record],
    free: Sequence[str],
    split_column: str | None = None,
    group_column: str | None = None,
) -> Columns:
    """Those of the columns `free` that divide the rows, by name; `split_column` and `group_column` are asked for, or
    "none". Raises DataError, with the nearest name, where one that is asked for is not there."""
    for flag, asked in (("--split-column", split_column), ("--group-by", group_column)):
        if asked not in (None, NONE) and not any(asked in record for record in records):
            raise MisfitError(f"{place} has no column {asked!r}; {nearest(str(asked), free)} ({flag})", asked)
    lower = {column.strip().lower(): column for column in free if column not in (split_column, group_column)}
    group = group_column
    if group is None:
        like = {_bare(column): column for column in lower.values()} | {
            plain(column): column for column in lower.values()
        }
        group = next((like[name] for name in GROUP_COLUMNS if name in like and _is_group(records, like[name])), None)
    fold = next((lower[name] for name in FOLD_COLUMNS if name in lower and lower[name] != group), None)
    names_splits = fold is not None and any(map(named, set(_cells(records, fold))))
    split: tuple[str, ...] = () if split_column is None else (split_column,)
    if split_column is None:
        named_split = next(
            (lower[name] for name in SPLIT_COLUMNS if name in lower and _tells(name, lower, records)), None
        )
        flags = tuple(lower[name] for name in FLAGS if name in lower)
        split = (named_split,) if named_split else flags if flags else (fold,) if fold and names_splits else ()
    return Columns(
        () if split_column == NONE else split,
        None if names_splits else fold,
        None if group == NONE else group,
    )


def _bare(column: str) -> str:
    """The name without what numbers people: Patienten-Nr., PatID."""
    name = re.sub(r"_?(nr|no|id|num|nummer|number|code)_?$", "", plain(column).rstrip("_"))
    return {"pat": "patient", "patienten": "patient", "probanden": "proband", "subj": "subject"}.get(name, name)


def _is_group(records: Sequence[Record], column: str) -> bool:
    """Whether a column that is called as those of groups are is one: the subject of a mail is not."""
    about = look(records, column)
    return plain(column) != "subject" or not about.prose


def _tells(name: str, lower: dict[str, str], records: Sequence[Record]) -> bool:
    """Whether a column called so is one of splits: "set" may be anything, unless it holds train or test, or 0, 1, 2."""
    if name in ALWAYS:
        return True
    values = set(_cells(records, lower[name])) - {""}
    return any(map(named, values)) or (name == "partition" and bool(values) and values <= {"0", "1", "2"})


def read(
    place: Path | str,
    records: Sequence[Record],
    columns: Columns,
    places: Sequence[str],
    of_file: Sequence[str | None] | None = None,
) -> list[Record | LeftOut]:
    """Of each record, in words its `places`, those of "split", "fold_given" and "group" that are known, or why it
    cannot be used. `of_file` are the splits that the names of files or folders say: where a column says another one,
    the row is in the one nearest to the final figures. Raises DataError where a value says no split."""
    if not columns.all and of_file is None:
        return [{}] * len(records)
    made: list[Record | LeftOut] = [{} for _ in records]
    if columns.split or of_file is not None:
        own = _splits(place, records, columns.split, places) if columns.split else [None] * len(records)
        reason = f"its {' and '.join(columns.split)} is empty, so it is not known whether it trains"
        differ = 0
        for i, (a, b) in enumerate(zip(own, of_file or [None] * len(records), strict=True)):
            split = a or b
            if split is None:
                made[i] = LeftOut(places[i], reason) if columns.split else {}
            elif a is None or b is None or a == b:
                made[i] = {"split": split}
            else:
                made[i] = {"split": min(a, b, key=PRECEDENCE.index)}
                differ += 1
        if differ:
            account.note(
                f"splits: {differ:,} rows of {place} have another in column {_quoted(columns.split)} than the name of "
                "their file or folder says; each is in the one nearest to the test",
                "--split-column",
            )
    for key, column in (("fold_given", columns.fold), ("group", columns.group)):
        if column is None:
            continue
        cells = _cells(records, column)
        if key == "group":
            note_groups(f"column {column!r}", cells, "--group-by")
        else:
            used = "used by --folds column, and no splits of a single run"
            account.note(f"folds: column {column!r}, {_shown(cells)}; {used}")
        for row, cell in zip(made, cells, strict=True):
            if isinstance(row, dict) and cell:
                row[key] = cell
    return made


def rows(entries: Sequence[Record]) -> Rows:
    """Entries as rows, None in what a row lacks; its own id where others have a group."""
    names = list(dict.fromkeys(name for entry in entries for name in entry))
    lacking = {"group": "id"}
    return Rows({name: [entry.get(name, entry.get(lacking.get(name, ""))) for entry in entries] for name in names})


def note_like(records: Sequence[Record], free: Sequence[str], columns: Columns) -> None:
    """Into the account: a column that may be a group and is not taken for one, since its name does not say it."""
    if columns.group is not None:
        return
    for like in (column for column in free if plain(column) in LIKE_GROUPS or last_word(column) == "id"):
        values = set(_cells(records, like)) - {""}
        if 1 < len(values) < len(records):
            effect = f"which stand in {len(records):,} rows; it would keep the rows of each in one split"
            account.note(
                f"groups: none; column {like!r} has {len(values):,} values, {effect}", f"--group-by {quote(like)}"
            )
            return


def note_groups(where: str, values: Sequence[str], flag: str) -> None:
    """Into the account: what says which rows belong together, and how many such groups there are."""
    account.note(f"groups: {where}, {_shown(values)}; none of them is divided", flag)


def _shown(values: Sequence[str]) -> str:
    there = sorted(set(values) - {""}, key=natural)
    return f"{len(there):,} of them ({', '.join(there[:MOST_SHOWN])}{' …' if len(there) > MOST_SHOWN else ''})"


def _splits(
    place: Path | str, records: Sequence[Record], columns: Sequence[str], places: Sequence[str]
) -> list[str | None]:
    """Of each record what its columns say; None where they are empty."""
    if len(columns) == 1 and columns[0].strip().lower() not in FLAGS:
        return _by_name(place, _cells(records, columns[0]), columns[0], places)
    means = {column: FLAGS[column.strip().lower()] for column in columns}
    splits: list[str | None] = []
    for where, record in zip(places, records, strict=True):
        true: set[str] = set()
        empty = True
        for column, split in means.items():
            cell = _cell(record.get(column))
            flag = spellings.truth(cell)
            if cell and flag is None:
                raise DataError(
                    f"{where}: column {column!r} holds {cell[:40]!r}, neither true nor false; mend it, or {DRAW}"
                )
            empty &= flag is None
            true |= {split} if flag else set()
        # What is not for training, where that alone is said, is for the test.
        rest = "test" if "train" in means.values() and "test" not in means.values() else "train"
        splits.append(None if empty else min(true or {rest}, key=PRECEDENCE.index))
    counts = Counter(splits)
    described = ", ".join(f"{counts[split]:,} {split}" for split in PRECEDENCE[::-1] if counts[split])
    account.note(f"splits: column {_quoted(columns)}: {described}", "--split-column")
    return splits


def _by_name(place: Path | str, cells: Sequence[str], column: str, places: Sequence[str]) -> list[str | None]:
    counts = Counter(cells)
    split_of = {value: named(value) for value in counts if value}
    unknown = [value for value, split in split_of.items() if split is None]
    if unknown and all(re.fullmatch(r"-?\d+", value) for value in split_of):
        described = ", ".join(f"{counts[value]:,} rows of {value}" for value in sorted(split_of, key=int)[:MOST_SHOWN])
        folds = "; if they are folds, call the column fold" if len(split_of) > len(PRECEDENCE) else ""
        raise DataError(
            f"{place}: column {column!r} holds numbers ({described}), which do not say what trains and what is the "
            f"test; write train, validation and test there{folds}, or {DRAW}"
        )
    if unknown:
        raise DataError(
            f"{places[list(cells).index(unknown[0])]}: unknown split {unknown[0]!r} in column {column!r}; "
            f"{nearest(unknown[0], PRECEDENCE)}; or {DRAW}"
        )
    described = ", ".join(
        f"{counts[value]:,} {split}" + (f" ({value})" if value.lower() != split else "")
        for value, split in list(split_of.items())[:MOST_SHOWN]
    )
    account.note(f"splits: column {column!r}: {described}", "--split-column")
    return [split_of.get(cell) for cell in cells]


def _quoted(columns: Sequence[str]) -> str:
    return " and ".join(map(repr, columns))


def _cells(records: Sequence[Record], column: str) -> list[str]:
    """The cells of a column as `_cell` gives them; most columns here hold few different values."""
    values = [record.get(column) for record in records]
    texts = {value: _cell(value) for value in {value for value in values if isinstance(value, str)}}
    return [texts[value] if isinstance(value, str) else _cell(value) for value in values]


def _cell(value: Any) -> str:
    """A cell as text, empty where there is nothing; a whole number that pandas made 3.0 is 3, and what no file could
    hold is escaped."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    text = unicodedata.normalize("NFC", str(value).strip()).encode("utf-8", "backslashreplace").decode()
    return text[: text.index(".")] if ".0" in text and re.fullmatch(r"-?\d+\.0+", text) else text
