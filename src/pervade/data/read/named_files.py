"""Files that a table names, found where they lie: beside it, or in a folder below it, whatever that folder is called.

A table may know its files as another machine did: `C:\\photos\\a.jpg`, `/home/anna/photos/a.jpg`, `./a.jpg`, `a` for
`a.jpg`, é as two characters. So a name that leads nowhere is looked up by its last part, then by its stem, and of
several files the one whose folders agree best is taken. What a column is, is decided over all rows.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from pervade.data.read import embedded
from pervade.data.read.table_files import Record, existing
from pervade.data.rows.split import named as split_named

MOST_FILES, AT_FIRST = 2_000_000, 200_000  # below one folder that are looked at; and to tell what a table is about
MOST_ROWS = 1000  # evenly spaced, that tell what a column is
# Folders of files that may lie beside the table's own: ESC-50 has meta/esc50.csv and audio/.
BESIDE = {"audio", "wav", "wavs", "clips", "sounds", "recordings", "images", "image", "img", "imgs", "pictures"}
BESIDE |= {"photos", "jpg", "jpeg", "png", "data", "files", "train", "test"}
# What lies in folders and was put there by no one: by macOS's archives, by Windows.
NOT_MEANT = {"__macosx", "thumbs.db", "desktop.ini"}
# What texts beside data, or in a folder of them, are about it and no data.
ABOUT = {"readme", "license", "licence", "labels", "classes", "requirements"}
ABOUT |= {"changes", "changelog", "copying", "notice"}
_ADDRESS = re.compile(r"(?:https?|ftp|s3|gs)://", re.IGNORECASE)
_LIKE_NAMES = re.compile(r"id$|^id_|code$|name|file|path|image|img|photo|pic|audio|sound|clip|wav|recording")
ONLY_FILES = {"image", "img", "image_id", "image_path", "image_name", "image_file", "file_name", "filename", "filepath"}
ONLY_FILES |= {"file_path", "img_path", "audio", "audio_path", "audio_file", "wav", "slice_file_name"}
NOT_THERE = "the file {!r} is not there"


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is nobody's data."""
    return name.startswith(".") or name.lower() in NOT_MEANT


def text(value: Any) -> str:
    """A cell as the name of a file; empty where it can be none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""


def parts(name: str) -> tuple[str, ...]:
    """Folders and file of a name as any machine wrote it, without what says where that machine kept it.

    >>> parts(".\\\\photos\\\\a.jpg"), parts("file:///C:/photos/a.jpg"), parts("a")
    (('photos', 'a.jpg'), ('photos', 'a.jpg'), ('a',))
    """
    plain = unicodedata.normalize("NFC", name.strip()).replace("\\", "/").removeprefix("file://")
    return tuple(
        part for part in plain.split("/") if part not in ("", ".", "..") and not re.fullmatch("[A-Za-z]:", part)
    )


class Below:
    """The files below `root` (unless given: below the table's `folder`, else in folders beside it that are called as
    those of files are) that have one of the `suffixes`, by their names. Nothing is looked at before it must be. A data
    set at an address has no folder: only the places in full that it names are looked at."""

    def __init__(
        self, folder: Path | None, suffixes: Collection[str], root: Path | None = None, most: int = MOST_FILES
    ) -> None:
        self.folder, self.suffixes, self.root, self.most = folder, tuple(suffixes), root or folder, most
        self._branches: dict[tuple[str, ...], dict[str, list[int]]] = {}

    @cached_property
    def _files(self) -> list[str]:
        below_root = self._walked(self.root) if self.root is not None else []
        if below_root or self.folder is None or self.root != self.folder:
            return below_root
        up = self.folder.resolve().parent
        try:
            beside = [name for name in sorted(os.listdir(up)) if name.lower() in BESIDE]  # noqa: PTH208
        except OSError:  # closed: whoever asks for its files is told that they are not there
            return []
        return [file for name in beside for file in self._walked(up / name)]

    def _walked(self, root: Path) -> list[str]:
        paths: list[str] = []
        seen: set[str] = set()
        file_count = 0
        for folder, below, names in os.walk(root, followlinks=True):
            real = os.path.realpath(folder)
            below[:] = [] if real in seen or file_count > self.most else sorted(x for x in below if not is_hidden(x))
            if real not in seen:
                seen.add(real)
                file_count += len(names)
                own = [x for x in sorted(names) if x.lower().endswith(self.suffixes) and not is_hidden(x)]
                paths += [os.path.join(folder, x) for x in own]  # noqa: PTH118  (three times as fast as Path)
        return paths

    @property
    def count(self) -> int:
        return len(self._files)

    @cached_property
    def _parts(self) -> list[tuple[str, ...]]:
        return [parts(path) for path in self._files]

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        return self._numbers([file_parts[-1].casefold() for file_parts in self._parts])

    @cached_property
    def _by_stem(self) -> dict[str, list[int]]:
        return self._numbers([PurePosixPath(file_parts[-1]).stem.casefold() for file_parts in self._parts])

    @staticmethod
    def _numbers(keys: Sequence[str]) -> dict[str, list[int]]:
        numbers: dict[str, list[int]] = defaultdict(list)
        for number, key in enumerate(keys):
            numbers[key].append(number)
        return numbers

    @cached_property
    def _folders(self) -> set[str]:
        """Below the root, and not those that it lies in itself."""
        return {folder.casefold() for file in self._parts for folder in file[self._above : -1]}

    @cached_property
    def _above(self) -> int:
        return len(parts(str(self.root)))

    def candidates(self, name: str) -> list[tuple[int, int]]:
        """How many last parts agree, and the number of the file: of those that agree best."""
        wanted = parts(name)
        if not wanted:
            return []
        last = tuple(part.casefold() for part in wanted)
        numbers = self._by_name.get(last[-1]) or self._by_stem.get(last[-1], [])
        agree = 1 if numbers else 0
        while 0 < agree < len(last):
            closer = self._branch(last[-agree:], numbers).get(last[-agree - 1])
            if closer is None:
                break
            numbers, agree = closer, agree + 1
        # The folder that the table names is here, and the file is not in it: another folder's is another file.
        if agree == 1 and len(last) > 1 and last[-2] in self._folders:
            return []
        return [(agree, number) for number in numbers]

    def _branch(self, last: tuple[str, ...], numbers: Sequence[int]) -> dict[str, list[int]]:
        """The files `found`, whose last parts are these, by the part before. Kept, since many files may have one name:
        00001/scan.png, 00002/scan.png."""
        if last not in self._branches:
            branch: dict[str, list[int]] = defaultdict(list)
            for number in numbers:
                if len(self._parts[number]) > len(last):
                    branch[self._parts[number][-len(last) - 1].casefold()].append(number)
            self._branches[last] = branch
        return self._branches[last]

    def find(self, names: Sequence[str], related: str | None = None) -> list[Path | str]:
        """Of each name its file, or why there is none. Of several that agree as well the one in folders of the split
        `related` is taken, then the one in the folder that has most of the others; no file is taken for two names."""
        located: dict[str, Path | str] = {}
        open_names = []
        for name in dict.fromkeys(names):
            there = existing(self.folder, name)
            if there is not None:
                located[name] = there
            elif name:
                open_names.append(name)
            located.setdefault(name, NOT_THERE.format(name[:200]))
        candidates_of = {name: self.candidates(name) for name in open_names}
        homes = Counter(self._home(number) for candidates in candidates_of.values() for _, number in candidates)
        claims: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for name, candidates in candidates_of.items():
            ranked = sorted(
                ((self._rank(number, related, homes), agree, number) for agree, number in candidates), reverse=True
            )
            if len(ranked) > 1 and ranked[0][0] == ranked[1][0]:
                both = " or ".join(self._files[number] for *_, number in ranked[1::-1])
                located[name] = f"the file {name[:200]!r} may be {both}; name its folder too"
            elif ranked:
                claims[ranked[0][2]].append((ranked[0][1], name))
        taken = {str(path) for path in located.values() if isinstance(path, Path)}
        for number, claimed in claims.items():
            best = max(claimed)[0]
            first = [name for agree, name in claimed if agree == best]
            path = Path(self._files[number])
            if len({parts(name) for name in first}) == 1 and str(path) not in taken:
                located |= dict.fromkeys(first, path)
        return [located[name] for name in names]

    def _home(self, number: int) -> tuple[str, str]:
        folder, name = os.path.split(self._files[number])
        return folder, Path(name).suffix.lower()

    def _rank(self, number: int, related: str | None, homes: Counter[tuple[str, str]]) -> tuple[bool, int]:
        folders = self._parts[number][self._above : -1]
        close = related is not None and any(split_named(folder) == related for folder in folders)
        return close, homes[self._home(number)]


def spaced(records: Sequence[Record], column: str, most: int = MOST_ROWS) -> list[str]:
    """Cells of a column that are not empty, of rows evenly spaced over all."""
    step = max(len(records) // most, 1)
    return [cell for record in records[::step] if (cell := text(record.get(column)))]


def columns_of(records: Sequence[Record]) -> list[str]:
    """The columns of rows evenly spaced."""
    return list(dict.fromkeys(name for record in records[:: max(len(records) // MOST_ROWS, 1)] for name in record))


def share(cells: Sequence[str], below: Below, stems: bool = True) -> tuple[int, int]:
    """How many of the cells are files that are there, and how many are so or are written as such files are. Of names
    without a suffix only those of many files are looked for (`stems`): a class called 1 is no picture 1.png."""
    written = [bool(embedded.place(cell)) or cell.lower().endswith(below.suffixes) for cell in cells]
    stems = stems and 2 * len(set(cells)) > len(cells)
    there = [
        ((as_file or not Path(cell[:500]).suffix) and existing(below.folder, cell) is not None)
        or ((stems or as_file) and bool(below.candidates(cell)))
        for cell, as_file in zip(cells, written, strict=True)
    ]
    return sum(there), sum(a or b for a, b in zip(there, written, strict=True))


def column(
    records: Sequence[Record], free: Sequence[str], below: Below, names: Sequence[str], never: Collection[str] = ()
) -> str | None:
    """Which of the columns `free` names files: its cells are files that are there, or written as such are, in more than
    half of the rows. Of several those with files that are there come first, then those called as in `names`, then
    those with most files. One that is called as those in `never` are must hold names with suffixes."""
    order = {name: -number for number, name in enumerate(names)}
    best: tuple[bool, bool, int, int, int] | None = None
    chosen = None
    for candidate in free:
        name, cells = candidate.strip().lower(), spaced(records, candidate)
        there, likely = share(cells, below, name not in never and _LIKE_NAMES.search(name) is not None)
        rank = (there > 0, name in order, order.get(name, 0), there, likely)
        if 2 * likely > len(cells) and (best is None or rank > best):
            best, chosen = rank, candidate
    return chosen


def about_files(
    folder: Path,
    records: Sequence[Record],
    suffixes: Collection[str],
    names: Sequence[str],
    only: Collection[str] = ONLY_FILES,
) -> str | None:
    """The column by which a table is one of files, there or not: it names some, or is called as none but such are."""
    free = columns_of(records)
    of_files = column(records, free, Below(folder, suffixes, most=AT_FIRST), names)
    return of_files or next((candidate for candidate in free if candidate.strip().lower() in only), None)


def addresses(cells: Sequence[str]) -> int:
    """How many of them are places on the net."""
    return sum(bool(_ADDRESS.match(cell)) for cell in cells)


def where(folder: Path, files: Sequence[Path]) -> str:
    """The folder that all these are in, in words: "train_images/"."""
    inside = {os.path.relpath(folder_of_files, folder) for folder_of_files in {file.parent for file in files}}
    common = os.path.commonpath(inside) if inside else "."
    if common in ("", "."):
        return "the table's folder" + (" and below" if inside != {"."} else "")
    return common + "/"
