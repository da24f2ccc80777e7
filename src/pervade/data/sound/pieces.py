"""Recordings of which each row of a table is a piece: columns that say when it starts and ends.

    file,start,end,label                         seconds; also onset and offset, begin and end, tmin and tmax
    audio_filepath,offset,duration,text          where it starts, and how long it is (as NeMo's manifests have it)
    file,start_ms,end_ms,label                   thousandths of a second; 1:02.5 is a minute and 2.5 seconds

An empty start is the beginning of the recording, an empty end its end.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pervade.core.errors import DataError
from pervade.core.types import LeftOut, Rows
from pervade.data.read import account, spellings, tables
from pervade.data.read.table_files import Record
from pervade.data.sound.sound_files import Long

STARTS = ("start", "onset", "begin", "tmin", "xmin")
ENDS = ("end", "offset", "stop", "tmax", "xmax")
LENGTHS = ("duration", "length")
UNITS = {"ms": 1e-3, "msec": 1e-3, "milliseconds": 1e-3, "s": 1.0, "sec": 1.0, "secs": 1.0, "seconds": 1.0, "": 1.0}
NAME = re.compile(rf"({'|'.join((*STARTS, *ENDS, *LENGTHS))})(?:_?time)?(?:_?({'|'.join(filter(None, UNITS))}))?")
SLACK = 0.1  # seconds that a piece may reach beyond its recording: times are rounded, and mp3 files of about a length
WHOLE = "-o domain.times=false takes whole recordings"

Piece = Sequence[float | None]
"""Start and end in seconds; an end of None is the recording's."""

Samples = TypeVar("Samples", bound="np.ndarray | Long")


@dataclass(frozen=True)
class Recordings(tables.Files):
    """Files, and of each the piece that columns of times say, where there are such columns."""

    cut: bool = True

    def columns(self, path: Path | str, records: list[Record], free: Sequence[str]) -> tuple[str, ...]:
        """The column of files, and those of times. Raises DataError where one of these lacks its counterpart."""
        content = super().columns(path, records, free)
        times = _times(path, records, [name for name in free if name not in content]) if self.cut else ()
        if times and "slice" in content[0].lower():  # as UrbanSound8K has it
            account.note(f"{' and '.join(times)}: not used, since each {content[0]} is cut already")
            return content
        if times:
            account.note(f"pieces of recordings: columns {times[0]!r} and {times[1]!r}, in seconds", WHOLE)
        return (*content, *times)

    def take(self, folder: Path, record: Record, columns: Sequence[str], where: str) -> tuple[Record, str] | LeftOut:
        """ "path", and "piece" where there are times."""
        taken = super().take(folder, record, columns[:1], where)
        if isinstance(taken, LeftOut) or len(columns) < 3:
            return taken
        piece = _piece(record, columns[1], columns[2])
        return LeftOut(where, piece) if isinstance(piece, str) else ({**taken[0], "piece": piece}, taken[1])


def _kind(column: str) -> tuple[str, float] | None:
    """Which time a column says, and in what unit, in seconds; None where it says none.

    >>> _kind("Begin Time (s)"), _kind("end_ms"), _kind("startled")
    (('begin', 1.0), ('end', 0.001), None)
    """
    match = NAME.fullmatch(re.sub(r"[^a-z]+", "_", column.lower()).strip("_"))
    return (match[1], UNITS[match[2] or ""]) if match else None


def _times(path: Path | str, records: Sequence[Record], free: Sequence[str]) -> tuple[str, ...]:
    """The columns of start and end, or of start and length; none where there are none."""
    kind_of = {name: kind[0] for name in free if (kind := _kind(name)) is not None}
    kind_of = {
        name: kind for name, kind in kind_of.items() if not all(spellings.empty(record.get(name)) for record in records)
    }
    starts, ends, lengths = ([name for name in kind_of if kind_of[name] in kinds] for kinds in (STARTS, ENDS, LENGTHS))
    if not starts and ends and lengths and kind_of[ends[0]] == "offset":
        return ends[0], lengths[0]
    if starts and (ends or lengths):
        return starts[0], (ends or lengths)[0]
    if starts or ends:
        there, lacking = ("starts", "end") if starts else ("ends", "start")
        raise DataError(
            f"{path}: column {(starts or ends)[0]!r} says when a piece of a recording {there}, and no column when it "
            f"{lacking}s; name one {lacking}, or {WHOLE}"
        )
    return ()


def _piece(record: Record, start: str, end: str) -> list[float | None] | str:
    """Start and end of a row in seconds, or why there are none."""
    first, last = _seconds(record.get(start), start), _seconds(record.get(end), end)
    for time in (first, last):
        if isinstance(time, str):
            return time
    assert not isinstance(first, str) and not isinstance(last, str)
    first = first or 0.0
    kind = _kind(end)
    if last is not None and kind is not None and kind[0] in LENGTHS:
        last = round(first + last, 6)
    if first < 0:
        return f"its {start} is {first:g}, before the recording begins"
    if last is not None and last <= first:
        return f"its piece ends at {last:g} s, and starts at {first:g} s"
    return [first, last]


def _seconds(value: Any, column: str) -> float | str | None:
    """A cell as seconds, None where it is empty, or what is wrong with it. 1:02.5 is 62.5."""
    if spellings.empty(value):
        return None
    *larger, last = str(value).strip().replace(",", ".").split(":")
    try:
        if not all(digits.isdecimal() for digits in larger) or len(larger) > 2 or "_" in last:
            raise ValueError
        seconds = sum(int(digits) * 60**power for power, digits in enumerate(reversed(larger), start=1)) + float(last)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        return f"its {column} {str(value)[: spellings.SHOWN]!r} is no time in seconds; {WHOLE}"
    kind = _kind(column)
    return round(seconds * (1.0 if kind is None else kind[1]), 6)


# of recordings


def cut(whole: Samples, piece: Piece | None, rate: int) -> Samples | str:
    """The samples of a piece, or why it cannot be cut out."""
    if piece is None:
        return whole
    length, start = len(whole) / rate, float(piece[0] or 0.0)
    end = length if piece[1] is None else float(piece[1])
    if start >= length or end > length + SLACK:
        return (
            f"its piece from {start:g} to {end:g} s reaches beyond the recording, which has {length:.2f} s; where "
            f"times are in another unit name their columns start_ms and end_ms, and {WHOLE}"
        )
    first, last = round(start * rate), min(round(end * rate), len(whole))
    if last <= first:
        return f"its piece from {start:g} to {end:g} s is shorter than one sample at {rate:,} samples a second"
    part: Any = whole.part(first, last) if isinstance(whole, Long) else whole[first:last]
    samples: Samples = part
    return samples


def of(rows: Rows) -> list[Piece | None]:
    return list(rows.columns.get("piece", [None] * len(rows)))


def seconds(piece: Piece | None, whole: float) -> float:
    """How long it is, of a recording that is so long."""
    if piece is None:
        return whole
    return (whole if piece[1] is None else min(float(piece[1]), whole)) - float(piece[0] or 0.0)


def named(digest: str, piece: Piece | None) -> str:
    """The name of its content, where `digest` is that of the file."""
    return digest if piece is None else f"{digest}#{piece[0]}-{piece[1]}"


def bound(rows: Rows) -> Rows:
    """Pieces with their recording as "bundle", so that no split divides it, and as "group" where no other is known."""
    if "piece" not in rows:
        return rows
    paths = [os.path.abspath(str(path)) for path in rows.column("path")]  # noqa: PTH100  (which follows no links)
    folder = os.path.commonpath([str(Path(path).parent) for path in paths])
    files = [str(Path(path).relative_to(folder)) for path in paths]
    return rows.with_columns(bundle=files, group=rows.column("group") if "group" in rows else files)


def are_groups(columns: Mapping[str, Sequence[Any]]) -> bool:
    """Whether all that is known to belong together are the pieces of a recording."""
    return "piece" in columns and list(columns.get("group", ())) == list(columns.get("bundle", ()))
