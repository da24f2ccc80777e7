"""Layouts that well-known data sets are published in, beside class folders and tables of files.

images.txt, image_class_labels.txt, …   CUB-200's lists: read here
JPEGImages/, Annotations/*.xml          VOC's boxes           told what to do
annotations/instances_*.json            COCO's boxes          told what to do
list_attr_celeba.txt                    CelebA's attributes, and its splits: read here
*.mat                                   MATLAB's lists, as of Stanford's cars and dogs    told what to do
"""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

from pervade.core.errors import DataError
from pervade.data.read import encodings
from pervade.data.read.table_files import Record

IMAGES, LABELS, CLASSES, SPLIT = "images.txt", "image_class_labels.txt", "classes.txt", "train_test_split.txt"
PARTITION = {"0": "train", "1": "validation", "2": "test"}
TABLE = "write a table with a column file_name and a column label, a line for each picture"
BOXES = re.compile(r"\d+( -?[\d.e+-]+){4,}\s*$", re.MULTILINE)
MOST = 1000  # files that are looked at for a list


def lists(root: Path) -> list[Record] | None:
    """The rows of CUB-200-2011's lists (Wah et al. 2011): file, label, split; None where these are not there. Raises
    DataError where they contradict each other."""
    if not all((root / name).is_file() for name in (IMAGES, LABELS)):
        return None
    files, classes = _pairs(root / IMAGES), _pairs(root / LABELS)
    names = _pairs(root / CLASSES) if (root / CLASSES).is_file() else {}
    trains = _pairs(root / SPLIT) if (root / SPLIT).is_file() else {}
    for name, given in ((LABELS, classes), (SPLIT, trains)):
        without = next((number for number in files if given and number not in given), None)
        if without is not None:
            raise DataError(f"{root / name} has no line for picture {without} of {IMAGES}; add it")
    records: list[Record] = []
    for number, file in files.items():
        label = names.get(classes[number], classes[number])
        record = {"file_name": f"images/{file}", "label": label}
        records.append(record | ({"split": "train" if trains[number] == "1" else "test"} if trains else {}))
    return records


def attributes(root: Path) -> tuple[Path, list[Record]] | None:
    """The list of CelebA (Liu et al. 2015) and its rows: how many pictures, names of columns, and of each picture 1 or
    -1 in each; the splits are 0, 1 and 2 in another list. None where there is no such list."""
    for path in sorted((*root.glob("*attr*.txt"), *root.glob("*/*attr*.txt"))):
        lines = encodings.decode(path.read_bytes(), path).splitlines()
        names = lines[1].split() if len(lines) > 2 and lines[0].strip().isdigit() else []
        rows = [line.split() for line in lines[2:] if line.strip()]
        if not names or any(len(row) != len(names) + 1 for row in rows):
            continue
        parts = next(
            iter([*sorted(path.parent.glob("*partition*.txt")), *sorted(root.glob("*/*partition*.txt"))]), None
        )
        splits = {name: PARTITION.get(part) for name, part in _pairs(parts).items()} if parts is not None else {}
        records = [{"file_name": row[0], **dict(zip(names, row[1:], strict=True))} for row in rows]
        return path, [row | ({"split": splits.get(row["file_name"])} if splits else {}) for row in records]
    return None


def _pairs(path: Path) -> dict[str, str]:
    """Of each line what stands before the first space, and what behind it. Raises DataError where it is not UTF-8."""
    lines = encodings.decode(path.read_bytes(), path).splitlines()
    return {a: b.strip() for a, _, b in (line.strip().partition(" ") for line in lines if line.strip())}


def refuse(root: Path) -> None:
    """Raises DataError where `root` holds what is no classes of pictures but would look so: VOC's folders."""
    voc = next(
        (folder for folder in (root, *islice(root.glob("*/VOC*"), 1), *islice(root.glob("VOC*"), 1)) if _voc(folder)),
        None,
    )
    if voc is not None:
        raise DataError(
            f"{voc} is laid out as VOC is (JPEGImages/, Annotations/): boxes in pictures, which are not learnt; "
            f"{TABLE} (ImageSets/Main/*_train.txt say which class is in which), or labels in one cell with "
            "--task image-multi-label-classification"
        )


def _voc(root: Path) -> bool:
    return (root / "JPEGImages").is_dir() and (root / "Annotations").is_dir()


def advice(root: Path) -> str | None:
    """What to do with pictures whose labels stand in lists that are not read; None where there are none."""
    coco = next(iter(sorted(root.glob("annotations/*.json"))), None)
    if coco is not None:
        return f"their labels stand in {coco} (COCO's boxes), which is not read: {TABLE}"
    boxes = next(
        (path for form in ("labels/*.txt", "labels/*/*.txt", "*/labels/*.txt") for path in root.glob(form)), None
    )
    if boxes is not None and BOXES.match(encodings.decode(boxes.read_bytes()[:1000], boxes)):
        return f"the files in {boxes.parent} are boxes in pictures (YOLO's), which are not learnt: {TABLE}"
    lists = sorted(islice((path for path in root.glob("**/*.mat")), MOST))
    if lists:
        return f"their labels stand in {lists[0]}, MATLAB's, which is not read: scipy.io.loadmat opens it; {TABLE}"
    return None
