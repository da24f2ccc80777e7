"""scikit-learn's handwritten digits as a folder of pictures: real data that ships inside a dependency.

1,797 digits of 8 x 8 pixels from the UCI set "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write(folder: Path) -> Path:
    """Writes `folder`/<digit>/<number>.png unless they are there; returns the folder."""
    from sklearn.datasets import load_digits

    pictures, labels = load_digits(return_X_y=True)
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        path = folder / str(label) / f"{number:04d}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            # 17 levels of grey, 0 to 16
            pixels = (picture.reshape(8, 8) * (255 / 16)).round().astype(np.uint8)
            Image.fromarray(pixels).save(path)
    return folder
