"""What folders say of the files in them: the class, the split, the fold.

cats/1.jpg                          the class is the folder on top; what lies below it may be sorted further
train/cats/1.jpg                    split folders, also training_set/ and test_set/, seg_train/ and seg_test/
fold1/cats/1.jpg                    numbered folds
pets/cats/1.jpg                     one folder too many is walked through, of each split too (seg_train/seg_train/)
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pervade.core.errors import DataError
from pervade.core.types import LeftOut
from pervade.data import account, patterns
from pervade.data.split import named

FOLD = re.compile(r"(?:cv[ _-]?)?fold[ _-]?(\d+)", re.IGNORECASE)
LIKE_SPLITS = re.compile(r"train|test|valid|val\b|dev\b|eval", re.IGNORECASE)
MEASURED = {"test", "testing", "val", "validation"}  # called so, a folder beside class folders is no class
UNLABELLED = ("unsup", "unlabelled", "unlabeled", "unsupervised")  # folders beside those of classes, as IMDB has
BESIDE = "it lies beside the class folders, not in one"
SHOWN = 6


@dataclass
class Sorted:
    """Files with what their folders say; `loose` lie in no class folder."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    loose: int = 0
    notes: list[tuple[str, str]] = field(default_factory=list)

    @property
    def classes(self) -> set[str]:
        return {each["target"] for each in self.entries}

    @property
    def tell_classes(self) -> bool:
        """Whether the folders may be classes beside a table: one alone (images/, wavs/) tells nothing apart, nor do
        several that are numbered (images_part_1/, images_part_2/)."""
        kinds = {re.sub(r"\d+$", "#", each) for each in self.classes}
        return len(self.classes) > 1 and (len(kinds) > 1 or kinds == {"#"})

    def note(self) -> None:
        """Into the account, where it is this that is read."""
        for text, flag in self.notes:
            account.note(text, flag)


def splits_of(names: Collection[str]) -> dict[str, str]:
    """Of those names of folders or tables that are called as splits are, the split. What stands beside the word may be
    anything that stands beside it in the others too. Raises DataError where that fits folders of several kinds.

    >>> splits_of(["cars_train", "cars_test", "devkit"]), splits_of(["train_station", "bus_station"])
    ({'cars_train': 'train', 'cars_test': 'test'}, {})
    """
    found = {name: split for name in names if (split := named(name))}
    if found:
        return found
    alike: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for name in sorted(names):
        words = re.findall(r"[^\W\d_]+", name.lower())
        said = [split for word in words if (split := named(word))]
        if len(said) == 1:
            alike[tuple(word for word in words if not named(word))][name] = said[0]
    fit = [each for each in alike.values() if len(each) > 1 and "train" in each.values()]
    if len(fit) > 1:
        raise DataError(
            f"{' and '.join(', '.join(each) for each in fit[:2])} are each called as splits are; keep one of them, or "
            "sort all into train and test"
        )
    return fit[0] if fit else {}


def sort(root: Path, files: Sequence[Path], label_pattern: str | None = None) -> Sorted:
    """Of the files below `root` what their folders say. With a pattern labels are read out of the files' names,
    wherever they lie."""
    made = Sorted()
    inside = [file.relative_to(root).parts for file in files]
    depth = _too_many(inside)
    if depth and label_pattern is None:
        made.notes.append((f"the class folders are those in {'/'.join(inside[0][:depth])}/, the only folder", ""))
    top = {parts[depth] for parts in inside if len(parts) > depth + 1}
    splits = splits_of(top)
    # Split folders stay split folders beside one more folder ("extra", "unlabelled"); a class may be called "train".
    several = "train" in splits.values() and len(set(splits.values())) > 1
    by_split = bool(splits) and (len(splits) == len(top) or several)
    folds = {name: match[1] for name in top if (match := FOLD.fullmatch(name))}
    by_fold = len(folds) == len(top) > 1
    if not (by_split or by_fold) and label_pattern is None:
        _refuse_splits(root, inside, depth)
    own = _own_level(inside, depth) if by_split or by_fold else {}
    no_class = set() if by_split or by_fold or label_pattern is not None else _measured(inside, depth)
    for file, parts in zip(files, inside, strict=True):
        name = "/".join(parts)
        entry: dict[str, Any] = {"id": name, "path": str(file)}
        first = parts[depth] if len(parts) > depth + 1 else None
        split, fold = (splits.get(first or "") if by_split else None), (folds.get(first or "") if by_fold else None)
        entry |= ({"split": split} if split else {}) | ({"fold_given": fold} if fold else {})
        level = depth + own.get(first, 0)
        label = None if label_pattern is None else patterns.found(label_pattern, name)
        if label_pattern is not None and label is None:
            made.left_out.append(LeftOut(name, f"its name does not fit --label-pattern '{label_pattern}'"))
        elif label is not None and (not by_split or split):
            made.entries.append({**entry, "target": label})
        elif first in no_class:
            why = f"{first}/ lies beside class folders and is called as a split is; as a class it needs another name"
            made.left_out.append(LeftOut(name, why))
        elif first is not None and by_split and not split:
            made.left_out.append(LeftOut(name, "it lies beside the split folders, not in one"))
        elif len(parts) <= level + 1:
            made.left_out.append(LeftOut(name, BESIDE))
            made.loose += 1
        elif by_split and parts[level].lower() in UNLABELLED:
            made.left_out.append(LeftOut(name, f"the folder {parts[level]} is called as one of files without labels"))
        else:
            # macOS spells é as two characters, Linux as one; a class must not be two for that.
            made.entries.append({**entry, "target": unicodedata.normalize("NFC", parts[level])})
    _note(made, splits if by_split else {}, list(folds) if by_fold else [], label_pattern)
    return made


def _refuse_splits(root: Path, inside: Sequence[tuple[str, ...]], depth: int) -> None:
    """Raises DataError where folders that all hold the same folders look like splits by other names, and would be taken
    for the classes."""
    below: dict[str, set[str]] = defaultdict(set)
    for parts in inside:
        if len(parts) > depth + 2:
            below[parts[depth]].add(parts[depth + 1])
    kinds = list(below.values())
    alike = len(kinds) > 1 and all(len(each) > 1 and each == kinds[0] for each in kinds)
    if alike and any(named(each) or LIKE_SPLITS.match(each) for each in below):
        raise DataError(
            f"{root}: the folders {_listed(sorted(below))} all hold the same folders ({_listed(sorted(kinds[0]))}), so "
            "they seem to be splits and no classes; call them train, validation and test"
        )


def _note(made: Sorted, splits: dict[str, str], folds: Sequence[str], label_pattern: str | None) -> None:
    if splits:
        made.notes.append((f"splits: the folders {_listed([f'{a}/ ({b})' for a, b in sorted(splits.items())])}", ""))
    if folds:
        made.notes.append((f"folds: the folders {_listed([f'{each}/' for each in sorted(folds)])}", "--folds column"))
    if label_pattern is not None:
        made.notes.append((f"labels: what '{label_pattern}' finds in the files' names", "--label-pattern"))
    elif made.entries:
        shown = _listed([f"{each}/" for each in sorted(made.classes)])
        made.notes.append((f"labels: the names of {len(made.classes):,} folders, {shown}", "--label-pattern"))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def _too_many(inside: Sequence[tuple[str, ...]]) -> int:
    """How many folders lie above those that tell anything apart: each alone, with folders of files in it."""
    depth = 0
    while True:
        here = [parts for parts in inside if len(parts) > depth + 1]
        alone = {parts[depth] for parts in here}
        below = {parts[depth + 1] for parts in here if len(parts) > depth + 2}
        if len(alone) != 1 or len(below) < 1 or named(next(iter(alone))) or _only(here, depth) > len(here) / 2:
            return depth
        depth += 1


def _only(here: Sequence[tuple[str, ...]], depth: int) -> int:
    """How many files lie in the folder itself, and not in one below it."""
    return sum(len(parts) == depth + 2 for parts in here)


def _own_level(inside: Sequence[tuple[str, ...]], depth: int) -> dict[str | None, int]:
    """Of each split or fold at which depth below it the class folders are: 1, or more where all of them, or one that is
    called as it is, hold but one folder."""
    level: dict[str | None, int] = {}
    single: dict[str, str | None] = {}
    for name in {parts[depth] for parts in inside if len(parts) > depth + 1}:
        own = [parts for parts in inside if len(parts) > depth + 1 and parts[depth] == name]
        below = {parts[depth + 1] for parts in own if len(parts) > depth + 2}
        deep = any(len(parts) > depth + 3 for parts in own)
        single[name] = next(iter(below)) if len(below) == 1 and deep else None
    every = all(single.values())
    for name, only in single.items():
        doubled = only is not None and (every or only.lower() == name.lower())
        level[name] = 2 if doubled else 1
    return level


def _measured(inside: Sequence[tuple[str, ...]], depth: int) -> set[str | None]:
    """Folders called test or validation beside two class folders and more: of files that are not sorted."""
    folders = {parts[depth] for parts in inside if len(parts) > depth + 1}
    found: set[str | None] = {name for name in folders if name.lower() in MEASURED}
    return found if len(folders) - len(found) > 1 and not any(named(each) == "train" for each in folders) else set()
