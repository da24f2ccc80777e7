"""What folders say of the files in them: the class, the split, the fold, the group.

cats/1.jpg                          the class is the folder on top; what lies below it may be sorted further
train/cats/1.jpg                    split folders, also training_set/ and test_set/, seg_train/ and seg_test/
fold1/cats/1.jpg                    numbered folds
patient_7/cats/1.jpg                numbered people are groups, numbered parts nothing: their names are no classes
pets/cats/1.jpg                     one folder too many is walked through, of each split too (seg_train/seg_train/)
images/1.jpg                        one folder that is called as those of files are is no class
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pervade.core.errors import DataError
from pervade.core.types import LeftOut
from pervade.data.read import account, folder_levels, patterns
from pervade.data.read.division import NONE
from pervade.data.read.folder_levels import listed
from pervade.data.read.named_files import BESIDE as OF_FILES
from pervade.data.rows.split import named

FOLD = re.compile(r"(?:cv[ _-]?)?fold[ _-]?(\d+)", re.IGNORECASE)
MEASURED = {"test", "testing", "val", "validation"}  # called so, a folder beside class folders is no class
UNLABELLED = ("unsup", "unlabelled", "unlabeled", "unsupervised")  # folders beside those of classes, as IMDB has
BESIDE = "it lies beside the class folders, not in one"
ASIDE = "folders whose names begin with _ are no classes"


@dataclass
class Sorted:
    """Files with what their folders say; `loose` lie in no class folder, and are not among the entries. `levels`: how
    many folders lie above the folder of a class; `fault`: why it cannot be told which folders are classes."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    loose: list[dict[str, Any]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    levels: dict[str, int] = field(default_factory=dict)
    fault: str = ""

    @property
    def classes(self) -> set[str]:
        return {entry["target"] for entry in self.entries}

    @property
    def tell_classes(self) -> bool:
        """Whether the folders may be classes beside a table: one alone (images/, wavs/) tells nothing apart, nor do
        several that are numbered (images_part_1/, images_part_2/)."""
        kinds = {re.sub(r"\d+$", "#", label) for label in self.classes}
        return len(self.classes) > 1 and (len(kinds) > 1 or kinds == {"#"})

    def note(self) -> None:
        """Into the account, where it is this that is read. Raises DataError where folders do not say the classes."""
        if self.fault:
            raise DataError(self.fault)
        for text, flag in self.notes:
            account.note(text, flag)


def splits_of(names: Collection[str]) -> dict[str, str]:
    """Of those names of folders or tables that are called as splits are, the split. What stands beside the word may be
    anything that stands beside it in the others too. Raises DataError where that fits folders of several kinds.

    >>> splits_of(["cars_train", "cars_test", "devkit"]), splits_of(["train_station", "bus_station"])
    ({'cars_train': 'train', 'cars_test': 'test'}, {})
    """
    split_of = {name: split for name in names if (split := named(name))}
    if split_of:
        return _developed(split_of)
    alike: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for name in sorted(names):
        words = re.findall(r"[^\W\d_]+", name.lower())
        words_split = [split for word in words if (split := named(word))]
        if len(words_split) == 1:
            alike[tuple(word for word in words if not named(word))][name] = words_split[0]
    fit = [names for names in map(_developed, alike.values()) if len(names) > 1 and "train" in names.values()]
    if len(fit) > 1:
        raise DataError(
            f"{' and '.join(map(', '.join, fit[:2]))} are each called as splits are; keep one of them, or sort all "
            "into train and test"
        )
    return fit[0] if fit else {}


def _developed(split_of: dict[str, str]) -> dict[str, str]:
    """Where there is nothing but a development set and an evaluation set, the one trains and the other is the test."""
    trains = {name: "dev" in name.lower() for name in split_of}
    if set(split_of.values()) != {"validation"} or len(set(trains.values())) < 2:
        return split_of
    return {name: "train" if trains[name] else "test" for name in split_of}


@dataclass(frozen=True)
class _Folders:
    """`depth` folders lie above all; of the next ones `splits` or `folds`, and by their names how many `levels` below
    lie the class folders. Those `above` these are a "group" or a "part" each, those `below` them a "group" or a
    "split"; `fault` is why it cannot be told which are the classes."""

    depth: int
    splits: dict[str, str]
    folds: dict[str, str]
    levels: dict[str | None, int]
    above: str = ""
    below: str = ""
    fault: str = ""

    def first(self, parts: Sequence[str]) -> str | None:
        return parts[self.depth] if len(parts) > self.depth + 1 else None

    def level(self, parts: Sequence[str]) -> int:
        return self.depth + self.levels.get(self.first(parts), 0)


def _folders(root: Path, inside: Sequence[tuple[str, ...]], people: bool) -> _Folders:
    depth = _too_many(inside)
    top = {parts[depth] for parts in inside if len(parts) > depth + 1}
    splits = splits_of(top)
    # Split folders stay split folders beside one more folder ("extra", "unlabelled"); a class may be called "train".
    several = "train" in splits.values() and len(set(splits.values())) > 1
    by_split = bool(splits) and (len(splits) == len(top) or several)
    folds = {name: match[1] for name in top if (match := FOLD.fullmatch(name))}
    by_fold = len(folds) == len(top) > 1
    own = _own_level(inside, depth) if by_split or by_fold else {}
    folders = _Folders(depth, splits if by_split else {}, folds if by_fold else {}, own)
    there = [(parts, folders.level(parts)) for parts in inside if not by_split or folders.first(parts) in splits]
    there = [(parts, level) for parts, level in there if len(parts) > level + 1]
    if people or not there:
        return folders
    first, level = there[0]
    try:
        above, below = folder_levels.between(
            root.joinpath(*first[:level]), level, [parts[level:] for parts, level in there]
        )
    except DataError as fault:
        return replace(folders, fault=str(fault))
    return replace(folders, above=above, below="" if by_split else below)


def sort(root: Path, files: Sequence[Path], label_pattern: str | None = None, people: bool = False) -> Sorted:
    """Of the files below `root` what their folders say. With a pattern labels are read out of the files' names,
    wherever they lie. `people`: numbered people are what is to be told apart, else they are groups."""
    made = Sorted()
    inside = [file.relative_to(root).parts for file in files]
    aside = [label_pattern is None and any(name.startswith("_") for name in parts[:-1]) for parts in inside]
    if any(aside) and not all(aside):
        made.left_out += [LeftOut("/".join(p), ASIDE) for p, away in zip(inside, aside, strict=True) if away]
        files = [file for file, away in zip(files, aside, strict=True) if not away]
        inside = [parts for parts, away in zip(inside, aside, strict=True) if not away]
    there = _folders(root, inside, people)
    made.fault = there.fault if label_pattern is None else ""
    no_class = set() if there.splits or there.folds or label_pattern is not None else _measured(inside, there.depth)
    for file, parts in zip(files, inside, strict=True):
        name = "/".join(parts)
        entry: dict[str, Any] = {"id": name, "path": str(file)}
        first, level = there.first(parts), there.level(parts)
        if first is not None and there.splits and first not in there.splits:
            made.left_out.append(LeftOut(name, "it lies beside the split folders, not in one"))
            continue
        if first is not None and (there.splits or there.folds):
            entry |= {"split": there.splits[first]} if there.splits else {"fold_given": there.folds[first]}
        if there.above and len(parts) > level + 1:
            entry |= {"group": parts[level]} if there.above == "group" else {}
            level += 1
        elif there.below and len(parts) > level + 2:
            entry |= {"group": parts[level + 1]} if there.below == "group" else {"split": named(parts[level + 1])}
        label = None if label_pattern is None else patterns.extract(label_pattern, name)
        if label_pattern is not None and label is None:
            made.left_out.append(LeftOut(name, f"its name does not fit --label-pattern '{label_pattern}'"))
        elif label is not None and (not there.splits or first is not None):
            made.entries.append({**entry, "target": label})
        elif first in no_class:
            why = f"{first}/ lies beside class folders and is called as a split is; as a class it needs another name"
            made.left_out.append(LeftOut(name, why))
        elif len(parts) <= level + 1:
            made.left_out.append(LeftOut(name, BESIDE))
            made.loose.append(entry)
        elif there.splits and parts[level].lower() in UNLABELLED:
            made.left_out.append(LeftOut(name, f"the folder {parts[level]} is called as one of files without labels"))
        else:
            # macOS spells é as two characters, Linux as one; a class must not be two for that.
            label = unicodedata.normalize("NFC", parts[level])
            made.entries.append({**entry, "target": label})
            made.levels[label] = level
    if there.depth and label_pattern is None:
        made.notes.append(
            (f"the class folders are those in {'/'.join(inside[0][: there.depth])}/, the only folder", "")
        )
    _settle(made, label_pattern)
    _note(made, there, label_pattern)
    return made


def without_classes(there: Sorted) -> Sorted:
    """Files that are of use without a class: all of them, none with one, where not every file lies in one of two class
    folders and more."""
    if not there.loose and not there.fault and len(there.classes) > 1:
        return there
    every = sorted([*there.entries, *there.loose], key=lambda entry: str(entry["id"]))
    entries = [{key: entry[key] for key in entry if key != "target"} for entry in every]
    notes = [note for note in there.notes if not note[0].startswith("labels:")]
    return Sorted(entries, notes=[*notes, ("labels: none, as not every file lies in a class folder", "")])


def _settle(made: Sorted, label_pattern: str | None) -> None:
    """A folder called as those of files are is no class where it is alone, nor in a split where it does not train; and
    groups are not the classes."""
    if label_pattern is None:
        trained = {entry["target"] for entry in made.entries if entry.get("split", "train") == "train"}
        several = trained if len(trained) > 1 else set()
        plain = {label for label in made.classes - several if label.lower() in OF_FILES}
        moved = [entry for entry in made.entries if entry["target"] in plain and (several or len(made.classes) == 1)]
        if moved:
            made.entries = [entry for entry in made.entries if entry["target"] not in plain]
            made.left_out += [LeftOut(entry["id"], BESIDE) for entry in moved]
            made.loose += [{key: entry[key] for key in entry if key != "target"} for entry in moved]
    if all(entry.get("group") == entry["target"] for entry in made.entries):
        for entry in made.entries:
            entry.pop("group", None)


def _note(made: Sorted, there: _Folders, label_pattern: str | None) -> None:
    if there.splits:
        described = [f"{a}/ ({b})" for a, b in sorted(there.splits.items())]
        made.notes.append((f"splits: the folders {listed(described)}", f"--split-column {NONE}"))
    if there.folds:
        described = [f"{fold}/" for fold in sorted(there.folds)]
        made.notes.append((f"folds: the folders {listed(described)}", "--folds column"))
    if there.below == "split":
        made.notes.append(("splits: the folders in those of the classes", f"--split-column {NONE}"))
    groups = sorted({entry["group"] for entry in (*made.entries, *made.loose) if "group" in entry})
    if groups:
        shown = listed([f"{group}/" for group in groups])
        level = patterns.level(there.depth + bool(there.splits) + (there.below == "group"))
        flag = f"--group-by {NONE}; as classes: --label-pattern '{level}'"
        made.notes.append((f"groups: the folders {shown}, none of which is divided", flag))
    if label_pattern is not None:
        made.notes.append((f"labels: what '{label_pattern}' finds in the files' names", "--label-pattern"))
    elif made.entries:
        shown = listed([f"{label}/" for label in sorted(made.classes)])
        deeper, flag = _deeper(made) if not there.below else ("", "--label-pattern")
        made.notes.append((f"labels: the names of {len(made.classes):,} folders, {shown}{deeper}", flag))


def _deeper(made: Sorted) -> tuple[str, str]:
    """What folders lie in those of the classes, in words, and the flag that takes these."""
    level = Counter(made.levels.values()).most_common(1)[0][0]
    inside = [entry["id"].split("/") for entry in made.entries]
    for below in range(level + 1, max(map(len, inside)) - 1):
        names = sorted({parts[below] for parts in inside if len(parts) > below + 1})
        if len(names) > 1:
            shown = listed([f"{name}/" for name in names])
            return (
                f"; not the {len(names):,} folders below them, {shown}",
                f"--label-pattern '{patterns.level(below)}' takes these",
            )
    return "", "--label-pattern"


def _too_many(inside: Sequence[tuple[str, ...]]) -> int:
    """How many folders lie above those that tell anything apart: each alone, with folders of files in it."""
    depth = 0
    while True:
        here = [parts for parts in inside if len(parts) > depth + 1]
        alone = {parts[depth] for parts in here}
        below = {parts[depth + 1] for parts in here if len(parts) > depth + 2}
        flat = sum(len(parts) == depth + 2 for parts in here)  # files in the folder itself, and not below it
        if len(alone) != 1 or len(below) < 1 or named(next(iter(alone))) or flat > len(here) / 2:
            return depth
        depth += 1


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
    measured: set[str | None] = {name for name in folders if name.lower() in MEASURED}
    return measured if len(folders) - len(measured) > 1 and "train" not in map(named, folders) else set()
