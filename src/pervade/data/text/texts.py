"""Texts in tables and files: which columns hold them, how a file is read, and what is taken out of a text.

Two columns make pairs (premise and hypothesis), or one text (a title and what stands below it). A table need not have a
line of names. A folder may hold class folders of text files, with a suffix or without.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import shlex
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pervade.core.errors import DataError
from pervade.core.types import LeftOut
from pervade.data.read import account, columns, encodings, label_columns, listing, spellings, table_files, tables
from pervade.data.read.columns import Column
from pervade.data.read.table_files import Record
from pervade.data.text import labelled_lines

SUFFIXES = (".txt", ".md", ".text")
TEXT_COLUMNS = (
    *("text", "sentence", "content", "review", "review_text", "comment", "document", "message", "body", "tweet"),
    *("sms", "post", "utterance", "description", "title", "question", "text_a", "comment_text", "article", "email"),
    *("abstract", "headline", "summary", "texts", "sentences", "inhalt", "satz", "nachricht", "kommentar", "bewertung"),
    *("texte", "phrase", "commentaire", "avis", "texto", "frase", "comentario", "mensaje", "testo", "tekst", "текст"),
    *("文本", "内容", "评论", "句子", "正文", "评价", "テキスト", "本文", "텍스트"),
)
# What may stand above a text, and is read with it.
TITLES = (
    "title",
    "headline",
    "summary",
    "subject",
    "betreff",
    "titel",
    "überschrift",
    "titre",
    "título",
    "titulo",
    "标题",
)
FEW_COLUMNS = 3  # of a table without known names in which texts of one or two words are looked for
MANY_WORDS = 6  # that classes do not have
MOST_ROWS = 10_000  # evenly spaced, that tell whether the first is one of names
MOST_OPENED = 20  # files without a known ending that are opened, to see what a folder holds
ALIKE = 2.5  # times as long as the other, and the two texts of a row are no pair, but a title and what stands below it
PAIRS = (
    *(("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"), ("text1", "text2")),
    *(("text_a", "text_b"), ("question", "sentence"), ("query", "passage"), ("question", "passage")),
    *(("query", "document"), ("claim", "evidence"), ("text", "hypothesis"), ("question", "answer")),
)

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]")


class Endings(Collection[str]):
    """The endings of files of text: known ones, none at all, and numbers or digests, as archives of mail have them."""

    def __contains__(self, suffix: object) -> bool:
        return suffix in SUFFIXES or re.fullmatch(r"|\.\d+|\.[0-9a-f]{16,}", str(suffix)) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(SUFFIXES)

    def __len__(self) -> int:
        return len(SUFFIXES)


class Undecided(DataError):
    """A table has two columns of texts, and nothing says how they belong together."""


class Together(tuple[str, ...]):
    """Columns whose cells are one text, one below the other; others of two columns are a pair."""


@dataclass(frozen=True)
class Texts:
    """Texts in a column; a pair in two ("a,b"), or one text out of several ("a+b"): `text_column`. Without that the
    columns that a model `learnt` from, where a table has them; else found by name or content."""

    text_column: str | None = None
    label_column: str | None = None
    encoding: str = "utf-8"
    learnt: tuple[str, ...] = ()
    what: str = "text"
    flag: ClassVar[str] = "--text-column"
    suffixes: Collection[str] = field(default_factory=Endings)

    def records(self, path: Path) -> list[Record]:
        """By column 1, column 2 … where the table has no line of names. A folder may hold a file for each class, of a
        text a line."""
        if path.is_dir():
            return labelled_lines.of_classes(labelled_lines.by_class(path), self.encoding)
        if not table_files.is_table(path):
            flag = "--task text-generation takes it for running text"
            account.note(f"{path.name}: a table, since all its lines are parted alike", flag)
        asked = [name for part in (self.text_column, self.label_column) if part for name in re.split("[,+]", part)]
        return table_files.read(path, lambda rows: has_names(rows, [*asked, *self.learnt]), self.encoding)

    def columns(self, path: Path | str, records: list[Record], free: Sequence[str]) -> tuple[str, ...]:
        """One column, two of a pair, or several `Together`. By name; else by content, beside columns of labels, splits
        and groups: what has many words and is seldom the same, pairs being about as long as each other."""
        asked = self._asked(path, table_files.columns_of(records)) if self.text_column is not None else ()
        if asked:
            return asked
        if self.learnt and set(self.learnt) <= set(free):
            return self.learnt
        lower = {columns.plain(column): column for column in reversed(free)}
        pair = next((names for names in PAIRS if set(names) <= lower.keys()), None)
        if pair and _is_pair(pair, *(columns.look(records, lower[name]) for name in pair)):
            return lower[pair[0]], lower[pair[1]]
        candidates = columns.with_names(free, [name for name in TEXT_COLUMNS if name not in TITLES])
        candidates += columns.with_names(free, TITLES)
        main = next((name for name in candidates if columns.look(records, name).text), None)
        if main is None and candidates and columns.plain(candidates[0]) in TEXT_COLUMNS:
            main = candidates[0]  # whoever reads its cells says what is wrong with them
        if main is not None:
            return self._titled(records, free, main)
        left = self._others(records, free)
        if len(free) > 1:  # classes are few, texts are many
            left = [column for column in left if 2 * column.different > column.filled or column.words >= MANY_WORDS]
        if len(left) > 1 or len(free) > FEW_COLUMNS:
            left = [column for column in left if column.prose] or [
                column for column in left if 2 * column.filled > len(records) and len(free) <= FEW_COLUMNS
            ]
        left = [column for column in left if not column.named] or left * (len(free) == 1)
        if not left:
            raise DataError(columns.of_numbers(path, records, free))
        names = tuple(column.name for column in left)
        lengths = [column.length for column in left]
        if len(names) == 2 and max(lengths) < ALIKE * min(lengths):
            if columns.last_word(names[0]) != columns.last_word(names[1]) and not _numbered(names):
                raise Undecided(
                    f"{path} has two columns of texts ({', '.join(names)}); say which is read with --text-column "
                    f"{columns.quoted(names[:1])}, or {columns.quoted(names)} for pairs, or "
                    f"{shlex.quote('+'.join(names))} for one text out of both"
                )
            return names
        return names if len(names) == 1 else Together(names)

    def _others(self, records: list[Record], free: Sequence[str]) -> list[Column]:
        """The columns of words that are called as none of another kind are."""
        others = {*tables.LABEL_COLUMNS, *tables.SPLIT_COLUMNS, *tables.GROUP_COLUMNS, *columns.IDS}
        others -= {"subject"}
        left = [columns.look(records, name) for name in free if columns.plain(name) not in others]
        return [column for column in left if column.text and not (column.listed and column.words < MANY_WORDS)]

    def _titled(self, records: list[Record], free: Sequence[str], main: str) -> tuple[str, ...]:
        """The column of texts that is known by its name, with the title above it; below a title, what is longer."""
        main_name = columns.plain(main)
        if main_name in (*TITLES, "description"):
            least = columns.look(records, main).length * (1 if main_name in TITLES else ALIKE)
            below = [column for column in self._others(records, free) if column.prose and column.length > least]
        if main_name in TITLES or (main_name == "description" and below):
            return Together((main, *(column.name for column in below))) if below else (main,)
        titles = [
            name for name in columns.with_names(free, TITLES) if name != main and columns.look(records, name).text
        ]
        # The headline of the review, and not the title of what is reviewed.
        first = columns.plain(main).partition("_")[0]
        titles = [name for name in titles if columns.plain(name) in TITLES or columns.plain(name).startswith(first)]
        return Together((titles[0], main)) if titles else (main,)

    def _asked(self, path: Path | str, there: list[str]) -> tuple[str, ...]:
        """The columns that were named. Raises DataError where one is not there."""
        asked = self.text_column
        if asked is not None and asked not in there and "+" in asked and "," not in asked:
            parts = [part.strip() for part in asked.split("+")]
            return Together(name for part in parts for name in tables.asked_for(path, there, part))
        named_columns = tables.asked_for(path, there, asked, several=True)
        if len(named_columns) > 2:
            raise DataError(
                f"{path}: --text-column names {len(named_columns)} columns; give one, two for pairs (a,b), or a+b"
            )
        return tuple(named_columns)

    def take(self, folder: Path, record: Record, columns: Sequence[str], where: str) -> tuple[Record, str] | LeftOut:
        """ "text", and "second" of a pair."""
        cells = [record.get(column) for column in columns]
        for column, cell in zip(columns, cells, strict=True):
            if isinstance(cell, (list, dict)):
                raise DataError(f"{where}: column {column!r} holds a {type(cell).__name__}, not a text")
        if isinstance(columns, Together):
            text = "\n".join(str(cell) for cell in cells if not spellings.empty(cell))
            return ({"text": text}, "") if text.strip() else LeftOut(where, f"its {' and '.join(columns)} are empty")
        for column, cell in zip(columns, cells, strict=True):
            if spellings.empty(cell):
                return LeftOut(where, f"its {column} is empty")
        names = ("text", "second")
        return {name: str(cell) for name, cell in zip(names, cells, strict=False)}, ""


def _is_pair(names: tuple[str, str], first: columns.Column, second: columns.Column) -> bool:
    """Whether columns that are called as those of pairs are hold some: a query may come again, an answer that does may
    be a label, and names that differ in their number say it alone."""
    return first.text and second.text and (names[0][:-1] == names[1][:-1] or not second.classes)


def _numbered(names: Sequence[str]) -> bool:
    """Whether two names differ in a number or one letter alone, as those of pairs do: text 1, text 2; column 1."""
    bare = {re.sub(r"\d+|(?<![a-z])[a-z](?![a-z])", "", columns.plain(name)) for name in names}
    return len(bare) == 1


def has_names(rows: Sequence[Sequence[str]], asked: Sequence[str] = ()) -> bool:
    """Whether the first line of a table names its columns: one of them is a name that is known, or was asked for, and
    stands nowhere below; numbers stand below what is none; it asks what the cells below answer; the likely
    class stands nowhere below, and is a short name or much longer than the others; or all are much shorter than the
    texts below."""
    first, rest = [cell.strip() for cell in rows[0]], [row for row in rows[1:] if row != rows[0]]
    own = [i for i, cell in enumerate(first) if cell and cell not in [row[i] for row in rest if i < len(row)]]
    usual = {
        *TEXT_COLUMNS,
        *TITLES,
        *label_columns.CLASSES,
        *label_columns.WEAK,
        *(name for pair in PAIRS for name in pair),
    }
    usual |= {"file_name", "file", "audio", "transcription", "transcript"}  # of tables that hold no texts to be judged
    usual |= {*tables.LABEL_COLUMNS, *tables.SPLIT_COLUMNS, *tables.GROUP_COLUMNS, *columns.IDS}
    if any(columns.plain(first[i]) in usual or first[i] in asked for i in own):
        return True
    sample = rest[:: max(len(rest) // MOST_ROWS, 1)]
    filled = [[row[i].strip() for row in sample if i < len(row) and row[i].strip()] for i in range(len(first))]
    if any(_number(cell) for cell in first) or not any(filled):
        return False
    if any(cells and first[i] and all(map(_number, cells)) for i, cells in enumerate(filled)):
        return True
    lengths = [sum(map(len, cells)) / max(len(cells), 1) for cells in filled]
    text = max(range(len(first)), key=lengths.__getitem__)
    classes = [i for i, cells in enumerate(filled) if _few(cells, len(sample))]
    fewest = min(classes, key=lambda i: len(set(filled[i])), default=None)
    if fewest is not None and fewest not in own:
        return False
    asking = [i for i, cell in enumerate(first) if _asks(cell) and 10 * sum(map(_asks, filled[i])) <= len(filled[i])]
    if asking and all(i in own for i, cell in enumerate(first) if cell):
        return True
    if fewest is not None:
        longest = max(map(len, filled[fewest]))
        if len(first[fewest].split()) > 2 and len(first[fewest]) > 2 * longest:
            return True
        return len(first[text].split()) <= 4 and (fewest == text or len(first[text]) < lengths[text])
    # No column of classes: names are short where the texts below are long.
    short = all(0 < len(cell) <= 40 and len(cell.split()) <= 3 for cell in first)
    return short and lengths[text] > 3 * len(first[text])


def _asks(cell: str) -> bool:
    return cell.rstrip("*: ").endswith(("?", "？"))


def _few(cells: Sequence[str], rows: int) -> bool:
    different = len(set(cells))
    return different <= columns.FEW and 2 * different <= rows <= 2 * len(cells) + 1


def _number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


# files


def read_file(path: Path, encoding: str) -> str:
    """One text file. Raises DataError naming the byte that is not in the encoding, and OSError."""
    return encodings.decode(path.read_bytes(), path, encoding)


def most_are(root: Path) -> bool:
    """Whether most files below a folder are texts: by the ends of their names, and those without a known one by what
    stands in the first of them."""
    if not listing.mostly(root, Endings()):
        return False
    first = [path for path in itertools.islice(below(root), MOST_OPENED) if path.suffix.lower() not in SUFFIXES]
    return all(map(_is_text, first))


def below(root: Path) -> Iterator[Path]:
    """The files in folders that hold no others, sorted: not what lies beside class folders."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith(".") and not folders)


def _is_text(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    odd = sum(byte < 32 and byte not in (9, 10, 12, 13, 27) for byte in head)
    return encodings.marked(head) is not None or odd <= len(head) / 100


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
    return hashlib.sha256("\0".join(" ".join(text.split()) for text in texts).encode()).hexdigest()


def without_spaces(sample: Sequence[str]) -> bool:
    """Whether these texts are in a script that does not part words, such as Chinese or Japanese."""
    wide = total = 0
    for text in sample:
        letters = [letter for letter in text[:200] if letter.isalpha()]
        total += len(letters)
        wide += sum(unicodedata.east_asian_width(letter) in "WF" for letter in letters)
    return wide > total / 3
