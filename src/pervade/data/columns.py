"""What the columns of a table are, told by their names and by all their cells: classes are few and come again, texts
are many and have words, and what numbers the rows, is the same in each, or is empty, is neither.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pervade.core.errors import DataError

FEW = 50  # different values that a column of classes without a name has at most
CLEARLY = 3  # times as many different values as the classes have, and a column is none, where nothing has a name
SPACED = 500  # cells, evenly spaced, whose letters and words are looked at
IDS = ("id", "ids", "idx", "index", "uid", "uuid", "guid", "no", "nr", "number", "row", "key", "编号", "序号")
# More names of a column of classes, asked after `tables.LABEL_COLUMNS` in tables that have none of those.
CLASSES = (
    *("sentiment", "polarity", "emotion", "topic", "intent", "stars", "rating", "score", "kind", "type", "genre"),
    *("gold_label", "annotation", "verdict", "is_spam", "spam", "toxic", "sarcastic", "is_sarcastic", "hate"),
)
_DATED = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?|\w{3} \w{3} \d{1,2} [\d:]{8} .*|\d{1,2}:\d{2}(:\d{2})?"
    r"|\w+://\S+|www\.\S+|[\w.+-]+@[\w.-]+"
)
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

    @property
    def text(self) -> bool:
        """Whether cells are words."""
        return self.lettered > 0.5 and not (self.dated or self.coded or self.files)

    @property
    def prose(self) -> bool:
        """Whether they are texts to be judged, and not names of something: many words, and seldom the same."""
        return self.text and 2 * self.different > self.filled and 2 * self.filled >= self.rows and self.words >= 2.5

    @property
    def classes(self) -> bool:
        """Whether they may be classes: more than one, and most come again."""
        few = 1 < self.different <= self.filled / 2
        return few and self.words < 6 and not (self.dated or self.files)

    @property
    def measured(self) -> bool:
        """Whether they may be numbers that were measured."""
        return self.different > FEW and self.lettered == 0 and "." in self.example and not self.dated

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
    cells = [each for each in cells if each is not None and each != "" and each == each]  # NaN is no value
    try:
        values = set(cells)
    except TypeError:  # lists or objects
        return Column(name, len(records), len(cells), len(cells), 0.0, 0.0, 0.0, str(cells[0])[:60], dated=True)
    texts = list(map(str, cells))
    spaced = texts[:: max(len(texts) // SPACED, 1)]
    some = max(len(spaced), 1)
    return Column(
        name,
        len(records),
        len(cells),
        len(values),
        sum(map(len, texts)) / max(len(texts), 1),
        sum(map(_words, spaced)) / some,
        sum(any(map(str.isalpha, each)) for each in spaced) / some,
        next((each for each in spaced if "." in each), spaced[0] if spaced else ""),
        *(2 * sum(bool(form.fullmatch(each)) for each in spaced) > some for form in (_DATED, _CODE, FILE)),
    )


def _words(text: str) -> float:
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text[:200])
    return len(text.split()) + wide / 2


def plain(name: str) -> str:
    """A name as lists of names write it: "review_text" of "Review Text"."""
    return re.sub(r"[\s.\-]+", "_", name.strip().lower())


def called(free: Sequence[str], names: Collection[str]) -> list[str]:
    """Those of the columns that have one of the names, in the names' order; else those whose name ends with one:
    "airline_sentiment"."""
    lower = {plain(each): each for each in reversed(free)}
    exact = [lower[name] for name in names if name in lower]
    return exact or [own for name in names for known, own in lower.items() if known.endswith(f"_{name}")]


def labels(
    place: Any, records: Sequence[dict[str, Any]], rest: Sequence[str], numbers: bool, nameless: bool
) -> list[str]:
    """The column that holds classes (or `numbers`), of those that are nothing else, by what stands in them; in a table
    without names (`nameless`) the one with far fewer different values than the others. Raises DataError where there are
    several."""
    found = [look(records, each) for each in rest if plain(each) not in IDS]
    likely = [each for each in found if (each.classes or each.measured) and not (numbers and each.lettered)]
    likely.sort(key=lambda each: each.different)
    if nameless:  # user7 is the name of somebody, where there is something else
        likely = [each for each in likely if not (each.coded and each.lettered)] or likely
    if nameless and len(likely) > 1 and CLEARLY * likely[0].different <= likely[1].different:
        likely = likely[:1]
    if len(likely) > 1:
        raise DataError(
            f"{place} has several columns that may hold labels ({', '.join(map(str, likely))}); name one label, or say "
            "which with --label-column"
        )
    return [each.name for each in likely]
