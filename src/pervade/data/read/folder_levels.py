"""Which folders hold the classes, where folders lie in folders: those on top, or those below them.

patient_7/cats/1.jpg, 2024-03-01/ok/1.jpg   who or what was recorded, or when, is a group, and no class
part_1/cats/1.jpg                           numbered parts of an archive are nothing
cats/subject_7/1.jpg                        the same below the classes
cats/train/1.jpg                            splits below the classes
photo/dog/1.jpg, sketch/dog/1.jpg           open: it is refused, and both readings are named
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from pervade.core.errors import DataError
from pervade.data.read import columns, patterns
from pervade.data.read.named_files import BESIDE as OF_FILES
from pervade.data.rows.split import named

LIKE_SPLITS = re.compile(r"train|test|valid|val\b|dev\b|eval", re.IGNORECASE)
# Numbered, these are who was recorded, or parts of an archive.
PEOPLE = re.compile(
    r"(actor|speaker|spk|subject|subj|patient|person|participant|proband|volunteer|user|session|case)[ _-]?\d+", re.I
)
PARTS = re.compile(r"(part|batch|chunk|shard|page|volume|archive)[ _-]?\d+", re.I)
# With a day or a month in it, so that the year of a car is none.
DATE = re.compile(r"(19|20)\d\d[-_.]?(0[1-9]|1[0-2])([-_.]?[0-3]\d)?(\D.*)?|[0-3]?\d[.-][01]?\d[.-](19|20)\d\d")
DAY = re.compile(r"(mon|tues|wednes|thurs|fri|satur|sun)day|(mon|diens|donners|frei|sams|sonn)tag|mittwoch", re.I)
DIGEST = re.compile(r"(?=.*\d)(?=.*[a-f])[0-9a-f]{6,}", re.I)
# Numbered, these are classes: n01443537 is one of ImageNet's.
CLASSES = re.compile(r"(class|cls|label|category|cat|type|kind|klasse|grade|stage|level|digit|n)[ _-]?#", re.I)
COVERED = 0.75  # of all pairs of a folder on top and one below, that are there where the two cross
FEW_CLASSES = 10  # that are called 0, 1, 2 …
ENOUGH, EACH = 5, 3  # folders below the classes that are groups, and of each class: fewer cannot be split
SHOWN = 6


def between(place: Path, level: int, inside: Sequence[tuple[str, ...]]) -> tuple[str, str]:
    """What the folders on top are, where those below them are the classes ("group", "part"; else ""), and what those
    below are, where those on top are the classes ("group", "split"; else "").

    `inside` are the parts of files in folders of `place`, which is so many levels below the data. Raises DataError
    where no name says which are the classes.
    """
    tops: dict[str, set[str]] = defaultdict(set)
    for parts in inside:
        tops[parts[0]].update(parts[1:2] if len(parts) > 2 else ())
    below = set().union(*tops.values())
    for form, what in ((PARTS, "part"), (PEOPLE, "group")):
        if len(tops) > 1 and all(map(form.fullmatch, tops)):
            return what, ""
    start = f"{place}: the folders {listed(sorted(tops))}"
    deep, deeper = all(len(parts) > 2 for parts in inside), any(len(parts) > 3 for parts in inside)
    crossed = len(below) > 1 and sum(map(len, tops.values())) >= COVERED * len(tops) * len(below)
    if len(tops) < 2:
        return "", ""
    if deeper and all(inner == {name} for name, inner in tops.items()):
        first = place / min(tops) / min(tops)
        raise DataError(
            f"{start} hold but one of their own name each, so they are no classes; give one, such as {first}"
        )
    if not crossed and all(map(DATE.fullmatch, tops)):
        raise DataError(
            f"{start} are called by dates, which are no classes; put the files of each class into a folder with its "
            f"name, or, if dates are to be learnt, --label-pattern '{patterns.level(level)}'"
        )
    if crossed and all(map(named, below)) and "train" in map(named, below):
        if deeper:
            raise DataError(f"{start} hold splits each, so they are no classes; give one, such as {place / min(tops)}")
        return "", "split"
    if crossed and not below - OF_FILES:
        return "", ""
    if crossed and any(named(name) or LIKE_SPLITS.match(name) for name in tops):
        raise DataError(
            f"{start} all hold the same folders ({listed(sorted(below))}), so they seem to be splits and no classes; "
            "call them train, validation and test"
        )
    upper, lower = _no_classes(tops), _no_classes(below)
    if lower and not (crossed and upper):
        enough = len(below) >= ENOUGH and all(len(inner) >= EACH for inner in tops.values())
        return "", "group" if deep and enough else ""
    if crossed and upper == lower:
        raise DataError(f"{start} {_open(level, tops, below, [parts[-1] for parts in inside])}")
    return "group" if crossed else "", ""


def _open(level: int, tops: Collection[str], below: Collection[str], names: Sequence[str]) -> str:
    """What is said where either may be the classes. What belongs together has the same name, or lies in one folder."""
    stems = {name.rpartition(".")[0] for name in names}
    repeated = 2 * len(stems) <= len(names) and not all(map(str.isdecimal, stems))
    readings = []
    for depth, classes, others in ((level, tops, below), (level + 1, below, tops)):
        group = "^(.+)[.]" if repeated else patterns.level(2 * level + 1 - depth)
        alone = not repeated and len(others) < ENOUGH
        readings.append(
            f"for {', '.join(sorted(classes)[:2])} take --label-pattern '{patterns.level(depth)}'"
            + ("" if alone else f" --group-pattern '{group}'")
        )
    return (
        f"all hold the same folders ({listed(sorted(below))}), and no name says which are the classes; {readings[0]}, "
        f"{readings[1]}"
    )


def _no_classes(names: Collection[str]) -> bool:
    """Whether they are all called as people, machines or days are: by one word with numbers, dates, digests; but not
    0, 1, 2."""
    numbers = sorted(int(name) for name in names if name.isdecimal())
    if 0 < len(numbers) == len(names) <= FEW_CLASSES and numbers[0] < 2 and numbers[-1] - numbers[0] < len(names):
        return False
    forms = {re.sub(r"\d+", "#", name.lower()) for name in names}
    numbered = len(forms) == 1 < len(names) and "#" in min(forms) and not CLASSES.fullmatch(min(forms))
    return numbered or (len(names) > 1 and any(all(map(form.fullmatch, names)) for form in (DATE, DAY, DIGEST)))


def listed(names: Sequence[str]) -> str:
    return columns.listed(names, SHOWN)
