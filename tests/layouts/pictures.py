"""Layouts of pictures."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.layouts.made import CLASSES, IMAGE, folders, layout, picture, separated, write


@layout("a folder for each class", "pictures", IMAGE, 12, CLASSES)
def class_folders(root: Path) -> Path:
    return folders(root / "photos", ["cats", "dogs"], 6, picture, ".png")


@layout("class folders, suffixes in capitals", "pictures", IMAGE, 12, CLASSES)
def capitals(root: Path) -> Path:
    return folders(root / "photos", ["cats", "dogs"], 6, picture, ".PNG")


@layout("class folders with folders in them (cats/monday/1.png)", "pictures", IMAGE, 12, CLASSES)
def nested(root: Path) -> Path:
    names = ["cats/monday", "cats/tuesday", "dogs/monday", "dogs/tuesday"]
    return folders(root / "photos", names, 3, picture, ".png")


@layout("one folder too many above the class folders", "pictures", IMAGE, 12, CLASSES)
def one_too_many(root: Path) -> Path:
    folders(root / "download" / "photos", ["cats", "dogs"], 6, picture, ".png")
    return root / "download"


@layout("class folders called by numbers", "pictures", IMAGE, 12, {"0", "1"})
def digits(root: Path) -> Path:
    return folders(root / "digits", ["0", "1"], 6, picture, ".png")


@layout("README.md, classes.txt and Thumbs.db beside class folders", "pictures", IMAGE, 12, CLASSES, left_out=None)
def beside(root: Path) -> Path:
    photos = class_folders(root)
    for name in ("README.md", "classes.txt", "Thumbs.db"):
        write(photos / name, "cats\ndogs\n")
    return photos


def _splits(root: Path, names: Sequence[str]) -> Path:
    return folders(
        root / "photos", [f"{name}/{each}" for name in names for each in ("cats", "dogs")], 4, picture, ".png"
    )


GIVEN = {"train": 8, "validation": 8, "test": 8}


@layout("train/, val/ and test/ above the class folders", "pictures", IMAGE, 24, CLASSES, splits=GIVEN)
def split_folders(root: Path) -> Path:
    return _splits(root, ["train", "val", "test"])


@layout("training_set/ and test_set/", "pictures", IMAGE, 16, CLASSES, splits={"test": 8})
def sets(root: Path) -> Path:
    return _splits(root, ["training_set", "test_set"])


@layout("seg_train/ and seg_test/", "pictures", IMAGE, 16, CLASSES, splits={"test": 8})
def segments(root: Path) -> Path:
    return _splits(root, ["seg_train", "seg_test"])


@layout("Training/ and Testing/", "pictures", IMAGE, 16, CLASSES, splits={"test": 8})
def training_testing(root: Path) -> Path:
    return _splits(root, ["Training", "Testing"])


@layout("a table of files and labels beside a folder of pictures", "pictures", IMAGE, 12, CLASSES)
def table_of_files(root: Path) -> Path:
    folders(root, ["images"], 12, picture, ".png")
    rows = [(f"images/{i}.png", ("cats", "dogs")[i % 2]) for i in range(12)]
    return write(root / "labels.csv", separated([("filename", "label"), *rows]))


@layout("Kaggle: train.csv with image_id without suffix, and train/", "pictures", IMAGE, 12, CLASSES)
def kaggle(root: Path) -> Path:
    folders(root, ["train"], 12, picture, ".jpg")
    rows = [(i, ("cats", "dogs")[i % 2]) for i in range(12)]
    return write(root / "train.csv", separated([("image_id", "label"), *rows]))


@layout("names in a table with Windows' backslashes", "pictures", IMAGE, 12, CLASSES)
def backslashes(root: Path) -> Path:
    folders(root, ["images"], 12, picture, ".png")
    rows = [(f"images\\{i}.png", ("cats", "dogs")[i % 2]) for i in range(12)]
    return write(root / "labels.csv", separated([("file", "label"), *rows]))


@layout("names in a table as macOS spells them (é as two characters)", "pictures", IMAGE, 12, CLASSES)
def decomposed(root: Path) -> Path:
    rows = []
    for i in range(12):
        picture(root / "images" / f"caf\u00e9{i}.png", i)
        rows.append((unicodedata.normalize("NFD", f"images/café{i}.png"), ("cats", "dogs")[i % 2]))
    return write(root / "labels.csv", separated([("file", "label"), *rows]))


@layout("names in a table with the whole path of another machine", "pictures", IMAGE, 12, CLASSES)
def elsewhere(root: Path) -> Path:
    folders(root, ["images"], 12, picture, ".png")
    rows = [(f"/home/anna/project/images/{i}.png", ("cats", "dogs")[i % 2]) for i in range(12)]
    return write(root / "labels.csv", separated([("path", "label"), *rows]))


@layout("the first five files of a table are missing", "pictures", IMAGE, 15, CLASSES, left_out=5)
def five_missing(root: Path) -> Path:
    for i in range(5, 20):
        picture(root / "images" / f"{i}.png", i)
    rows = [(f"images/{i}.png", ("cats", "dogs")[i % 2]) for i in range(20)]
    return write(root / "labels.csv", separated([("file", "label"), *rows]))


@layout("train.csv and test.csv with labels, beside images/", "pictures", IMAGE, 16, CLASSES, splits={"test": 4})
def table_a_split(root: Path) -> Path:
    folders(root / "data", ["images"], 16, picture, ".png")
    for name, numbers in (("train", range(12)), ("test", range(12, 16))):
        rows = [(f"images/{i}.png", ("cats", "dogs")[i % 2]) for i in numbers]
        write(root / "data" / f"{name}.csv", separated([("file", "label"), *rows]))
    return root / "data"


@layout("metadata.csv beside the pictures (ImageFolder)", "pictures", IMAGE, 12, CLASSES)
def image_folder(root: Path) -> Path:
    for i in range(12):
        picture(root / "data" / f"{i}.png", i)
    rows = [(f"{i}.png", ("cats", "dogs")[i % 2]) for i in range(12)]
    write(root / "data" / "metadata.csv", separated([("file_name", "label"), *rows]))
    return root / "data"


@layout("the label in the file's name", "pictures", IMAGE, 12, CLASSES, flags={"label_pattern": "^([a-z]+)_"})
def in_names(root: Path) -> Path:
    for i in range(12):
        picture(root / "data" / f"{('cats', 'dogs')[i % 2]}_{i}.png", i)
    return root / "data"


@layout(
    "CUB's lists: images.txt, image_class_labels.txt, train_test_split.txt",
    "pictures",
    IMAGE,
    12,
    None,
    splits={"test": 4},
)
def cub(root: Path) -> Path:
    names = ["001.Albatross", "002.Auklet"]
    data = folders(root / "CUB" / "images", names, 6, picture, ".jpg").parent
    files = [f"{name}/{i}.jpg" for name in names for i in range(6)]
    write(data / "images.txt", "".join(f"{n} {each}\n" for n, each in enumerate(files, start=1)))
    write(data / "image_class_labels.txt", "".join(f"{n} {1 + (n > 6)}\n" for n in range(1, 13)))
    write(data / "classes.txt", "".join(f"{n} {name}\n" for n, name in enumerate(names, start=1)))
    write(data / "train_test_split.txt", "".join(f"{n} {int((n - 1) % 6 < 4)}\n" for n in range(1, 13)))
    return data


@layout("MedMNIST's .npz", "pictures", IMAGE, 24, None, splits={"train": 12, "validation": 6, "test": 6})
def medmnist(root: Path) -> Path:
    rng = np.random.default_rng(0)
    arrays = {}
    for name, count in (("train", 12), ("val", 6), ("test", 6)):
        arrays[f"{name}_images"] = rng.integers(0, 255, (count, 28, 28), dtype=np.uint8)
        arrays[f"{name}_labels"] = np.arange(count, dtype=np.uint8)[:, None] % 2
    np.savez(root / "bloodmnist.npz", **arrays)
    return root / "bloodmnist.npz"


@layout("a parquet file with the pictures inside", "pictures", IMAGE, 12, CLASSES)
def parquet(root: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = []
    for i in range(12):
        picture(root / "one.png", i)
        data.append({"bytes": (root / "one.png").read_bytes(), "path": f"{i}.png"})
    table = pa.table({"image": data, "label": [("cats", "dogs")[i % 2] for i in range(12)]})
    pq.write_table(table, root / "data.parquet")
    return root / "data.parquet"


@layout("a table of pictures with a number each", "pictures", "image-regression", 20)
def ages(root: Path) -> Path:
    folders(root, ["images"], 20, picture, ".png")
    rows = [(f"images/{i}.png", 20.5 + i * 1.7) for i in range(20)]
    return write(root / "ages.csv", separated([("file", "age"), *rows]))


@layout(
    "a table of pictures with several labels each", "pictures", "image-multi-label-classification", 12, left_out=None
)
def several_labels(root: Path) -> Path:
    folders(root, ["images"], 12, picture, ".png")
    rows = [(f"images/{i}.png", i % 2, (i // 2) % 2, (i // 3) % 2) for i in range(12)]
    return write(root / "tags.csv", separated([("file", "red", "round", "old"), *rows]))


@layout(
    "split folders in Spanish, German, Chinese …: Trainingsdaten/ and Testdaten/",
    "pictures",
    IMAGE,
    16,
    CLASSES,
    splits={"test": 8},
)
def other_languages(root: Path) -> Path:
    return _splits(root, ["Trainingsdaten", "Testdaten"])


@layout(
    "a level too many inside: dogs/pug/1.png; --label-pattern takes the lower one",
    "pictures",
    IMAGE,
    12,
    {"pug", "manx"},
    flags={"label_pattern": "^[^/]+/([^/]+)/"},
)
def lower_level(root: Path) -> Path:
    return folders(root / "animals", ["dogs/pug", "cats/manx"], 6, picture, ".png")


@layout("numbered people above the class folders (patient_1/cats/1.png)", "pictures", IMAGE, 24, CLASSES, groups=4)
def patients(root: Path) -> Path:
    names = [f"patient_{who}/{each}" for who in range(1, 5) for each in ("cats", "dogs")]
    return folders(root / "scans", names, 3, picture, ".png")


@layout(
    "days or machines above the class folders (2024-03-01/ok/1.png)", "pictures", IMAGE, 24, {"ok", "not"}, groups=4
)
def days(root: Path) -> Path:
    names = [f"2024-03-0{day}/{each}" for day in range(1, 5) for each in ("ok", "not")]
    return folders(root / "line", names, 3, picture, ".png")


@layout("people below the class folders (happy/subject1/1.png)", "pictures", IMAGE, 30, {"happy", "sad"}, groups=5)
def people_below(root: Path) -> Path:
    names = [f"{each}/subject{who}" for each in ("happy", "sad") for who in range(1, 6)]
    return folders(root / "faces", names, 3, picture, ".png")


@layout("Food-101: meta/train.txt and meta/test.txt beside images/", "pictures", IMAGE, 12, CLASSES, splits={"test": 4})
def food(root: Path) -> Path:
    data = folders(root / "food" / "images", ["cats", "dogs"], 6, picture, ".jpg").parent
    for name, numbers in (("train", range(4)), ("test", range(4, 6))):
        write(data / "meta" / f"{name}.txt", "".join(f"{each}/{i}\n" for each in ("cats", "dogs") for i in numbers))
    return data


@layout(
    "train.txt and val.txt with a file and a label a line", "pictures", IMAGE, 12, {"0", "1"}, splits={"validation": 4}
)
def lists_of_labels(root: Path) -> Path:
    folders(root / "data", ["images"], 12, picture, ".jpg")
    for name, numbers in (("train", range(8)), ("val", range(8, 12))):
        write(root / "data" / f"{name}.txt", "".join(f"images/{i}.jpg {i % 2}\n" for i in numbers))
    return root / "data"


@layout("labels.txt: a file and its label a line", "pictures", IMAGE, 12, CLASSES)
def labels_txt(root: Path) -> Path:
    folders(root / "data", ["."], 12, picture, ".jpg")
    write(root / "data" / "labels.txt", "".join(f"{i}.jpg\t{('cats', 'dogs')[i % 2]}\n" for i in range(12)))
    return root / "data"


@layout('labels.json: {"1.jpg": "cats", …}', "pictures", IMAGE, 12, CLASSES)
def labels_json(root: Path) -> Path:
    folders(root / "data", ["images"], 12, picture, ".jpg")
    write(root / "data" / "labels.json", json.dumps({f"{i}.jpg": ("cats", "dogs")[i % 2] for i in range(12)}))
    return root / "data"


@layout("WebDataset, unpacked: 1.jpg and 1.cls", "pictures", IMAGE, 12, {"0", "1"})
def unpacked(root: Path) -> Path:
    folders(root / "data", ["."], 12, picture, ".jpg")
    for i in range(12):
        write(root / "data" / f"{i}.cls", str(i % 2))
    return root / "data"


@layout(
    "Tiny ImageNet: val/images and val_annotations.txt",
    "pictures",
    IMAGE,
    20,
    {"n01", "n02"},
    splits={"validation": 4},
    left_out=4,
)
def tiny_imagenet(root: Path) -> Path:
    data = folders(root / "tiny", ["train/n01/images", "train/n02/images"], 8, picture, ".JPEG")
    folders(data, ["val/images"], 4, lambda path, number: picture(path, 2000 + number), ".JPEG")
    folders(data, ["test/images"], 4, lambda path, number: picture(path, 1000 + number), ".JPEG")
    write(data / "val" / "val_annotations.txt", "".join(f"{i}.JPEG\tn0{1 + i % 2}\t0\t{i}\t9\n" for i in range(4)))
    return data


@layout(
    "Oxford's flowers: imagelabels.mat and setid.mat",
    "pictures",
    IMAGE,
    12,
    {"1", "2"},
    splits={"train": 6, "validation": 2, "test": 4},
)
def flowers(root: Path) -> Path:
    from scipy.io import savemat

    for i in range(1, 13):
        picture(root / "flowers" / "jpg" / f"image_{i:05d}.jpg", i)
    savemat(root / "flowers" / "imagelabels.mat", {"labels": np.arange(12)[None] % 2 + 1})
    parts = {"trnid": [1, 2, 3, 4, 5, 6], "valid": [7, 8], "tstid": [9, 10, 11, 12]}
    savemat(root / "flowers" / "setid.mat", {name: np.array([each]) for name, each in parts.items()})
    return root / "flowers"


@layout(
    "CelebA: list_attr_celeba.txt of 1 and -1, list_eval_partition.txt",
    "pictures",
    "image-multi-label-classification",
    24,
    splits={"train": 16, "test": 4},
)
def celeba(root: Path) -> Path:
    data, names = root / "celeba", [f"{i:06d}.jpg" for i in range(24)]
    for i, name in enumerate(names):
        picture(data / "img_align_celeba" / name, i)
    rows = [f"{name} {1 - 2 * (i % 2):2d} {1 - 2 * (i // 2 % 2):2d}\n" for i, name in enumerate(names)]
    write(data / "list_attr_celeba.txt", "".join(["24\n", "Male Young \n", *rows]))
    write(data / "list_eval_partition.txt", "".join(f"{n} {max(i // 4 - 3, 0)}\n" for i, n in enumerate(names)))
    return data


@layout(
    "masks called after the pictures beside them: 1.png and 1_mask.png", "pictures", IMAGE, 12, CLASSES, left_out=12
)
def masks_beside(root: Path) -> Path:
    photos = class_folders(root)
    for place, name in enumerate(("cats", "dogs")):
        for i in range(6):
            picture(photos / name / f"{i}_mask.png", 500 + 10 * place + i)
    return photos


@layout(
    "Kaggle's cats and dogs: train/cat.0.jpg, test1/1.jpg",
    "pictures",
    IMAGE,
    12,
    {"cat", "dog"},
    flags={"label_pattern": "^([a-z]+)"},
    left_out=3,
)
def cats_and_dogs(root: Path) -> Path:
    for i in range(12):
        picture(root / "data" / "train" / f"{('cat', 'dog')[i % 2]}.{i}.jpg", i)
    return folders(root / "data", ["test1"], 3, lambda path, number: picture(path, 900 + number), ".jpg")


def _table_beside(root: Path, names: Sequence[str], cells: Callable[[int], tuple[Any, ...]], count: int = 20) -> Path:
    """images/ISIC_0.png and so on, and a table that names them without their suffix."""
    for i in range(count):
        picture(root / "skin" / "images" / f"ISIC_{i}.png", i)
    rows = [("image_id", *names), *((f"ISIC_{i}", *cells(i)) for i in range(count))]
    write(root / "skin" / "metadata.csv", separated(rows))
    return root / "skin"


@layout(
    "HAM10000's metadata: several columns of classes, of which one is named; pictures of one lesion stay together",
    "pictures",
    IMAGE,
    20,
    {"bkl", "nv"},
    flags={"label_column": "dx"},
    groups=10,
)
def lesions(root: Path) -> Path:
    names = ("lesion_id", "dx", "dx_type", "age", "sex")
    return _table_beside(
        root, names, lambda i: (f"HAM_{i // 2}", ("bkl", "nv")[i // 2 % 2], ("histo", "follow_up")[i % 2], 40, "male")
    )


@layout(
    "ISIC's ground truth: 1.0 in one of the columns, 0.0 in the others", "pictures", IMAGE, 20, {"MEL", "NV", "BCC"}
)
def one_hot(root: Path) -> Path:
    return _table_beside(root, ("MEL", "NV", "BCC"), lambda i: tuple(float(i % 3 == k) for k in range(3)))


@layout("CelebA's attributes, 1 and -1", "pictures", "image-multi-label-classification", 20, targets=None, left_out=0)
def attributes(root: Path) -> Path:
    return _table_beside(
        root, ("Bald", "Smiling", "Young"), lambda i: tuple(1 if i % (k + 2) else -1 for k in range(3))
    )


@layout(
    "ChestX-ray14's Finding Labels (A|B), by patient",
    "pictures",
    "image-multi-label-classification",
    20,
    targets=None,
    groups=10,
)
def findings(root: Path) -> Path:
    names = ("Finding Labels", "Follow-up #", "Patient ID", "Patient Gender", "View Position")
    return _table_beside(
        root, names, lambda i: (("Nodule|Hernia", "Nodule", "No Finding")[i % 3], i % 2, i // 2, "MF"[i % 2], "PA")
    )
