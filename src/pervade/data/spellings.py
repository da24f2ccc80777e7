"""Cells of a table's target column, however people spell them, as labels or numbers; and what a column seems to hold.

Several labels in one cell stand as a list (of JSON, parquet, or as Python prints one) or are parted by one of | ; , or
by spaces; an empty cell is a row without labels. A column in two spellings is refused, because every guess about the
rest of it would be a silent one. Labels spelt in two ways are said when all rows are read (data/label_names.py).
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pervade.core.errors import DataError
from pervade.data.targets import LARGEST, Kind, folded

SEPARATORS = ("|", ";", ",")
NAMES = {"|": "|", ";": ";", ",": "commas", " ": "spaces", "[]": "lists"}
TRUE, FALSE = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")
MANY_NUMBERS = 20  # more different numbers than this are measured, not names of classes
SHOWN = 60  # characters of a cell in a message

Cells = Sequence[tuple[str, Any]]
"""(where, value) of each cell: where it stands, as a message names it."""


# labels


def labels(cells: Cells, column: str, separator: str | None = None) -> list[list[str]]:
    """The labels of each cell, in its order, none twice. `separator` says what parts them where that is in doubt.

    Raises DataError where one column holds several spellings: which rows, and what to do.
    """
    split = [(where, *_opened(value, where)) for where, value in cells]
    doubtful: set[str] = set()  # what nobody parted on purpose
    if separator is None:
        separator = _separator([(where, parts[0]) for where, parts, listed in split if not listed and parts], column)
        several = next(((where, parts) for where, parts, listed in split if listed and len(parts) > 1), None)
        if several and separator:
            parted = next(
                (where, parts[0]) for where, parts, listed in split if not listed and separator in "".join(parts)
            )
            raise _mixed(column, parted, separator, (several[0], str(several[1])), "[]")
        doubtful = {
            piece.strip()
            for _, parts, listed in split
            if not listed
            for part in parts
            for piece in (_cut(part, separator) if separator else [part])
        }
    found = []
    for _, parts, listed in split:
        pieces = parts if listed or not separator else [each for part in parts for each in _cut(part, separator)]
        found.append(list(dict.fromkeys(stripped for each in pieces if (stripped := each.strip()))))
    places = [(where, each) for (where, _), each in zip(cells, found, strict=True)]
    _check_parted([(where, text) for where, each in places for text in each], doubtful, separator, column)
    return found


def _opened(value: Any, where: str) -> tuple[list[str], bool]:
    """The texts in a cell, and whether it was a list. Raises DataError for what holds no labels."""
    if empty(value):
        return [], False
    if isinstance(value, (list, tuple)):
        return [_name(each, where) for each in value if not empty(each)], True
    text = _name(value, where)
    if text[0] + text[-1] not in ("[]", "()", "{}") or len(text) < 2:
        return [text], False
    inside = text[1:-1].strip()
    if re.search(r"""['"]\s+['"]""", inside):
        raise DataError(f"{where}: {text[:SHOWN]!r} has no commas between its labels; write them, or use |")
    for parse in (json.loads, ast.literal_eval):
        try:
            items = parse(f"[{inside}]")
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(items, list):
            return [_name(each, where) for each in items if not empty(each)], True
    return [each.strip().strip("'\"") for each in inside.split(",") if each.strip()], True


def _name(value: Any, where: str) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, (str, int, float)):
        raise DataError(f"{where}: a label is a name or a number, not a {type(value).__name__} ({str(value)[:SHOWN]})")
    return str(value).strip()


def empty(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or not str(value).strip()


def _cut(text: str, separator: str) -> list[str]:
    return text.split() if separator == " " else text.split(separator)


def _separator(texts: Sequence[tuple[str, str]], column: str) -> str | None:
    """What parts the labels of these cells; None where every cell is one label. Raises DataError where two may."""
    firsts = {each: next((place for place in texts if each in place[1]), None) for each in SEPARATORS}
    there = [(each, place) for each, place in firsts.items() if place is not None]
    if len(there) > 1:
        raise _mixed(column, there[0][1], there[0][0], there[1][1], there[1][0])
    if there:
        return there[0][0]
    spaced = next((place for place in texts if " " in place[1]), None)
    if spaced is None:
        return None
    # "haze clear" and "haze water" share words, as labels do; "polar bear" and "brown bear" do not, as names do not.
    whole = {text for _, text in texts}
    if len({word for text in whole for word in text.split()}) < len(whole):
        return " "
    raise DataError(
        f"{spaced[0]}: column {column!r} holds {spaced[1][:SHOWN]!r}, which may be one label or several; part labels "
        "by |, or say that spaces do with -o 'domain.separator=\" \"' (| if they do not)"
    )


def _mixed(column: str, one: tuple[str, str], first: str, other: tuple[str, str], second: str) -> DataError:
    return DataError(
        f"column {column!r} is in several spellings: {one[0]} parts its labels by {NAMES[first]} ({one[1][:SHOWN]!r}), "
        f"{other[0]} by {NAMES[second]} ({other[1][:SHOWN]!r}); write all rows alike, or, where one of them belongs to "
        "the names, say what parts labels with -o domain.separator='|'"
    )


def _check_parted(places: Sequence[tuple[str, str]], doubtful: set[str], separator: str | None, column: str) -> None:
    """Raises DataError where two labels seem to stand in one: "cat dog" where others part cat and dog by a bar."""
    known = {folded(label) for _, label in places}
    for where, label in places:
        pieces = [each for each in re.split(r"\s*[|;,/+&]\s*|\s+", label) if each] if label in doubtful else []
        if len(pieces) > 1 and all(folded(each) in known for each in pieces):
            raise DataError(
                f"{where}: column {column!r} holds {label[:SHOWN]!r}, but {pieces[0]!r} and {pieces[1]!r} are labels "
                "of their own in other rows; part them as the other rows do, or, where this is one label, say what "
                f"parts labels with -o domain.separator='{separator or '|'}'"
            )


# columns of 0 and 1


def truth(value: Any) -> bool | None:
    """What a cell of a column of 0 and 1 says; None where it is neither."""
    text = str(value).strip().lower()
    return True if text in TRUE else False if text in FALSE else None


def signed(values: Iterable[Any]) -> bool:
    """Whether these are 1 and -1 and nothing else: -1 beside 0 may be what is not known."""
    return {str(value).strip() for value in values} == {"1", "-1"}


def flags(columns: Mapping[str, Cells]) -> dict[str, Cells]:
    """Those of the columns that hold 0 and 1 (true and false, yes and no), by name: each is a label.

    Raises DataError where a column holds little else but not only that: it may be a label with a slip.
    """
    found = {}
    for name, cells in columns.items():
        filled = [(where, value) for where, value in cells if not empty(value)]
        other = [place for place in filled if truth(place[1]) is None]
        if filled and (not other or signed(value for _, value in filled)):
            found[name] = cells
        elif len(other) < 0.1 * len(filled):
            where, value = other[0]
            raise DataError(
                f"{where}: column {name!r} holds 0 or 1, but here {str(value)[:SHOWN]!r}; mend it, or remove the column"
            )
    return found


# numbers


def numbers(cells: Cells, column: str) -> list[float | str]:
    """The number in each cell, or why there is none. A comma may stand for the point, if it does so in every row.

    Raises DataError where most cells hold no number, or a comma may part thousands as well as decimals.
    """
    texts = [(where, value.strip()) for where, value in cells if isinstance(value, str)]
    comma = next((place for place in texts if re.fullmatch(r"[-+]?\d+,\d+", place[1])), None)
    if comma is not None:
        point = next((place for place in texts if re.fullmatch(r"[-+]?\d*\.\d+", place[1])), None)
        if point is not None:
            raise DataError(
                f"column {column!r} writes numbers in two ways: {comma[1]!r} ({comma[0]}), {point[1]!r} ({point[0]}); "
                "write 3.5 in every row"
            )
        if all(re.fullmatch(r"[-+]?[1-9]\d{0,2},\d{3}", text) for _, text in texts if "," in text):
            raise DataError(
                f"{comma[0]}: column {column!r} holds {comma[1]!r}, which may be a thousand or a decimal; "
                f"write {comma[1].replace(',', '')} or {comma[1].replace(',', '.')} in every row"
            )
    found = [_read(value, column) for _, value in cells]
    wrong = [i for i, each in enumerate(found) if isinstance(each, str) and not empty(cells[i][1])]
    if wrong and 2 * len(wrong) >= len(found):
        where, value = cells[wrong[0]]
        raise DataError(
            f"{where}: column {column!r} holds {str(value)[:SHOWN]!r}, which is no number; to learn a number takes a "
            "column of numbers; name it with --label-column, or learn classes (--task, see pervade tasks)"
        )
    return found


def _read(value: Any, column: str) -> float | str:
    if empty(value):
        return f"it has no {column}"
    text = str(value).strip().replace(",", ".") if isinstance(value, str) else value
    try:
        number = math.nan if isinstance(text, bool) or "_" in str(text) else float(text)
    except (TypeError, ValueError, OverflowError):
        return f"its {column} {str(value)[:SHOWN]!r} is no number"
    if abs(number) <= LARGEST:  # False for what is no number
        return number
    why = f"is beyond {LARGEST:g}" if math.isfinite(number) else "is no finite number"
    return f"its {column} {str(value)[:SHOWN]!r} {why}"


# detection


def kind(column: Sequence[Any]) -> Kind:
    """What a column of targets seems to hold. Cheap and careful: in doubt, classes."""
    values = [value for value in column if not empty(value)]
    if any(isinstance(value, (list, tuple)) for value in values):
        return "labels"
    texts = {value.strip() for value in values if isinstance(value, str)}
    if texts and all(text[:1] + text[-1:] == "[]" for text in texts):
        return "labels"
    if values and _measured(values):
        return "number"
    return "labels" if _parted(texts) else "class"


def _parted(texts: set[str]) -> bool:
    """Whether these different texts are lists of labels: the same pieces come again in other company. Names of classes
    hold a comma or a space now and then, so there must be fewer pieces than texts; a bar or a semicolon says enough."""

    def pieces(separators: str) -> Counter[str]:
        cut = [{piece.strip() for piece in re.split(f"[{re.escape(separators)}]", text)} - {""} for text in texts]
        return Counter(piece for each in cut for piece in each)

    if any(each in text for text in texts for each in "|;"):
        return max(pieces("|;,").values(), default=0) > 1
    if any("," in text for text in texts):
        return len(pieces(",")) < len(texts)
    return any(" " in text for text in texts) and 2 * len(pieces(" ")) <= len(texts)


def _measured(values: Sequence[Any]) -> bool:
    """Whether these are numbers that somebody measured, and not the names of classes."""
    if any(isinstance(value, bool) or str(value).count(",") > 1 for value in values):
        return False
    if any(isinstance(value, str) and re.match(r"[-+]?0\d", value.strip()) for value in values):
        return False  # 007 is a name
    found = [_read(value, "") for value in values]
    readable = [each for each in found if isinstance(each, float)]
    if len(readable) < 0.95 * len(found):
        return False
    if any(not each.is_integer() for each in readable):
        return True
    counts = Counter(readable)
    if len(counts) <= MANY_NUMBERS:
        return False
    # A hundred classes are numbered 0, 1, 2 … without a gap, and each has about as many rows as the others.
    numbered = min(counts) in (0, 1) and max(counts) - min(counts) == len(counts) - 1
    return not (numbered and min(counts.values()) >= 2 and max(counts.values()) <= 3 * min(counts.values()))
