"""Pictures side by side in one, and as PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

GAP = 2  # pixels between two, white
SIDE = 64  # pixels, to which smaller ones are enlarged by a whole number


def png(picture: np.ndarray) -> bytes:
    """Of (h, w, c) uint8, c 1 or 3."""
    buffer = io.BytesIO()
    Image.fromarray(picture if picture.shape[-1] == 3 else picture[:, :, 0]).save(buffer, format="PNG")
    return buffer.getvalue()


def grid(pictures: Sequence[np.ndarray], columns: int | None = None) -> np.ndarray:
    """(h, w, c) uint8: pictures of one size (h, w, c) uint8 in rows of `columns`, unless given as many as there are
    rows. At least one."""
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    times = max(SIDE // max(pictures[0].shape[:2]), 1)
    cells = [picture.repeat(times, 0).repeat(times, 1) for picture in pictures]
    height, width, channels = cells[0].shape
    rows = -(-len(cells) // columns)
    page = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), 255, np.uint8)
    for number, cell in enumerate(cells):
        top, left = number // columns * (height + GAP), number % columns * (width + GAP)
        page[top : top + height, left : left + width] = cell
    return page
