"""One name for one label, once all rows are read: what is equal as a number is one label, what people spell in several
ways (Spam, "spam ", SPAM, full-width letters) is said, and joined where that is asked for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence

from pervade.core.errors import ConfigError
from pervade.core.types import Rows
from pervade.data.read import account
from pervade.data.read.targets import Kind, folded, named, ordered, value_of

SHOWN = 3  # labels in several spellings that are named, and of each so many spellings
JOIN, POSITIVE = "--join-spellings", "--positive"


def settle(rows: Rows, kind: Kind, join: bool = False, positive: str | None = None, known: Sequence[str] = ()) -> Rows:
    """The rows with one spelling of each label: of those that are equal as numbers the whole number, and, where `join`,
    of all that differ in their case, width and blanks alone the most frequent. Notes which these are, and which of two
    classes is the positive one. Where labels are `known`, those of a model, theirs is the spelling that counts.

    Raises ConfigError where `positive` is asked for of rows that have no classes, DataError where it is none of two.
    """
    if positive is not None and kind != "class":
        what = {"labels": "any number of labels a row", "number": "a number", "identity": "who it is"}[kind]
        raise ConfigError(f"{POSITIVE} {positive!r} chooses one of two classes, and what is learnt is {what}")
    if kind == "number" or "target" not in rows:
        return rows
    targets = rows.column("target")
    counts = Counter(label for target in targets for label in (target if isinstance(target, list) else [target]))
    equal = _groups(counts, value_of)
    names = {label: _number(group) for group in equal for label in group}
    _note(equal, counts, "that are equal as numbers are one")
    counts = _renamed(counts, names)
    alike = _groups(counts, folded)
    if join:
        names |= {label: group[0] for group in alike for label in group}
        _note(alike, counts, "in several spellings are one", f"without {JOIN} they are several")
    else:
        _note(alike, counts, "in several spellings are learnt as different ones", f"{JOIN} makes them one")
    joined = {label: _last(names, label) for label in names}
    if known:
        spelt = {folded(label): label for label in known} if join else {}
        theirs = {label: named(label, known) or spelt.get(folded(label)) for label in {*counts, *joined}}
        joined |= {label: name for label, name in theirs.items() if name is not None}
    elif kind == "class":
        # A class of one row is left out where classes are learnt.
        classes = ordered([label for label, count in _renamed(counts, joined).items() if count > 1], positive)
        if len(classes) == 2:
            what = "whose finding the areas under curves measure"
            account.note(f"of the two classes {classes[1]!r} is the positive one, {what}", f"{POSITIVE} {classes[0]!r}")
    if not joined:
        return rows
    settled = [
        list(dict.fromkeys(joined.get(label, label) for label in target))
        if isinstance(target, list)
        else joined.get(target, target)
        for target in targets
    ]
    return rows.with_columns(target=settled)


def _groups(counts: Counter[str], key: Callable[[str], Hashable]) -> list[list[str]]:
    """The labels that have a key in common with others, the most frequent first, and of these small letters."""
    label_groups: dict[Hashable, list[str]] = defaultdict(list)
    for label in counts:
        label_groups[key(label)].append(label)
    return [
        sorted(group, key=lambda label: (-counts[label], label.swapcase()))
        for common, group in label_groups.items()
        if len(group) > 1 and common is not None
    ]


def _number(equal: Sequence[str]) -> str:
    """
    >>> _number(["1.0", "1"]), _number(["2.50", "2.5"])
    ('1', '2.5')
    """
    return min(equal, key=lambda label: (not label.isdecimal(), len(label), label))


def _renamed(counts: Counter[str], names: Mapping[str, str]) -> Counter[str]:
    renamed: Counter[str] = Counter()
    for label, count in counts.items():
        renamed[names.get(label, label)] += count
    return renamed


def _last(names: Mapping[str, str], label: str) -> str:
    """What it is called in the end: a number that was joined may be joined once more."""
    name = names[label]
    return names.get(name, name)


def _note(groups: Sequence[Sequence[str]], counts: Counter[str], what: str, flag: str = "") -> None:
    """At most so many of them, and in how many rows each stands."""
    if groups:
        shown = [", ".join(f"{label!r} ({counts[label]:,})" for label in group[:SHOWN]) for group in groups[:SHOWN]]
        shown = [text + " …" * (len(group) > SHOWN) for text, group in zip(shown, groups, strict=False)]
        more = f"; and {len(groups) - SHOWN:,} more" if len(groups) > SHOWN else ""
        account.note(f"labels {what}: {'; '.join(shown)}{more}", flag)
