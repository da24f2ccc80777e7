"""What a transformer remembers of several texts that it reads side by side: keys and values, for each as far as it is.

What becomes of a text hangs on no other, to the last digit. A matrix product rounds a row alike in whatever company,
but fewer than `FEWEST_ROWS` rows are computed by other kernels, in another order; so a token alone is computed as so
many (MKL, fp32, an AMD Zen 4, one thread and two: the same in 2,286 products of 4 to 130 rows; 1 row and 2 differ from
them, and from each other). Sums over what a text has read are in whole blocks, as many as the longest of all needs:
zeros behind whole blocks change nothing (blocks of 32 and 64: nothing in 1,344 trials; of 16: 12 of 672). torch's
`scaled_dot_product_attention` shares a sum out among threads by how many rows there are, so it is not taken for this
(with two threads 196 of 336 differed).

Axis letters: n rows, t new positions, l positions in all, h heads, e width of a head.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 64  # positions
FEWEST_ROWS = 4


def blocks(positions: int) -> int:
    """So many positions or more, in whole blocks."""
    return -(-positions // BLOCK) * BLOCK


class KeyValues:
    """Of `rows` texts and `layers` layers, with room for `longest` positions; `lengths` counts what each has read."""

    def __init__(self, layers: int, rows: int, heads: int, longest: int, head_width: int, like: Tensor) -> None:
        shape = (rows, heads, blocks(longest), head_width)
        # Zeros, since what is masked counts nought times.
        self.keys, self.values = ([like.new_zeros(shape) for _ in range(layers)] for _ in range(2))
        self.lengths = [0] * rows
        self.rows = rows

    @property
    def length(self) -> int:
        """Of the longest."""
        return max(self.lengths, default=0)

    @property
    def room(self) -> tuple[int, int]:
        """Rows, and positions of each, that there is memory for."""
        rows, _, positions, _ = self.keys[0].shape
        return rows, positions

    @torch.inference_mode()
    def resize(self, rows: int, positions: int) -> None:
        """Makes room for so many rows, of which there are no more, and positions, of which none has read more."""
        kept, end = len(self.lengths), self.length
        for side in (self.keys, self.values):
            for number, old in enumerate(side):
                side[number] = old.new_zeros((rows, old.shape[1], blocks(positions), old.shape[3]))
                side[number][:kept, :, :end] = old[:kept, :, :end]

    @torch.inference_mode()
    def remove(self, row: int) -> None:
        """One text is no longer there; the last one takes its row."""
        last = len(self.lengths) - 1
        if row < last:
            end = self.lengths[last]
            for layer in (*self.keys, *self.values):
                layer[row, :, :end] = layer[last, :, :end]
        self.lengths[row] = self.lengths[last]
        self.lengths.pop()

    def of_row(self, row: int) -> KeyValues:
        """One row alone, from its beginning. Whoever reads into it says so in `lengths` here."""
        made = object.__new__(KeyValues)
        made.keys, made.values = ([layer[row : row + 1] for layer in side] for side in (self.keys, self.values))
        made.lengths = [0]
        return made

    def begin(self, new: int) -> Tensor:
        """Before all layers: every text reads `new` tokens. Their positions (n, t)."""
        self.rows, device, starts = len(self.lengths), self.keys[0].device, self.lengths
        self.first = not any(starts)
        self.start = starts[0] if len(set(starts)) == 1 else None
        self.places = torch.tensor(starts, device=device)[:, None] + torch.arange(new, device=device)
        self.width = min(blocks(self.length + new), self.room[1])
        self.hidden = (torch.arange(self.width, device=device) > self.places[:, :, None])[:, None]
        self.numbers = torch.arange(self.rows, device=device)
        return self.places

    def end(self, new: int) -> None:
        """After all layers."""
        self.lengths = [length + new for length in self.lengths]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """What the new positions (n, h, t, e) see of all up to themselves (n, h, t, e)."""
        keys, values = self.keys[layer], self.values[layer]
        new = query.shape[2]
        if self.start is not None:
            keys[: self.rows, :, self.start : self.start + new] = key
            values[: self.rows, :, self.start : self.start + new] = value
        else:
            for offset in range(new):
                at = (self.numbers, slice(None), self.places[:, offset])
                keys[at], values[at] = key[:, :, offset], value[:, :, offset]
        if self.first and new > 1:
            return F.scaled_dot_product_attention(query, key, value, is_causal=True)
        scores = torch.matmul(query * query.shape[-1] ** -0.5, keys[: self.rows, :, : self.width].transpose(2, 3))
        weights = scores.masked_fill_(self.hidden, float("-inf")).softmax(-1)
        return torch.matmul(weights, values[: self.rows, :, : self.width])


@runtime_checkable
class ReadsSideBySide(Protocol):
    """A network that writes, and reads texts of different lengths in one go: rows of tokens (n, 1) behind what is in
    the memory that it is given as its `caches`; rows beyond the memory's are nobody's."""

    def memory(self, rows: int, positions: int) -> KeyValues:
        """For so many texts, with room for so many tokens of each."""
        ...
