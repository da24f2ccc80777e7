"""WaveNet: a language model over the samples of a sound (van den Oord et al. 2016, arXiv:1609.03499).

Each sample is one of 256 codes (mu-law, data/sound/mu_law.py), and the network says what the next is, from those before
it and from what the whole sound is (its class, its speaker) and what it is about there ("local": how far it has come,
or mel bands of a frame). Where the paper upsamples by a transposed convolution, a frame's condition is held.

Axis letters: n rows, t samples, f frames of `hop` samples, c channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pervade.core.contracts import Codes, Inputs, Model
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Output
from pervade.nn.dilated import DilatedStack, dilations

HIDDEN = 64  # numbers that say what a sound is and where in it one is


@register(
    "model",
    variants={
        "wavenet-tiny": {"channels": 32, "skip": 64, "longest": 128, "stacks": 2},
        "wavenet-small": {"channels": 64, "skip": 128, "longest": 512, "stacks": 2},
    },
)
@dataclass(frozen=True)
class WaveNet(Model):
    reads: ClassVar[str] = "sounds to be made"
    channels: Annotated[int, Field(ge=4, le=2048)] = 64  # of the residual connections
    skip: Annotated[int, Field(ge=4, le=4096)] = 128  # of what is made of all layers
    longest: Annotated[int, Field(ge=1, le=8192)] = 512  # dilation of a stack's last layer, a power of two
    stacks: Annotated[int, Field(ge=1, le=16)] = 2  # how often the dilations 1, 2, 4 … are gone through

    def __post_init__(self) -> None:
        if self.longest & (self.longest - 1):
            raise ConfigError(f"model.longest {self.longest} must be a power of two: dilations double from 1 up to it")

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        """Raises ConfigError where the input is no sound as codes."""
        if not isinstance(inputs, Codes) or dict(outputs) != {"logits": inputs.codes}:
            raise ConfigError("wavenet makes sounds: it goes with --task text-to-audio")
        return WaveNetwork(self, inputs)


class WaveNetwork(nn.Module):
    """{"codes" (n, t) int64, "class" (n,), "speaker" (n,) int64 with 0 for unknown, "local" (n, f, k)} to "logits"
    (n, t, codes): of the code after each. f is t / hop, rounded up; class and speaker may be left out.

    No mask: padding stands at the end, where nothing before it looks. Before the beginning there is nothing, as if
    every layer had been given zeros.
    """

    def __init__(self, spec: WaveNet, inputs: Codes) -> None:
        super().__init__()
        self.hop, self.codes = inputs.hop, inputs.codes
        self.embedding = nn.Embedding(self.codes, spec.channels)
        # Codes that are near one another begin with embeddings that are.
        level = torch.linspace(-1, 1, self.codes)[:, None] * torch.linspace(1, 16, spec.channels)
        with torch.no_grad():
            self.embedding.weight.copy_(torch.cat([level[:, ::2].sin(), level[:, 1::2].cos()], 1))
        self.classes = nn.Embedding(inputs.classes + 1, HIDDEN)
        self.speakers = nn.Embedding(inputs.speakers + 1, HIDDEN)
        for table in (self.classes, self.speakers):
            nn.init.normal_(table.weight, std=0.5)
        self.local_width = inputs.local
        self.local = nn.Linear(self.local_width, HIDDEN) if self.local_width else None
        self.joined = nn.Sequential(nn.GELU(), nn.Linear(HIDDEN, HIDDEN), nn.GELU())
        self.stack = DilatedStack(spec.channels, spec.skip, dilations(spec.longest, spec.stacks), HIDDEN)
        self.head = nn.Sequential(
            nn.ReLU(), nn.Linear(spec.skip, spec.skip), nn.ReLU(), nn.Linear(spec.skip, self.codes)
        )

    @property
    def receptive_field(self) -> int:
        return self.stack.receptive_field

    def conditions(self, input: Mapping[str, Tensor]) -> Tensor:
        """What is known of each frame beside its samples (f, n, hidden)."""
        rows, frames = len(input["codes"]), -(-input["codes"].shape[1] // self.hop)
        hidden = self.embedding.weight.new_zeros(rows, 1, HIDDEN)
        for name, table in (("class", self.classes), ("speaker", self.speakers)):
            known = input.get(name)
            hidden = hidden + table(torch.zeros_like(input["codes"][:, 0]) if known is None else known)[:, None]
        if self.local is not None:
            hidden = hidden + self.local(input["local"][:, :frames])
        return self.joined(hidden.expand(-1, frames, -1)).transpose(0, 1)

    def forward(self, input: Mapping[str, Tensor], mask: Tensor | None = None) -> Output:
        codes = input["codes"]
        length = codes.shape[1]
        padded = F.pad(codes, (0, -length % self.hop))
        x = self.embedding(padded.t().contiguous())
        skipped = self.stack(x, self.conditions(input))[:length]
        return {"logits": self.head(skipped).transpose(0, 1)}
