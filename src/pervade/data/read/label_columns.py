"""Which column of a table holds its labels: the one that alone has a known name, else the one that alone may hold them
by what stands in its cells; columns of 0 and 1 are a label each. Where more than one may be meant, nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pervade.core.errors import DataError
from pervade.data.read import account, annotated, spellings
from pervade.data.read.columns import ATTRIBUTES, IDS, Column, last_word, listed, look, plain, quoted
from pervade.data.read.targets import Kind, number_of

# What is called so is the label, whatever else there is.
FIRM = (
    *("label", "labels", "fine_label", "gold_label", "class", "target", "y", "class_id", "label_id"),
    *("klasse", "classe", "étiquette", "clase", "etiqueta", "标签", "标注", "ラベル", "라벨"),
)
NAMES = (*FIRM, "category", "class_name", "kategorie", "catégorie", "categoría", "категория", "类别", "分类")
# More names of the column of targets, by what it holds.
MORE: dict[Kind, tuple[str, ...]] = {
    "labels": ("tags", "tag", "classes", "categories", "attributes", "genres", "topics", "emotions"),
    "number": ("value", "number", "score", "rating", "age"),
    "identity": ("identity", "person", "subject", "name"),
}
# Names that say it where no other column has one of them.
CLASSES = (
    *("sentiment", "polarity", "emotion", "topic", "intent", "stars", "rating", "score", "overall", "genre", "is_spam"),
    *("annotation", "verdict", "spam", "toxic", "sarcastic", "is_sarcastic", "hate", "is_duplicate", "diagnosis"),
)
WEAK = ("kind", "type")  # which say it only where nothing else may be a label
ENDINGS = {"label", "labels", "class", "target", "sentiment", "polarity", "emotion", "intent", "stars", "rating"}
CLEARLY = 3  # times as many different values as the classes have, and a column is none, where nothing has a name

Record = dict[str, Any]


def choose(
    place: Any, records: Sequence[Record], rest: Sequence[str], target: Kind, nameless: bool = False
) -> list[str]:
    """The column of labels among the `rest`, which are nothing else; several where each is 0 or 1; none where none may
    hold them. In a table without names (`nameless`) it is the one with far fewer different values than the others.
    Raises DataError where more than one may be meant."""
    annotation = annotated.label_column(records, rest)
    if annotation is not None:
        return [annotation]
    free = [name for name in rest if plain(name) not in IDS]
    free = [name for name in free if last_word(name) not in ("id", "ids") or plain(name) in NAMES] or free
    for names in (FIRM[:1], FIRM, MORE.get(target, ())):
        named = _without_twins(records, [name for name in free if plain(name) in names])
        if len(named) > 1:
            raise _ambiguous(place, [look(records, name) for name in named])
        if named:
            other = [name for name in free if plain(name) in NAMES or last_word(name) in ("name", "names", "text")]
            twins = (_without_twins(records, [*named, name]) for name in other if name not in named)
            return next((columns for columns in twins if len(columns) == 1), named)
    if len(free) == 1:
        return free
    flags = _flags(records, free, asked=target == "labels")
    candidates = _with_known_names(records, free) if target in ("class", "labels") else []
    wordy = [name for name in candidates if name not in flags]
    if not wordy and not any(map(_besides, candidates)):
        flags = [name for name in flags if not _besides(name)] or flags
        if len(flags) >= (3 if candidates else 2):
            others = [] if candidates else [look(records, name) for name in free if last_word(name) not in ATTRIBUTES]
            others = [x for x in others if x.name not in flags and not _besides(x.name) and (x.classes or x.numbers)]
            if others:
                raise _ambiguous(place, others, flags)
            return flags
    candidates = wordy or candidates
    if len(candidates) > 1:
        raise _ambiguous(place, [look(records, name) for name in candidates])
    if candidates and plain(candidates[0]) not in WEAK:
        return candidates
    likely = _without_twins(records, _likely(records, free, target == "number", nameless))
    if len(likely) > 1:
        raise _ambiguous(place, [look(records, name) for name in likely])
    return likely


def refuse_choices(place: Any, records: Sequence[Record], label: str, unused: Sequence[str]) -> None:
    """Raises DataError where labels are letters of what stands in the columns beside: A of four answers."""
    letters = spellings.distinct(records, label) or set()
    if len(letters) > 2 and letters <= set("ABCDE"):
        choices = [about for name in unused if 2 * (about := look(records, name)).different > about.filled > 0]
        if len(choices) >= len(letters):
            raise DataError(
                f"{place}: column {label!r} holds letters ({', '.join(sorted(letters))}), and {len(choices)} columns "
                f"beside it may be what they stand for ({', '.join(column.name for column in choices)}); choosing is "
                f"not learnt yet; --label-column {quoted([label])} learns the letter from the text alone"
            )


def exclusive(records: Sequence[Record], names: Sequence[str]) -> bool:
    """Whether of columns of 0 and 1 exactly one is 1 in every row: then they are classes, one column for each."""
    truths = [spellings.truths([record.get(name) for record in records]) for name in names]
    return len(names) > 1 and all(sum(row) == 1 for row in zip(*truths, strict=True) if None not in row)


def _ambiguous(place: Any, candidates: Sequence[Column], flags: Sequence[str] = ()) -> DataError:
    candidates = sorted(candidates, key=lambda column: last_word(column.name) in ATTRIBUTES)
    shown = listed(column.choice for column in candidates)
    every = f", or --label-column {quoted(flags)} for all {len(flags)} columns of 0 and 1" if flags else ""
    return DataError(
        f"{place} has several columns that may hold labels ({shown}); say which one does, for example "
        f"--label-column {quoted([candidates[0].name])}{every}"
    )


def _with_known_names(records: Sequence[Record], free: Sequence[str]) -> list[str]:
    """The columns whose names are known to be those of labels, else those whose names end so ("airline_sentiment");
    of several those that may hold them."""
    named = [name for name in free if plain(name) in {*NAMES, *MORE["labels"], *CLASSES, *WEAK}]
    ending = [name for name in free if last_word(name) in ENDINGS and name not in named]
    candidates = [*named, *(name for name in ending if not named or last_word(name) in FIRM)]
    if len(candidates) > 1:
        may = [name for name in candidates if (about := look(records, name)).classes or about.measured or about.listed]
        candidates = [name for name in may if plain(name) not in WEAK] or may or candidates
    return _without_twins(records, candidates)


def _flags(records: Sequence[Record], free: Sequence[str], asked: bool) -> list[str]:
    """The columns of 0 and 1, of true and false, or of yes and no, whichever are most; two of the last may be questions
    unless labels are `asked` for."""
    by_spelling: dict[str, list[str]] = {"": []}
    for name in free:
        values = spellings.distinct(records, name)
        if values is not None and (how := spellings.flagged(values)):
            by_spelling.setdefault(how, []).append(name)
    if not asked and len(by_spelling.get("yes", ())) < 3:
        by_spelling.pop("yes", None)
    return max(by_spelling.values(), key=len)


def _besides(name: str) -> bool:
    """Whether a column of 0 and 1 tells what a row is besides, by its name: is_retweet, has_link."""
    return plain(name).startswith(("is_", "has_"))


def _likely(records: Sequence[Record], free: Sequence[str], numbers: bool, nameless: bool) -> list[str]:
    """Those that may hold classes (or `numbers`) by what stands in them."""
    columns = [look(records, name) for name in free]
    likely = [column for column in columns if (column.classes or column.measured) and not (numbers and column.lettered)]
    if nameless:  # user7 is the name of somebody, where there is something else
        likely = [column for column in likely if not (column.coded and column.lettered)] or likely
        fewest = sorted(likely, key=lambda column: column.different)
        if len(likely) > 1 and CLEARLY * fewest[0].different <= fewest[1].different:
            likely = fewest[:1]
    return [column.name for column in likely]


def _without_twins(records: Sequence[Record], candidates: list[str]) -> list[str]:
    """Of two columns that say the same (ESC-50's target 0 and category dog) the one in words."""
    if len(candidates) != 2:
        return candidates
    a, b = ([str(record.get(name)) for record in records] for name in candidates)
    pairs = set(zip(a, b, strict=True))
    if not len(pairs) == len(set(a)) == len(set(b)) < len(records):
        return candidates
    words = [name for name, values in zip(candidates, (a, b), strict=True) if any(number_of(x) is None for x in values)]
    chosen = words[0] if words else candidates[0]
    other = next(name for name in candidates if name != chosen)
    account.note(f"labels: column {chosen!r}, of which column {other!r} has another name for each", "--label-column")
    return [chosen]
