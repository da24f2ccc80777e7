"""What tasks have in common that learn to make pictures like those they saw.

A picture that is made hangs on its seed and, where pictures are made by class, on its class, and on nothing else: not
on the batch it is made in. For each row that is measured one is made, of the row's class, by the row's number, so that
as many are made as there are real ones beside them. What they are worth another network says (members/judge), which
learnt from the same training split: engine/judging.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Module

from pervade.core.bounds import Seed
from pervade.core.contracts import Context, Domain, Recipe, Task
from pervade.core.contracts.abilities import HasMembers, JudgesAll, MakesSamples
from pervade.core.types import Batch, Output, Rows, Table


@dataclass(frozen=True)
class PictureSampling:
    """How pictures are made. What a method does not know of it leaves alone."""

    seed: Seed = 0  # a picture's own number is added to it
    steps: Annotated[int, Field(ge=1, le=10_000)] | None = None  # evaluations of a denoising network; None: its own
    guidance: Annotated[float, Field(ge=0, le=100)] | None = None  # weight of the class; 1: as learnt; None: its own
    sampler: Literal["ddpm", "ddim", "dpm-solver++"] | None = None  # of a denoising network; None: its own
    temperature: Annotated[float, Field(ge=0.001, le=10)] | None = None  # of a prior over codes; None: 1
    truncation: Annotated[float, Field(ge=0.01, le=100)] | None = None  # noise of a generator is multiplied by it


@dataclass(frozen=True)
class GeneratesPictures(Task, MakesSamples, HasMembers, JudgesAll):
    needs: ClassVar[tuple[str, ...]] = ("judge",)
    sampling: PictureSampling = field(default_factory=PictureSampling)
    judge: str = ""  # the run whose network judges what is made; empty: one that learns from the same rows before

    def sample(self, model: Module, seeds: Tensor, classes: Tensor, context: Context) -> Tensor:
        """(n, c, h, w) of 0-1, the pictures of these `seeds` (n,) int64 and `classes` (n,) int64, 0 where none is said.
        What is drawn comes from `noise`."""
        raise NotImplementedError

    def before(self, rows: Rows, domain: Domain) -> Mapping[str, Recipe]:
        """The judge's."""
        raise NotImplementedError

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        """A picture for each row: "picture" (n, c, h, w) of 0-1, with its "seed" and "class"."""
        seeds, classes = batch["seed"], batch["input"]["class"]
        return {"picture": self.sample(model, seeds, classes, context), "seed": seeds, "class": classes}

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        """ "picture" (n, h * w * c) uint8, rows of pixels from the top; "seed" and "class" (n,), 0 where none is
        said."""
        pixels = output["picture"].float().clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1)
        return {"row": batch["row"], "seed": output["seed"], "class": output["class"], "picture": pixels.flatten(1)}


def noise(seeds: Tensor, shape: tuple[int, ...], salt: int = 0) -> Tensor:
    """(n, *shape) of the standard normal distribution, on the processor: a row by its seed and the `salt` alone, so
    that it is the same in every batch and on every device. Draws of one picture that must not be alike differ in
    salt."""
    generator = torch.Generator()
    rows = [torch.randn(shape, generator=generator.manual_seed(_mixed(int(seed), salt))) for seed in seeds.tolist()]
    return torch.stack(rows) if rows else torch.zeros((0, *shape))


def _mixed(seed: int, salt: int) -> int:
    """A seed of 63 bits, so that neighbours have nothing in common (SplitMix64, Steele et al. 2014)."""
    mask = (1 << 64) - 1
    z = (seed * 0x9E3779B97F4A7C15 + salt * 0xD1B54A32D192ED03 + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return (z ^ (z >> 31)) >> 1


def uint8_pictures(table: Mapping[str, Any], shape: tuple[int, int, int]) -> Tensor:
    """(n, c, h, w) of 0-1, from the column "picture" of a predictions file; `shape` is c, h, w."""
    channels, height, width = shape
    pixels = torch.as_tensor(table["picture"]).reshape(-1, height, width, channels)
    return pixels.permute(0, 3, 1, 2).float() / 255
