"""A picture as a few hundred statistics of its colours, textures and edges, for a linear model.

colours   how much of each, over the whole and each quarter: 8 hues, pale or strong, dark or light, and 16 greys (Swain
          and Ballard 1991, "Color indexing")
edges     how strong the brightness changes in each of 12 directions, in 5 x 5 fields, each against its surroundings
          (Dalal and Triggs 2005, "Histograms of oriented gradients for human detection")
textures  which neighbours of a pixel are brighter: uniform patterns over the whole and each quarter, at full and half
          size (Ojala et al. 2002, "Multiresolution gray-scale and rotation invariant texture classification")
places    the picture itself, 8 x 8

Histograms are square roots of shares, so that what is rare counts too (Arandjelovic and Zisserman 2012). Axis letters:
h height, w width, b bins.
"""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image as Pillow

SIDE = 80  # pixels that every picture is scaled to first
HUES, LIGHTS, GREYS = 8, 2, 16
PALE, STRONG = 0.1, 0.35  # how far the strongest channel is above the weakest: of a colour, and of a strong one
COLOURS = 2 * HUES * LIGHTS + GREYS
DIRECTIONS, FIELDS, THUMBNAIL = 12, 5, 8
MOST = 0.2  # that one direction of a field may be of its surroundings
PATTERNS = 59
PYRAMID = (1, 2)  # parts of each side
PARTS = sum(parts * parts for parts in PYRAMID)
SIZES = {
    "colours": PARTS * COLOURS,
    "edges": FIELDS * FIELDS * DIRECTIONS,
    "textures": 2 * PARTS * PATTERNS,
    "places": THUMBNAIL * THUMBNAIL * 3,
}
WIDTH = sum(SIZES.values())


def of(pixels: np.ndarray) -> list[np.ndarray]:
    """The kinds of features, in the order of `SIZES`, each (b,) float32, of pixels (h, w, 1 or 3) uint8."""
    picture = _scaled(Pillow.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]), SIDE)
    return [colours(picture), edges(picture), textures(picture), places(picture)]


def _scaled(picture: Pillow.Image, side: int) -> Pillow.Image:
    return picture.resize((side, side), Pillow.Resampling.BILINEAR, reducing_gap=3.0)


def _brightness(picture: Pillow.Image) -> np.ndarray:
    return np.asarray(picture.convert("L"), np.float32)


def colours(picture: Pillow.Image) -> np.ndarray:
    coarse = np.asarray(picture.convert("RGB")).astype(np.int32) >> 3
    names = _names()[(coarse[:, :, 0] << 10) | (coarse[:, :, 1] << 5) | coarse[:, :, 2]]
    return _counted(names, COLOURS)


@functools.cache
def _names() -> np.ndarray:
    """(32 x 32 x 32,): which bin a colour is in, by its five upper bits of red, green and blue."""
    levels = (np.arange(32, dtype=np.float64) + 0.5) / 32
    red, green, blue = (part.ravel() for part in np.meshgrid(levels, levels, levels, indexing="ij"))
    high, low = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    strength = high - low
    divisor = np.maximum(strength, 1e-9)
    sixths = np.select(
        [high == red, high == green],
        [(green - blue) / divisor, (blue - red) / divisor + 2],
        (red - green) / divisor + 4,
    )
    # Half a bin further, so that the reds, at both ends of the circle, are one.
    hue = np.floor(sixths / 6 * HUES + 0.5).astype(int) % HUES
    strong, light = (strength > STRONG).astype(int), (high > 0.5).astype(int)
    grey = 2 * HUES * LIGHTS + np.floor((red + green + blue) / 3 * GREYS).astype(int)
    return np.where(strength < PALE, grey, (hue * 2 + strong) * LIGHTS + light)


def edges(picture: Pillow.Image) -> np.ndarray:
    """(FIELDS x FIELDS x DIRECTIONS,)."""
    light = _brightness(picture)
    down, across = np.zeros_like(light), np.zeros_like(light)
    down[1:-1], across[:, 1:-1] = light[2:] - light[:-2], light[:, 2:] - light[:, :-2]
    strength = np.hypot(down, across)
    # Each counts for the two directions that it lies between.
    angle = np.arctan2(down, across) * (DIRECTIONS / (2 * np.pi)) + DIRECTIONS
    below = np.floor(angle)
    share, first = angle - below, below.astype(int)
    fields = _fields(len(light), FIELDS) * DIRECTIONS
    size = FIELDS * FIELDS * DIRECTIONS
    one = np.bincount((fields + first % DIRECTIONS).ravel(), (strength * (1 - share)).ravel(), size)
    other = np.bincount((fields + (first + 1) % DIRECTIONS).ravel(), (strength * share).ravel(), size)
    return _against_surroundings((one + other).reshape(FIELDS, FIELDS, DIRECTIONS)).ravel().astype(np.float32)


def _against_surroundings(strengths: np.ndarray) -> np.ndarray:
    """The mean over the four squares of 2 x 2 fields that each field is in."""
    energy = np.pad(np.square(strengths).sum(2), 1, mode="edge")
    squares = energy[:-1, :-1] + energy[1:, :-1] + energy[:-1, 1:] + energy[1:, 1:]
    lengths = np.sqrt(squares + 1.0)
    corners = [lengths[down : down + FIELDS, across : across + FIELDS] for down in (0, 1) for across in (0, 1)]
    shares = [np.minimum(strengths / length[:, :, None], MOST) for length in corners]
    return np.asarray(np.mean(shares, axis=0))


def textures(picture: Pillow.Image) -> np.ndarray:
    return np.concatenate([_patterns(_brightness(size)) for size in (picture, _scaled(picture, SIDE // 2))])


def _patterns(light: np.ndarray) -> np.ndarray:
    middle = light[1:-1, 1:-1]
    code = np.zeros(middle.shape, np.uint8)
    height, width = middle.shape
    around = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
    for bit, (down, across) in enumerate(around):
        code |= (light[down : down + height, across : across + width] > middle).astype(np.uint8) << bit
    return _counted(_uniform()[code], PATTERNS)


@functools.cache
def _uniform() -> np.ndarray:
    """(256,): the number of each pattern that changes at most twice around the circle, and one for all others."""
    codes = np.arange(256)
    changes = sum(((codes >> bit) ^ (codes >> (bit + 1) % 8)) & 1 for bit in range(8))
    return np.where(changes <= 2, np.cumsum(changes <= 2) - 1, PATTERNS - 1)


def places(picture: Pillow.Image) -> np.ndarray:
    small = np.asarray(_scaled(picture.convert("RGB"), THUMBNAIL), np.float32)
    return (small / 255).ravel()


def _counted(names: np.ndarray, bins: int) -> np.ndarray:
    """Square roots of the shares of `bins` names (h, h), over the whole and each part of it."""
    shares = []
    for parts in PYRAMID:
        fields = _fields(len(names), parts)
        counts = np.bincount((fields * bins + names).ravel(), minlength=bins * parts * parts).reshape(-1, bins)
        shares.append(np.sqrt(counts / counts.sum(1, keepdims=True)).ravel())
    return np.concatenate(shares).astype(np.float32)


@functools.cache
def _fields(side: int, parts: int) -> np.ndarray:
    """(side, side): the number of the field that each pixel is in, of `parts` x `parts`."""
    place = np.arange(side) * parts // side
    return place[:, None] * parts + place
