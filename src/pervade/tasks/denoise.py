"""Pictures out of noise: a network learns to take noise out of pictures, and makes one by doing so from noise alone.

Ho et al. 2020, arXiv:2006.11239; what is asked of it, and how its errors count, stands in nn/diffusion.py. It is told
the class of nine pictures in ten, so that it also knows what it would say without: `guidance` w takes what it says to

    without + w (with - without)

(classifier-free guidance, Ho & Salimans 2022, arXiv:2207.12598).

With `distil` it learns to take few steps from a network that takes many: the one that training begins with (--init
RUN). The way from noise to picture is cut into parts, and where the teacher comes in several steps, guided, at the end
of one, its pupil is to come in one (Luhman & Luhman 2021, arXiv:2101.02388, part by part, as Salimans & Ho 2022,
arXiv:2202.00512, do for two steps).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Module

from pervade.core.bounds import Part
from pervade.core.contracts import Context, Domain
from pervade.core.contracts.abilities import GoesOn, HasCompanions, LearntSampling
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Batch, Output, Parts, Table
from pervade.engine.generation import GeneratesPictures, canvas, generators, noise, noise_between
from pervade.metrics.reconstruction import denoising_metrics
from pervade.nn.diffusion import STEPS, USUAL, Asked, Noising, Sampler, Schedule, Variance, way_back

TEACHER = 32  # steps from noise to picture that a teacher takes
GUIDANCE = 1.5  # where none is asked for
# What is drawn of one picture that must not be alike.
BEGINNING, ON_THE_WAY = 0, 1


@register("task")
@dataclass(frozen=True)
class Denoise(GeneratesPictures, HasCompanions, GoesOn, LearntSampling):
    """The model maps {"pixels" (n, c, h, w) noisy, about -1..1, "time" (n,) steps, "class" (n,)} to "output"
    (n, c, h, w)."""

    prediction: Asked = "v"
    schedule: Schedule = "cosine"
    gamma: Annotated[float, Field(gt=0, le=1e6)] | None = 5.0  # of min-SNR weights; None: all steps count alike
    variance: Variance = "small"  # of what ddpm adds on the way
    class_dropout: Part = 0.1  # share of pictures whose class is not told in training
    distil: Literal[1, 2, 4, 8] | None = None  # evaluations of the network a picture, which are to be learnt

    uses: ClassVar[tuple[str, ...]] = ("steps", "guidance", "sampler")
    error: ClassVar[str] = "denoising_error"  # the figure, and its column

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.distil is not None and self.prediction == "epsilon":
            raise ConfigError(
                "task.distil learns of a network that is asked for the picture (task.prediction=v): noise tells "
                "nothing at the first steps; name a run that learnt so: --init RUN"
            )

    def outputs(self, domain: Domain) -> dict[str, int]:
        return {"output": canvas(domain).shape[2]}

    def learnt_sampling(self) -> Mapping[str, str]:
        weight = GUIDANCE if self.sampling.guidance is None else self.sampling.guidance
        why = f"this network learnt to take few steps by a guidance of {weight:g}, which is in its weights"
        return {} if self.distil is None else {"guidance": f"{why}; leave it out, or take the run that it learnt from"}

    def goes_on(self) -> str | None:
        return None if self.distil is None else "task.distil"

    # learning

    def forward(self, model: Module, batch: Batch, context: Context) -> Output:
        """ "output" and "target" (n, c, h, w), and the "weight" (n,) of each row. In evaluation step and noise hang on
        the row alone, so that one pass compares with another."""
        picture, rows = 2 * batch["input"]["pixels"] - 1, batch["row"]
        if model.training:
            drawn, where = torch.randn_like(picture), torch.rand(1, device=picture.device)
            classes = self._told(batch["input"]["class"])
            # Spread evenly over a batch (Kingma et al. 2021, arXiv:2107.00630, appendix I.1), in no order.
            share = (where + torch.randperm(len(rows), device=picture.device) / len(rows)) % 1
        else:
            drawn, classes = noise(rows, tuple(picture.shape[1:])).to(picture), batch["input"]["class"]
            share = torch.special.ndtr(noise(rows, (), ON_THE_WAY)).to(picture.device)
        if self.distil is not None and context.companions is not None:
            return self._distilled(model, picture, drawn, share, classes, context.companions.get_submodule("teacher"))
        step = (share * STEPS).long().clamp(max=STEPS - 1)
        at = Noising.at(self.schedule, step)
        output = model({"pixels": at.noised(picture, drawn), "time": step, "class": classes})["output"]
        target = at.target(self.prediction, picture, drawn)
        return {"output": output, "target": target, "weight": at.weight(self.prediction, self.gamma)}

    def loss(self, output: Output, batch: Batch) -> Parts:
        error = (output["output"].float() - output["target"]).square().flatten(1).mean(1)
        return {"loss": error * output["weight"]}

    def _told(self, classes: Tensor) -> Tensor:
        if not self.class_dropout:
            return classes
        return classes * (torch.rand(classes.shape, device=classes.device) >= self.class_dropout)

    # learning to take few steps

    def companions(self, model: Module, domain: Domain) -> Module | None:
        """ "teacher": the network with its first weights, which do not learn; none where nothing is distilled. Raises
        ConfigError where pictures are to be made as they cannot be."""
        self._refuse(domain)
        if self.distil is None:
            return None
        companions = Module()
        companions.teacher = copy.deepcopy(model).eval().requires_grad_(False)
        return companions

    def _distilled(
        self, model: Module, picture: Tensor, drawn: Tensor, share: Tensor, classes: Tensor, teacher: Module
    ) -> Output:
        """As `forward`, at one of the steps from which a part of the way begins."""
        assert self.distil is not None
        first = STEPS - 1 - STEPS // self.distil * (share * self.distil).long().clamp(max=self.distil - 1)
        noisy = Noising.at(self.schedule, first).noised(picture, drawn)
        with torch.no_grad():
            target = self._reached(teacher, noisy, first, classes, max(TEACHER // self.distil, 1))
        output = model({"pixels": noisy, "time": first, "class": classes})["output"]
        return {"output": output, "target": target, "weight": torch.ones_like(share)}

    def _reached(self, teacher: Module, noisy: Tensor, first: Tensor, classes: Tensor, smaller: int) -> Tensor:
        """What a network would have to say of `noisy` pixels at the steps `first` (n,) to come in one step of DDIM
        where the teacher comes in so many `smaller` ones, at the end of their part of the way."""
        assert self.distil is not None
        part, pixels = STEPS // self.distil, noisy
        begin = at = Noising.at(self.schedule, first)
        for number in range(smaller):
            step, then = (first - round(part * k / smaller) for k in (number, number + 1))
            told = self._guided(teacher, pixels, step, classes)
            seen = at.picture(self.prediction, pixels, told.float()).clamp(-1, 1)
            after = Noising.at(self.schedule, then)
            pixels, at = after.noised(seen, at.noise(pixels, seen)), after
        ratio = at.sigma / begin.sigma
        seen = (pixels - ratio * noisy) / (at.alpha - ratio * begin.alpha)
        return begin.target(self.prediction, seen, begin.noise(noisy, seen))

    # measuring

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        """A picture for each row, unless nothing that is asked for is told from it; and of a row that is measured the
        "denoising_error" (n,), its loss. A network that learnt to take few steps has none: it says where they lead."""
        alone = context.figures == frozenset((self.error,))
        output = self.asked(batch) if alone else super().infer(model, batch, context)
        if "pixels" in batch["input"] and self.distil is None and context.asks([self.error]):
            output[self.error] = self.loss(self.forward(model, batch, context), batch)["loss"]
        return output

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        table = super().predictions(output, batch, context)
        return table | {name: output[name] for name in (self.error,) if name in output}

    def metrics(self, domain: Domain) -> Mapping[str, Any]:
        return {**super().metrics(domain), **denoising_metrics(self.error)}

    # making pictures

    def sample(self, model: Module, seeds: Tensor, classes: Tensor, context: Context) -> Tensor:
        """Raises ConfigError where `sampling` asks for what cannot be, or diffusers is missing."""
        self._refuse(context.domain)
        begin = noise(seeds, canvas(context.domain).shape, BEGINNING)
        return self._denoised(model, begin, seeds, classes)

    def between(
        self, model: Module, seeds: Tensor, others: Tensor, shares: Tensor, classes: Tensor, context: Context
    ) -> Tensor | None:
        """None where noise is added on the way (ddpm)."""
        if self.way()[0] == "ddpm":
            return None
        begin = noise_between(seeds, others, shares, canvas(context.domain).shape, BEGINNING)
        return self._denoised(model, begin, seeds, classes)

    def _denoised(self, model: Module, begin: Tensor, seeds: Tensor, classes: Tensor) -> Tensor:
        sampler, steps = self.way()

        def denoise(pixels: Tensor, step: Tensor) -> Tensor:
            if self.distil is None:
                return self._guided(model, pixels, step, classes)
            told: Tensor = model({"pixels": pixels, "time": step, "class": classes})["output"]
            return told

        drawn, begin = generators(seeds, ON_THE_WAY), begin.to(classes.device)
        made = way_back(denoise, begin, self.schedule, self.prediction, sampler, steps, drawn, self.variance)
        return (made + 1) / 2

    def _refuse(self, domain: Domain) -> None:
        """Raises ConfigError where `sampling` asks for what is not to be had of this network."""
        self.way()
        if self.sampling.guidance is not None and not canvas(domain).classes:
            raise ConfigError(
                f"sampling.guidance {self.sampling.guidance:g} is the weight of a class, and this network makes "
                "pictures of none; leave it out, or train by class with --condition label"
            )

    def way(self) -> tuple[Sampler, int]:
        asked = self.sampling
        if self.distil is None:
            sampler = asked.sampler or "dpm-solver++"
            return sampler, asked.steps or USUAL[sampler]
        if asked.sampler not in (None, "ddim") or asked.steps not in (None, self.distil):
            raise ConfigError(
                f"this network learnt to make pictures in {self.distil} steps of ddim (task.distil) and knows no other "
                "way; leave sampling.steps and sampling.sampler out, or take the run that it learnt from"
            )
        return "ddim", self.distil

    def _guided(self, model: Module, pixels: Tensor, step: Tensor, classes: Tensor) -> Tensor:
        weight = GUIDANCE if self.sampling.guidance is None else self.sampling.guidance
        if weight == 1 or not classes.any():
            told: Tensor = model({"pixels": pixels, "time": step, "class": classes})["output"]
            return told
        both = {"pixels": pixels, "time": step, "class": classes}
        both = {name: torch.cat([value, value]) for name, value in both.items()}
        both["class"][: len(classes)] = 0
        without, told = model(both)["output"].chunk(2)
        return without + weight * (told - without)
