"""What training does to the pixels of one picture besides cropping: colour jitter, grey, RandAugment, erasing.

Everything works on a Pillow picture ("RGB" or "L", 8 bit) through torchvision.transforms.v2.functional, with amounts
drawn from the generator that is passed in. The transform classes of torchvision are not used: they draw from torch's
global generator, which loader threads share and a resumed run does not repeat.

Pillow pictures rather than tensors: one core, microseconds an operation on 96 x 96 (tensors in brackets): hue 312
(568), rotation 23 (283), equalize 137 (184), sharpness 185 (228). Brightness, contrast and saturation are one 3 x 4
matrix of our own: 40 on 64 x 64, where the three operations take 90, and a table of levels for two of them takes 60.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from PIL import Image as Pillow

LEVELS = np.arange(256, dtype=np.float64)
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in grey (ITU-R 601)
BINS = 31  # of RandAugment's magnitude, 0-30


def _torchvision() -> Any:
    """Its functions say that they take tensors and take Pillow pictures as well. Imported late: it takes a second."""
    from torchvision.transforms.v2 import functional

    return functional


# colour jitter


def jitter(
    picture: Pillow.Image,
    rng: Generator,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
) -> Pillow.Image:
    """Each of the first three by a factor from 1 - amount to 1 + amount, the hue by -hue to +hue of a full turn.

    A picture of one channel has no saturation and no hue.
    """
    factors = [
        rng.uniform(1.0 - amount, 1.0 + amount) if amount else 1.0 for amount in (brightness, contrast, saturation)
    ]
    if brightness or contrast or (saturation and picture.mode == "RGB"):
        picture = tone(picture, *factors)
    if hue and picture.mode == "RGB":
        changed: Pillow.Image = _torchvision().adjust_hue(picture, rng.uniform(-hue, hue))
        return changed
    return picture


def tone(
    picture: Pillow.Image, brightness: float = 1.0, contrast: float = 1.0, saturation: float = 1.0
) -> Pillow.Image:
    """All three factors at once:  y = b (c (s x + (1 - s) grey(x)) + (1 - c) mean),  mean that of the grey picture.

    As long as nothing is cut off the order does not matter, so this is what torchvision's three operations give in any
    order. Theirs cut off at 0 and 255 after each; here it is done once, so a picture that is made brighter and then
    flatter keeps its clouds.
    """
    level = 0.0
    if contrast != 1.0:
        counts = np.asarray(picture.convert("L").histogram(), dtype=np.float64)
        level = brightness * (1.0 - contrast) * float(counts @ LEVELS) / (picture.width * picture.height)
    gain = brightness * contrast
    if picture.mode == "L":
        table = (gain * LEVELS + level).clip(0.0, 255.0).round().astype(np.uint8)
        return Pillow.frombytes("L", picture.size, picture.tobytes().translate(table.tobytes()))
    own = gain * saturation
    red, green, blue = (gain * (1.0 - saturation) * weight for weight in LUMA)
    return picture.convert(
        "RGB",
        (own + red, green, blue, level, red, own + green, blue, level, red, green, own + blue, level),
    )


def grey(picture: Pillow.Image, rng: Generator, probability: float) -> Pillow.Image:
    """Without its colours, three equal channels."""
    if rng.random() < probability and picture.mode == "RGB":
        return picture.convert("L").convert("RGB")
    return picture


# RandAugment


def rand_augment(
    picture: Pillow.Image, rng: Generator, operations: int, magnitude: int, fill: Sequence[int]
) -> Pillow.Image:
    """`operations` of OPERATIONS one after another, each as likely, all of strength `magnitude` (0-30), signs at random
    (Cubuk et al. 2020, arXiv:1909.13719, with torchvision's list and strengths). What moves in is `fill`."""
    names = list(OPERATIONS)
    for _ in range(operations):
        name = names[int(rng.integers(len(names)))]
        picture = operate(picture, name, magnitude, rng.random() < 0.5, fill)
    return picture


def operate(picture: Pillow.Image, name: str, magnitude: int, negative: bool, fill: Sequence[int]) -> Pillow.Image:
    """One operation; `negative` turns the other way where there is one."""
    operation, most, signed = OPERATIONS[name]
    amount = most * magnitude / (BINS - 1) * (-1 if signed and negative else 1)
    changed: Pillow.Image = operation(_torchvision(), picture, amount, list(fill))
    return changed


def _moved(F: Any, picture: Pillow.Image, fill: list[int], **how: Any) -> Any:
    how = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0], **how}
    return F.affine(picture, fill=fill, **how)


def _slant(amount: float) -> float:
    """Degrees of a shear that moves a row of pixels by `amount` of its distance."""
    return math.degrees(math.atan(amount))


# Name to (operation, strongest amount, whether it has two directions).
OPERATIONS: dict[str, tuple[Callable[[Any, Pillow.Image, float, list[int]], Any], float, bool]] = {
    "identity": (lambda F, p, a, fill: p, 0.0, False),
    "shear-x": (lambda F, p, a, fill: _moved(F, p, fill, shear=[_slant(a), 0.0], center=[0, 0]), 0.3, True),
    "shear-y": (lambda F, p, a, fill: _moved(F, p, fill, shear=[0.0, _slant(a)], center=[0, 0]), 0.3, True),
    "translate-x": (lambda F, p, a, fill: _moved(F, p, fill, translate=[int(a * p.width), 0]), 150 / 331, True),
    "translate-y": (lambda F, p, a, fill: _moved(F, p, fill, translate=[0, int(a * p.height)]), 150 / 331, True),
    "rotate": (lambda F, p, a, fill: F.rotate(p, a, fill=fill), 30.0, True),
    "brightness": (lambda F, p, a, fill: F.adjust_brightness(p, 1.0 + a), 0.9, True),
    "saturation": (lambda F, p, a, fill: F.adjust_saturation(p, 1.0 + a), 0.9, True),
    "contrast": (lambda F, p, a, fill: F.adjust_contrast(p, 1.0 + a), 0.9, True),
    "sharpness": (lambda F, p, a, fill: F.adjust_sharpness(p, 1.0 + a), 0.9, True),
    "posterize": (lambda F, p, a, fill: F.posterize(p, 8 - round(a)), 4.0, False),
    "solarize": (lambda F, p, a, fill: F.solarize(p, 255.0 * (1.0 - a)), 1.0, False),
    "autocontrast": (lambda F, p, a, fill: F.autocontrast(p), 0.0, False),
    "equalize": (lambda F, p, a, fill: F.equalize(p), 0.0, False),
}

# erasing


def erase(picture: Pillow.Image, rng: Generator, probability: float, fill: Sequence[int]) -> Pillow.Image:
    """Covers a rectangle of 2-33% of the area, of sides 0.3-3.3 to one, with the colour `fill` (Zhong et al. 2020,
    arXiv:1708.04896). The whole picture stays where ten rectangles in turn do not fit in."""
    if rng.random() >= probability:
        return picture
    box = rectangle(picture.width, picture.height, rng)
    if box is None:
        return picture
    picture = picture.copy()
    picture.paste(fill[0] if picture.mode == "L" else tuple(fill), box)
    return picture


def rectangle(width: int, height: int, rng: Generator) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom), in pixels."""
    for _ in range(10):
        area = rng.uniform(0.02, 0.33) * width * height
        ratio = math.exp(rng.uniform(math.log(0.3), math.log(3.3)))
        down, across = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if down < height and across < width:
            top, left = int(rng.integers(height - down + 1)), int(rng.integers(width - across + 1))
            return left, top, left + across, top + down
    return None
