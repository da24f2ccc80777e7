"""Pictures and what belongs to each of them, in folders that look like classes: images/ beside masks/.

Files of the same names in every folder are no sign alone, since files of any class may be numbered from 1 on: one of
the folders must be called as annotations are, or all must hold the very same names, which are no mere counters.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from pervade.core.errors import DataError
from pervade.core.types import LeftOut
from pervade.data.read import patterns
from pervade.data.read.class_folders import Sorted
from pervade.data.read.named_files import BESIDE as OF_FILES
from pervade.data.rows.split import named

# Words of folders that hold something about each of the pictures beside them.
ANNOTATIONS = {"mask", "masks", "label", "labels", "annotation", "annotations", "annot", "gt", "gtfine", "gtcoarse"}
ANNOTATIONS |= {"ground", "truth", "groundtruth", "depth", "seg", "segmentation", "segmentations", "trimap", "trimaps"}
ANNOTATIONS |= {"disparity", "labelids", "masken", "máscaras", "masques", "标注", "掩码"}
_ENDS = re.compile(r"[ _.-]+(mask|label\w*|gt\w*|seg\w*|annot\w*|depth|rgb|image|img|leftimg8bit|trimap|color)$")
_MASK = re.compile(r"[ _.-]+(mask|masks|gt|seg|segmentation|label|labelids|annotation)([ _-]?\d+)?$", re.IGNORECASE)
FEWEST, MOST_FOLDERS = 4, 4  # pictures of a folder whose names say something; folders that go together


def refuse(root: Path, folders: Sorted) -> None:
    """Raises DataError where what would be classes seem to be pairs."""
    if len(folders.levels) > MOST_FOLDERS and not any(map(_says_annotations, folders.levels)):
        return
    stems: dict[str, set[str]] = defaultdict(set)
    for entry in folders.entries:
        stems[entry["target"]].add(stem(entry["id"]))
    pair = _annotated(stems) or _same(stems)
    if pair is None:
        return
    folder, other = pair
    level = folders.levels[folder]
    alone = f"take the folders {other}/ out of {root}" if level else f"give {root / folder}"
    raise DataError(
        f"{root}: {folder}/ and {other}/ hold files of the same names ({len(stems[folder] & stems[other]):,} of "
        f"{len(stems[folder]):,}), so they seem to be pairs (a picture and its mask) and no classes; segmentation is "
        f"not there: to learn from {folder}/ alone, {alone}; or, if these folders are the classes, --label-pattern "
        f"'{patterns.level(level)}' --group-pattern '^(.+)[.]', which keeps pairs together"
    )


def masks(folders: Sorted) -> list[LeftOut]:
    """Takes out what is called as the mask of a picture in the same folder: "benign (1)_mask.png". What was taken out
    is given back."""
    masks_named = [entry["id"] for entry in folders.entries if _MASK.search(entry["id"].rpartition(".")[0])]
    there = {entry["id"].rpartition(".")[0] for entry in folders.entries} if masks_named else set()
    lost = {name for name in masks_named if _MASK.sub("", name.rpartition(".")[0]) in there}
    if lost:
        folders.entries = [entry for entry in folders.entries if entry["id"] not in lost]
        note = f"{len(lost):,} files that are called as masks of others are no pictures to learn from"
        folders.notes.append((note, f"--label-pattern '{patterns.level(max(folders.levels.values()))}' takes them too"))
    return [LeftOut(name, "called as the mask of a file beside it") for name in masks_named if name in lost]


def _annotated(stems: dict[str, set[str]]) -> tuple[str, str] | None:
    """A folder of pictures, and one of annotations of at least half as many of these; with_mask/ is none."""
    for name in sorted(stems):
        words = _words(name)
        if _says_annotations(name):
            others = [other for other in sorted(stems) if not any(word in other.lower() for word in words)]
            best = max(others, key=lambda other: len(stems[other] & stems[name]), default=None)
            if best is not None and 2 * len(stems[best] & stems[name]) >= len(stems[name]):
                return best, name
    return None


def _says_annotations(name: str) -> bool:
    words = _words(name)
    return bool(words) and (words <= ANNOTATIONS or name.lower() in ANNOTATIONS)


def _same(stems: dict[str, set[str]]) -> tuple[str, str] | None:
    first, *others = stems.values() if stems else [set()]
    if (
        len(first) < FEWEST
        or not 0 < len(others) < MOST_FOLDERS
        or any(other != first for other in others)
        or _counters(first)
    ):
        return None
    name, other, *_ = sorted(stems)
    return name, other


def stem(name: str) -> str:
    """What the names of a pair have in common: without ending, and without what says which of them it is.

    >>> stem("gtFine/a_01_gtFine_labelIds.png"), stem("leftImg8bit/a_01_leftImg8bit.png")
    ('a_01', 'a_01')
    """
    common = name.rpartition("/")[2].rpartition(".")[0].casefold()
    while (shorter := _ENDS.sub("", common)) != common:
        common = shorter
    return common


def _words(name: str) -> set[str]:
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", name).lower())
    return {word for word in words if not named(word) and word not in OF_FILES}


def _counters(stems: Collection[str]) -> bool:
    """Whether all are numbered, with hardly a number left out."""
    numbers = [int(digits[-1]) for stem in stems if (digits := re.findall(r"\d+", stem))]
    return len(numbers) == len(stems) and max(numbers) - min(numbers) <= 2 * len(numbers)
