"""Recordings with what is said in them: tables of files and transcripts, and LibriSpeech's layout.

    metadata.csv            file_name,transcription            also tsv, json, jsonl, parquet; also in split folders
    metadata.csv, wavs/     LJSpeech's: LJ001-0001|as it is written|as it is spoken
    train.tsv, clips/       Common Voice's; or validated.tsv, where there is no table for each split
    a.wav, a.txt            a text file for each recording (data/read/beside.py): VCTK's, TIMIT's
    train/1089/134686/      1089-134686-0000.flac … and 1089-134686.trans.txt: "1089-134686-0000 HE HOPED …"

(Panayotov et al. 2015, "LibriSpeech: an ASR corpus based on public domain audio books".) There the first number is who
speaks. Nothing is opened here but tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pervade.core.errors import DataError
from pervade.core.types import LeftOut, Rows
from pervade.data.read import (
    account,
    beside,
    division,
    encodings,
    hub,
    label_columns,
    listing,
    metadata,
    patterns,
    table_files,
    tables,
)
from pervade.data.read import columns as columns_module
from pervade.data.read.table_files import Record
from pervade.data.rows.split import named
from pervade.data.sound import recordings

TEXT_COLUMNS = (
    *("transcription", "transcript", "text", "sentence", "normalized_text", "normalised_text", "words", "transkript"),
    *("transkription", "satz", "texto", "frase", "transcripción", "transcrição", "texte", "phrase", "testo"),
    *("trascrizione", "текст", "文本", "句子", "转写", "書き起こし", "テキスト", "텍스트"),
)
SUFFIX = ".trans.txt"
VALIDATED = "validated"  # Common Voice's table of all clips that people found good
FEWEST_RECORDINGS = 0.15  # of the files of a folder: TIMIT has three of other kinds beside each
CHAPTERS = 100  # that tell what transcripts are like


@dataclass(frozen=True)
class Columns:
    """Of tables; None: found by name. `group_pattern` reads from a file's name who speaks (data/read/patterns.py)."""

    file: str | None = None
    text: str | None = None
    group: str | None = None
    group_pattern: str | None = None
    split: str | None = None
    times: bool = True  # columns of times say which piece of its recording a row is (data/sound/pieces.py)


def read(source: str | Path, columns: Columns) -> tuple[Rows, list[LeftOut]]:
    """Rows with "id", "path", "text", and where they are known "split" and "group" (who speaks).

    Raises DataError where nothing there can be read so.
    """
    patterns.check(columns.group_pattern, "--group-pattern")
    if hub.is_address(source):
        records, ids, left_out = hub.records(str(source))
        entries, lost = _entries(str(source), records, columns, ids)
        return _finish(str(source), entries, left_out + lost)
    path = Path(source)
    there = _tables(path)
    entries, left_out = [], tables.by_split(path, recordings.contents().suffixes)[1] if path.is_dir() else []
    for table, split in there:
        name = table.relative_to(path).as_posix() if path.is_dir() else table.name
        rows, lost = _entries(table, _records(table), columns, name=name, split=split)
        entries += rows
        left_out += lost
    if not there and path.is_dir():
        entries, left_out = _of_chapters(path, columns)
        entries = entries or _of_texts(path, columns, left_out)
    if path.is_dir():
        left_out += _unnamed(path, entries, columns)
    elif not there:
        raise DataError(f"{path} is no table of recordings and transcripts; give {_wanted()}")
    return _finish(path, entries, left_out)


def looks_like_transcripts(source: Any, columns: Columns) -> bool:
    """Whether DATA is recordings with transcripts. Who names a column of texts has said so, where there are
    recordings."""
    if not isinstance(source, (str, Path)) or not str(source):
        return False
    try:
        if hub.is_address(source):
            records = hub.records(str(source))[0][:1]
            return any("audio" in record and _text_column(source, records, columns.text) for record in records)
        path = Path(source)
        for table, _ in _tables(path)[:1]:
            if of_ljspeech(table):
                return True
            column = _text_column(table, table_files.read(table), columns.text)
            return column is not None and bool(recordings.named(table, columns.file, 20))
        if not path.is_dir():
            return False
        suffixes = frozenset(recordings.contents().suffixes)
        if not listing.mostly(path, suffixes, least=FEWEST_RECORDINGS):
            return False
        return next(path.rglob(f"*{SUFFIX}"), None) is not None or bool(beside.find(path, suffixes))
    except (OSError, DataError):  # whoever reads it in earnest says what is wrong
        return False


def texts(source: str | Path, text_column: str | None = None) -> list[str]:
    """What transcripts say, as they are written; no file of sound is looked for, so that a recipe may look before the
    data are read. Of LibriSpeech's chapters the first; none of the Hub's, which would be read twice, nor where what is
    there cannot be read, which whoever reads it in earnest says."""
    if hub.is_address(source):
        return []
    path, texts_found = Path(source), []
    try:
        there = _tables(path)
        for table, _ in there:
            records = _records(table)
            column = _text_column(table, records, text_column)
            texts_found += [str(record.get(column) or "") for record in records] if column is not None else []
        if not there and path.is_dir():
            chapters = islice(path.rglob(f"*{SUFFIX}"), CHAPTERS)
            texts_found = [text for file in chapters for _, _, text in _lines(file)]
            texts_found = texts_found or [
                beside.transcript(text) for text in beside.find(path, recordings.contents().suffixes).values()
            ]
    except (OSError, DataError):
        return []
    return texts_found


def _wanted() -> str:
    return (
        "a table with a column file_name and a column transcription, a folder with such a metadata.csv, or one laid "
        "out as LibriSpeech is"
    )


# tables


def _tables(path: Path) -> list[tuple[Path, str | None]]:
    """Tables of a folder with the split that their names, or their folders', say."""
    if tables.is_table(path):
        return [(path, None)]
    if not path.is_dir():
        return []
    by_split, _ = tables.by_split(path)
    if by_split:
        return list(by_split.items())
    there = [table for table in sorted(path.iterdir()) if tables.is_table(table)]
    described = metadata.within(path) or [table for table in there if table.stem.lower() == VALIDATED]
    if described or len(there) == 1:
        return [(table, None) for table in (described or there)]
    return list(metadata.of_splits(path))


def _records(table: Path) -> list[Record]:
    return of_ljspeech(table) or table_files.read(table)


def of_ljspeech(table: Path) -> list[Record]:
    """The rows of LJSpeech's metadata.csv (Ito and Johnson 2017), which has no names of columns, and in which quotation
    marks are letters; none where it is no such table. Raises OSError, and DataError where it is not UTF-8."""
    if not (table.parent / "wavs").is_dir() or table.suffix.lower() not in (".csv", ".txt"):
        return []
    lines = encodings.decode(table.read_bytes(), table).splitlines()
    rows = [line.split("|") for line in lines if line.strip()]
    named_so = {column.strip().lower() for row in rows[:1] for column in row} & {*TEXT_COLUMNS, "file_name", "path"}
    if named_so or {len(row) for row in rows} not in ({2}, {3}):
        return []
    account.note(f"recordings and transcripts: {table.name}, laid out as LJSpeech is; its last column is what is said")
    return [{"file_name": f"wavs/{row[0].strip()}", "transcription": row[-1].strip() or row[1]} for row in rows]


def _entries(
    place: Path | str,
    records: list[Record],
    columns: Columns,
    ids: list[str] | None = None,
    name: str | None = None,
    split: str | None = None,
) -> tuple[list[Record], list[LeftOut]]:
    names = table_files.columns_of(records)
    text = _text_column(place, records, columns.text)
    if text is None:
        raise DataError(
            f"{place} has no column of transcripts that is known by its name; its columns are {', '.join(names)}; say "
            f"which with --text-column, or name it {TEXT_COLUMNS[0]}"
        )
    _refuse_doubt(place, records, text, columns)
    wanted = tables.Wanted(
        "class",
        text,
        means=("what is said", "--text-column"),
        group_pattern=columns.group_pattern,
        group_column=columns.group,
        split_column=columns.split,
    )
    content = recordings.contents(columns.file, columns.times)
    rows, left_out = tables.entries_of(records, place, content, ids, wanted, name, split)
    return [{("text" if key == "target" else key): row[key] for key in row} for row in rows], left_out


def _text_column(place: Path | str, records: list[Record], asked: str | None) -> str | None:
    names = table_files.columns_of(records)
    if asked is not None:
        return tables.asked_for(place, names, asked)[0]
    lower = {name.strip().lower(): name for name in names}
    column = next((lower[name] for name in TEXT_COLUMNS if name in lower), None)
    if column is not None or not lower.keys().isdisjoint(
        (*tables.LABEL_COLUMNS, *label_columns.CLASSES, *label_columns.WEAK)
    ):
        return column
    prose = [column.name for column in (columns_module.look(records, name) for name in names) if column.prose]
    return prose[0] if len(prose) == 1 else None


def _refuse_doubt(place: Path | str, records: list[Record], text: str, columns: Columns) -> None:
    """Raises DataError where no name says that a column holds what is said, and another one may be what is to be
    learnt."""
    if columns.text is not None or text.strip().lower() in TEXT_COLUMNS:
        return
    names = table_files.columns_of(records)
    divided = division.columns(place, records, names, columns.split, columns.group).all
    seen = [columns_module.look(records, name) for name in names if name not in divided]
    labels = [column for column in seen if column.classes and column.lettered]
    if labels:
        raise DataError(
            f"{place}: it is not known whether to learn what is said ({text}) or what it is "
            f"({', '.join(map(str, labels))}); say --text-column {text!r}, where --group-by names who speaks, or "
            f"--label-column {labels[0].name!r}"
        )


def _unnamed(root: Path, entries: list[Record], columns: Columns) -> list[LeftOut]:
    """Recordings of the folder that no table names, nor LibriSpeech's transcripts."""
    named = [file for table, _ in _tables(root) for file in recordings.named(table, columns.file, None)]
    files, _ = listing.walk(root, recordings.contents().suffixes)
    named_files = [*named, *(Path(entry["path"]) for entry in entries)]
    return metadata.unnamed(root, files, named_files, "no transcript names it")


# LibriSpeech


def _of_chapters(root: Path, columns: Columns) -> tuple[list[Record], list[LeftOut]]:
    entries, left_out = [], []
    for file in sorted(root.rglob(f"*{SUFFIX}")):
        inside = file.relative_to(root)
        split = named(inside.parts[0].partition("-")[0]) if len(inside.parts) > 1 else None
        by_name = {path.stem: path for path in sorted(file.parent.iterdir()) if _is_recording(path)}
        for number, name, text in _lines(file):
            if name not in by_name:
                left_out.append(LeftOut(f"{inside.as_posix()}, line {number}", f"the file {name!r} is not there"))
                continue
            path = by_name[name]
            entry: Record = {"id": path.relative_to(root).as_posix(), "path": str(path), "text": text}
            group = name.partition("-")[0]
            if columns.group_pattern is not None:
                group = patterns.extract(columns.group_pattern, entry["id"]) or ""
            if not text or not group:
                left_out.append(_lost(entry, columns))
                continue
            entries.append({**entry, "group": group} | ({"split": split} if split else {}))
    return entries, left_out


def _of_texts(root: Path, columns: Columns, left_out: list[LeftOut]) -> list[Record]:
    """Recordings with a text each; those without words, or without the group that their names should say, join what is
    left out."""
    made = []
    for entry in beside.entries(root, beside.find(root, recordings.contents().suffixes), columns.group is None):
        if columns.group_pattern is not None:
            entry["group"] = patterns.extract(columns.group_pattern, entry["id"])
        if not entry["text"] or entry.get("group", "") is None:
            left_out.append(_lost(entry, columns))
        else:
            made.append(entry)
    return made


def _lost(entry: Record, columns: Columns) -> LeftOut:
    if not entry["text"]:
        return LeftOut(entry["id"], "it has no transcript")
    return tables.ungrouped(entry["id"], str(columns.group_pattern))


def _lines(file: Path) -> Iterator[tuple[int, str, str]]:
    """Number, name and transcript of each. Raises DataError where the file is not UTF-8."""
    for number, line in enumerate(encodings.decode(file.read_bytes(), file).split("\n"), start=1):
        name, _, text = line.strip().partition(" ")
        if name:
            yield number, name, text.strip()


def _is_recording(path: Path) -> bool:
    return path.suffix.lower() in recordings.contents().suffixes and path.is_file()


def _finish(source: Path | str, entries: list[Record], left_out: list[LeftOut]) -> tuple[Rows, list[LeftOut]]:
    if not entries:
        reason = f" (the first left out, {left_out[0].source}: {left_out[0].reason})" if left_out else ""
        if left_out and left_out[0].ungrouped:
            raise DataError(f"{source}: no recording is left{reason}; {tables.BRACKETS}")
        raise DataError(f"{source} holds no recording with a transcript{reason}; give {_wanted()}")
    return listing.rows_of(entries, source), left_out
