"""A conformer of our own for sound, from random weights: what is said in a recording, frame by frame, or what it is as
a whole. Log-mel bands are its first layer, and SpecAugment, in training alone, its second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pervade.core.bounds import Blocks, Filters, Heads, Part, Width
from pervade.core.contracts import Inputs, Model, Waveform, require
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.nn import conformer
from pervade.nn.backbone import Backbone
from pervade.nn.frames import EveryFrame
from pervade.nn.mel import LogMel, Normalisation
from pervade.nn.spec_augment import SpecAugment


@register(
    "model",
    variants={
        "conformer-tiny": {"width": 96, "depth": 3, "heads": 4, "channels": 16},
        "conformer-small": {"width": 144, "depth": 6, "heads": 4, "channels": 32},
        "conformer-medium": {"width": 256, "depth": 12, "heads": 4, "channels": 64},
    },
)
@dataclass(frozen=True)
class Conformer(Model):
    reads: ClassVar[str] = "recordings"
    width: Width = 144
    depth: Blocks = 4  # blocks
    heads: Heads = 4  # of attention; each has width / heads numbers
    kernel: Annotated[int, Field(ge=3, le=511)] = 15  # frames that the convolution of a block sees; odd
    factor: Literal[1, 2, 4] = 4  # frames of the bands that become one
    channels: Filters = 32  # of the convolutions that make them one
    dropout: Part = 0.1
    bands: Annotated[int, Field(ge=8, le=256)] = 64  # of mel
    window: Annotated[float, Field(ge=0.001, le=1)] = 0.025  # seconds that one frame of the bands looks at
    hop: Annotated[float, Field(ge=0.001, le=1)] = 0.010  # seconds between two frames of the bands
    normalise: Normalisation = "bands"  # what is taken from a recording's bands: nothing, their mean, deviation too
    # SpecAugment (nn/spec_augment.py), in training alone:
    time_masks: Annotated[int, Field(ge=0, le=100)] = 2  # stretches of time that are hidden
    time_width: Part = 0.1  # the longest of them, as a share of the recording
    band_masks: Annotated[int, Field(ge=0, le=100)] = 2  # bands that are hidden
    band_width: Part = 0.2  # the widest of them, as a share of all
    time_warp: Annotated[float, Field(ge=0, lt=0.5)] = 0.0  # how far the middle is moved, as a share of the recording
    band_warp: Part = 0.1  # by how much the axis of the bands is stretched at most

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        """Raises ConfigError where the input is no sound, or the heads do not share the width out evenly."""
        instead = "for pictures take vit, for texts transformer (`pervade models`)"
        heard = require(inputs, Waveform, "conformer", instead)
        if self.width % (2 * self.heads):
            raise ConfigError(
                f"model.width {self.width} must be a multiple of 2 x model.heads ({2 * self.heads}): rotary positions "
                "turn pairs of numbers"
            )
        if self.kernel % 2 == 0:
            raise ConfigError(f"model.kernel {self.kernel} must be odd, so that it has a middle")
        body = _Body(self, heard)
        shape = Backbone if heard.pooled else EveryFrame
        return shape(inputs, outputs, body, self.width, self.dropout)


class _Body(nn.Module):
    def __init__(self, spec: Conformer, inputs: Waveform) -> None:
        super().__init__()
        self.mel = LogMel(inputs.rate, spec.bands, spec.window, spec.hop, normalise=spec.normalise)
        self.augment = SpecAugment(
            spec.time_masks, spec.time_width, spec.band_masks, spec.band_width, spec.time_warp, spec.band_warp
        )
        self.encoder = conformer.Conformer(
            spec.bands,
            spec.width,
            spec.depth,
            spec.heads,
            spec.kernel,
            spec.factor,
            spec.channels,
            spec.dropout,
        )
        self.pool = conformer.AttentivePooling(spec.width) if inputs.pooled else None

    def forward(self, wave: Tensor, mask: Tensor | None = None) -> Any:
        """Features (n, d), or those of every frame (n, f, d) and which of them count (n, f)."""
        bands, frames = self.mel(wave, mask)
        if frames is None:
            frames = torch.ones(len(bands), bands.shape[2], dtype=torch.bool, device=bands.device)
        features, frames = self.encoder(self.augment(bands, frames), frames)
        return (features, frames) if self.pool is None else self.pool(features, frames)
