"""What networks that take noise out of pictures have in common: their shape, and what they are told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pervade.core.contracts import Canvas
from pervade.core.types import Output
from pervade.nn.backbone import Backbone

MOST_WRITTEN = 256  # places whose products with one another are written down, where that is faster
SLOWEST = 10_000.0  # steps in which the slowest wave of a time's embedding turns by one radian


class Denoiser(Backbone):
    """{"pixels" (n, c, h, w), "time" (n,) in steps, "class" (n,) int64} to "output" (n, c, h, w): whatever of the noise
    in the pixels is asked for. `body` maps the same to the latter; there is no head."""

    def __init__(self, canvas: Canvas, body: nn.Module) -> None:
        super().__init__(canvas, {}, body, 0)

    def forward(self, input: Any, mask: Tensor | None = None) -> Output:
        return {"output": self.body(input)}


class Moment(nn.Module):
    """What is to be told of a picture, (n, width): a time, in steps (Ho et al. 2020, arXiv:2006.11239, appendix B), and
    a class, 1 to `classes`, 0 where none is said, which is learnt as the others are (Ho & Salimans 2022,
    arXiv:2207.12598)."""

    frequency: Tensor

    def __init__(self, waves: int, width: int, classes: int) -> None:
        super().__init__()
        half = waves // 2
        rate = [math.exp(-math.log(SLOWEST) * place / half) for place in range(half)]
        self.register_buffer("frequency", torch.tensor(rate), persistent=False)
        self.time_embedding = nn.ModuleDict({"linear_1": nn.Linear(waves, width), "linear_2": nn.Linear(width, width)})
        self.class_embedding = nn.Embedding(classes + 1, width) if classes else None
        if self.class_embedding is not None:
            # As large as what is told of the time: with 0.02 digits looked like no class after 170 steps.
            nn.init.normal_(self.class_embedding.weight, std=0.5)

    def forward(self, input: Mapping[str, Tensor]) -> Tensor:
        angle = input["time"].float()[:, None] * self.frequency
        waves = torch.cat([angle.cos(), angle.sin()], 1)
        told: Tensor = self.time_embedding["linear_2"](F.silu(self.time_embedding["linear_1"](waves)))
        return told if self.class_embedding is None else told + self.class_embedding(input["class"])


def attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of (n, heads, places, channels). Of few places on a processor as two products and a softmax: torch's
    own way back through it takes 4 to 10 times as long there in bfloat16."""
    if query.is_cpu and query.requires_grad and query.shape[2] <= MOST_WRITTEN:
        scores = query * query.shape[3] ** -0.5 @ key.transpose(2, 3)
        return scores.softmax(3).to(value.dtype) @ value
    return F.scaled_dot_product_attention(query, key, value)
