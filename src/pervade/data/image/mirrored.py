"""Whether mirrored pictures look like the others of their class: photographs do, digits and X-rays do not.

What is antisymmetric in a picture, a = x - mirror(x), changes its sign with it. Where mirrored pictures are as likely
as the others, no direction tells the two apart: the mean of a over half of a class has a positive product with the a of
half of the pictures of the other half. Where left and right mean something it has with most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEAST = 0.1  # more than a half that are told apart, from where on pictures are not to be mirrored,
SURE = 3.0  # and so many standard errors


def alike(pictures: np.ndarray, classes: Sequence[str]) -> bool:
    """`pictures` (n, h, w, c), and the class of each. True where nothing is known (a picture or two a class)."""
    pixels = pictures.astype(np.float32)
    apart = (pixels - pixels[:, :, ::-1]).reshape(len(pixels), -1)
    labels = np.asarray(classes)
    told: list[float] = []
    for name in dict.fromkeys(classes):
        own = apart[labels == name]
        shown, asked = own[::2], own[1::2]
        told += ((np.sign(asked @ shown.mean(0)) + 1) / 2).tolist()
    share = float(np.mean(told)) - 0.5 if told else 0.0
    return share <= max(LEAST, SURE * 0.5 / max(len(told), 1) ** 0.5)
