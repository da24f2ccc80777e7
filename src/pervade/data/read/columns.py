"""What the columns of a table are, told by their names and by all their cells: classes are few and come again, texts
are many and have words, and what numbers the rows, is the same in each, or is empty, is neither.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

MOST_SHOWN = 12  # columns that are named where none can be chosen
FEW = 50  # different values that a column of classes without a name has at most
SPACED = 500  # cells, evenly spaced, whose letters and words are looked at
# What is known of a row beside what is to be learnt.
ATTRIBUTES = {"age", "sex", "gender", "date", "time", "timestamp", "utc", "year", "country", "language", "lang", "url"}
ATTRIBUTES |= {"lat", "latitude", "lon", "lng", "longitude", "user", "author", "count", "votes", "views", "likes"}
IDS = ("id", "ids", "idx", "index", "uid", "uuid", "guid", "no", "nr", "number", "row", "key", "编号", "序号")
_DATED = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?|\w{3} \w{3} \d{1,2} [\d:]{8} .*|\d{1,2}:\d{2}(:\d{2})?"
    r"|(\d{1,2} )?[A-Z][a-z]{2,8}\.? (\d{1,2},? )?\d{4}|\w+://\S+|www\.\S+|[\w.+-]+@[\w.-]+"
)
_PARTED = re.compile(r".*([|;]|, ).*|\[.*\]", re.DOTALL)
_DECIMAL = re.compile(r"\d[.,]\d")
_CODE = re.compile(r"(?=\S*\d)[\w\-./\\:#]+", re.ASCII)
FILE = re.compile(
    r".+\.(jpe?g|png|gif|bmp|tiff?|webp|heic|avif|dcm|nii|npy|wav|mp3|flac|ogg|opus|m4a|aiff?|mp4|avi|mov|webm)", re.I
)


@dataclass(frozen=True)
class Column:
    """`filled` cells with `different` values; `length` is the mean of their characters, `words` of their words, where a
    script without blanks has one to two characters; `lettered` is the share of them that hold letters."""

    name: str
    rows: int
    filled: int
    different: int
    length: float
    words: float
    lettered: float
    example: str
    dated: bool = False  # most are dates or addresses, or no single values
    coded: bool = False  # most are single words with digits in them
    files: bool = False  # most are called as files of pictures, sounds and the like
    named: bool = False  # most words of most begin with a capital, and are few: names of somebody or something
    listed: bool = False  # most are lists, or parted by what parts labels

    @property
    def text(self) -> bool:
        """Whether cells are words."""
        return self.lettered > 0.5 and not (self.dated or self.coded or self.files)

    @property
    def prose(self) -> bool:
        """Whether they are texts to be judged, and not names of something: many words, and seldom the same."""
        seldom = 2 * self.different > self.filled and 2 * self.filled >= self.rows
        return self.text and seldom and self.words >= 2.5 and not self.named

    @property
    def classes(self) -> bool:
        """Whether they may be classes: more than one, and most come again."""
        few = 1 < self.different <= self.filled / 2
        return few and self.words < 6 and not (self.dated or self.files)

    @property
    def measured(self) -> bool:
        """Whether they may be numbers that were measured: with decimals, or whole ones of which some come again."""
        if self.lettered or self.dated or self.different <= FEW:
            return False
        counted = self.different < self.filled and last_word(self.name) not in ATTRIBUTES
        return counted or _DECIMAL.search(self.example) is not None

    @property
    def numbers(self) -> bool:
        return self.lettered == 0 and self.different > 2 and not self.dated

    @property
    def what(self) -> str:
        """What its cells seem to be, in words."""
        if not self.filled or not self.different:
            return "empty"
        if self.length == 0:
            return "lists" if self.example.startswith("[") else "objects"
        if self.files:
            return "names of files"
        if self.dated:
            return "dates or addresses"
        if self.lettered == 0:
            return "numbers"
        return "texts" if self.prose else f"{self.different:,} value{'s' * (self.different > 1)}"

    @property
    def choice(self) -> str:
        """The name, and how many classes there were."""
        numbers = self.numbers and (not self.classes or self.different > FEW / 2)
        return f"{self.name} ({self.different:,} {'different numbers' if numbers else 'classes'})"

    def __str__(self) -> str:
        """The name, and what is to be known of it."""
        if not self.filled:
            return f"{self.name} (empty)"
        if self.different == 1:
            return f"{self.name} (always {self.example[:30]!r})"
        return f"{self.name} ({self.different:,} different{', texts' if self.prose else ''})"


def look(records: Sequence[dict[str, Any]], name: str) -> Column:
    """What all cells of a column say of it."""
    cells = [record[name] for record in records if name in record]
    cells = [cell for cell in cells if cell is not None and cell != "" and cell == cell]  # NaN is no value
    try:
        values = set(cells)
    except TypeError:  # lists or objects
        shown = str(cells[0])[:60]
        return Column(name, len(records), len(cells), len(cells), 0.0, 0.0, 0.0, shown, dated=True, listed=True)
    texts = list(map(str, cells))
    spaced = texts[:: max(len(texts) // SPACED, 1)]
    total = max(len(spaced), 1)
    dated, coded, files, listed = (
        2 * sum(form.fullmatch(text) is not None for text in spaced) > total for form in (_DATED, _CODE, FILE, _PARTED)
    )
    return Column(
        name,
        len(records),
        len(cells),
        len(values),
        sum(map(len, texts)) / max(len(texts), 1),
        sum(map(_words, spaced)) / total,
        sum(any(map(str.isalpha, text)) for text in spaced) / total,
        next(filter(_DECIMAL.search, spaced), spaced[0] if spaced else ""),
        dated,
        coded,
        files,
        last_word(name) == "name" or 5 * sum(map(_is_name, spaced)) > 4 * total,
        listed,
    )


def _is_name(text: str) -> bool:
    """Whether all words but one begin with a capital, as in "Braund, Mr. Owen Harris"; and none ends a sentence."""
    words = [word for word in text.split() if word[:1].isalpha()]
    return 0 < len(words) <= 6 and sum(word[0].isupper() for word in words) >= max(len(words) - 1, 1)


def _words(text: str) -> float:
    wide = sum(unicodedata.east_asian_width(sign) in "WF" for sign in text[:200])
    return len(text.split()) + wide / 2


def plain(name: str) -> str:
    """A name as lists of names write it.

    >>> plain("Review Text"), plain("reviewText"), plain("ID")
    ('review_text', 'review_text', 'id')
    """
    return re.sub(r"[\s.\-]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip()).lower())


def quoted(names: Sequence[str]) -> str:
    """Columns as a shell takes them after a flag."""
    return shlex.quote(",".join(names))


def listed(names: Iterable[object], most: int = MOST_SHOWN) -> str:
    """So many of the names at most, and how many more there are."""
    texts = list(map(str, names))
    return ", ".join(texts[:most]) + (f" and {len(texts) - most:,} more" if len(texts) > most else "")


def of_numbers(place: Any, records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Why a table holds nothing that can be learnt from: what its columns seem to hold, and which flags help."""
    seen = [look(records, name) for name in names[:MOST_SHOWN]]
    shown = listed([*(f"{column.name} ({column.what})" for column in seen), *names[MOST_SHOWN:]])
    files = [column for column in seen if column.files]
    texts = [column for column in seen if column.text and not column.classes]
    remedies = [f"{column.name} names files that are not there, or of a kind that is not read" for column in files[:1]]
    if texts:
        example = max(texts, key=lambda column: column.length).name
        remedies.append(
            f"if one holds texts, say which with --text-column {quoted([example])} (a,b are pairs, a+b one text)"
        )
    if any(column.what in ("lists", "objects") for column in seen):
        remedies.append("write what lies in lists or objects into columns of its own, such as text and label")
    told, numbers = (
        "has no column of texts, and none of files that are there",
        "tables of numbers are not learnt from yet",
    )
    if any(column.what == "texts" for column in seen):  # and it is files that are asked for
        told, numbers = "names no files that are there", ""
    those = "column is" if len(names) == 1 else f"{len(names):,} columns are"
    return "; ".join(filter(None, (f"{place} {told}", f"its {those} {shown}", numbers, *remedies)))


def last_word(name: str) -> str:
    return plain(name).rpartition("_")[2]


def first_named(free: Iterable[str], names: Iterable[str]) -> str | None:
    """The column that has the first of the names that one of them has."""
    lower = {column.strip().lower(): column for column in free}
    return next((lower[name] for name in names if name in lower), None)


def with_names(free: Sequence[str], names: Collection[str]) -> list[str]:
    """Those of the columns that have one of the names, in the names' order; else those whose name ends with one:
    "airline_sentiment"."""
    lower = {plain(column): column for column in reversed(free)}
    exact = [lower[name] for name in names if name in lower]
    return exact or [own for name in names for end, own in lower.items() if end.endswith(f"_{name}")]
