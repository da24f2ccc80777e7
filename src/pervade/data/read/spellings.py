"""Cells of a table's target column, however people spell them, as labels or numbers; and what a column seems to hold.

Several labels in one cell stand as a list (of JSON, parquet, or as Python prints one) or are parted by one of | ; , or
by spaces; an empty cell is a row without labels. A column in two spellings is refused, because every guess about the
rest of it would be a silent one. Labels spelt in two ways are said when all rows are read (data/read/label_names.py).
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pervade.core.errors import DataError
from pervade.data.read import account
from pervade.data.read.targets import LARGEST, Kind, folded

SEPARATORS = ("|", ";", ",")
NAMES = {"|": "|", ";": ";", ",": "commas", " ": "spaces", "[]": "lists"}
TRUE, FALSE = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")
SIGNS = ({"1", "-1"}, {"1.0", "-1.0"})
MANY_NUMBERS = 20  # more different numbers than this are measured, not names of classes
_MONEY = r"(?:[$€£¥₹₽₩]|US\$|USD|EUR|GBP|CHF|JPY|INR|Rs\.?)?"
# "$1,200.50", "€ 12,50", "-3.5 %", "1'200", "1 200,50": what parts thousands does so in all places.
_NUMBER = re.compile(
    rf"(?P<sign>[-+\u2212]?){_MONEY}\s*(?P<second>[-+\u2212]?)"
    r"(?P<digits>[1-9]\d{0,2}(?:(?P<by>[,.'\u2019\s])\d{3})(?:(?P=by)\d{3})*(?:[.,]\d+)?|\d+(?:[.,]\d*)?|[.,]\d+)"
    rf"\s*(?:{_MONEY}|%)"
)
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
    names = []
    for _, parts, listed in split:
        pieces = parts if listed or not separator else [piece for part in parts for piece in _cut(part, separator)]
        names.append(list(dict.fromkeys(stripped for piece in pieces if (stripped := piece.strip()))))
    places = [(where, names) for (where, _), names in zip(cells, names, strict=True)]
    _check_parted([(where, text) for where, names in places for text in names], doubtful, separator, column)
    return names


def _opened(value: Any, where: str) -> tuple[list[str], bool]:
    """The texts in a cell, and whether it was a list. Raises DataError for what holds no labels."""
    if empty(value):
        return [], False
    if isinstance(value, (list, tuple)):
        return [_name(item, where) for item in value if not empty(item)], True
    text = _name(value, where)
    if text[0] + text[-1] not in ("[]", "()", "{}") or len(text) < 2:
        return [text], False
    inside = text[1:-1].strip()
    if re.search(r"""['"]\s+['"]""", inside):
        raise DataError(f"{where}: {text[:SHOWN]!r} has no commas between its labels; write them, or use |")
    if text.startswith('{"choices"'):  # as Label Studio writes several
        inside = inside.partition("[")[2].rpartition("]")[0]
    for parse in (json.loads, ast.literal_eval):
        try:
            items = parse(f"[{inside}]")
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(items, list):
            return [_name(item, where) for item in items if not empty(item)], True
    return [piece.strip().strip("'\"") for piece in inside.split(",") if piece.strip()], True


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
    firsts = {separator: next((place for place in texts if separator in place[1]), None) for separator in SEPARATORS}
    there = [(separator, place) for separator, place in firsts.items() if place is not None]
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
    folded_labels = {folded(label) for _, label in places}
    for where, label in places:
        pieces = [piece for piece in re.split(r"\s*[|;,/+&]\s*|\s+", label) if piece] if label in doubtful else []
        if len(pieces) > 1 and all(folded(piece) in folded_labels for piece in pieces):
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


def distinct(records: Sequence[Mapping[str, Any]], name: str) -> set[Any] | None:
    """The different values of a column, without what is empty; None where these are no single ones."""
    try:
        return {value for value in {record.get(name) for record in records} if not empty(value)}
    except TypeError:
        return None


def flagged(values: Collection[Any]) -> str:
    """How a column that holds these says true, "1", "true" or "yes"; empty where it is of something else. -1 is false
    only where there is no 0."""
    words = {str(value).strip().lower() for value in values}
    if words in SIGNS or (words and words <= {*TRUE[:2], *FALSE[:2]}):
        return "1"
    return next((true for true, false in zip(TRUE[2:], FALSE[2:], strict=True) if words and words <= {true, false}), "")


def truths(column: Sequence[Any]) -> list[bool | None]:
    """What each cell of a column of 0 and 1 says, or of -1 and 1; None where it is neither."""
    texts = [str(value).strip().lower() for value in column]
    signs = {text for text, value in zip(texts, column, strict=True) if not empty(value)} in SIGNS
    meaning = {text: text in ("1", "1.0") if signs and text in ("-1", "-1.0") else truth(text) for text in set(texts)}
    return [meaning[text] for text in texts]


def is_flag(cells: Cells, name: str) -> bool:
    """Whether a column holds 0 and 1 (true and false, yes and no), so that it is a label of its own. Raises DataError
    where it holds little else but not only that: it may be a label with a slip."""
    filled = [(where, value) for where, value in cells if not empty(value)]
    other = [place for place in filled if truth(place[1]) is None]
    if not other or flagged([value for _, value in filled]):
        return bool(filled)
    if len(other) < 0.1 * len(filled):
        where, value = other[0]
        raise DataError(
            f"{where}: column {name!r} holds 0 or 1, but here {str(value)[:SHOWN]!r}; mend it, or remove the column"
        )
    return False


# numbers


def numbers(cells: Cells, column: str) -> list[float | str]:
    """The number in each cell, or why there is none. Money, percent and thousands may be written as people do; a comma
    may stand for the point, if it does so in every row.

    Raises DataError where most cells hold no number, or a comma may part thousands as well as decimals.
    """
    point = _point(cells, column)
    numbers = [_read(value, column, point) for _, value in cells]
    wrong = [i for i, number in enumerate(numbers) if isinstance(number, str) and not empty(cells[i][1])]
    if wrong and 2 * len(wrong) >= len(numbers):
        where, value = cells[wrong[0]]
        raise DataError(
            f"{where}: column {column!r} holds {str(value)[:SHOWN]!r}, which is no number; to learn a number takes a "
            "column of numbers; name it with --label-column, or learn classes (--task, see pervade tasks)"
        )
    for (_, value), number in zip(cells, numbers, strict=True):
        if isinstance(value, str) and isinstance(number, float) and _plain(value) is None:
            shown = f"{value.strip()!r}, read as {number:.15g}"
            account.note(f"labels: numbers of column {column!r} are written as {shown}")
            break
    return numbers


def _point(cells: Cells, column: str) -> str:
    """What parts decimals in a column. Raises DataError where that cannot be told, or it is not the same in all."""
    seen: dict[str, tuple[str, str]] = {}
    doubtful = None
    for where, value in cells:
        match = _NUMBER.fullmatch(value.strip()) if isinstance(value, str) and ("," in value or "." in value) else None
        if match is None:
            continue
        digits = match["digits"]
        last = max(digits.rfind(","), digits.rfind("."))
        mark, other = (",", ".") if digits[last] == "," else (".", ",")
        grouped = re.fullmatch(r"[1-9]\d{0,2}", digits[:last]) is not None and len(digits) - last == 4
        if digits.count(mark) > 1:
            seen.setdefault(other, (where, value.strip()))
        elif other in digits or not grouped:
            seen.setdefault(mark, (where, value.strip()))
        elif mark == ",":
            doubtful = doubtful or (where, value.strip())
    if len(seen) > 1:
        (one, first), (two, second) = seen[","], seen["."]
        raise DataError(
            f"column {column!r} writes numbers in two ways: {first!r} ({one}), {second!r} ({two}); "
            "write 3.5 in every row"
        )
    if doubtful is not None and not seen:
        raise DataError(
            f"{doubtful[0]}: column {column!r} holds {doubtful[1]!r}, which may be a thousand or a decimal; "
            f"write {doubtful[1].replace(',', '')} or {doubtful[1].replace(',', '.')} in every row"
        )
    return next(iter(seen), ".")


def _plain(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _read(value: Any, column: str, point: str = ".") -> float | str:
    if empty(value):
        return f"it has no {column}"
    number: float | None = math.nan
    if isinstance(value, str):
        number = _plain(value) if point == "." or "." not in value else None
        match = _NUMBER.fullmatch(value.strip()) if number is None else None
        if match is not None:
            digits = re.sub(rf"[^\d{point}]", "", match["digits"]).replace(",", ".")
            sign = "-" if {match["sign"], match["second"]} & {"-", "\u2212"} else ""
            number = float(sign + digits)
    elif not isinstance(value, bool):
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = None
    if number is None:
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
    """Whether these different texts are lists of labels: the same pieces come again beside others. Names of classes
    hold a comma or a space now and then, so there must be fewer pieces than texts; a bar or a semicolon says enough."""

    def pieces(separators: str) -> Counter[str]:
        cut = [{piece.strip() for piece in re.split(f"[{re.escape(separators)}]", text)} - {""} for text in texts]
        return Counter(piece for pieces_of_text in cut for piece in pieces_of_text)

    if any(sign in text for text in texts for sign in "|;"):
        return max(pieces("|;,").values(), default=0) > 1
    if any("," in text for text in texts):
        return len(pieces(",")) < len(texts)
    return any(" " in text for text in texts) and 2 * len(pieces(" ")) <= len(texts)


def _measured(values: Sequence[Any]) -> bool:
    """Whether these are numbers that somebody measured, and not the names of classes."""
    if any(isinstance(value, bool) for value in values):
        return False
    if any(isinstance(value, str) and re.match(r"[-+]?0\d", value.strip()) for value in values):
        return False  # 007 is a name
    try:
        point = _point([("", value) for value in values], "")
    except DataError:  # thousands or decimals, which whoever reads them asks
        return len(set(values)) > MANY_NUMBERS
    if point == "," and 2 * sum(isinstance(value, str) and "," in value for value in values) < len(values):
        return False  # 2,5 among 3 and 7 is two labels
    numbers = [_read(value, "", point) for value in values]
    readable = [number for number in numbers if isinstance(number, float)]
    if len(readable) < 0.95 * len(numbers):
        return False
    if any(not number.is_integer() for number in readable):
        return True
    counts = Counter(readable)
    if len(counts) <= MANY_NUMBERS:
        return False
    # A hundred classes are numbered 0, 1, 2 … without a gap, and each has about as many rows as the others.
    numbered = min(counts) in (0, 1) and max(counts) - min(counts) == len(counts) - 1
    return not (numbered and min(counts.values()) >= 2 and max(counts.values()) <= 3 * min(counts.values()))
