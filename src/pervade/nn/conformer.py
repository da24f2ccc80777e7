"""The conformer: self-attention for what is far apart, convolution for what is near (Gulati et al. 2020,
arXiv:2005.08100).

    x + 1/2 feed, + attention, + convolution, + 1/2 feed, norm          of a block
    log-mel -> convolutions of stride 2 -> blocks                       of the whole

Positions are rotary (Su et al. 2021, arXiv:2104.09864). Inside the convolution module frames are normalised one by one
(layer norm) where the paper takes batch statistics, and everything else is masked, so that a recording gives the same
alone and padded in a batch. Dropout stands before the sums alone: on a processor, drawing it inside attention and the
feed-forward layers as well took a fifth of a training step.

Axis letters: n rows, b bands, f frames, d width, h heads.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from pervade.nn.transformer import rotary, turned


class Subsampling(nn.Module):
    """(n, b, f) and the frames that count (n, f) -> (n, f / factor, d), rounded up, and those that count there, by
    convolutions over time and frequency; a `factor` of 1 keeps every frame."""

    def __init__(self, bands: int, width: int, factor: int, channels: int) -> None:
        super().__init__()
        steps = {1: [1], 2: [2], 4: [2, 2]}[factor]
        self.steps = steps
        self.convolutions = nn.ModuleList()
        self.norms = nn.ModuleList()
        before, height = 1, bands
        for step in steps:
            self.convolutions.append(nn.Conv2d(before, channels, 3, stride=(2, step), padding=1))
            before, height = channels, -(-height // 2)
            self.norms.append(nn.LayerNorm(channels * height))
        self.out = nn.Linear(channels * height, width)

    def forward(self, x: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        x = x[:, None]
        for step, convolution, norm in zip(self.steps, self.convolutions, self.norms, strict=True):
            x = convolution(x * frames[:, None, None])
            frames = frames[:, ::step]
            n, c, b, f = x.shape
            # Frame by frame, over channels and frequencies.
            flat = norm(x.permute(0, 3, 1, 2).reshape(n, f, c * b))
            x = F.silu(flat).view(n, f, c, b).permute(0, 2, 3, 1)
        n, c, b, f = x.shape
        return self.out(x.permute(0, 3, 1, 2).reshape(n, f, c * b)), frames


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.into = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], frames: Tensor) -> Tensor:
        n, f, d = x.shape
        query, key, value = self.into(x).view(n, f, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(
            turned(query, *angles),
            turned(key, *angles),
            value,
            attn_mask=frames[:, None, None],
        )
        out: Tensor = self.out(seen.transpose(1, 2).reshape(n, f, d))
        return out


class Convolution(nn.Module):
    """Gated linear unit, a convolution over time of each channel alone, and a linear layer."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.into = nn.Linear(width, 2 * width)
        self.deep = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, frames: Tensor) -> Tensor:
        x = F.glu(self.into(x), dim=-1) * frames[:, :, None]
        x = self.deep(x.transpose(1, 2)).transpose(1, 2)
        out: Tensor = self.out(F.silu(self.norm(x)))
        return out


class FeedForward(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(F.silu(self.into(x)))
        return out


class Block(nn.Module):
    def __init__(self, width: int, heads: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(5))
        self.feed1, self.feed2 = FeedForward(width, 4 * width), FeedForward(width, 4 * width)
        self.attention, self.convolution = Attention(width, heads), Convolution(width, kernel)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], frames: Tensor) -> Tensor:
        feed1, attention, convolution, feed2, last = self.norms
        x = x + 0.5 * self.dropout(self.feed1(feed1(x)))
        x = x + self.dropout(self.attention(attention(x), angles, frames))
        x = x + self.dropout(self.convolution(convolution(x), frames))
        x = x + 0.5 * self.dropout(self.feed2(feed2(x)))
        out: Tensor = last(x)
        return out


class Conformer(nn.Module):
    """(n, b, f) and the frames that count (n, f) -> (n, f / factor, d), and those that count there. What comes out
    elsewhere means nothing."""

    def __init__(
        self, bands: int, width: int, depth: int, heads: int, kernel: int, factor: int, channels: int, dropout: float
    ) -> None:
        super().__init__()
        self.heads = heads
        self.subsampling = Subsampling(bands, width, factor, channels)
        self.blocks = nn.ModuleList(Block(width, heads, kernel, dropout) for _ in range(depth))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        x, frames = self.subsampling(x, frames)
        x = self.dropout(x)
        # Made for each batch, since a recording may be of any length.
        angles = rotary(x.shape[1], x.shape[2] // self.heads, x.device)
        for block in self.blocks:
            x = block(x, angles, frames)
        return x, frames


class AttentivePooling(nn.Module):
    """(n, f, d) -> (n, d): the mean over the frames that count, each weighed by what a linear layer makes of it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Linear(width, 1)

    def forward(self, x: Tensor, frames: Tensor) -> Tensor:
        share = self.weight(x)[:, :, 0].float().masked_fill(~frames, -math.inf).softmax(1)
        return (x * share[:, :, None].to(x.dtype)).sum(1)
