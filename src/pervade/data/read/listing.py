"""What lies at DATA: class folders, split folders, split tables, one table (data/read/tables.py), files with a
metadata.csv beside them (data/read/metadata.py), or a Hub data set.

Readers return rows with "id" (unique: the path inside DATA, or the table's row), "path" or "text" (and "second", of
pairs), and where they know them "target", "split" and "group". Nothing is opened here but tables.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from pervade.core.errors import DataError, MisfitError
from pervade.core.types import LeftOut, Rows
from pervade.data.read import (
    account,
    class_folders,
    division,
    hub,
    lists,
    metadata,
    pairs,
    patterns,
    published,
    spellings,
    tables,
)
from pervade.data.read.named_files import ABOUT, is_hidden
from pervade.data.read.targets import Kind
from pervade.data.rows.split import named
from pervade.data.text import labelled_lines

LISTS = (".txt", ".lst")  # endings of files that may list others
RECIPE = "recipe.yaml"  # what makes a folder a run (core/run.py)


def read(
    source: str | Path, content: tables.Content, wanted: tables.Wanted | None = None
) -> tuple[Rows, list[LeftOut]]:
    """Rows of what `content` looks for: files of class folders, or what a table names or holds.

    Raises DataError where the path is not there or holds nothing of the kind.
    """
    what = content.what
    if not str(source):
        raise DataError(f"no folder is named; give a folder of {what}s, or a table ({', '.join(tables.SUFFIXES)})")
    if hub.is_address(source):
        return _finish(*hub.read(str(source), content, wanted), str(source), what)
    path = Path(source)
    if not encodable(path):
        raise DataError(f"{shown(path)}: its name is not valid UTF-8; rename it")
    if tables.is_table(path) or os.path.isfile(path):  # noqa: PTH113  (Path.is_file raises where a name is too long)
        if not tables.holds_table(path):
            raise DataError(
                f"{path} is a single file; training needs a folder with one folder of {what}s for each class, "
                f"or a table ({', '.join(tables.SUFFIXES)}) with a column of files and a column of labels"
            )
        return _finish(*tables.read(path, content, wanted), path, what)
    if not os.path.isdir(path):  # noqa: PTH112
        raise DataError(f"{path} is not there; give a folder of {what}s, or a table ({', '.join(tables.SUFFIXES)})")
    try:
        names = sorted(os.listdir(path))  # noqa: PTH208
    except OSError as error:
        raise DataError(f"{path} cannot be opened ({error.strerror}); look at its permissions") from None
    if not names:
        raise DataError(f"{path} is an empty folder; put the {what}s of each class into a folder of its own in it")
    there = tables.within(path)
    wanted = wanted or tables.Wanted()
    by_split, beside = tables.by_split(path, content.suffixes if isinstance(content, tables.Files) else ())
    if by_split:
        entries, left_out = _of_tables(by_split, content, wanted)
        return _finish(entries, [*left_out, *beside], path, what)
    if not isinstance(content, tables.Files) and labelled_lines.by_class(path):
        return _finish(*tables.read(path, content, wanted), path, what)
    return _of_folder(path, content, wanted, there)


def _of_folder(
    path: Path, content: tables.Content, wanted: tables.Wanted, there: list[Path]
) -> tuple[Rows, list[LeftOut]]:
    """Files in folders with no table for each split; `there` are the tables beside them."""
    what = content.what
    described = metadata.find(path, content) if wanted.label_pattern is None else []
    if not described:
        published.refuse(path)
    files, unread = walk(path, content.suffixes)
    if not isinstance(content, tables.Files):
        about = {file for file in files if file.stem.lower() in ABOUT}  # LICENSE.txt in a folder of texts
        unread += [LeftOut(_inside(file, path), "by its name it is about the data") for file in sorted(about)]
        files = [file for file in files if file not in about]
    folders = class_folders.sort(path, files, wanted.label_pattern, people=wanted.target == "identity")
    entries, left_out = folders.entries, unread + folders.left_out
    if described:
        made = _described(path, described, files, content, wanted, beside_classes=folders.tell_classes)
        if isinstance(made, tuple):
            return made
        left_out = [replace(lost, reason=made.get(lost.source, lost.reason)) for lost in left_out]
    if not entries and there and not isinstance(content, tables.Files):
        if len(there) > 1:
            names = ", ".join(table.name for table in there[:5])
            running = "" if any(map(tables.is_table, there)) else "; --task text-generation learns to write such texts"
            raise DataError(
                f"{path} holds {len(there)} tables ({names}), none called train, validation or test; give the one "
                "that is meant, or, where each holds one class, write all rows into one table with a column label"
                + running
            )
        account.note(f"{path}: its only table, {there[0].name}")
        return _finish(*tables.read(there[0], content, wanted), path, what)
    _refuse_columns(path, content, wanted)
    if isinstance(content, tables.Files):
        if what == "picture" and wanted.label_pattern is None:
            pairs.refuse(path, folders)
            left_out += pairs.masks(folders)
        texts = [path / lost.source for lost in unread if lost.source.endswith(LISTS) and lost.source.count("/") < 3]
        listed = lists.find(path, texts, content.suffixes)
        if not entries and not listed.labels:
            lists.of_each(listed, folders.loose)
            lists.of_matlab(listed, path, folders.loose)
        left_out += listed.tell(folders)
        if wanted.unlabelled and wanted.label_pattern is None:
            folders = class_folders.without_classes(folders)
        entries, used = folders.entries, {entry["id"] for entry in folders.entries} | listed.read
        left_out = [lost for lost in left_out if lost.source not in used]
    folders.note()
    if not entries and wanted.label_pattern is not None and left_out:
        raise DataError(
            f"{path}: no name of a {what} fits --label-pattern '{wanted.label_pattern}'; the first file left out is "
            f"{left_out[0].source!r} ({left_out[0].reason}); what stands in brackets is the label: "
            + (patterns.advice([file.name for file in files]) or "'^([^_]+)_' takes what precedes the first underscore")
        )
    if folders.loose and not entries:
        _refuse_unsorted(path, content, folders, unread, there, wanted)
    not_asked = [n for n, a in (("split", wanted.split_column), ("group", wanted.group_column)) if a == division.NONE]
    for entry, key in itertools.product(entries, not_asked):
        entry.pop(key, None)
    _as_asked(entries, wanted.target, path)
    if wanted.group_pattern is not None:
        entries, lost = _grouped(entries, wanted.group_pattern)
        left_out += lost
    return _finish(entries, left_out, path, what)


def _refuse_unsorted(
    path: Path,
    content: tables.Content,
    folders: class_folders.Sorted,
    unread: list[LeftOut],
    there: list[Path],
    wanted: tables.Wanted,
) -> NoReturn:
    """Raises DataError: files lie there in no class folders. What their names may say is told, and what lies beside."""
    what = content.what
    remedy = published.advice(path) or f"put the {what}s of each class into a folder with the class's name"
    there = [table for table in there if tables.bare_name(table).lower() not in metadata.NO_DATA]
    names = [entry["id"] for entry in folders.loose]
    if beside := _called_alike(names, [lost.source for lost in unread]):
        remedy += (
            f"; {beside}, beside them, are not read: what these say takes a table with a column file_name and a column "
            "label (start and end too, of pieces; or transcription, of what is said)"
        )
    elif there:
        remedy += f"; {there[0].name} beside them names none of them, which a table with a column file_name does"
    if advice := patterns.advice(names):
        remedy += f"; or {advice}"
    if what == "picture":
        remedy += f"; or, {wanted.without_classes}"
    seen = "".join(
        f" ({text})" for text, _ in folders.notes
    )  # folders that are splits, folds or groups, and no classes
    count = len(folders.loose)
    raise DataError(f"{path} holds {count:,} {what}{'s' * (count > 1)} but no class folders{seen}; {remedy}")


def _called_alike(names: list[str], others: list[str]) -> str:
    """Of other files those that are called as most of these are, in words: "25 files ending in '.TextGrid'"."""
    stems = {name.rpartition(".")[0] for name in names}
    alike: Counter[str] = Counter()
    for other in others:
        folder, _, name = other.rpartition("/")
        bare = f"{folder}/{name.partition('.')[0]}" if folder else name.partition(".")[0]
        alike[name[name.find(".") :]] += bare in stems or other.rpartition(".")[0] in stems
    ending, count = max(alike.items(), key=lambda pair: pair[1], default=("", 0))
    return f"{count:,} files ending in {ending!r}" if 2 * count > len(stems) else ""


def _of_tables(
    by_split: dict[Path, str], content: tables.Content, wanted: tables.Wanted
) -> tuple[list[dict[str, Any]], list[LeftOut]]:
    """Of a table for each split, all read by the columns of the training split's. One that has none of its columns of
    labels is left out: Kaggle's test.csv is to be answered, not learnt from. Raises DataError where one lacks others.
    """
    entries, left_out = [], []
    read = {table: content.records(table) for table in by_split}
    first = next((table for table, split in by_split.items() if split == "train"), next(iter(by_split)))
    layout = tables.layout(first, read[first], content, wanted)
    for table, split in by_split.items():
        records = read[table]
        if layout.labels and not any(column in record for record in records for column in layout.labels):
            left_out.append(LeftOut(table.name, "it has no labels, so nothing can be measured on it"))
            continue
        account.note(f"{split}: {table.name}, {len(records):,} rows")
        rows, lost = tables.entries_of(records, table, content, wanted=wanted, split=split, like=layout)
        entries += rows
        left_out += lost
    return entries, left_out


def _refuse_columns(path: Path, content: tables.Content, wanted: tables.Wanted) -> None:
    """Raises DataError where columns were asked for and class folders have none."""
    file_column = content.file_column if isinstance(content, tables.Files) else None
    for flag, asked, instead in (
        ("--group-by", wanted.group_column, "--group-pattern, which reads their names"),
        ("--split-column", wanted.split_column, "folders called train, validation and test, or leave it out"),
        ("--label-column", wanted.label_column, "--label-pattern, which reads their names, or leave it out"),
        ("--file-column", file_column, "the table in its place, or leave it out"),
    ):
        if asked not in (None, division.NONE):
            raise MisfitError(
                f"{flag} {asked} names a column of a table, and {path} holds files; take {instead}", str(asked)
            )


def _described(
    path: Path,
    described: list[metadata.Table],
    files: list[Path],
    content: tables.Content,
    wanted: tables.Wanted,
    beside_classes: bool,
) -> tuple[Rows, list[LeftOut]] | dict[str, str]:
    """What tables beside the files say of them; or by the table's name why class folders are read in its place. Raises
    DataError where there are none, or columns were asked for."""
    reasons = metadata.why_not(described, wanted) if beside_classes else {}
    if reasons:
        return reasons
    try:
        return _finish(*metadata.read(path, described, files, content, wanted), path, content.what)
    except DataError as fault:
        if not beside_classes or wanted.label_column is not None or wanted.group_column is not None:
            raise
        return {table.name: metadata.instead(fault) for table in described}


def _grouped(entries: list[dict[str, Any]], pattern: str) -> tuple[list[dict[str, Any]], list[LeftOut]]:
    """Entries with the "group" that their names say, and those whose names say none."""
    named = [{**entry, "group": patterns.extract(pattern, entry["id"])} for entry in entries]
    lost = [tables.ungrouped(entry["id"], pattern) for entry in named if entry["group"] is None]
    what = "the path of each file" if "/" in pattern else "the name of each file"
    division.note_groups(what, [entry["group"] or "" for entry in named], "--group-pattern")
    return [entry for entry in named if entry["group"] is not None], lost


def _as_asked(entries: list[dict[str, Any]], target: Kind, path: Path) -> None:
    """The name of its folder, as the target that was asked for. Raises DataError where that must be a number and is
    none."""
    if target == "labels":
        for entry in entries:
            entry["target"] = [entry["target"]]
    elif target == "number" and entries:
        names = sorted({entry["target"] for entry in entries})
        number_of = dict(
            zip(names, spellings.numbers([(str(path / name), name) for name in names], "folder"), strict=True)
        )
        for entry in entries:
            number = number_of[entry["target"]]
            if isinstance(number, str):
                raise DataError(
                    f"{path / entry['target']}: its name is no number; to learn a number takes folders called by "
                    "numbers, or a table; to learn classes take a task of those (pervade tasks)"
                )
            entry["target"] = number


def detect(source: str | Path, content: tables.Content, label_column: str | None = None) -> Kind:
    """What the targets of DATA seem to be: those of class folders are classes, whatever they are called."""
    if hub.is_address(source):
        return tables.detect(hub.records(str(source))[0], str(source), content, label_column)
    path = Path(source)
    try:
        there = [path] if tables.holds_table(path) else tables.within(path) if path.is_dir() else []
        alone = len(there) == 1 and not isinstance(content, tables.Files)
        split_tables = there if alone or path in there else list(tables.by_split(path)[0]) if path.is_dir() else []
        if not split_tables and path.is_dir():
            return _detect_described(path, content, label_column)
        # The training split has most rows to tell by.
        split_tables.sort(key=lambda table: named(tables.bare_name(table)) != "train")
        records = content.records(split_tables[0]) if split_tables else []
    except (OSError, DataError):  # a closed folder, a name that is too long, a broken table: its reader says so
        return "class"
    return tables.detect(records, split_tables[0], content, label_column) if records else "class"


def _detect_described(path: Path, content: tables.Content, label_column: str | None) -> Kind:
    """As `detect`, of a folder without tables of splits. Raises DataError."""
    described = metadata.find(path, content)
    if not described:
        return "class"
    files, _ = walk(path, content.suffixes)
    beside_classes = class_folders.sort(path, files).tell_classes
    if beside_classes and metadata.why_not(described, tables.Wanted("class", label_column)):
        return "class"
    first = max(described, key=lambda table: (table.split == "train", len(table.records)))
    kind = tables.detect(list(first.records), first.path, content, label_column)
    made = _described(path, described, files, content, tables.Wanted(kind, label_column), beside_classes)
    return kind if isinstance(made, tuple) else "class"


def _finish(
    entries: list[dict[str, Any]], left_out: list[LeftOut], path: Path | str, what: str
) -> tuple[Rows, list[LeftOut]]:
    if not entries:
        reason = f" (the first file left out, {left_out[0].source}: {left_out[0].reason})" if left_out else ""
        if left_out and left_out[0].ungrouped:
            raise DataError(f"{path}: no {what} is left{reason}; {tables.BRACKETS}")
        raise DataError(f"{path} holds no {what} that can be used{reason}; put each class into a folder of its own")
    return rows_of(entries, path), left_out


def rows_of(entries: list[dict[str, Any]], path: Path | str) -> Rows:
    """Entries as rows. Raises DataError where one lacks what others have, but for a fold, which may be unknown."""
    if any("fold_given" in entry for entry in entries):
        entries = [{"fold_given": None, **entry} for entry in entries]
    order = ("path", "piece", "text", "second", "target", "split", "fold_given", "group", "read_from", "lines")
    columns = ["id", *(column for column in order if any(column in entry for entry in entries))]
    for column in columns:
        without = next((entry["id"] for entry in entries if column not in entry), None)
        if without is not None:
            raise DataError(f"{path}: {without} has no {column}, but others have; give every row one, or none")
    return Rows({column: [entry[column] for entry in entries] for column in columns})


def mostly(root: Path, suffixes: Collection[str], least: float = 0.5, most: int = 200_000) -> bool:
    """Whether more than a share of `least` of the files in a folder have one of the suffixes: of all, or of the first
    `most` and more, folder by folder in the order of their names."""
    seen, fitting = 0, 0
    for _, below, names in os.walk(root):
        below[:] = [] if RECIPE in names or seen >= most else sorted(name for name in below if not is_hidden(name))
        if RECIPE not in names:
            there = [name for name in names if not is_hidden(name)]
            seen += len(there)
            fitting += sum(os.path.splitext(name)[1].lower() in suffixes for name in there)  # noqa: PTH122
    return fitting > least * seen


def walk(root: Path, suffixes: Collection[str]) -> tuple[list[Path], list[LeftOut]]:
    """Every file below `root` with one of the suffixes, sorted; and what is left out, with the reason."""
    files: list[Path] = []
    left_out: list[LeftOut] = []
    seen: dict[str, Path] = {}

    def closed(error: OSError) -> None:
        left_out.append(LeftOut(_inside(Path(error.filename), root), f"it cannot be opened ({error.strerror})"))

    for folder, below, names in os.walk(root, followlinks=True, onerror=closed):
        place = Path(folder)
        first = seen.setdefault(os.path.realpath(folder), place)
        if first is not place:
            below.clear()
            reason = f"a link to {_inside(first, root)}, which is read already"
            left_out.append(LeftOut(_inside(place, root), reason))
            continue
        if RECIPE in names:  # `cd photos; pervade train .` puts runs beside the class folders
            below.clear()
            left_out.append(LeftOut(_inside(place, root), "a run of Pervade, not data"))
            continue
        below[:] = sorted(name for name in below if not is_hidden(name))
        if not below and not any(not is_hidden(name) for name in names):
            left_out.append(LeftOut(_inside(place, root) + "/", "an empty folder, so no class"))
        for name in sorted(name for name in names if not is_hidden(name)):
            reason_why_not = _fault(place / name, suffixes)
            if reason_why_not is None:
                files.append(place / name)
            else:
                left_out.append(LeftOut(_inside(place / name, root), reason_why_not))
    return files, left_out


def _fault(file: Path, suffixes: Collection[str]) -> str | None:
    regular = os.path.isfile(file)  # noqa: PTH113  (asked once, since of 50,000 files this is what takes time)
    if not regular and not file.exists() and file.is_symlink():
        return "a link that loops or leads nowhere"
    if not encodable(file):
        return "its name is not valid UTF-8; rename it"
    if file.suffix.lower() not in suffixes:
        return f"files ending in {file.suffix!r} are not read"
    return None if regular else "it is neither a file nor a folder"


def encodable(path: Path) -> bool:
    """False for a name whose bytes are no UTF-8: no JSON file could hold it."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shown(path: Path | str) -> str:
    """A path as text that can be printed, bytes that are no UTF-8 as escapes."""
    try:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character, which is no byte either
        return str(path).encode("utf-8", "backslashreplace").decode()


def _inside(path: Path, root: Path) -> str:
    return shown(path.relative_to(root)) if path != root else "."
