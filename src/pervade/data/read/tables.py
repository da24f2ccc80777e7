"""Tables of files or texts, and of labels (data/read/table_files.py).

Columns are found by name, else by what all their cells are (data/read/columns.py): the files are those that exist, a
column of nothing but split names is the split, and of what is left the label is the one that may hold classes. What the
rows hold beside their labels is a `Content`: the names of files (`Files`), or texts (data/text/texts.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from pervade.core.errors import ConfigError, DataError, MisfitError, nearest
from pervade.core.types import LeftOut
from pervade.data.read import (
    account,
    annotated,
    class_folders,
    division,
    embedded,
    label_columns,
    named_files,
    patterns,
    spellings,
    table_files,
)
from pervade.data.read import columns as columns_module
from pervade.data.read.named_files import Below
from pervade.data.read.table_files import Record, columns_of, existing, numbered
from pervade.data.read.targets import Kind
from pervade.data.rows.split import NAMES as SPLITS
from pervade.data.rows.split import named as split_named

LABEL_COLUMNS, MORE_COLUMNS = label_columns.NAMES, label_columns.MORE
SPLIT_COLUMNS = (*division.SPLIT_COLUMNS, *division.FLAGS, *division.FOLD_COLUMNS)
GROUP_COLUMNS = division.GROUP_COLUMNS
BRACKETS = (
    "what stands in brackets is the group: '_([^_]+)_' takes what stands between the first two underscores; a column "
    "of a table is named by --group-by"
)
UNGROUPED = "its name does not fit --group-pattern '{}', so who or what it belongs to is not known"
LONGEST_NAME = 200  # characters of a value that are shown in a message
MOST_SHOWN = 20  # columns that are not used, and are named
TESTS = {"trec_10": "test"}  # as TREC's questions call theirs
_NO_SPLIT = re.compile(r"([_ -]?(labels?|meta(data)?|annotations?)|[_ -]v\d[\d.]*)$")  # behind the name of a split
FEW_FILES = 5  # files of text in a folder among which a table is looked for


@dataclass(frozen=True)
class Wanted:
    """What is to be read from a table, where that is not left to names and content."""

    target: Kind = "class"
    label_column: str | None = None  # or several, by commas: columns of 0 and 1
    separator: str | None = None  # what parts the labels of one cell
    label_pattern: str | None = None  # what of a file's name is its label (data/read/patterns.py)
    group_pattern: str | None = None  # likewise, what rows that belong together have in common
    group_column: str | None = None  # or the column of a table that says so, or "none" for no groups
    split_column: str | None = None  # likewise, of splits
    unlabelled: bool = False  # rows are of use without a target: where not every one has it, none does
    # How pictures are of use that are in no class folders, said where they are not.
    without_classes: str = "to make pictures like these, which takes no classes: --task unconditional-image-generation"
    means: tuple[str, str] = ("labels", "--label-column")  # what targets are called in the account, and their flag

    def __post_init__(self) -> None:
        patterns.check(self.label_pattern, "--label-pattern")
        patterns.check(self.group_pattern, "--group-pattern")
        if self.group_pattern is not None and self.group_column is not None:
            raise ConfigError("--group-by and --group-pattern exclude each other; choose one")


def ungrouped(name: str, pattern: str) -> LeftOut:
    return LeftOut(name, UNGROUPED.format(pattern), ungrouped=True)


class Content(Protocol):
    """What the rows of a data set hold: files to open, or texts."""

    @property
    def what(self) -> str:
        """One of them, in words: "picture"."""
        ...

    @property
    def flag(self) -> str:
        """What names its columns: "--file-column"."""
        ...

    @property
    def suffixes(self) -> Collection[str]:
        """The endings of files that are one each, in class folders."""
        ...

    def records(self, path: Path) -> list[Record]:
        """The rows of a table in a file. Raises DataError."""
        ...

    def columns(self, path: Path | str, records: list[Record], free: Sequence[str]) -> tuple[str, ...]:
        """Which of the columns `free` hold it. Raises DataError."""
        ...

    def take(self, folder: Path, record: Record, columns: Sequence[str], where: str) -> tuple[Record, str] | LeftOut:
        """The cells of one row as an entry ("path", "text"), and what its id says of them beside the row's number."""
        ...


@dataclass(frozen=True)
class Files:
    """Files named in one of the columns `names`, unless `file_column` says which; they lie below `root`, which is the
    table's folder unless it is given. `file_of` gives the file of each name in one table, or why there
    is none."""

    what: str
    suffixes: tuple[str, ...]
    names: tuple[str, ...]
    file_column: str | None = None
    root: Path | None = None
    file_of: Mapping[str, Path | str] | None = None
    flag: ClassVar[str] = "--file-column"

    def records(self, path: Path) -> list[Record]:
        return table_files.read(path)

    def below(self, path: Path | str) -> Below:
        """Where the files of a table are looked for."""
        return Below(path.parent if isinstance(path, Path) else None, self.suffixes, self.root)

    def columns(self, path: Path | str, records: list[Record], free: Sequence[str]) -> tuple[str, ...]:
        """By names and by what stands in all rows (data/read/named_files.py)."""
        asked = asked_for(path, columns_of(records), self.file_column)
        column = asked[0] if asked else named_files.column(records, free, self.below(path), self.names, LABEL_COLUMNS)
        column = column or columns_module.first_named(free, [name for name in self.names if name != "id"])
        if column is None:
            raise DataError(columns_module.of_numbers(path, records, free))
        value = next((record[column] for record in records if record.get(column) is not None), "")
        if not isinstance(value, (str, int, float)):
            raise DataError(
                f"{path}: column {column!r} holds {self.what}s or other values ({type(value).__name__}), not the names "
                f"of files; write each {self.what} to a file, and its name into the table"
            )
        return (column,)

    def located(
        self, path: Path | str, records: list[Record], columns: Sequence[str], name: str | None = None
    ) -> Files:
        """Knowing where the files of all rows are, which it notes by the table's `name`; without one some may be
        missing, or all. Raises DataError where a table with labels names addresses, or none of its files is there."""
        column, folder = columns[0], _folder(path)
        cells = [named_files.text(record.get(column)) for record in records]
        stem = path.stem if isinstance(path, Path) else ""
        below = self.below(path)
        files = below.find(cells, split_named(stem))
        there = [file for file in files if isinstance(file, Path)]
        content = replace(self, file_of=dict(zip(cells, files, strict=True)))
        if name is None:
            return content
        counted = f"{len(there):,} of {len(records):,}"
        if any(embedded.place(str(file)) for file in there[:1]):
            account.note(f"{self.what}s: in column {column!r} itself, {counted} rows", "--file-column")
            return content
        count = named_files.addresses(cells)
        if not there and 2 * count > len(cells):
            raise DataError(
                f"{path}: column {column!r} holds addresses ({count:,} of {len(cells):,}), and nothing is downloaded "
                f"unasked; download the {self.what}s into a folder beside the table, or say with --file-column which "
                "column names files"
            )
        if not there:
            first = next((cell for cell in cells if cell), "")
            ending = Path(first[:LONGEST_NAME]).suffix.lower()
            if ending in table_files.PERHAPS[:2]:
                raise DataError(
                    f"{path}: column {column!r} names files ending in {ending!r}, which are read in class folders and "
                    "not by a table; write what they say into a column text"
                )
            looked = f", in {below.root} or below" if below.root is not None else ""
            raise DataError(
                f"{path}: none of the files that column {column!r} names is there: {len(cells):,}, the first "
                f"{first[:LONGEST_NAME]!r}{looked}; copy them there, or say with --file-column "
                "which column names them"
            )
        account.note(
            f"{self.what}s: column {column!r} of {name}; {counted} are files in {named_files.where(folder, there)}",
            "--file-column",
        )
        return content

    def take(self, folder: Path, record: Record, columns: Sequence[str], where: str) -> tuple[Record, str] | LeftOut:
        """ "path": where the file is by `file_of`, else its name in the table's folder."""
        column = columns[0]
        name = text_of(record.get(column), where, column)
        if name is None:
            return LeftOut(where, f"it has no {column}")
        cell = named_files.text(record[column])
        file = existing(folder, cell) if self.file_of is None else self.file_of[cell]
        if not isinstance(file, Path):
            return LeftOut(where, file or named_files.NOT_THERE.format(name[:LONGEST_NAME]))
        return {"path": str(file)}, "" if embedded.place(name) else f" {name}"


@dataclass(frozen=True)
class Layout:
    """Which column is what; `labels` are several where each is a label of its own (0 and 1)."""

    content: tuple[str, ...]
    labels: tuple[str, ...]
    division: division.Columns


class NoLabels(MisfitError):
    """A table has no column of labels, or not the one that was asked for."""


SUFFIXES = table_files.SUFFIXES
is_table, holds_table, bare_name = table_files.is_table, table_files.holds_table, table_files.bare_name


def within(folder: Path) -> list[Path]:
    """The tables in a folder: by their names; of files of text those that are called as splits are, and, where there is
    no table by name, those of a few that hold one. Raises OSError."""
    there = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    named_so = [path for path in there if is_table(path) or (split_named(path.stem) and holds_table(path))]
    if any(map(is_table, named_so)):
        return named_so
    perhaps = [path for path in there if path.suffix.lower() in table_files.PERHAPS and path.is_file()]
    few = perhaps if len(perhaps) <= FEW_FILES else []
    return sorted({*named_so, *(path for path in few if holds_table(path))})


def by_split(folder: Path, passed: Collection[str] = ()) -> tuple[dict[Path, str], list[LeftOut]]:
    """The tables in a folder whose names say a split (train.csv, test_labels.csv, squad-dev-v2.0.json), and what
    lies beside them, but files with an ending that is `passed` over. Nothing where none trains. Raises OSError, and
    DataError where several kinds are called so."""
    names = {table: _NO_SPLIT.sub("", bare_name(table).lower()) for table in within(folder)}
    names = {table: TESTS.get(name, name) for table, name in names.items()}
    splits = class_folders.splits_of(set(names.values()))
    if "train" not in splits.values() and not SPLITS.keys() & splits.keys():
        return {}, []
    split_of = {table: splits[name] for table, name in names.items() if name in splits}
    rest = [path for path in sorted(folder.iterdir()) if path not in split_of and not path.name.startswith(".")]
    rest = [path for path in rest if path.suffix.lower() not in passed and path.is_file()]
    return split_of, [LeftOut(path.name, "called after no split, as others are") for path in rest]


def read(
    path: Path, content: Content, wanted: Wanted | None = None, split: str | None = None
) -> tuple[list[Record], list[LeftOut]]:
    """Entries with "id", what `content` takes, "target", and "split", "fold_given" and "group" where there are such
    columns (data/read/division.py) or, of splits, the name of the file says one. Rows without content or target are
    left out; but no labels at all is a target.

    Raises DataError where the table cannot be read or its columns cannot be told apart.
    """
    return entries_of(content.records(path), path, content, wanted=wanted, split=split)


def unlabelled(path: Path, content: Content) -> Iterator[Record | LeftOut]:
    """Entries with "id" and what `content` takes, whatever else the table holds, or why a row cannot be used, row by
    row: for prediction. Raises DataError as `read` does."""
    records = content.records(path)
    columns = content.columns(path, records, columns_of(records))
    if isinstance(content, Files):
        content = content.located(path, records, columns)
    # Tables of several folders may be given at once, and have the same name: the path tells their rows apart.
    for number, (record, where) in enumerate(zip(records, _places(str(path), records), strict=True), start=1):
        taken = content.take(_folder(path), record, columns, where)
        yield taken if isinstance(taken, LeftOut) else {"id": f"{path}#{number}{taken[1]}", **taken[0]}


def entries_of(
    records: list[Record],
    path: Path | str,
    content: Content,
    ids: Sequence[str] | None = None,
    wanted: Wanted | None = None,
    name: str | None = None,
    split: str | None = None,
    like: Layout | None = None,
) -> tuple[list[Record], list[LeftOut]]:
    """As `read`, of records already read. `path` is a table, or the address of a data set, whose rows have `ids`; by
    `name` ids and messages know the table: its path inside a data set of several folders. `like` is what
    another table of the same data is read by."""
    wanted = wanted or Wanted()
    name = Path(path).name if name is None else name
    if wanted.label_pattern is not None:
        raise MisfitError(
            f"{path} is a table, whose labels stand in a column; --label-pattern reads them out of the names of files "
            "in a folder: leave it out, or name the column with --label-column",
            wanted.label_pattern,
        )
    folder = _folder(path)
    columns = layout(path, records, content, wanted, like)
    if isinstance(content, Files):
        content = content.located(path, records, columns.content, name)
    places = list(ids) if ids else _places(name, records)
    divided = division.read(path, records, columns.division, places, [split] * len(records) if split else None)
    targets: list[Any] = [None] * len(records)
    if columns.labels:
        targets = annotated.judged(records, places, columns.labels[0], _targets(records, places, columns, wanted))
    entries, left_out = [], []
    lines = not isinstance(content, Files) and isinstance(path, Path) and not is_table(path)
    rows = zip(records, places, targets, divided, strict=True)
    for number, (record, where, target, division_of_row) in enumerate(rows, start=1):
        taken = content.take(folder, record, columns.content, where)
        lost = next((part for part in (taken, target, division_of_row) if isinstance(part, LeftOut)), None)
        if isinstance(taken, LeftOut) or isinstance(division_of_row, LeftOut) or lost is not None:
            left_out.append(lost or LeftOut(where, ""))
            continue
        held, id_end = taken
        own = ids[number - 1] if ids else f"{name}#{number}{id_end}"
        entry: Record = {"id": own, **held, **({"target": target} if columns.labels else {}), **division_of_row}
        if not isinstance(content, Files):
            entry |= {"read_from": list(columns.content), "lines": lines}
        if columns.division.group is not None:
            # A row without a group depends on no other row, so it is a group of its own.
            entry.setdefault("group", own)
        elif wanted.group_pattern is not None:
            entry["group"] = patterns.extract(wanted.group_pattern, _inside(entry, folder))
            if entry["group"] is None:
                left_out.append(ungrouped(own, str(wanted.group_pattern)))
                continue
        entries.append(entry)
    return entries, left_out


def detect(records: list[Record], path: Path | str, content: Content, label_column: str | None = None) -> Kind:
    """What the records' targets seem to be. In doubt, and where the table is faulty, "class": then its reader says
    what is wrong."""
    try:
        columns = layout(path, records, content, Wanted("class", label_column)).labels
    except DataError:
        return "class"
    if annotated.one_each(records, columns[0]):
        return "class"
    if len(columns) == 1:
        return spellings.kind([record.get(columns[0]) for record in records])
    return "class" if label_columns.exclusive(records, columns) else "labels"


def _inside(entry: Record, folder: Path) -> str:
    """The file of an entry as the table's folder knows it. Raises DataError where it has none."""
    if "path" not in entry:
        raise DataError("--group-pattern reads the names of files, and these rows have none; take --group-by COLUMN")
    path = Path(entry["path"])
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _folder(path: Path | str) -> Path:
    return path.parent if isinstance(path, Path) else Path()


def _places(name: str, records: Sequence[Record]) -> list[str]:
    return [f"{name}, row {number}" for number in range(1, len(records) + 1)]


def layout(
    path: Path | str, records: list[Record], content: Content, wanted: Wanted, like: Layout | None = None
) -> Layout:
    """Which column of a table is what; the content and labels as in another table, where it is to be `like` that.
    Raises DataError as `read` does, and where a column of the other is not there."""
    columns = columns_of(records)
    if like is not None:
        for column in (*like.content, *like.labels):
            if column not in columns:
                raise DataError(
                    f"{path} has no column {column!r}, by which the training split is read; {nearest(column, columns)}"
                )
        rest = [column for column in columns if column not in (*like.content, *like.labels)]
        own = like.division.group if like.division.group in rest else division.NONE
        divided = division.columns(path, records, rest, wanted.split_column, wanted.group_column or own)
        return Layout(like.content, like.labels, divided)
    try:
        named = asked_for(path, columns, wanted.label_column, several=wanted.target in ("class", "labels"))
    except DataError as fault:
        raise NoLabels(str(fault), wanted.label_column) from None
    free = [column for column in columns if column not in named]
    held = content.columns(path, records, free)
    flags = {content.flag: held, "--group-by": (wanted.group_column,), "--split-column": (wanted.split_column,)}
    for flag, column in ((flag, column) for flag, asked in flags.items() for column in asked if column in named):
        told = f"{path}: --label-column and {flag} both name {column!r}; name another column in one of them"
        raise MisfitError(told, column)
    rest = [column for column in free if column not in held]
    group = wanted.group_column
    # Who it is may stand in a column that otherwise says what belongs together.
    who = wanted.target == "identity" and not named and columns_module.first_named(rest, LABEL_COLUMNS) is None
    if group is None and (wanted.group_pattern is not None or who):
        group = division.NONE
    split = wanted.split_column
    if split is None and columns == numbered(len(columns)):
        split = next((column for column in rest if all(_says_split(record.get(column)) for record in records)), None)
    divided = division.columns(path, records, rest, split, group)
    rest = [column for column in rest if column not in divided.all]
    if not named:
        named = _chosen(path, records, rest, wanted)
    if not named and not wanted.unlabelled:
        raise NoLabels(_unlabelled(path, records, columns, rest))
    unused = [column for column in rest if column not in named]
    if wanted.label_column is None and not isinstance(content, Files):
        label_columns.refuse_choices(path, records, named[0], unused)
    if group is None:
        division.note_like(records, unused, divided)
    chosen = Layout(held, tuple(named), divided)
    _note(path, records, content, chosen, unused, wanted.means)
    return chosen


def _chosen(path: Path | str, records: list[Record], rest: Sequence[str], wanted: Wanted) -> list[str]:
    """The columns of labels; none where nothing can be chosen and rows are of use without. Raises DataError."""
    columns = columns_of(records)
    try:
        return label_columns.choose(path, records, rest, wanted.target, columns == numbered(len(columns)))
    except DataError:
        if not wanted.unlabelled:
            raise
        return []


def _unlabelled(path: Path | str, records: list[Record], columns: Sequence[str], rest: Sequence[str]) -> str:
    texts = [column for column in rest if columns_module.look(records, column).prose]
    write = (
        f"; to learn to write {texts[0]!r} from what stands beside it, call the two prompt and completion"
        if texts
        else ""
    )
    remedy = "name one of them label, or say which with --label-column"
    taken = columns_module.first_named([column for column in columns if column not in rest], LABEL_COLUMNS)
    if taken is not None:
        flags = "--text-column, --file-column, --group-by or --split-column"
        remedy = f"{taken!r} is taken for something else ({flags}); say with --label-column which one holds labels"
    return f"{path} has no column of labels; its columns are {', '.join(columns)}; {remedy}{write}"


def _note(
    path: Path | str,
    records: list[Record],
    content: Content,
    layout: Layout,
    unused: Sequence[str],
    means: tuple[str, str],
) -> None:
    """Into the account: what each column of a table is, by the name that the flags take."""
    parts = [repr(column) for column in layout.content]
    how = "" if len(parts) == 1 else ", pairs" if type(layout.content) is tuple else ", one text out of both"
    if not isinstance(content, Files):  # which are counted where they are looked for
        account.note(f"{content.what}s: column {' and '.join(parts)} of {Path(path).name}{how}", content.flag)
    several = "s" * (len(layout.labels) > 1)
    labels = f"column{several} {', '.join(map(repr, layout.labels))}" if layout.labels else "none"
    account.note(f"{means[0]}: {labels}", means[1])
    if unused and account.listening():
        seen = [columns_module.look(records, name) for name in unused[:MOST_SHOWN]]
        account.note(f"columns not used: {columns_module.listed([*seen, *unused[MOST_SHOWN:]], MOST_SHOWN)}")
        users = [column.name for column in seen if column.coded and column.lettered and column.classes]
        if users and layout.division.group is None and unused[0].startswith("column "):  # no name says it
            account.note(f"groups: none; {users[0]!r} may say which rows belong together", f"--group-by {users[0]!r}")


def asked_for(path: Path | str, columns: Sequence[str], asked: str | None, several: bool = False) -> list[str]:
    """The columns that were asked for by name. Raises DataError, with the nearest name, where there is none."""
    if asked is None:
        return []
    names = [asked] if asked in columns or not several else [name.strip() for name in asked.split(",")]
    for name in names:
        if name not in columns:
            raise MisfitError(f"{path} has no column {name!r}; {nearest(name, columns)}", asked)
    return names


def _targets(records: list[Record], places: Sequence[str], layout: Layout, wanted: Wanted) -> list[Any]:
    """Of each record: its class, its labels, its number; or a LeftOut, which says why there is none."""
    column = layout.labels[0]
    if len(layout.labels) > 1:
        return _flagged(records, places, layout.labels, wanted.target)
    cells = [(where, record.get(column)) for where, record in zip(places, records, strict=True)]
    if wanted.target == "number":
        numbers = spellings.numbers(cells, column)
        return [LeftOut(place, x) if isinstance(x, str) else x for place, x in zip(places, numbers, strict=True)]
    if wanted.target == "labels" and spellings.is_flag(cells, column):
        return _flagged(records, places, layout.labels, wanted.target)
    if wanted.target == "labels":
        return list(spellings.labels(cells, column, wanted.separator))
    if annotated.one_each(records, column):
        cells = [(where, next(iter(value or ()), None)) for where, value in cells]
    texts = [(where, text_of(value, where, column)) for where, value in cells]
    return [LeftOut(where, f"it has no {column}") if text is None else text for where, text in texts]


def _flagged(records: list[Record], places: Sequence[str], labels: Sequence[str], target: Kind) -> list[Any]:
    """Of each record the labels whose columns say 1; the only one, where classes are asked for. Raises DataError where
    these are not one in each."""
    truths = zip(*(spellings.truths([record.get(label) for record in records]) for label in labels), strict=True)
    targets: list[Any] = []
    for where, record, truths_of_row in zip(places, records, truths, strict=True):
        unknown = next((label for label, true in zip(labels, truths_of_row, strict=True) if true is None), None)
        value = "" if unknown is None else str(record.get(unknown) or "")[:LONGEST_NAME]
        own = [label for label, true in zip(labels, truths_of_row, strict=True) if true]
        if unknown is not None:
            targets.append(LeftOut(where, f"its {unknown} is {value!r}, neither 0 nor 1"))
        elif target == "labels":
            targets.append(own)
        elif len(own) == 1:
            targets.append(own[0])
        else:
            raise DataError(
                f"{where}: {len(own)} of the columns {', '.join(labels)} are 1, and a class is one; to learn several "
                "labels of each row, take the multi-label task (`pervade tasks`), or name one with --label-column"
            )
    return targets


def _says_split(value: Any) -> bool:
    return isinstance(value, str) and split_named(value) is not None


def missing(value: Any) -> bool:
    """Whether it is None, a NaN of any kind, or what pandas has for these."""
    numeric = isinstance(value, (float, np.floating))
    return value is None or type(value).__name__ in ("NAType", "NaTType") or bool(numeric and np.isnan(value))


def text_of(value: Any, where: str, column: str) -> str | None:
    """A name or label as text; None where there is none. A whole number that pandas made 3.0 is 3."""
    if missing(value):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, (str, int, float)):
        raise DataError(
            f"{where}: column {column!r} holds a {type(value).__name__}, not one name or number; to learn several "
            "labels of each row, take the multi-label task (`pervade tasks`)"
        )
    text = unicodedata.normalize("NFC", str(value).strip())
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise DataError(
            f"{where}: column {column!r} holds half a character ({text!r}), which no file could hold; mend it"
        )
    return text or None
