"""A small residual network for short sounds, from random weights: it looks at the log-mel spectrogram as at a picture.

The waveform is its input; the spectrogram (nn/mel.py) and what training hides of it (nn/spec_augment.py) are its first
layers. Residual blocks (He et al. 2015, arXiv:1512.03385) halve bands and frames from stage to stage; then one layer
sees all bands of a moment together, since where in the spectrum something lies matters, and mean and maximum over time
are the features, since when it lies there does not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pervade.core.bounds import Blocks, Part
from pervade.core.contracts import Inputs, Model, Waveform, require
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.nn.backbone import Backbone
from pervade.nn.frames import EveryFrame
from pervade.nn.mel import LogMel, Normalisation
from pervade.nn.spec_augment import SpecAugment

CONTEXT = 5  # moments that the last layer sees, where every one is asked about

Share = Annotated[float, Field(ge=0, lt=1)]


@register("model")
@dataclass(frozen=True)
class SoundCNN(Model):
    reads: ClassVar[str] = "recordings"
    bands: Annotated[int, Field(ge=8, le=256)] = 40  # of the spectrogram
    window: Annotated[float, Field(ge=0.001, le=1)] = 0.032  # seconds that one frame looks at
    hop: Annotated[float, Field(ge=0.001, le=1)] = 0.0125  # seconds from frame to frame
    low: Annotated[float, Field(ge=0, le=96000)] = 60.0  # Hz, where the lowest band begins
    high: Annotated[float, Field(ge=1, le=96000)] | None = None  # Hz, where the highest ends; None: half the rate
    normalise: Normalisation = "level"  # of each recording's spectrogram (nn/mel.py)
    width: Annotated[int, Field(ge=8, le=2048, multiple_of=8)] = (
        32  # filters of the first stage, twice as many in each later one
    )
    stages: Annotated[int, Field(ge=1, le=5)] = 3
    depth: Blocks = 1  # residual blocks of a stage
    features: Annotated[int, Field(ge=8, le=8192)] = 256  # of a moment; the recording has twice as many
    dropout: Part = 0.2  # before the head
    # Hidden in training: so many stretches of time, each up to this share of the frames, and likewise of bands.
    time_masks: Annotated[int, Field(ge=0, le=100)] = 2
    time_width: Share = 0.15
    band_masks: Annotated[int, Field(ge=0, le=100)] = 2
    band_width: Share = 0.15
    # Bent in training: how far the middle of time moves, and how much the band axis is stretched, as shares at most.
    time_warp: Annotated[float, Field(ge=0, le=0.2)] = 0.1
    band_warp: Annotated[float, Field(ge=0, le=0.2)] = 0.1

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        """Raises ConfigError where the input is no sound."""
        heard = require(inputs, Waveform, "sound-cnn", "for pictures take resnet18, or another of `pervade models`")
        if self.high is not None and self.high <= self.low:
            raise ConfigError(f"model.high {self.high:g} Hz must be above model.low {self.low:g} Hz")
        if self.low >= heard.rate / 2:
            raise ConfigError(
                f"model.low {self.low:g} Hz must be below half of domain.rate ({heard.rate / 2:g} Hz), above which "
                "nothing is recorded"
            )
        body = _Body(self, heard.rate, heard.pooled)
        if not heard.pooled:
            return EveryFrame(inputs, outputs, body, self.features, self.dropout)
        return Backbone(inputs, outputs, body, 2 * self.features, self.dropout)


class _Body(nn.Module):
    """(n, 1, t), mask (n, t) -> (n, 2 x features); where not `pooled`, features of every moment (n, f, features) and
    the moments that count (n, f)."""

    def __init__(self, spec: SoundCNN, rate: int, pooled: bool) -> None:
        super().__init__()
        self.pooled = pooled
        high = None if spec.high is None else min(spec.high, rate / 2)
        self.spectrogram = LogMel(rate, spec.bands, spec.window, spec.hop, spec.low, high, spec.normalise)
        self.hide = SpecAugment(
            spec.time_masks, spec.time_width, spec.band_masks, spec.band_width, spec.time_warp, spec.band_warp
        )
        self.stem = nn.Sequential(nn.Conv2d(1, spec.width, 5, 2, 2, bias=False), nn.BatchNorm2d(spec.width), nn.ReLU())
        blocks: list[nn.Module] = []
        before, bands = spec.width, _half(spec.bands)
        for stage in range(spec.stages):
            after = spec.width * 2**stage
            for block in range(spec.depth):
                stride = 2 if stage > 0 and block == 0 else 1
                # What is said follows quickly one upon the other: a moment stays at four frames there.
                in_time = stride if pooled or stage == 1 else 1
                blocks.append(_Block(before, after, stride, in_time))
                before, bands = after, _half(bands) if stride == 2 else bands
        self.blocks = nn.ModuleList(blocks)
        wide = 1 if pooled else CONTEXT
        self.moment = nn.Sequential(
            nn.Conv2d(before, spec.features, (bands, wide), padding=(0, wide // 2), bias=False),
            nn.BatchNorm2d(spec.features),
            nn.ReLU(),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, wave: Tensor, mask: Tensor | None = None) -> Any:
        x, frames = self.spectrogram(wave, mask)
        x = self.hide(x, frames)[:, None].contiguous(memory_format=torch.channels_last)
        x, frames = _kept(self.stem(x), frames, 2)
        for block in self.blocks:
            x, frames = block(x, frames)
        x = self.moment(x)[:, :, 0].float()
        if not self.pooled:
            counted = torch.ones(len(x), x.shape[2], dtype=torch.bool, device=x.device) if frames is None else frames
            return x.transpose(1, 2), counted
        if frames is None:
            return torch.cat((x.mean(2), x.amax(2)), dim=1)
        x = x * frames[:, None]  # nothing is below 0 here, so what is left out is never the maximum
        return torch.cat((x.sum(2) / frames.sum(1, keepdim=True).clamp(min=1), x.amax(2)), dim=1)


class _Block(nn.Module):
    """`stride` over bands is 1 or 2, and `in_time` over frames likewise."""

    def __init__(self, before: int, after: int, stride: int, in_time: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, (stride, in_time), 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.stride, self.in_time = stride, in_time
        self.shortcut: nn.Module | None = None
        if before != after or stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor, frames: Tensor | None) -> tuple[Tensor, Tensor | None]:
        past = x
        if self.shortcut is not None:
            # Means of four, not every fourth ("ResNet-D", He et al. 2018, arXiv:1812.01187); padded by hand, so that
            # an odd last frame counts the same whether silence follows it or nothing.
            if self.stride == 2:
                shape = (2, self.in_time)
                past = F.avg_pool2d(F.pad(past, (0, past.shape[3] % self.in_time, 0, past.shape[2] % 2)), shape)
            past = self.shortcut(past)
        x, frames = _kept(torch.relu(self.bn1(self.conv1(x))), frames, self.in_time)
        return _kept(torch.relu(self.bn2(self.conv2(x)) + past), frames, 1)


def _kept(x: Tensor, frames: Tensor | None, stride: int) -> tuple[Tensor, Tensor | None]:
    """What lies beyond the recording at 0, as a convolution's own padding does, and the frames that are left."""
    if frames is None:
        return x, None
    frames = frames[:, ::stride]
    return x * frames[:, None, None], frames


def _half(size: int) -> int:
    return math.ceil(size / 2)
