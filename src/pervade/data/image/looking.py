"""What a look at a few pictures of a data set tells before it is read: how large they are, and how many there are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pervade.core.errors import DataError
from pervade.data.image import pictures
from pervade.data.read import embedded, hub, listing, named_files, table_files, tables

LOOKED_AT = 50  # pictures, evenly spaced
SHARE = 0.75  # of these that are no larger than what is said


class Look(NamedTuple):
    side: int  # the shorter side, pixels, of the larger ones
    rows: int  # about how many pictures there are, those to be tested by among them


def look(source: Any, content: tables.Files) -> Look | None:
    """None where there is nothing to look at, or it cannot be: whoever reads it in earnest says why."""
    if not isinstance(source, (str, os.PathLike)) or not os.fspath(source):
        return None
    try:
        some, count = _some(os.fspath(source), content)
    except (OSError, DataError):
        return None
    sides = [side for side in map(_side, some) if side is not None]
    return Look(int(np.quantile(sides, SHARE, method="inverted_cdf")), count) if sides else None


def _some(source: str, content: tables.Files) -> tuple[list[str], int]:
    """Paths of a few pictures, and how many there are."""
    if hub.is_address(source):
        return _of_table(source, hub.records(source)[0], content)
    path = Path(source)
    if not path.is_dir():
        return _of_table(path, content.records(path), content)
    splits = [_of_table(table, content.records(table), content) for table in tables.by_split(path)[0]]
    if splits:
        return [name for some, _ in splits for name in some], sum(count for _, count in splits)
    files, _ = listing.walk(path, content.suffixes)
    return [str(file) for file in files[:: max(len(files) // LOOKED_AT, 1)]], len(files)


def _of_table(table: Path | str, records: list[table_files.Record], content: tables.Files) -> tuple[list[str], int]:
    (column,) = content.columns(table, records, table_files.columns_of(records))
    cells = named_files.spaced(records, column, LOOKED_AT)
    return [str(file) for file in content.below(table).find(cells) if isinstance(file, Path)], len(records)


def _side(path: str) -> int | None:
    try:
        return min(pictures.size(embedded.read(path)))
    except (OSError, pictures.PictureFault):
        return None
