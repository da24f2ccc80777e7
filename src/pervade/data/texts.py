"""Texts in tables and files: which columns hold them, how a file is read, and what is taken out of a text.

A table need not have a line of names: the column with the longest cells is the text then. Two columns make pairs
(premise and hypothesis). A folder may hold class folders of .txt files.
"""

from __future__ import annotations

import codecs
import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pervade.core.download import announce
from pervade.core.errors import DataError
from pervade.core.types import LeftOut
from pervade.data import table_files, tables
from pervade.data.table_files import Record
from pervade.data.targets import Kind

SUFFIXES = (".txt", ".md")
TEXT_COLUMNS = (
    *("text", "sentence", "content", "review", "review_text", "comment", "document", "message", "body", "tweet"),
    *("sms", "post", "utterance", "description", "title", "question", "text_a"),
)
PAIRS = (
    *(("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"), ("text1", "text2")),
    *(("text_a", "text_b"), ("question", "sentence"), ("query", "passage"), ("question", "answer")),
)
FEW_LABELS = 50  # a column of at most so many different values may be the classes of a table without names
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]")


@dataclass(frozen=True)
class Texts:
    """Texts in a column, or in two by commas (`text_column`); without that found by name or content."""

    text_column: str | None = None
    label_column: str | None = None
    encoding: str = "utf-8"
    what: str = "text"
    suffixes: tuple[str, ...] = SUFFIXES

    def records(self, path: Path) -> list[Record]:
        """Says aloud what it takes each column for where the table has no line of names."""
        asked = [each for part in (self.text_column, self.label_column) if part for each in part.split(",")]

        def named(rows: table_files.Lines) -> list[str]:
            names = by_content(rows)
            found = [f"column {names.index(each) + 1} for the {each}" for each in ("text", "label") if each in names]
            _say_once(path, f"{path.name} has no line of names; taken by what stands in them: {', '.join(found)}")
            return names

        return table_files.read(path, lambda rows: has_names(rows, asked), self.encoding, named)

    def columns(
        self, path: Path | str, records: list[Record], free: Sequence[str], target: Kind, labels: Sequence[str]
    ) -> tuple[str, ...]:
        """One column, or two of a pair. By name; else the only one that is left beside those of labels, splits and
        groups; else, in a table without names, the one with the longest cells."""
        asked = tables.asked_for(path, list(records[0]), self.text_column, several=True)
        if len(asked) > 2:
            raise DataError(f"{path}: --text-column names {len(asked)} columns; give one, or two for pairs of texts")
        if asked:
            return tuple(asked)
        lower = {column.strip().lower(): column for column in free}
        pair = next((each for each in PAIRS if set(each) <= lower.keys()), None)
        if pair:
            return lower[pair[0]], lower[pair[1]]
        known = [lower[name] for name in TEXT_COLUMNS if name in lower]
        if known:
            return (known[0],)
        others = (*tables.LABEL_COLUMNS, *tables.SPLIT_COLUMNS, *tables.GROUP_COLUMNS, "id", "idx", "index")
        left = [column for column in free if column.strip().lower() not in others and _texts(records, column)]
        if len(left) > 1:  # classes are few, texts are many
            left = [column for column in left if len({record.get(column) for record in records}) > len(records) / 2]
        if len(left) == 1:
            return (left[0],)
        raise DataError(
            f"{path} has no column of texts that is known by its name; its columns are {', '.join(free)}; say which "
            "with --text-column (two of them, a,b, for pairs)"
        )

    def take(self, folder: Path, record: Record, columns: Sequence[str], where: str) -> tuple[Record, str] | LeftOut:
        """ "text", and "second" of a pair."""
        cells = [record.get(column) for column in columns]
        for column, cell in zip(columns, cells, strict=True):
            if isinstance(cell, (list, dict)):
                raise DataError(f"{where}: column {column!r} holds a {type(cell).__name__}, not a text")
            if cell is None or not str(cell).strip():
                return LeftOut(where, f"its {column} is empty")
        names = ("text", "second")
        return {name: str(cell) for name, cell in zip(names, cells, strict=False)}, ""


def _texts(records: list[Record], column: str) -> bool:
    """Whether the column's first values are texts with letters, not numbers."""
    values = [record[column] for record in records[:20] if record.get(column) not in (None, "")]
    return bool(values) and all(isinstance(v, str) and any(c.isalpha() for c in v) for v in values)


def has_names(rows: Sequence[Sequence[str]], asked: Sequence[str] = ()) -> bool:
    """Whether the first line of a table names its columns: one of them is a name that is known, or was asked for; else
    whether its likely class stands nowhere below, or it is much shorter than the texts below."""
    first = [cell.strip() for cell in rows[0]]
    known = {*TEXT_COLUMNS, *(name for pair in PAIRS for name in pair)}
    known |= {"file_name", "file", "audio", "transcription", "transcript"}  # of tables that hold no texts to be judged
    known |= {*tables.LABEL_COLUMNS, *tables.SPLIT_COLUMNS, *(each.strip() for each in asked)}
    if any(cell.lower() in known or cell in known for cell in first):
        return True
    label = _label_column(rows)
    if label is not None:
        return all(row[label].strip() != first[label] for row in rows[1:] if label < len(row))
    # No column of classes: names are short where the texts below are long.
    lengths = [sum(len(row[i]) for row in rows[1:] if i < len(row)) for i in range(len(first))]
    text = max(range(len(first)), key=lengths.__getitem__)
    short = all(0 < len(cell) <= 40 and len(cell.split()) <= 3 for cell in first)
    return short and len(rows) > 1 and lengths[text] / (len(rows) - 1) > 3 * len(first[text])


def _label_column(rows: Sequence[Sequence[str]]) -> int | None:
    """The place of the column with the fewest different values, if these are few."""
    counts = [len({row[i].strip() for row in rows[1:] if i < len(row)}) for i in range(len(rows[0]))]
    best = min(range(len(counts)), key=counts.__getitem__, default=None)
    return best if best is not None and counts[best] <= FEW_LABELS and counts[best] * 2 <= len(rows) else None


def by_content(rows: Sequence[Sequence[str]]) -> list[str]:
    """Names for the columns of a table without any: the longest cells are the text, few different ones the label."""
    width = len(rows[0])
    lengths = [sum(len(row[i]) for row in rows if i < len(row)) for i in range(width)]
    text = max(range(width), key=lengths.__getitem__)
    names = table_files.numbered(width)
    names[text] = "text"
    rest = [[row[i] if i < len(row) else "" for i in range(width) if i != text] for row in rows]
    label = _label_column([[], *rest]) if width == 2 else _label_column(rest)
    if width == 2:
        names[1 - text] = "label"
    elif label is not None:
        names[[i for i in range(width) if i != text][label]] = "label"
    return names


_told: set[Path] = set()


def _say_once(path: Path, text: str) -> None:
    """A table is read several times: to see what it is, and then for good."""
    if path.absolute() not in _told:
        _told.add(path.absolute())
        announce(f"data: {text}")


# files


def read_file(path: Path, encoding: str) -> str:
    """One text file. Raises DataError naming the byte that is not in the encoding, and OSError."""
    return table_files.decode(path.read_bytes(), path, encoding)


# what is done to a text


def clean(text: str) -> tuple[str, bool] | str:
    """The text in Unicode's composed form without control characters, and whether there were any; or, in one line, why
    it cannot be used."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "it holds half a character (a lone surrogate), which no file could hold; mend it"
    cleaned = unicodedata.normalize("NFC", CONTROL.sub("", text))
    return (cleaned, cleaned != unicodedata.normalize("NFC", text)) if cleaned.strip() else "it is empty"


def digest(*texts: str) -> str:
    """Equal where the texts are equal up to white space."""
    return hashlib.sha256("\0".join(" ".join(each.split()) for each in texts).encode()).hexdigest()


def without_spaces(some: Sequence[str]) -> bool:
    """Whether these texts are in a script that does not part words, such as Chinese or Japanese."""
    wide = total = 0
    for text in some:
        letters = [each for each in text[:200] if each.isalpha()]
        total += len(letters)
        wide += sum(unicodedata.east_asian_width(each) in "WF" for each in letters)
    return wide > total / 3


def known_encoding(name: str) -> bool:
    try:
        codecs.lookup(name)
    except LookupError:
        return False
    return True
