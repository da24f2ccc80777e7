"""What a model made, as files in a folder: sounds, pictures, and of pictures a sheet that shows the first of them."""

from __future__ import annotations

import io
import itertools
import re
from pathlib import Path

import numpy as np
from PIL import Image

from pervade.core import files
from pervade.core.errors import ConfigError
from pervade.core.types import Media
from pervade.data.image.grid import grid, png

SHEET = "contact-sheet.png"
MOST_SHOWN, LARGEST = 400, 128  # pictures on the sheet, and pixels of each one's longer side, at most


class MediaFiles:
    """Made in `folder`, which is made where there is none; any number of files in bounded memory."""

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError where `folder` is a file."""
        if folder.exists() and not folder.is_dir():
            raise ConfigError(
                f"-o {folder} is a file, and what is made goes to a folder; name one, or what is none yet"
            )
        self.folder = folder
        self.names = {Path(SHEET).stem}
        self.shown: list[np.ndarray] = []
        self.pictures = 0

    def write(self, media: Media, name: str) -> Path:
        """The file's path. It is called after `name`, and as none that was written before."""
        stem = re.sub(r"[^\w-]+", "-", name).strip("-")[:100] or media.kind
        if stem in self.names:
            stem = next(other for n in itertools.count(2) if (other := f"{stem}-{n}") not in self.names)
        self.names.add(stem)
        path, data = self.folder / f"{stem}.{media.kind}", media.data
        data = data.encode() if isinstance(data, str) else data
        _put(path, data)
        if media.kind == "png":
            self.pictures += 1
            if len(self.shown) < MOST_SHOWN:
                self.shown.append(_small(data))
        return path

    def finish(self) -> str | None:
        """Writes the sheet, and says in words what it shows; None where there were no pictures, or they differ in
        size."""
        if not self.shown or len({picture.shape for picture in self.shown}) > 1:
            return None
        path = self.folder / SHEET
        _put(path, png(grid(self.shown)))
        every = "all" if len(self.shown) == self.pictures else f"the first {len(self.shown):,}"
        return f"sheet   {path} ({every} of {self.pictures:,})"


def _put(path: Path, data: bytes) -> None:
    with files.replacing(path) as temporary:
        temporary.write_bytes(data)


def _small(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        picture.thumbnail((LARGEST, LARGEST))
        return np.asarray(picture).reshape(picture.height, picture.width, -1)
