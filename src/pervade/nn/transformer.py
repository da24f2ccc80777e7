"""The transformer's parts, shared by our encoder and our language model (Vaswani et al. 2017, arXiv:1706.03762).

Pre-norm with RMSNorm (Zhang & Sennrich 2019, arXiv:1910.07467), rotary positions (Su et al. 2021, arXiv:2104.09864),
SwiGLU (Shazeer 2020, arXiv:2002.05202), attention by torch's `scaled_dot_product_attention`, no biases.

Axis letters: n rows, t positions, h heads, e width of a head, d width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pervade.nn.key_values import KeyValues

ROTARY_BASE = 10000.0


class Rotary(nn.Module):
    """Turns queries and keys (n, h, t, e) by their positions, so that a score depends on the distance of two."""

    cosine: Tensor
    sine: Tensor

    def __init__(self, head_width: int, longest: int) -> None:
        super().__init__()
        cosine, sine = rotary(longest, head_width)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """`start` is the position of the first."""
        end = start + x.shape[2]
        return turned(x, self.cosine[start:end], self.sine[start:end])


def rotary(positions: int, head_width: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Cosine and sine (t, e / 2) of the angles by which queries and keys are turned."""
    rate = ROTARY_BASE ** (-torch.arange(0, head_width, 2, dtype=torch.float32, device=device) / head_width)
    angle = torch.outer(torch.arange(positions, dtype=torch.float32, device=device), rate)
    return angle.cos(), angle.sin()


def turned(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """(n, h, t, e) turned by the positions."""
    cosine, sine = cosine.to(x.dtype), sine.to(x.dtype)
    left, right = x.chunk(2, dim=-1)
    return torch.cat([left * cosine - right * sine, right * cosine + left * sine], -1)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, causal: bool, dropout: float) -> None:
        super().__init__()
        self.heads, self.causal, self.dropout = heads, causal, dropout
        self.into = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, rotary: Rotary, mask: Tensor | None) -> Tensor:
        query, key, value = self._parts(x)
        seen = F.scaled_dot_product_attention(
            rotary(query),
            rotary(key),
            value,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=self.causal and mask is None,
        )
        out: Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return out

    def read_on(self, x: Tensor, turn: tuple[Tensor, Tensor], memory: KeyValues, layer: int) -> Tensor:
        """As `forward`, of positions behind those in `memory`, turned by cosine and sine (n, 1, t, e / 2). Rows of x
        beyond the memory's are nobody's."""
        rows = memory.rows
        parts = self._parts(x)[:, :rows]
        query, key = turned(parts[:2], *turn)
        seen = memory.attend(layer, query, key, parts[2]).transpose(1, 2).flatten(2)
        out: Tensor = self.out(seen if rows == len(x) else F.pad(seen, (0, 0, 0, 0, 0, len(x) - rows)))
        return out

    def _parts(self, x: Tensor) -> Tensor:
        """Queries, keys and values (3, n, h, t, e)."""
        n, t, _ = x.shape
        parts: Tensor = self.into(x).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return parts


class SwiGLU(nn.Module):
    """(silu(x A) * x B) C; the inner width is 8/3 of the outer, rounded up to 32, so as many weights as the usual 4."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = math.ceil(width * 8 / 3 / 32) * 32
        self.into = nn.Linear(width, 2 * inner, bias=False)
        self.out = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.into(x).chunk(2, dim=-1)
        out: Tensor = self.out(F.silu(gate) * value)
        return out


class Block(nn.Module):
    """x + attention(norm(x)), then x + SwiGLU(norm(x))."""

    def __init__(self, width: int, heads: int, causal: bool, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(width, eps=1e-6), nn.RMSNorm(width, eps=1e-6)
        self.attention, self.feed = Attention(width, heads, causal, dropout), SwiGLU(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, rotary: Rotary, mask: Tensor | None) -> Tensor:
        x = x + self.dropout(self.attention(self.norm1(x), rotary, mask))
        y: Tensor = x + self.dropout(self.feed(self.norm2(x)))
        return y

    def read_on(self, x: Tensor, turn: tuple[Tensor, Tensor], memory: KeyValues, layer: int) -> Tensor:
        x = x + self.attention.read_on(self.norm1(x), turn, memory, layer)
        y: Tensor = x + self.feed(self.norm2(x))
        return y


class Transformer(nn.Module):
    """Token numbers (n, t) to features (n, t, d).

    `mask` (n, t) is True at tokens and False at padding, which nobody looks at; what comes out at padding means
    nothing. A causal one takes no mask: padding stands at the end, where no token before it looks.
    """

    def __init__(
        self, vocabulary: int, longest: int, width: int, depth: int, heads: int, causal: bool, dropout: float
    ) -> None:
        super().__init__()
        self.causal, self.longest, self.heads, self.width = causal, longest, heads, width
        self.embedding = nn.Embedding(vocabulary, width)
        self.rotary = Rotary(width // heads, longest)
        self.blocks = nn.ModuleList(Block(width, heads, causal, dropout) for _ in range(depth))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.dropout = nn.Dropout(dropout)
        self._draw(depth)

    def _draw(self, depth: int) -> None:
        """Deviation 0.5 / sqrt(numbers that are added up), so that attention looks at something from the first step on
        in narrow networks as well (0.02, as BERT and GPT-2 have it, is this at a width of 625); what ends a residual
        branch is smaller by sqrt(2 depth), so that the sum does not grow with the depth (Radford et al. 2019)."""
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                ends = math.sqrt(2 * depth) if name.endswith("out.weight") else 1.0
                nn.init.normal_(parameter, std=0.5 / math.sqrt(parameter.shape[1]) / ends)

    @property
    def token_embedding(self) -> nn.Module:
        return self.embedding

    def memory(self, rows: int, positions: int) -> KeyValues:
        """For so many texts, with room for so many tokens of each."""
        return KeyValues(
            len(self.blocks), rows, self.heads, positions, self.width // self.heads, self.embedding.weight.detach()
        )

    def forward(self, tokens: Tensor, mask: Tensor | None = None, memory: KeyValues | None = None) -> Tensor:
        x = self.dropout(self.embedding(tokens))
        if memory is not None:
            return self._read_on(x, memory)
        # In a graph, whose way no value decides, the mask is looked at always.
        whole = self.causal or mask is None or (not torch.compiler.is_exporting() and bool(mask.all()))
        seen = None if whole or mask is None else mask[:, None, None, :]
        for block in self.blocks:
            x = block(x, self.rotary, seen)
        out: Tensor = self.norm(x)
        return out

    def _read_on(self, x: Tensor, memory: KeyValues) -> Tensor:
        places = memory.begin(x.shape[1])
        turn = (self.rotary.cosine[places][:, None], self.rotary.sine[places][:, None])
        for number, block in enumerate(self.blocks):
            x = block.read_on(x, turn, memory, number)  # type: ignore[operator]
        memory.end(x.shape[1])
        out: Tensor = self.norm(x)
        return out


def mean_of_tokens(features: Tensor, mask: Tensor | None) -> Tensor:
    """(n, t, d) to (n, d): the mean over tokens, padding left out."""
    if mask is None:
        return features.mean(1)
    weight = mask.to(features.dtype)[:, :, None]
    return (features * weight).sum(1) / weight.sum(1).clamp(min=1.0)
