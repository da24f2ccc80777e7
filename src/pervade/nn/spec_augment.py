"""Spectrograms with parts hidden and axes bent, in training only: SpecAugment (Park et al. 2019, arXiv:1904.08779).

Bands and stretches of time are put to the recording's mean; time is bent about a point near the middle; and the band
axis is stretched, as another length of the throat would do (Jaitly & Hinton 2013, "Vocal tract length perturbation
improves speech recognition"). Everything is drawn from torch's generator, which checkpoints keep: a resumed run hears
the same. In evaluation the layer passes its input on.

Axis letters: n rows, b bands, f frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BEND = 0.8  # share of the bands that a stretched axis stretches evenly; those above make up for it


class SpecAugment(nn.Module):
    """(n, b, f) -> (n, b, f), every row by amounts of its own.

    `time_masks` stretches of up to `time_width` of the frames and `band_masks` of up to `band_width` of the bands are
    hidden; `time_warp` and `band_warp` are the largest shift of the middle and the largest change of the band axis, as
    shares. `counted` (n, f) says which frames belong to the recording: the mean is theirs, and masks are as wide as a
    share of them.
    """

    def __init__(
        self,
        time_masks: int = 2,
        time_width: float = 0.15,
        band_masks: int = 2,
        band_width: float = 0.15,
        time_warp: float = 0.0,
        band_warp: float = 0.0,
    ) -> None:
        super().__init__()
        self.time_masks, self.time_width = time_masks, time_width
        self.band_masks, self.band_width = band_masks, band_width
        self.time_warp, self.band_warp = time_warp, band_warp

    def forward(self, x: Tensor, counted: Tensor | None = None) -> Tensor:
        if not self.training:
            return x
        if self.time_warp or self.band_warp:
            x = warped(x, self.time_warp, self.band_warp, counted)
        if counted is None:
            frames = torch.full((len(x), 1), float(x.shape[2]), device=x.device)
            mean = x.mean((1, 2), keepdim=True)
        else:
            frames = counted.sum(1, keepdim=True).to(torch.float32)
            mean = (x * counted[:, None]).sum((1, 2), keepdim=True) / (frames[:, :, None] * x.shape[1]).clamp(min=1)
        hidden = spans(frames, x.shape[2], self.time_masks, self.time_width)[:, None]
        if counted is not None:
            hidden = hidden & counted[:, None]
        bands = torch.full((len(x), 1), float(x.shape[1]), device=x.device)
        rows = spans(bands, x.shape[1], self.band_masks, self.band_width)[:, :, None]
        if counted is not None:
            rows = rows & counted[:, None]
        return torch.where(hidden | rows, mean.to(x.dtype), x)


def spans(length: Tensor, size: int, number: int, width: float) -> Tensor:
    """(n, size) bool: True in `number` stretches that begin anywhere in the first `length` (n, 1) places and are of
    any width up to that share of it."""
    places = torch.arange(size, device=length.device)
    hidden = torch.zeros(len(length), size, dtype=torch.bool, device=length.device)
    for _ in range(number):
        draw = torch.rand(2, len(length), 1, device=length.device)
        wide = (draw[0] * (length * width + 1)).floor()
        start = (draw[1] * (length - wide + 1)).floor()
        hidden = hidden | ((places >= start) & (places < start + wide))
    return hidden


def warped(x: Tensor, time: float, band: float, counted: Tensor | None = None) -> Tensor:
    """Each row's frames and bands, read at places that are drawn anew. A recording stays as long as it is, and its
    first and last frame and lowest and highest band stay where they are."""
    n, bands, frames = x.shape
    if bands < 2 or frames < 2:
        return x
    long = torch.full((n, 1), float(frames), device=x.device)
    if counted is not None:
        long = counted.sum(1, keepdim=True).to(torch.float32)
    draw = 2 * torch.rand(3, n, 1, device=x.device) - 1
    middle = 0.5 + 0.2 * draw[0]
    at = torch.arange(frames, device=x.device, dtype=torch.float32)
    columns = bent(at, (long - 1).clamp(min=1), (middle + time * draw[1]).clamp(0.05, 0.95), middle)
    at = torch.arange(bands, device=x.device, dtype=torch.float32)
    highest = torch.full((n, 1), float(bands - 1), device=x.device)
    knee = BEND * torch.ones_like(middle)
    rows = bent(at, highest, knee, (knee * (1 + band * draw[2])).clamp(0.05, 0.95))
    grid = torch.stack(
        (
            (columns / (frames - 1) * 2 - 1)[:, None, :].expand(n, bands, frames),
            (rows / (bands - 1) * 2 - 1)[:, :, None].expand(n, bands, frames),
        ),
        dim=3,
    )
    made = F.grid_sample(x[:, None].float(), grid, padding_mode="border", align_corners=True)
    return made[:, 0].to(x.dtype)


def bent(at: Tensor, last: Tensor, place: Tensor, source: Tensor) -> Tensor:
    """(n, size): where to read for the places `at` (size,), so that what is read at the share `place` of 0..`last`
    comes from the share `source`, with straight lines between; beyond `last` every place is read as it is. The others
    are (n, 1)."""
    share = at / last
    rising = share * source / place
    falling = source + (share - place) * (1 - source) / (1 - place)
    read = torch.where(share < place, rising, falling) * last
    return torch.where(share > 1, at.expand_as(read), read)
