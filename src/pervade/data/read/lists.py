"""Text files that list other files, a line each, and say which split they are in, or their labels.

testing_list.txt, validation_list.txt    Speech Commands: what they do not name trains
meta/train.txt, meta/test.txt            Food-101: names without endings; what neither names is left out
train.txt, val.txt                       "images/1.jpg 3", "1.jpg<tab>cat": with labels
val/val_annotations.txt, labels.txt      labels of these files
1.cls                                    the label of 1.jpg beside it
imagelabels.mat, setid.mat               Oxford's flowers: numbers in the order of names

What such a file is, is told by its name and by its lines: nearly all of them must begin with a file that is there. Of
several divisions (train1.txt … train10.txt) the first is taken.
"""

from __future__ import annotations

import itertools
import re
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pervade.core.errors import DataError
from pervade.core.types import LeftOut
from pervade.data.read import account
from pervade.data.read.class_folders import Sorted
from pervade.data.read.columns import plain
from pervade.data.read.division import NONE
from pervade.data.read.named_files import Below
from pervade.data.read.targets import natural
from pervade.data.rows.split import NAMES

LIKE_LISTS = re.compile(r"list|label|annot|class|target|truth|categor|meta|tags?$")
PARTED = ("\t", ";", ",", " ")  # in this order, what may part a file from its label
LARGEST, MOST, SPACED = 1 << 27, 50, 50  # bytes of a list, lists that are looked at, lines that tell what it is
NEARLY_ALL = 0.9
ENDINGS, LONGEST = (".cls", ".txt"), 200  # of files with one label each, and their bytes at most
MATLAB = {"trnid": "train", "valid": "validation", "tstid": "test", "train_idx": "train", "test_idx": "test"}
SPLITS = NAMES | {"trainval": "train"}


@dataclass(frozen=True)
class _List:
    """`kind` is what it is called beside the split: "#" of train1.txt. `labels` are empty where it has none."""

    name: str
    split: str | None
    kind: str
    files: tuple[Path, ...]
    labels: tuple[str, ...]


@dataclass
class Lists:
    """What lists say of files; `every`: what they do not name trains; `read`: their names."""

    read: set[str] = field(default_factory=set)

    splits: dict[Path, str] = field(default_factory=dict)
    labels: dict[Path, str] = field(default_factory=dict)
    every: bool = False
    divide: list[str] = field(default_factory=list)  # the lists of splits, and their names with numbers
    named: list[str] = field(default_factory=list)  # those of labels

    def tell(self, folders: Sorted) -> list[LeftOut]:
        """Labels and splits into what folders say, and into the account. A label from a list stands where there is no
        class folder, or where class folders part the files otherwise. What lists of splits leave out is given back."""
        labels = {str(file): label for file, label in self.labels.items()}
        given = [entry for entry in folders.entries if entry["path"] in labels]
        pairs = {(entry["target"], labels[entry["path"]]) for entry in given}
        same = len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
        if 2 * len(given) > len(folders.entries) and not same:
            folders.entries = [
                {**entry, "target": labels.get(entry["path"], entry["target"])} for entry in folders.entries
            ]
            folders.notes = [note for note in folders.notes if not note[0].startswith("labels:")]
        else:
            given = []
        added = [{**entry, "target": labels[entry["path"]]} for entry in folders.loose if entry["path"] in labels]
        folders.entries += added
        folders.loose = [entry for entry in folders.loose if entry["path"] not in labels]
        if given or added:
            share = f"{len(given) + len(added):,} of {len(folders.entries):,} files"
            folders.notes.append((f"labels: from the list {', '.join(self.named)}, of {share}", "--label-pattern"))
        splits = {str(file): split for file, split in self.splits.items()}
        if any("split" in entry for entry in folders.entries) or not any(e["path"] in splits for e in folders.entries):
            return []
        for entry in folders.entries:
            entry |= {"split": splits.get(entry["path"], "train")} if self.every or entry["path"] in splits else {}
        lost = [entry for entry in folders.entries if "split" not in entry]
        folders.entries = [entry for entry in folders.entries if "split" in entry]
        rest = (
            "; what they do not name trains" if self.every else f"; {len(lost):,} others are left out" if lost else ""
        )
        folders.notes.append((f"splits: the lists {', '.join(self.divide)}{rest}", f"--split-column {NONE}"))
        return [LeftOut(entry["id"], f"none of the lists {', '.join(self.divide)} names it") for entry in lost]


def find(root: Path, texts: Iterable[Path], suffixes: Collection[str]) -> Lists:
    """What those of the `texts` say that are lists of files below `root`. Raises DataError where several say labels."""
    below = Below(root, suffixes, root)
    named_so = [path for path in sorted(texts) if _split(path) or LIKE_LISTS.search(plain(path.stem))]
    listings = [listing for text in named_so[:MOST] if (listing := _read(root, text, below)) is not None]
    made = Lists()
    labelled: dict[str, list[_List]] = defaultdict(list)
    divided: dict[str, list[_List]] = defaultdict(list)
    for listing in listings:
        if listing.labels:
            labelled[listing.kind].append(listing)
        if listing.split is not None:
            divided[listing.kind].append(listing)
    if len(labelled) > 1:
        described = "; ".join(", ".join(listing.name for listing in listings) for listings in labelled.values())
        raise DataError(
            f"{root} holds several kinds of lists with labels ({described}); leave one there and put the others "
            "elsewhere"
        )
    for listing in (listing for listings in labelled.values() for listing in listings):
        made.labels |= dict(zip(listing.files, listing.labels, strict=True))
        made.named.append(listing.name)
        made.read.add(listing.name)
    kinds = sorted(
        divided, key=lambda kind: (kind not in labelled, -len({e.split for e in divided[kind]}), natural(kind))
    )
    for listing in divided[kinds[0]] if kinds else ():
        made.splits |= dict.fromkeys(listing.files, str(listing.split))
        made.read.add(listing.name)
        made.divide.append(f"{listing.name} ({listing.split}, {len(listing.files):,})")
    made.every = bool(kinds) and "train" not in made.splits.values()
    return made


def of_each(made: Lists, loose: Sequence[dict[str, Any]]) -> None:
    """Adds labels from a file of the same name for each: 1.jpg and 1.cls, as archives of WebDataset are unpacked, or
    1.txt with one word."""
    for ending in ENDINGS:
        texts = {Path(entry["path"]): Path(entry["path"]).with_suffix(ending) for entry in loose}
        there = {file: text for file, text in texts.items() if text.is_file() and text.stat().st_size <= LONGEST}
        if not loose or len(there) < NEARLY_ALL * len(loose):
            continue
        labels = _labels([text.read_bytes().decode("utf-8", "replace").strip() for text in there.values()], None)
        if labels and not any(" " in label for label in labels):
            made.labels |= dict(zip(there, labels, strict=True))
            made.named.append(f"of files ending in {ending}")
            made.read |= {str(Path(entry["id"]).with_suffix(ending).as_posix()) for entry in loose}
            return


def of_matlab(made: Lists, root: Path, loose: Sequence[dict[str, Any]]) -> None:
    """Adds labels from MATLAB's files, as Oxford's flowers have them: an array with a number for each file in the order
    of names (imagelabels.mat), and arrays of the numbers of files, from 1 on, of each split (setid.mat)."""
    paths = [path for path in sorted(root.glob("*.mat")) if path.stat().st_size < LARGEST]
    if not paths or not loose:
        return
    from scipy.io import loadmat  # 0.2 s, and few need it
    from scipy.io.matlab import MatReadError

    files = [Path(entry["path"]) for entry in sorted(loose, key=lambda entry: str(entry["id"]))]
    for path in paths:
        try:
            arrays = {k: v.ravel() for k, v in loadmat(path).items() if getattr(v, "dtype", None) is not None}
        except (MatReadError, ValueError, NotImplementedError, OSError, TypeError, LookupError, zlib.error):
            account.note(f"{path.name} is not read: it is damaged, or of MATLAB 7.3; save it there with -v7")
            continue
        labels = [v for v in arrays.values() if v.dtype.kind in "iuf" and len(v) == len(files)]
        if len(labels) == 1 and not made.labels:
            made.labels |= {file: str(int(v)) for file, v in zip(files, labels[0], strict=True)}
            made.named.append(f"{path.name}, in the order of names")
        splits = {split: v for k, v in arrays.items() if (split := MATLAB.get(k)) and v.dtype.kind in "iu"}
        if len(splits) > 1 and all(v.size and v.min() > 0 and v.max() <= len(files) for v in splits.values()):
            made.splits |= {files[int(i) - 1]: split for split, v in splits.items() for i in v}
            made.divide.append(path.name)
        if path.name in (*made.divide, *(name.partition(",")[0] for name in made.named)):
            made.read.add(path.name)


def _read(root: Path, path: Path, below: Below) -> _List | None:
    """A list, or None where it is none by its lines."""
    try:
        text = path.read_bytes().decode("utf-8-sig", "replace") if path.stat().st_size <= LARGEST else ""
    except OSError:  # a closed file, which is named among what is not read
        return None
    split, lines = _split(path), [line for raw_line in text.splitlines() if (line := raw_line.strip())]
    sample = lines[:: max(len(lines) // SPACED, 1)]
    near = [below] if path.parent == root else [Below(path.parent, below.suffixes), below]
    for there, sign in itertools.product(near, (None, *PARTED)):
        parted = [_parted(line, sign) for line in sample]
        fit = sum(isinstance(file, Path) for file in there.find([name for name, _ in parted]))
        if fit > NEARLY_ALL * len(sample) and len({name for name, _ in parted}) > NEARLY_ALL * len(sample):
            break
    else:
        return None
    parted = [_parted(line, sign) for line in lines]
    files = there.find([name for name, _ in parted])
    rest = _labels([behind for _, behind in parted], sign)
    kept = [
        (file, label) for file, label in zip(files, rest or [""] * len(files), strict=True) if isinstance(file, Path)
    ]
    if split is None and (not rest or 2 * len(kept) < below.count):
        return None
    kind = "".join(re.findall(r"\d+", path.stem)) + " ".join(word for word in _words(path) if word not in SPLITS)
    own = tuple(file for file, _ in kept)
    return _List(path.relative_to(root).as_posix(), split, kind, own, tuple(label for _, label in kept) if rest else ())


def _words(path: Path) -> list[str]:
    return re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", path.stem).lower())


def _split(path: Path) -> str | None:
    """The one split that any word of its name says."""
    splits = {SPLITS[word] for word in _words(path) if word in SPLITS}
    return next(iter(splits)) if len(splits) == 1 else None


def _parted(line: str, sign: str | None) -> tuple[str, str]:
    if sign is None:
        return line, ""
    name, _, behind = line.partition(sign)
    return name.strip(), behind.strip()


def _labels(behind: Sequence[str], sign: str | None) -> list[str]:
    """What stands behind the files as labels, where it comes again and again: the next cell, or, behind a blank, all of
    it. None where there are several numbers."""
    cells = [text.partition(sign)[0].strip() for text in behind] if sign and sign.strip(" ") else list(behind)
    lettered = any(character.isalpha() for cell in cells for character in cell)
    single = not any(re.search(r"[\s;,]", text) for text in behind)
    return cells if all(cells) and 1 < len(set(cells)) <= len(cells) / 2 and (lettered or single) else []
