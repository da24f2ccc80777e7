"""Which column of a table holds its labels: the one that alone has a known name, else the one that alone may hold them
by what stands in its cells; columns of 0 and 1 are a label each. Where more than one may be meant, nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pervade.core.errors import DataError
from pervade.data.read import account, annotated, spellings
from pervade.data.read.columns import ATTRIBUTES, IDS, MOST_SHOWN, Column, last_word, look, plain, quoted
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
    free = [each for each in rest if plain(each) not in IDS]
    free = [each for each in free if last_word(each) not in ("id", "ids") or plain(each) in NAMES] or free
    for names in (FIRM[:1], FIRM, MORE.get(target, ())):
        named = _without_twins(records, [each for each in free if plain(each) in names])
        if len(named) > 1:
            raise _several(place, [look(records, each) for each in named])
        if named:
            other = [each for each in free if plain(each) in NAMES or last_word(each) in ("name", "names", "text")]
            twins = (_without_twins(records, [*named, each]) for each in other if each not in named)
            return next((each for each in twins if len(each) == 1), named)
    if len(free) == 1:
        return free
    flags = _flags(records, free, asked=target == "labels")
    known = _known(records, free) if target in ("class", "labels") else []
    wordy = [each for each in known if each not in flags]
    if not wordy and not any(map(_besides, known)):
        flags = [each for each in flags if not _besides(each)] or flags
        if len(flags) >= (3 if known else 2):
            others = [] if known else [look(records, each) for each in free if last_word(each) not in ATTRIBUTES]
            others = [x for x in others if x.name not in flags and not _besides(x.name) and (x.classes or x.numbers)]
            if others:
                raise _several(place, others, flags)
            return flags
    known = wordy or known
    if len(known) > 1:
        raise _several(place, [look(records, each) for each in known])
    if known and plain(known[0]) not in WEAK:
        return known
    likely = _without_twins(records, _likely(records, free, target == "number", nameless))
    if len(likely) > 1:
        raise _several(place, [look(records, each) for each in likely])
    return likely


def refuse_choices(place: Any, records: Sequence[Record], label: str, unused: Sequence[str]) -> None:
    """Raises DataError where labels are letters of what stands in the columns beside: A of four answers."""
    letters = spellings.distinct(records, label) or set()
    if len(letters) > 2 and letters <= set("ABCDE"):
        found = [about for each in unused if 2 * (about := look(records, each)).different > about.filled > 0]
        if len(found) >= len(letters):
            raise DataError(
                f"{place}: column {label!r} holds letters ({', '.join(sorted(letters))}), and {len(found)} columns "
                f"beside it may be what they stand for ({', '.join(each.name for each in found)}); choosing is not "
                f"learnt yet; --label-column {quoted([label])} learns the letter from the text alone"
            )


def exclusive(records: Sequence[Record], names: Sequence[str]) -> bool:
    """Whether of columns of 0 and 1 exactly one is 1 in every row: then they are classes, one column for each."""
    told = [spellings.truths([record.get(each) for record in records]) for each in names]
    return len(names) > 1 and all(sum(row) == 1 for row in zip(*told, strict=True) if None not in row)


def _several(place: Any, found: Sequence[Column], flags: Sequence[str] = ()) -> DataError:
    found = sorted(found, key=lambda each: last_word(each.name) in ATTRIBUTES)
    shown = ", ".join(each.choice for each in found[:MOST_SHOWN])
    more = f" and {len(found) - MOST_SHOWN:,} more" if len(found) > MOST_SHOWN else ""
    every = f", or --label-column {quoted(flags)} for all {len(flags)} columns of 0 and 1" if flags else ""
    return DataError(
        f"{place} has several columns that may hold labels ({shown}{more}); say which one does, for example "
        f"--label-column {quoted([found[0].name])}{every}"
    )


def _known(records: Sequence[Record], free: Sequence[str]) -> list[str]:
    """The columns whose names are known to be those of labels, else those whose names end so ("airline_sentiment");
    of several those that may hold them."""
    named = [each for each in free if plain(each) in {*NAMES, *MORE["labels"], *CLASSES, *WEAK}]
    ending = [each for each in free if last_word(each) in ENDINGS and each not in named]
    found = [*named, *(each for each in ending if not named or last_word(each) in FIRM)]
    if len(found) > 1:
        may = [each for each in found if (about := look(records, each)).classes or about.measured or about.listed]
        found = [each for each in may if plain(each) not in WEAK] or may or found
    return _without_twins(records, found)


def _flags(records: Sequence[Record], free: Sequence[str], asked: bool) -> list[str]:
    """The columns of 0 and 1, of true and false, or of yes and no, whichever are most; two of the last may be questions
    unless labels are `asked` for."""
    found: dict[str, list[str]] = {"": []}
    for name in free:
        values = spellings.distinct(records, name)
        if values is not None and (how := spellings.flagged(values)):
            found.setdefault(how, []).append(name)
    if not asked and len(found.get("yes", ())) < 3:
        found.pop("yes", None)
    return max(found.values(), key=len)


def _besides(name: str) -> bool:
    """Whether a column of 0 and 1 tells what a row is besides, by its name: is_retweet, has_link."""
    return plain(name).startswith(("is_", "has_"))


def _likely(records: Sequence[Record], free: Sequence[str], numbers: bool, nameless: bool) -> list[str]:
    """Those that may hold classes (or `numbers`) by what stands in them."""
    found = [look(records, each) for each in free]
    likely = [each for each in found if (each.classes or each.measured) and not (numbers and each.lettered)]
    if nameless:  # user7 is the name of somebody, where there is something else
        likely = [each for each in likely if not (each.coded and each.lettered)] or likely
        fewest = sorted(likely, key=lambda each: each.different)
        if len(likely) > 1 and CLEARLY * fewest[0].different <= fewest[1].different:
            likely = fewest[:1]
    return [each.name for each in likely]


def _without_twins(records: Sequence[Record], candidates: list[str]) -> list[str]:
    """Of two columns that say the same (ESC-50's target 0 and category dog) the one in words."""
    if len(candidates) != 2:
        return candidates
    a, b = ([str(record.get(each)) for record in records] for each in candidates)
    pairs = set(zip(a, b, strict=True))
    if not len(pairs) == len(set(a)) == len(set(b)) < len(records):
        return candidates
    words = [each for each, values in zip(candidates, (a, b), strict=True) if any(number_of(x) is None for x in values)]
    chosen = words[0] if words else candidates[0]
    other = next(each for each in candidates if each != chosen)
    account.note(f"labels: column {chosen!r}, of which column {other!r} has another name for each", "--label-column")
    return [chosen]
