"""What tasks have in common that learn to make pictures like those they saw.

A picture that is made hangs on its seed and, where pictures are made by class, on its class, and on nothing else: not
on the batch it is made in. For each row that is measured one is made, of the row's class, by the row's number, so that
as many are made as there are real ones beside them. What they are worth another network says (members/judge), which
learnt from the same training split: engine/judging.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Module

from pervade.core.bounds import Seed
from pervade.core.contracts import Canvas, Context, Domain, Pixels, Recipe, Task
from pervade.core.contracts import inputs as kinds
from pervade.core.contracts.abilities import (
    HasMembers,
    JudgesAll,
    KeepsSamples,
    MakesMedia,
    MakesSamples,
    SelectsRows,
    ShowsProgress,
)
from pervade.core.contracts.capabilities import labels_of
from pervade.core.errors import ConfigError, DataError
from pervade.core.types import Batch, Display, Json, LeftOut, Media, Output, Rows, Table
from pervade.core.words import TaskWords, counted
from pervade.data.image.grid import grid, png
from pervade.data.read import targets
from pervade.data.rows import split as splits
from pervade.engine import generation_details, judging
from pervade.metrics import generation as measures
from pervade.nn.backbone import ShowsFeatures

ROWS = COLUMNS = 8  # of the grid in the report; where pictures are made by class each row is of one class
MOST_ROWS = 12  # of classes
SHOWN = 16  # pictures that are shown as training goes on
BETWEEN = 8  # pictures from one seed's to another's, both among them
AT_ONCE = 64  # pictures that are made together
FEWEST = 2  # pictures to learn from
# What each field of `PictureSampling` is for, but the seed.
METHODS = {
    **dict.fromkeys(("steps", "guidance", "sampler"), "pictures that are made by denoising (--model diffusion)"),
    "temperature": "pictures that are made of codes (--model vq-vae)",
    "truncation": "pictures that a generator makes (--model dcgan or sngan)",
}


@dataclass(frozen=True)
class PictureSampling:
    """How pictures are made. Each method knows some of it (`GeneratesPictures.uses`) beside the seed."""

    seed: Seed = 0  # a picture's own number is added to it
    steps: Annotated[int, Field(ge=1, le=10_000)] | None = None  # evaluations of a denoising network; None: its own
    guidance: Annotated[float, Field(ge=0, le=100)] | None = None  # weight of the class; 1: as learnt; None: its own
    sampler: Literal["ddpm", "ddim", "dpm-solver++"] | None = None  # of a denoising network; None: its own
    temperature: Annotated[float, Field(ge=0.001, le=10)] | None = None  # of a prior over codes; None: 1
    truncation: Annotated[float, Field(ge=0.01, le=100)] | None = None  # noise of a generator is multiplied by it


@dataclass(frozen=True)
class GeneratesPictures(
    Task, SelectsRows, MakesSamples, MakesMedia, ShowsProgress, HasMembers, JudgesAll, KeepsSamples
):
    needs: ClassVar[tuple[str, ...]] = ("judge",)
    judges: ClassVar[tuple[str, ...]] = ("judge",)
    makes: ClassVar[str] = "pictures"
    uses: ClassVar[tuple[str, ...]] = ()  # fields of `sampling` that have a part in how it makes them, but the seed
    sampling: PictureSampling = field(default_factory=PictureSampling)
    judge: str = ""  # the run whose network judges what is made; empty: one that learns from the same rows before

    def __post_init__(self) -> None:
        """Raises ConfigError where something is asked for that has no part in how pictures are made here."""
        set_to = {name: getattr(self.sampling, name) for name in METHODS if name not in self.uses}
        if wrong := [
            f"sampling.{name} {set_to[name]} is for {METHODS[name]}" for name in set_to if set_to[name] is not None
        ]:
            raise ConfigError(*(f"{told}, and this model makes them otherwise; leave it out" for told in wrong))

    def examine(self, rows: Rows) -> None:
        number = len(rows.where("split", "train")) if "split" in rows and "fold" not in rows else len(rows)
        if number < FEWEST:
            held_out = f" ({len(rows)} were given, and the others are held out)" if number < len(rows) else ""
            raise DataError(
                f"{counted(number, 'picture')} to learn from{held_out} cannot show what such pictures have in common; "
                "give more: hundreds are few"
            )
        splits.refuse_unseen(rows)

    def measurable(self, rows: Rows, domain: Domain) -> tuple[Rows, list[LeftOut]]:
        return targets.of_learnt_labels(rows, labels_of(domain)) if canvas(domain).classes else (rows, [])

    # making

    def sample(self, model: Module, seeds: Tensor, classes: Tensor, context: Context) -> Tensor:
        """(n, c, h, w) of 0-1, the pictures of these `seeds` (n,) int64 and `classes` (n,) int64, 0 where none is said.
        What is drawn comes from `noise`."""
        raise NotImplementedError

    def between(
        self, model: Module, seeds: Tensor, others: Tensor, shares: Tensor, classes: Tensor, context: Context
    ) -> Tensor | None:
        """As `sample`, from what lies between the draws of `seeds` and those of `others` (n,) int64, so much of the way
        as `shares` (n,) of 0-1 say (`noise_between`). None where pictures of this method have no such path."""
        return None

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        """A picture for each row: "picture" (n, c, h, w) of 0-1, with its "seed" and "class"."""
        seeds, classes = batch["seed"] + self.sampling.seed, batch["input"]["class"]
        return {"picture": self.sample(model, seeds, classes, context), **self.asked(batch)}

    def asked(self, batch: Batch) -> Output:
        """ "seed" and "class" (n,) of what is to be made beside each row."""
        return {"seed": batch["seed"] + self.sampling.seed, "class": batch["input"]["class"]}

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        """ "seed" and "class" (n,), 0 where none is said; and, where one was made, "picture" (n, h * w * c) uint8, rows
        of pixels from the top."""
        table = {"row": batch["row"], "seed": output["seed"], "class": output["class"]}
        return table if "picture" not in output else table | {"picture": as_uint8(output["picture"]).flatten(1)}

    def answers(self, table: Table, domain: Domain, top: int) -> list[dict[str, Any]]:
        """ "picture" (h, w, c) uint8, the "label" asked for, or None, and the "seed"."""
        channels, height, width = canvas(domain).shape
        pictures = np.asarray(table["picture"], np.uint8).reshape(-1, height, width, channels)
        of_class = (None, *labels_of(domain))
        rows = zip(pictures, np.asarray(table["class"]).tolist(), np.asarray(table["seed"]).tolist(), strict=True)
        return [{"picture": picture, "label": of_class[number], "seed": seed} for picture, number, seed in rows]

    def media(self, answer: Mapping[str, Any]) -> tuple[Media, dict[str, Any]]:
        label, seed = answer["label"], answer["seed"]
        name = str(seed) if label is None else f"{label}-{seed}"
        return Media("png", png(answer["picture"]), name), {"label": label, "seed": seed}

    def display(self, answer: Mapping[str, Any]) -> Display:
        told = {name: value for name, value in answer.items() if name in ("file", "label", "seed")}
        return Display(str(answer.get("file", f"seed {answer['seed']}")), [told])

    # showing

    def progress(self, model: Module, train: Rows, context: Context) -> Media | None:
        classes = torch.arange(SHOWN) % canvas(context.domain).classes + 1 if _by_class(context) else None
        pictures = self._made(model, torch.arange(SHOWN), classes, context)
        return Media("png", png(grid(list(pictures))), f"seeds 0 to {SHOWN - 1}")

    def made(self, model: Module, train: Rows, context: Context) -> dict[str, Json]:
        """ "generated": a "grid" of pictures by fixed seeds, where they are made by class a row of each class, and
        "between" some of them the way from one to the next."""
        labels = labels_of(context.domain)[:MOST_ROWS] if _by_class(context) else ()
        rows = len(labels) or ROWS
        seeds = torch.arange(COLUMNS).repeat(rows) if labels else torch.arange(rows * COLUMNS)
        classes = torch.arange(rows).repeat_interleave(COLUMNS) + 1 if labels else None
        shown: dict[str, Any] = {"grid": self._grid(self._made(model, seeds, classes, context)), "labels": list(labels)}
        pairs = torch.arange(ROWS, device=_device(model)).repeat_interleave(BETWEEN)
        shares = torch.linspace(0, 1, BETWEEN, device=pairs.device).repeat(ROWS)
        of_class = pairs % rows + 1 if labels else torch.zeros_like(pairs)
        with torch.inference_mode():
            between = self.between(model, 2 * pairs, 2 * pairs + 1, shares, of_class, context)
        if between is not None:
            shown["between"] = self._grid(as_uint8(between).numpy())
        return {"generated": shown}

    def _grid(self, pictures: np.ndarray) -> Any:
        return Media("png", png(grid(list(pictures), COLUMNS)))

    def _made(self, model: Module, seeds: Tensor, classes: Tensor | None, context: Context) -> np.ndarray:
        """(n, h, w, c) uint8."""
        classes = torch.zeros_like(seeds) if classes is None else classes
        device = _device(model)
        with torch.inference_mode():
            made = [
                as_uint8(self.sample(model, some.to(device), of_class.to(device), context))
                for some, of_class in zip(seeds.split(AT_ONCE), classes.split(AT_ONCE), strict=True)
            ]
        pictures: np.ndarray = torch.cat(made).numpy()
        return pictures

    # what judges it

    def before(self, rows: Rows, domain: Domain) -> Mapping[str, Recipe]:
        """The judge's, where there is anything to judge."""
        measured = set(rows.column("split")) - {"train"}
        return {} if self.judge or not measured else judging.recipes(domain)

    def taken(self) -> Mapping[str, str]:
        return {"judge": self.judge} if self.judge else {}

    def accept(self, name: str, member: Any, domain: Domain) -> None:
        """A judge reads pictures, and shows what stands before its last layer."""
        if not isinstance(member.domain.inputs(), Pixels) or not isinstance(member.network, ShowsFeatures):
            raise ConfigError(
                f"--judge {self.judge} is no run that classifies pictures; train one with --task image-classification"
            )

    # measuring

    def judged(self, table: Table, rows: Rows, train: Rows, context: Context) -> Table:
        return judging.judged(table, rows, train, context) if "picture" in table else table

    def metrics(self, domain: Domain) -> Mapping[str, Any]:
        return measures.metrics(judging.name_of(self.judge, domain), judging.by_class(domain))

    def details(self, columns: Mapping[str, Any], train: Rows, domain: Domain) -> dict[str, Json]:
        """Nothing where there was no time for a judge."""
        if "made" not in columns:
            return {}
        return generation_details.details(columns, train, domain, judging.name_of(self.judge, domain))

    def samples(self, columns: Mapping[str, Any], rows: Rows, domain: Domain) -> Iterator[tuple[str, Media]]:
        return generation_details.samples(columns, rows, domain)

    def wording(self, domain: Domain) -> TaskWords:
        return TaskWords(
            "makes {many} that are meant to be like those it learnt from",
            to_do="make {many} like those it learnt from",
            pipeline="unconditional-image-generation",
            purpose="It is made to make {many} like those it was trained on. What it makes shows nothing that was ever "
            "there. Where it looks like a person or a case of something, it is neither: it is not for identification, "
            "and no evidence of anything.",
            cautions=(
                "What it makes is not real, and can come close to a {one} that it learnt from: where those must not be "
                "seen, look at the copies below first.",
                "It makes what was frequent among the {many} it learnt from more often, and what was rare hardly ever.",
            ),
        )


def canvas(domain: Domain) -> Canvas:
    """Raises ConfigError where the domain's are not pictures to be made."""
    return kinds.require(domain.inputs(), Canvas, "a task that makes pictures", "take domain generated-pictures")


def _device(model: Module) -> torch.device:
    return next(model.parameters()).device


def _by_class(context: Context) -> bool:
    return canvas(context.domain).classes > 0


def noise(seeds: Tensor, shape: tuple[int, ...], salt: int = 0) -> Tensor:
    """(n, *shape) of the standard normal distribution, on the processor: a row by its seed and the `salt` alone, so
    that it is the same in every batch and on every device. Draws of one picture that must not be alike differ in
    salt."""
    generator = torch.Generator()
    rows = [torch.randn(shape, generator=generator.manual_seed(_mixed(int(seed), salt))) for seed in seeds.tolist()]
    return torch.stack(rows) if rows else torch.zeros((0, *shape))


def noise_between(seeds: Tensor, others: Tensor, shares: Tensor, shape: tuple[int, ...], salt: int = 0) -> Tensor:
    """(n, *shape), as `noise` of the standard normal distribution: so much of the way (`shares` (n,) of 0-1) from the
    noise of `seeds` to that of `others`, along an arc, on which the deviation stays 1 (Shoemake 1985)."""
    angle = (shares.cpu() * math.pi / 2).reshape(-1, *[1] * len(shape))
    return angle.cos() * noise(seeds, shape, salt) + angle.sin() * noise(others, shape, salt)


def generators(seeds: Tensor, salt: int = 0) -> list[torch.Generator]:
    """For what is drawn of each picture on its way, one by one: a generator of the processor by seed and salt."""
    return [torch.Generator().manual_seed(_mixed(int(seed), salt)) for seed in seeds.tolist()]


def _mixed(seed: int, salt: int) -> int:
    """A seed of 63 bits, so that neighbours have nothing in common (SplitMix64, Steele et al. 2014)."""
    mask = (1 << 64) - 1
    z = (seed * 0x9E3779B97F4A7C15 + salt * 0xD1B54A32D192ED03 + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return (z ^ (z >> 31)) >> 1


def as_uint8(pictures: Tensor) -> Tensor:
    """(n, h, w, c) uint8 on the processor, of (n, c, h, w) of 0-1; what lies beyond is cut off."""
    return pictures.float().clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu()
