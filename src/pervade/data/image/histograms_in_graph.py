"""data/image/histograms.py by operators of a graph, with Pillow's own scaling: it comes out within single precision.

Whole numbers are computed in double precision, which holds them. Axis letters: n pictures, c channels, h height, w
width, b bins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pervade.data.image import histograms
from pervade.data.image.histograms import DIRECTIONS, FIELDS, MOST, PATTERNS, PYRAMID, SIDE, THUMBNAIL
from pervade.nn.framing import Framing, frame

ONE, SHIFTED = 1 << 22, 1 << 24  # what Pillow multiplies weights by when it scales, and shares when it reduces
LIGHT = (19595, 38470, 7471)  # of red, green and blue in brightness, of 65,536
ALMOST = 1e-9  # in place of no change across: an arc tangent of all down
AROUND = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))


class Histograms(nn.Module):
    """(n, h, w, c) uint8 of 0-255 as "input" (n, d) float32, each kind of feature divided by its deviation."""

    names: Tensor
    uniform: Tensor
    light: Tensor

    def __init__(self, framing: Framing, deviations: Sequence[float]) -> None:
        super().__init__()
        self.framing, self.deviations = framing, tuple(deviations)
        size = framing.asked[2]
        self.picture, self.halved, self.small = Scaling(size, SIDE), Scaling(SIDE, SIDE // 2), Scaling(SIDE, THUMBNAIL)
        self.register_buffer("names", torch.from_numpy(histograms._names()), persistent=False)
        self.register_buffer("uniform", torch.from_numpy(histograms._uniform()), persistent=False)
        self.register_buffer("light", torch.tensor(LIGHT, dtype=torch.float64)[:, None, None], persistent=False)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        seen = frame(pixels, *self.framing.asked).double()
        picture = self.picture(seen)
        half = self.halved(picture)
        colours = picture if picture.shape[1] == 3 else picture.repeat(1, 3, 1, 1)
        coarse = (colours / 8).floor().long()
        names = self.names[(coarse[:, 0] * 32 + coarse[:, 1]) * 32 + coarse[:, 2]]
        kinds = (
            _counted(names, histograms.COLOURS),
            _edges(self._brightness(picture)),
            torch.cat([self._patterns(self._brightness(scaled)) for scaled in (picture, half)], 1),
            self.small(colours).permute(0, 2, 3, 1).flatten(1) / 255,
        )
        return {"input": torch.cat([kind / by for kind, by in zip(kinds, self.deviations, strict=True)], 1).float()}

    def _brightness(self, picture: Tensor) -> Tensor:
        """(n, h, w)."""
        if picture.shape[1] == 1:
            return picture[:, 0]
        return (((picture * self.light).sum(1) + 32768) / 65536).floor()

    def _patterns(self, light: Tensor) -> Tensor:
        middle = light[:, 1:-1, 1:-1]
        height, width = middle.shape[1:]
        code = torch.zeros_like(middle, dtype=torch.int64)
        for bit, (down, across) in enumerate(AROUND):
            code = code + (light[:, down : down + height, across : across + width] > middle).long() * 2**bit
        return _counted(self.uniform[code], PATTERNS)


class Scaling(nn.Module):
    """Pillow's `resize((side, side), BILINEAR, reducing_gap=3)` of (n, c, given, given), in its whole numbers."""

    blocks: Tensor
    areas: Tensor
    weights: Tensor

    def __init__(self, given: int, side: int) -> None:
        super().__init__()
        self.factor, self.scales = int(given / side / 3.0) or 1, given != side
        length = math.ceil(given / self.factor)
        blocks = (np.arange(given) // self.factor == np.arange(length)[:, None]).astype(np.float64)
        areas = np.outer(blocks.sum(1), blocks.sum(1))
        self.register_buffer("blocks", torch.from_numpy(blocks), persistent=False)
        self.register_buffer("areas", torch.from_numpy(areas), persistent=False)
        weights = _weights(length, given / self.factor, side)
        self.register_buffer("weights", torch.from_numpy(weights), persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        if not self.scales:
            return picture
        if self.factor > 1:
            sums = self.blocks @ picture @ self.blocks.T + (self.areas / 2).floor()
            picture = (sums * (SHIFTED / self.areas).floor() / SHIFTED).floor()
        for across in (True, False):  # each rounded
            scaled = picture @ self.weights.T if across else self.weights @ picture
            picture = ((scaled + ONE / 2) / ONE).floor().clamp(0, 255)
        return picture


def _weights(length: int, box: float, side: int) -> np.ndarray:
    """(side, length): how much of each pixel is in each that it is scaled to, of ONE."""
    step = float(np.float32(box)) / side
    reach = max(step, 1.0)
    weights = np.zeros((side, length))
    for place in range(side):
        centre = (place + 0.5) * step
        first, last = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), length)
        shares = np.maximum(1 - np.abs((np.arange(first, last) - centre + 0.5) / reach), 0)
        weights[place, first:last] = np.floor(shares / shares.sum() * ONE + 0.5)
    return weights


def _edges(light: Tensor) -> Tensor:
    down = F.pad(light[:, 2:] - light[:, :-2], (0, 0, 1, 1))
    across = F.pad(light[:, :, 2:] - light[:, :, :-2], (1, 1))
    strength = (down.square() + across.square()).sqrt()
    down, across = down.float(), across.float()  # graphs have no arc tangent of double precision
    angle = (down / torch.where(across == 0, ALMOST, across)).atan()
    angle = torch.where(across < 0, angle + torch.where(down < 0, -math.pi, math.pi), angle)
    angle = angle * (DIRECTIONS / (2 * math.pi)) + DIRECTIONS
    below = angle.floor()
    share, first = (angle - below).double(), below.long()
    fields = torch.from_numpy(histograms._fields(light.shape[1], FIELDS)) * DIRECTIONS
    places = torch.cat([(fields + (first + more) % DIRECTIONS).flatten(1) for more in (0, 1)], 1)
    parts = torch.cat([(strength * (1 - share)).flatten(1), (strength * share).flatten(1)], 1)
    strengths = _summed(places, parts, FIELDS * FIELDS * DIRECTIONS).unflatten(1, (FIELDS, FIELDS, DIRECTIONS))
    edge = torch.arange(-1, FIELDS + 1).clamp(0, FIELDS - 1)
    energy = strengths.square().sum(3).index_select(1, edge).index_select(2, edge)
    squares = energy[:, :-1, :-1] + energy[:, 1:, :-1] + energy[:, :-1, 1:] + energy[:, 1:, 1:]
    lengths = (squares + 1.0).sqrt()
    corners = [lengths[:, down : down + FIELDS, across : across + FIELDS] for down in (0, 1) for across in (0, 1)]
    shares = torch.stack([(strengths / length[..., None]).clamp(max=MOST) for length in corners])
    return shares.mean(0).flatten(1)


def _counted(names: Tensor, bins: int) -> Tensor:
    """Square roots of the shares of `bins` names (n, h, h), over the whole and each part of it."""
    shares = []
    for parts in PYRAMID:
        places = (torch.from_numpy(histograms._fields(names.shape[1], parts)) * bins + names).flatten(1)
        counts = _summed(places, torch.ones_like(places, dtype=torch.float64), bins * parts * parts)
        counts = counts.unflatten(1, (parts * parts, bins))
        shares.append((counts / counts.sum(2, keepdim=True)).sqrt().flatten(1))
    return torch.cat(shares, 1)


def _summed(places: Tensor, values: Tensor, bins: int) -> Tensor:
    """(n, b): how much of the values (n, t) is at each of the places (n, t)."""
    return torch.zeros(len(values), bins, dtype=values.dtype).scatter_add(1, places, values)
