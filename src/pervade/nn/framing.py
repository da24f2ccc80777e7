"""Pictures of any size as a network sees them, inside a graph: scaled as Pillow does it, then framed.

Axis letters: n pictures, h height, w width, c channels, of uint8. `frame` is an operator of its own, since sizes that
hang on sizes, and the rounding of them, are easier said in ONNX than traced. ONNX Runtime's antialiased Resize of uint8
has Pillow's own arithmetic, as torch's has: in whole numbers, across, then down.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pervade.core.contracts.deployment import Translations

FLOAT, UINT8, INT32, INT64, BOOL, DOUBLE = 1, 2, 6, 7, 9, 11  # as onnx.TensorProto numbers them


@torch.library.custom_op("pervade::frame", mutates_args=())
def frame(pixels: Tensor, how: str, side: int, size: int, longest: int, fill: list[int]) -> Tensor:
    """(n, h, w, c) uint8 as (n, c, size, size): the shorter side is scaled to `side`, or what is longer than `longest`
    times its width to as many pixels. Then "crop" cuts out the middle, of what was longer as if its shorter side were
    `side`; "pad" scales it into the middle of a square of
    the colour `fill` (c,); "squash" makes it square; of both, what has that size already is left as it is."""
    height, width = pixels.shape[1:3]
    framed = how != "crop" and height == width == size
    pixels = pixels.permute(0, 3, 1, 2)
    scaled = pixels if framed else _resized(pixels, *_scaled_size(height, width, side, longest))
    if how == "squash":
        return _resized(scaled, size, size).clone()
    if how == "crop":
        return _middle(scaled, side, size, longest)
    factor = size / max(scaled.shape[2:])
    inside = _resized(scaled, *(max(round(length * factor), 1) for length in scaled.shape[2:]))
    page = torch.tensor(fill, dtype=torch.uint8)[None, :, None, None].repeat(len(scaled), 1, size, size)
    top, left = ((size - length) // 2 for length in inside.shape[2:])
    page[:, :, top : top + inside.shape[2], left : left + inside.shape[3]] = inside
    return page


@frame.register_fake
def _(pixels: Tensor, how: str, side: int, size: int, longest: int, fill: list[int]) -> Tensor:
    return pixels.new_empty(pixels.shape[0], pixels.shape[3], size, size)


def _scaled_size(height: int, width: int, side: int, longest: int) -> tuple[int, int]:
    short = min(height, width)
    factor = side / short if max(height, width) <= longest * short else side * math.sqrt(longest / (height * width))
    least = side if max(height, width) <= longest * short else 1
    return max(round(height * factor), least), max(round(width * factor), least)


def _middle(scaled: Tensor, side: int, size: int, longest: int) -> Tensor:
    """(n, c, size, size). What is longer than `longest` times its width is as Pillow enlarges a box of it: that begins
    between two pixels, and pixels beside it are seen at its edge."""
    long, short = max(scaled.shape[2:]), min(scaled.shape[2:])
    if long > longest * short:
        axis = 2 if scaled.shape[2] == long else 3
        scaled = _resized(scaled, *((long, side) if axis == 2 else (side, long)))
        places = torch.arange((longest * side - size) // 2, (longest * side - size) // 2 + size, dtype=torch.float64)
        places = (long - longest * short) / 2 + (places + 0.5) * (short / side) - 0.5
        below, above = (scaled.index_select(axis, at.long()).float() for at in (places.floor(), places.ceil()))
        share = (places - places.floor()).float().unsqueeze(-1 if axis == 2 else 0)
        scaled = (below + (above - below) * share).round().to(torch.uint8)
    top, left = ((length - size) // 2 for length in scaled.shape[2:])
    return scaled[:, :, top : top + size, left : left + size].clone()


def _resized(pixels: Tensor, height: int, width: int) -> Tensor:
    if tuple(pixels.shape[2:]) == (height, width):
        return pixels
    return F.interpolate(pixels, (height, width), mode="bilinear", antialias=True)


class Framing(nn.Module):
    """(n, h, w, c) uint8, 0-255, as "input" (n, c, size, size) of 0-1; `mirrored`: each picture, then its mirror image,
    as two "views"."""

    def __init__(self, how: str, side: int, size: int, longest: int, fill: list[int], mirrored: bool = False) -> None:
        super().__init__()
        self.asked, self.mirrored = (how, side, size, longest, fill), mirrored

    def forward(self, pixels: Tensor) -> dict[str, Any]:
        seen = frame(pixels, *self.asked).float().div(255.0)
        if not self.mirrored:
            return {"input": seen}
        return {"input": torch.stack((seen, seen.flip(3)), 1).flatten(0, 1), "views": 2}

    def translations(self) -> Translations:
        """What ONNX has in place of `frame`."""
        return {torch.ops.pervade.frame.default: _written}


def _written(pixels: Any, how: str, side: int, size: int, longest: int, fill: list[int]) -> Any:
    """The same in ONNX's operators (onnxscript), by sizes (2,) int64: height and width."""
    op = _operators()

    pixels = op.Transpose(pixels, perm=[0, 3, 1, 2])
    given = op.Shape(pixels, start=2, end=4)
    scaled = _scaled(given, side, longest)
    if how != "crop":
        framed = op.Equal(op.ReduceMax(op.Abs(op.Sub(given, _whole(size, size)))), _whole(0))
        scaled = op.Where(framed, given, scaled)
    made = _resize(pixels, scaled)
    if how == "crop":
        return _middle_written(made, scaled, side, size, longest)
    if how == "squash":
        return _resize(made, _whole(size, size))
    factor = op.Div(_real(size), op.Cast(op.ReduceMax(scaled), to=DOUBLE))
    inside = op.Max(op.Cast(op.Round(op.Mul(op.Cast(scaled, to=DOUBLE), factor)), to=INT64), _whole(1))
    before = op.Div(op.Sub(_whole(size, size), inside), _whole(2))
    after = op.Sub(op.Sub(_whole(size, size), inside), before)
    # Of all four axes: ONNX Runtime, moving the Transpose behind a Pad, takes the axes of two for those of four.
    pads = op.Concat(_whole(0, 0), before, _whole(0, 0), after, axis=0)
    # Pad knows one number for all channels: it says what is covered, and what is not is filled.
    page = op.Pad(op.Cast(_resize(made, inside), to=INT32), pads)
    whole = op.Expand(op.Cast(_whole(1), to=INT32), op.Concat(_whole(1, 1), inside, axis=0))
    covered = op.Pad(whole, pads)
    colour = op.Cast(op.Reshape(_whole(*fill), _whole(1, -1, 1, 1)), to=INT32)
    return op.Cast(op.Where(op.Cast(covered, to=BOOL), page, colour), to=UINT8)


def _middle_written(pixels: Any, scaled: Any, side: int, size: int, longest: int) -> Any:
    """`_middle`, of both kinds of pictures, of which the one that is not here has no rows: what is between pixels would
    cost more than small networks."""
    op = _operators()

    short = op.ReduceMin(scaled)
    across = op.Equal(scaled, short)
    kept = op.Min(scaled, op.Mul(short, _whole(longest)))
    start = op.Div(op.Sub(op.Div(op.Mul(kept, _whole(side)), short), _whole(size)), _whole(2))
    long = op.Less(op.Mul(short, _whole(longest)), op.ReduceMax(scaled))
    rows = op.Where(long, _whole(size), _whole(0))
    enlarged = op.Where(across, _whole(side), scaled)
    pixels = _resize(pixels, enlarged)
    begin = op.Div(op.Sub(enlarged, _whole(size)), _whole(2))
    whole = op.Slice(
        pixels, begin, op.Add(begin, op.Concat(op.Sub(_whole(size), rows), _whole(size), axis=0)), _whole(2, 3)
    )
    step = op.Where(across, _real(1), op.Div(op.Cast(short, to=DOUBLE), _real(side)))
    half, window = op.Div(_real(1), _real(2)), op.Cast(_whole(*range(size)), to=DOUBLE)
    first = op.Sub(op.Mul(op.Add(op.Cast(start, to=DOUBLE), half), step), half)
    first = op.Add(first, op.Mul(op.Cast(op.Sub(scaled, kept), to=DOUBLE), half))
    down, along = (
        op.Add(op.Gather(first, _whole(axis)), op.Mul(window, op.Gather(step, _whole(axis)))) for axis in (0, 1)
    )
    down = op.Slice(down, _whole(0), rows)
    below, above = (
        op.Gather(op.Gather(pixels, op.Cast(near(down), to=INT64), axis=2), op.Cast(near(along), to=INT64), axis=3)
        for near in (op.Floor, op.Ceil)
    )
    # Along one side alone are there places between two pixels.
    down, along = (op.Cast(op.Sub(places, op.Floor(places)), to=FLOAT) for places in (down, along))
    share = op.Add(op.Unsqueeze(down, _whole(1)), along)
    below, above = (op.Cast(near, to=FLOAT) for near in (below, above))
    between = op.Cast(op.Round(op.Add(below, op.Mul(op.Sub(above, below), share))), to=UINT8)
    return op.Concat(between, whole, axis=2)


def _scaled(given: Any, side: int, longest: int) -> Any:
    """`_scaled_size`, in double precision, as Python has it."""
    op = _operators()

    lengths, short = op.Cast(given, to=DOUBLE), op.ReduceMin(given)
    usual = op.Round(op.Div(op.Mul(lengths, _real(side)), op.Cast(short, to=DOUBLE)))
    area = op.ReduceProd(lengths)
    narrow = op.Round(op.Mul(lengths, op.Mul(_real(side), op.Sqrt(op.Div(_real(longest), area)))))
    fits = op.LessOrEqual(op.ReduceMax(given), op.Mul(short, _whole(longest)))
    usual = op.Max(op.Cast(usual, to=INT64), _whole(side))
    return op.Where(fits, usual, op.Max(op.Cast(narrow, to=INT64), _whole(1)))


def _resize(pixels: Any, size: Any) -> Any:
    op = _operators()

    # All four sizes: ONNX Runtime, moving the Transpose behind a Resize, takes the axes of two for those of four.
    sizes = op.Concat(op.Shape(pixels, start=0, end=2), size, axis=0)
    return op.Resize(pixels, None, None, sizes, mode="linear", antialias=1)


def _operators() -> Any:
    """Typed as anything: onnxscript's types cannot follow one value through two operators."""
    from onnxscript import opset18

    return opset18


def _whole(*numbers: int) -> Any:
    op = _operators()

    return op.Constant(value_ints=list(numbers))


def _real(number: int) -> Any:
    op = _operators()

    return op.Cast(_whole(number), to=DOUBLE)
