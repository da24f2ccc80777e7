"""Recordings as rows: found in folders and tables, decoded once at one rate, and kept in the cache.

`prepare` adds "samples" ((t,) int16 each), "seconds", "size" (samples, by which batches are made of like lengths) and
"hash"; `samples` gives those of a row, wherever they are. Axis letter: t samples.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pervade.core.contracts import TensorSpec
from pervade.core.contracts.deployment import ROWS
from pervade.core.errors import DataError
from pervade.core.types import LeftOut, Rows
from pervade.data.read import embedded, named_files, tables
from pervade.data.rows import cache
from pervade.data.sound import pieces, sound_files
from pervade.data.sound.sound_files import FULL, Long, SoundFault

WHAT = "recording"
MOST_HELD = 1 << 28  # samples that are held at once where nothing is cached, 540 MB
HOLDING = ("audio", "sound", "recording", "wav")  # columns of bytes that are taken for recordings, not pictures
FILE_COLUMNS = (
    "audio",
    "file_name",
    "file",
    "path",
    "filename",
    "filepath",
    "audio_path",
    "audio_file",
    "wav",
    "recording",
    "sound",
    "clip",
    *("slice_file_name", "fname", "file_path", "wav_path", "wav_file", "audio_id", "recording_id", "clip_id"),
    "id",  # where its values are the names of recordings that are there
)


def contents(file_column: str | None = None, cut: bool = True) -> tables.Files:
    """What a data set of recordings holds; `file_column` of a table names them, unless it is found. `cut`: columns of
    times, where there are some, say which piece of a recording a row is."""
    return pieces.Recordings(WHAT, tuple(sorted(sound_files.SUFFIXES)), FILE_COLUMNS, file_column, cut=cut)


def prepare(
    rows: Rows, rate: int, progress: Callable[[int, int], None], keep: bool = True, whole: bool = True
) -> tuple[Rows, list[LeftOut]]:
    """Decodes every file once, from the cache where `keep`, and cuts pieces out (data/sound/pieces.py); leaves out what
    cannot be decoded, and, where recordings are needed `whole` and not by windows, what is too long for that. Raises
    DataError where nothing is left of rows that are kept."""
    sound_files.library()
    files, parts = [str(path) for path in rows.column("path")], pieces.of(rows)
    if not keep:
        return _finished(rows, _short(_held(files, parts, rate), rate, whole), None, rate)
    paths = list(dict.fromkeys(files))
    total = 2 * len(paths)
    digests = cache.hash_files(paths, lambda done, _: progress(done, total))
    readable = [i for i, digest in enumerate(digests) if digest is not None]
    decoded, reasons, _ = cache.decoded(
        [paths[i] for i in readable],
        [str(digests[i]) for i in readable],
        lambda path: _as_bytes(cache.tried(path, partial(sound_files.decode, rate=rate), SoundFault, again=True)),
        {"sound": rate, "decoder": sound_files.decoder()},
        lambda done, of: progress(len(paths) + done * len(paths) // max(of, 1), total),
    )
    decoded_of: dict[str, Any] = dict.fromkeys(paths, "the file cannot be opened; look at its permissions")
    for i, array, reason in zip(readable, decoded, reasons, strict=True):
        path = paths[i]
        decoded_of[path] = reason if reason is not None else None if array is None else _from_bytes(array, path, rate)
    made = [_cut(decoded_of[path], part, rate) for path, part in zip(files, parts, strict=True)]
    digest_of = dict(zip(paths, map(str, digests), strict=True))
    hashes = [pieces.named(digest_of[path], part) for path, part in zip(files, parts, strict=True)]
    kept, left_out = _finished(rows, _short(made, rate, whole), hashes, rate)
    if not len(kept):
        raise DataError(f"no recording can be read; the first, {left_out[0].source}: {left_out[0].reason}")
    return kept, left_out


def samples(row: dict[str, Any], rate: int) -> np.ndarray | Long:
    """(t,) int16 of a prepared row, of a long one to be taken in slices. Raises DataError where its file went bad."""
    held = row.get("samples")
    if held is not None:
        return held if isinstance(held, Long) else np.asarray(held)
    try:
        whole = _cut(sound_files.decode(str(row["path"]), rate), row.get("piece"), rate)
        if isinstance(whole, str):
            raise SoundFault(whole)
    except (SoundFault, OSError) as fault:
        raise DataError(f"{row['id']} cannot be read any more: {fault}; put the data back") from None
    assert whole is not None
    return whole


def wave(row: dict[str, Any], rate: int) -> np.ndarray:
    """(t,) float32 in -1..1."""
    return scaled(samples(row, rate)[:])


def scaled(samples: np.ndarray) -> np.ndarray:
    """The wave in -1..1 of 16-bit samples. Who needs a part of a long recording cuts it out first."""
    wave: np.ndarray = samples.astype(np.float32)
    wave /= FULL + 1
    return wave


def remarks(rows: Rows, rate: int) -> list[str]:
    """What is to be known of prepared recordings before anything is learnt from them."""
    lines = []
    names = rows.column("id")
    kept = rows.columns.get("samples", [None] * len(rows))
    checks = (
        (sound_files.silent, "are silent: nothing can be heard in them"),
        (sound_files.clipped, "may be overloaded: a thousandth of the samples and more stand at full scale"),
    )
    for check, words in checks:
        positions = [i for i, samples in enumerate(kept) if samples is not None and check(samples)]
        if positions:
            lines.append(f"{len(positions):,} of {len(rows):,} recordings (the first, {names[positions[0]]}) {words}")
    rates = rows.columns.get("rate", [])
    low = [i for i, file_rate in enumerate(rates) if file_rate and file_rate < rate]
    if low:
        slowest = min(rates[i] for i in low)
        lines.append(
            f"{len(low):,} of {len(rows):,} recordings have fewer than {rate:,} samples a second (the fewest "
            f"{slowest:,}): nothing is in them above {slowest // 2:,} Hz"
        )
    return lines


def _finished(rows: Rows, made: Sequence[Any], digests: Sequence[str] | None, rate: int) -> tuple[Rows, list[LeftOut]]:
    good = [i for i, samples in enumerate(made) if not isinstance(samples, str)]
    left_out = [
        LeftOut(str(rows.column("id")[i]), samples) for i, samples in enumerate(made) if isinstance(samples, str)
    ]
    paths, parts = rows.column("path"), pieces.of(rows)
    header_of = {path: sound_files.header(path) for path in dict.fromkeys(str(paths[i]) for i in good)}
    headers = [header_of[str(paths[i])] for i in good]
    seconds = [
        pieces.seconds(parts[i], about.seconds) if about else 0.0 for i, about in zip(good, headers, strict=True)
    ]
    lengths = [
        len(made[i]) if made[i] is not None else round(long * rate) for i, long in zip(good, seconds, strict=True)
    ]
    columns: dict[str, Sequence[Any]] = {
        "seconds": [round(length, 4) for length in seconds],
        "rate": [about.rate if about else 0 for about in headers],
        "size": lengths,
    }
    if digests is not None:
        columns["hash"] = [digests[i] for i in good]
    if any(made[i] is not None for i in good):
        columns["samples"] = [made[i] for i in good]
    return rows.select(good).with_columns(**columns), left_out


def _cut(whole: Any, part: pieces.Piece | None, rate: int) -> np.ndarray | Long | str | None:
    """The piece of what was decoded; what was not (None, or why) as it is."""
    return pieces.cut(whole, part, rate) if isinstance(whole, (np.ndarray, Long)) else whole


def _held(
    paths: Sequence[str], parts: Sequence[pieces.Piece | None], rate: int
) -> list[np.ndarray | Long | str | None]:
    """Of each the samples, or why there are none; None for what is too much to hold at once and is decoded again when
    its turn comes."""
    held_samples: list[np.ndarray | Long | str | None] = []
    held, last, whole = 0, None, None
    for path, part in zip(paths, parts, strict=True):
        if path != last or part is None:  # pieces of one recording mostly follow one another
            whole = cache.tried(path, partial(sound_files.decode, rate=rate), SoundFault)
        last, made = path, _cut(whole, part, rate)
        if part is not None and isinstance(made, np.ndarray):
            made = made.copy()  # or the whole would be held with it
        held += len(made) if isinstance(made, np.ndarray) else 0
        held_samples.append(made if not isinstance(made, np.ndarray) or held <= MOST_HELD else None)
    return held_samples


def _short(made: Sequence[Any], rate: int, whole: bool) -> list[Any]:
    """What can be used; of what is needed `whole` and too long for that, why not."""
    long = [whole and isinstance(samples, Long) and len(samples) > sound_files.MOST_WHOLE for samples in made]
    return [
        sound_files.too_long(len(samples), rate) if too else samples for samples, too in zip(made, long, strict=True)
    ]


LONG = struct.Struct("<qd")  # of a long recording the cache keeps length and peak: (16, 1, 1) uint8


def _as_bytes(made: np.ndarray | Long | str) -> np.ndarray | str:
    """As the cache keeps pictures: (t, 1, 2) uint8."""
    if isinstance(made, Long):
        return np.frombuffer(LONG.pack(made.length, made.peak), np.uint8).reshape(-1, 1, 1)
    return made if isinstance(made, str) else made.view(np.uint8).reshape(-1, 1, 2)


def _from_bytes(array: np.ndarray, path: str, rate: int) -> np.ndarray | Long:
    long = array.shape[-1] == 1
    return Long(path, rate, *LONG.unpack(array.tobytes())) if long else array.view(np.int16).reshape(-1)


def named(table: Path, file_column: str | None = None, most: int | None = 50) -> list[Path]:
    """The recordings that rows of a table name, evenly spaced (None: all rows), whether they are there or not; none
    where the table is about something else, or cannot be read: whoever reads it in earnest says why."""
    content = contents(file_column)
    try:
        records = content.records(table)
    except (OSError, DataError):
        return []
    columns = named_files.columns_of(records)
    inside = {name for name in columns if embedded.place(named_files.text(records[0].get(name)))}
    below = named_files.Below(table.parent, content.suffixes, most=named_files.AT_FIRST)
    free = [name for name in columns if (name.lower() in HOLDING) >= (name in inside)]  # bytes may be pictures
    free = free if file_column is None else [name for name in free if name == file_column]
    column = named_files.column(records, free, below, content.names, tables.LABEL_COLUMNS)
    if column is None:
        return []
    cells = named_files.spaced(records, column, most or len(records))
    files = zip(cells, below.find(cells), strict=True)
    return [file if isinstance(file, Path) else table.parent / cell for cell, file in files]


# inside an exported graph


def takes(rate: int, heard: str = "", views: int = 1) -> tuple[TensorSpec, ...]:
    """What a graph that hears recordings is given; `heard` says how much of each, and how the `views` differ."""
    said = f"-1..1, one channel, {rate:,} samples a second, filled up with 0 at the end{heard}"
    several = (views,) if views > 1 else ()
    return (
        TensorSpec("waveform", "float32", (ROWS, *several, "samples"), said),
        TensorSpec("lengths", "int64", (ROWS, *several), "samples of each"),
    )


def fed(*waves: np.ndarray) -> dict[str, np.ndarray]:
    """One recording (t,) as a graph is fed it; of several views each."""
    lengths = np.array([[len(wave) for wave in waves]])
    filled = np.stack([np.pad(wave, (0, lengths.max() - len(wave))) for wave in waves]).astype(np.float32)[None]
    return (
        {"waveform": filled, "lengths": lengths} if len(waves) > 1 else {"waveform": filled[0], "lengths": lengths[0]}
    )


def specimen(samples: int, views: int = 1) -> dict[str, np.ndarray]:
    """Two recordings of about so many samples."""
    several = (views,) if views > 1 else ()
    drawn = np.random.default_rng(0).uniform(-0.1, 0.1, (2, *several, samples + 7)).astype(np.float32)
    return {"waveform": drawn, "lengths": np.full((2, *several), samples + 3)}
