"""Pictures in arrays of a .npz file, as MedMNIST and Keras keep them.

    train_images, train_labels, val_…, test_…      MedMNIST (Yang et al. 2023); labels (n, 1), or (n, k) of 0 and 1
    x_train, y_train, x_test, y_test               Keras' mnist.npz
    images, labels                                 without splits

Axis letters: n pictures, h, w pixels, k labels. Pickled objects are never loaded.
"""

from __future__ import annotations

import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from pervade.core.errors import DataError
from pervade.data.rows.split import NAMES

SUFFIX = ".npz"
LARGEST = 1 << 32  # bytes of one array that is held in memory
FORMS = (("{}_images", "{}_labels"), ("x_{}", "y_{}"), ("X_{}", "y_{}"))


class Arrays:
    """The pictures of a file, by array, of which as many are held as are allowed of one."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.arrays: dict[str, np.ndarray] = {}
        self.lock = threading.Lock()  # pictures are read by several threads

    def value(self, column: str, number: int) -> bytes:
        """Picture `number` of the array `column` as a PPM or PGM file, which any reader of pictures knows and which
        compresses nothing. Raises ValueError where the array holds none."""
        with self.lock:
            if column not in self.arrays:
                array = _array(Path(self.file), column)
                if array.nbytes + sum(array.nbytes for array in self.arrays.values()) > LARGEST:
                    self.arrays.clear()
                self.arrays[column] = array
            picture = self.arrays[column][number]
        height, width = picture.shape[:2]
        kind = "P5" if picture.ndim == 2 or picture.shape[2] == 1 else "P6"
        return f"{kind}\n{width} {height}\n255\n".encode() + np.ascontiguousarray(picture).tobytes()


def records(file: Path) -> list[dict[str, Any]]:
    """A row for each picture: "image" (a place, data/read/embedded.py), "label", and "split" where there are several.
    Raises DataError where there are no such arrays, OSError and ValueError where the file cannot be read."""
    with np.load(file, allow_pickle=False) as there:
        names = list(there.files)
        pairs = [(split, a.format(word), b.format(word)) for a, b in FORMS for word, split in NAMES.items()]
        matching = [names_of for names_of in pairs if names_of[1] in names and names_of[2] in names]
        matching = matching or ([("", "images", "labels")] if {"images", "labels"} <= set(names) else [])
        if not matching:
            raise DataError(
                f"{file} holds the arrays {', '.join(names[:8])}; pictures are read from train_images and train_labels "
                "(val_…, test_…), or from x_train and y_train"
            )
        made: list[dict[str, Any]] = []
        for split, pictures, labels in matching:
            shape = _shape(file, pictures)
            _header(file, labels)
            values = np.asarray(there[labels])
            if len(values) != shape[0]:
                raise DataError(f"{file}: {pictures} has {shape[0]:,} pictures, and {labels} {len(values):,} rows")
            several = values.ndim == 2 and values.shape[1] > 1
            for number, value in enumerate(values if several else values.reshape(len(values), -1)[:, 0]):
                label = [str(k) for k in np.flatnonzero(value)] if several else value.item()
                record = {"image": f"{file}#{pictures}#{number}", "label": label}
                made.append({**record, "split": split} if split else record)
    return made


def _shape(file: Path, name: str) -> tuple[int, ...]:
    """Of an array of pictures, from its header alone. Raises DataError where it is none, or too large."""
    shape, kind = _header(file, name)
    if kind != np.uint8 or len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)):
        raise DataError(
            f"{file}: {name} is {kind} of {shape}, not pictures: (n, h, w) or (n, h, w, 3) of 0 to 255 (uint8)"
        )
    return tuple(int(size) for size in shape)


def _header(file: Path, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and kind of an array. Raises DataError where it is too large."""
    with zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as opened:
        version = np.lib.format.read_magic(opened)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = read(opened)
    size = np.prod(shape, dtype=np.float64) * kind.itemsize
    if size > LARGEST:
        raise DataError(f"{file}: {name} would take {size / 1e9:.0f} GB of memory; write each picture to a file")
    return shape, kind


def _array(file: Path, name: str) -> np.ndarray:
    _shape(file, name)
    with np.load(file, allow_pickle=False) as there:
        return np.asarray(there[name])
