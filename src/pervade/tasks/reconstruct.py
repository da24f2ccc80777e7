"""Pictures as few codes, and back: what is lost is measured, and with a prior over the codes pictures are made.

The network learns to make a picture again from its codes (van den Oord et al. 2017, arXiv:1711.00937). Which codes
stand beside which the prior says, a language model that learns afterwards from the codes of the training split
(`Recipe.then`, members/then): pictures are drawn from it code by code, and decoded. Without one there is nothing to
draw from, and the network only reconstructs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from pervade.core.bounds import Weight
from pervade.core.contracts import Canvas, Context, Domain, require
from pervade.core.contracts.abilities import HasCompanions
from pervade.core.contracts.capabilities import Counted, Normalised, able
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Batch, Json, Media, Output, Parts, Rows, Table
from pervade.core.words import FigureWords, TaskWords
from pervade.data.image.grid import grid, png
from pervade.domains.codebook import Codebook
from pervade.engine import judging
from pervade.engine.batches import to_device
from pervade.engine.generation import SHOWN, GeneratesPictures, as_uint8, noise, noise_between
from pervade.metrics.language import code_metrics
from pervade.metrics.reconstruction import reconstruction_metrics
from pervade.nn.quantiser import MakesCodes, Quantiser, perplexity
from pervade.nn.sampling import draw
from pervade.tasks.language_model import losses

PRIOR = "then"  # the member
DRAWN = 256  # pictures whose codes are drawn side by side
SALT = 1  # of what they are drawn by


@register("task")
@dataclass(frozen=True)
class Reconstruct(GeneratesPictures, HasCompanions):
    """The model `MakesCodes`: it returns "picture" (n, c, h, w) made of its "codes" (n, positions), and "distance"
    (n,), how far what it encoded lies from these."""

    uses: ClassVar[tuple[str, ...]] = ("temperature",)
    needs: ClassVar[tuple[str, ...]] = (*GeneratesPictures.needs, PRIOR)
    loss_name: Literal["squared", "absolute"] = (
        "squared"  # of two pictures, over what it is of the data from their mean
    )
    commitment: Weight = 0.25  # of the distance from the codes, beside that

    # what is asked

    def outputs(self, domain: Domain) -> dict[str, int]:
        return {"picture": require(domain.inputs(), Canvas, "reconstruct").shape[2]}

    def wording(self, domain: Domain) -> TaskWords:
        logged = {
            "perplexity": FigureWords("Codes used alike (perplexity)"),
            "reconstruction": FigureWords("Error of what is made again"),
            "distance": FigureWords("Squared distance from the codes"),
        }
        return replace(super().wording(domain), logged=logged)

    def companions(self, model: Module, domain: Domain) -> Module | None:
        """None: the codebook, which learns beside the weights, is the model's. Raises ConfigError where it is larger
        than the data have patches, or the model has none."""
        if not isinstance(model, MakesCodes):
            raise ConfigError(f"reconstruct takes a model that makes codes (vq-vae); {type(model).__name__} makes none")
        rows = able(domain, Counted).rows
        if model.num_codes > rows * model.patches:
            raise ConfigError(
                f"model.codes {model.num_codes:,} is more than there are patches to learn them from: {rows:,} training "
                f"pictures of {model.patches:,} each; set -o model.codes={max(rows * model.patches, 2)} or less"
            )
        return None

    # learning

    def forward(self, model: Module, batch: Batch, context: Context) -> Output:
        power = 2 if self.loss_name == "squared" else 1
        spread = float(np.mean([deviation**power for deviation in able(context.domain, Normalised).deviation]))
        output: Output = model(batch["input"])
        return {**output, "spread": output["distance"].new_full(output["distance"].shape, spread)}

    def loss(self, output: Output, batch: Batch) -> Parts:
        """ "perplexity" is of the codes of all rows together."""
        apart = output["picture"].float() - batch["input"]["pixels"]
        apart = apart.square() if self.loss_name == "squared" else apart.abs()
        error = apart.flatten(1).mean(1) / output["spread"]
        used = perplexity(output["codes"]).to(error.device).expand(len(error))
        loss = error + self.commitment * output["distance"].float()
        return {"loss": loss, "reconstruction": error, "distance": output["distance"], "perplexity": used}

    def after_step(self, model: Module, context: Context, step: int) -> None:
        for module in model.modules():
            if isinstance(module, Quantiser):
                module.update()

    # predicting

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        """Of a row that is measured its codes and what is made again of them; where there is a prior what the codes
        cost, and a picture that is made beside it."""
        output = self.asked(batch)
        if PRIOR in context.members or "pixels" not in batch["input"]:
            output |= super().infer(model, batch, context)
        if "pixels" not in batch["input"]:
            return output
        made = self.forward(model, batch, context)
        again = made["picture"].clamp(0, 1)
        error = (again - batch["input"]["pixels"]).square().flatten(1).mean(1)
        output |= {"again": again, "codes": made["codes"], "squared_error": error}
        output["codebook"] = torch.full_like(made["codes"][:, 0], _making(model).num_codes)
        if PRIOR in context.members:
            output["bits"] = self._bits(made["codes"], output["class"], context)
        return output

    def sample(self, model: Module, seeds: Tensor, classes: Tensor, context: Context) -> Tensor:
        """Raises ConfigError where no prior was learnt."""
        drawn = noise(seeds, (_making(model).patches,), SALT)
        return self._drawn(model, drawn, classes, context)

    def between(
        self, model: Module, seeds: Tensor, others: Tensor, shares: Tensor, classes: Tensor, context: Context
    ) -> Tensor | None:
        """Code after code changes, as the number that it is drawn by does."""
        drawn = noise_between(seeds, others, shares, (_making(model).patches,), SALT)
        return self._drawn(model, drawn, classes, context)

    def _drawn(self, model: Module, noise: Tensor, classes: Tensor, context: Context) -> Tensor:
        """(n, c, h, w): decoded from codes that are drawn by `noise` (n, patches) of the standard normal
        distribution."""
        if PRIOR not in context.members:
            raise ConfigError(
                "there is no prior over this run's codes (members/then), so it makes pictures again and none anew; "
                "train with a recipe that has one, which is so unless -o then=null was set"
            )
        prior, network = context.members[PRIOR], _making(model)
        device, there = next(model.parameters()).device, next(prior.network.parameters()).device
        begin = _prior_domain(prior).beginning(classes).to(there)
        temperature = self.sampling.temperature or 1.0
        pieces = []
        for own, of in zip(noise.split(DRAWN), begin.split(DRAWN), strict=True):
            uniform = torch.special.ndtr(own.double()).to(there)
            codes = draw(prior.network, of, uniform, network.num_codes, temperature)
            pieces.append(network.decode(codes.to(device)).clamp(0, 1))
        return torch.cat(pieces)

    def _bits(self, codes: Tensor, classes: Tensor, context: Context) -> Tensor:
        """(n,): what the prior takes to say the codes of each row."""
        prior = context.members[PRIOR]
        there = next(prior.network.parameters()).device
        codes, begin = codes.to(there), _prior_domain(prior).beginning(classes).to(there)
        given = torch.cat([begin[:, None], codes[:, :-1]], 1)
        return losses(prior.network(given)["logits"], codes).double().sum(1) / math.log(2)

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        """As `GeneratesPictures` where a picture is made; of measured rows "codes" (n, patches) int32, "codebook" (n,),
        how many there are, "squared_error" (n,), "again" (n, h * w * c) uint8, and, where there is a prior, the "bits"
        (n,) that the codes cost and how many these are, "tokens"."""
        table = super().predictions(output, batch, context)
        if "codes" not in output:
            return table
        measured: Table = {name: output[name] for name in ("codebook", "squared_error", "bits") if name in output}
        if "bits" in output:
            measured["tokens"] = torch.full_like(batch["row"], output["codes"].shape[1])
        return {**table, **measured, "codes": output["codes"].int(), "again": as_uint8(output["again"]).flatten(1)}

    # showing

    def progress(self, model: Module, train: Rows, context: Context) -> Media | None:
        """Pictures that it learns from, as it makes them again: before there is a prior it makes no others."""
        domain = context.domain
        rows = [train[place] for place in range(min(SHOWN, len(train)))]
        batch = domain.collate([domain.transform(row, None)[0] for row in rows])
        again = as_uint8(self.forward(model, to_device(batch, next(model.parameters()).device), context)["picture"])
        return Media("png", png(grid(list(again.numpy()))), f"the first {len(rows)} training pictures, made again")

    def made(self, model: Module, train: Rows, context: Context) -> dict[str, Json]:
        return super().made(model, train, context) if PRIOR in context.members else {}

    # measuring

    def judged(self, table: Table, rows: Rows, train: Rows, context: Context) -> Table:
        """As `GeneratesPictures` where pictures are made; and, where that is asked for, "feature_error" and
        "feature_spread" (n,): how far the judge's features of a row's picture lie, squared, from those of it made
        again, and from the mean of all."""
        table = super().judged(table, rows, train, context)
        if not context.asks(["feature_similarity"]):
            return table
        judge = judging.Judge.of(context, train)
        again = judging.made({"picture": table["again"]}, context.domain)
        real, own = (judge(pictures)[0] for pictures in (judging.pictures_of(rows, context.domain), again))
        error, spread = np.square(real - own).sum(1), np.square(real - real.mean(0)).sum(1)
        return {**table, "feature_error": error, "feature_spread": spread}

    def metrics(self, domain: Domain) -> Mapping[str, Any]:
        """Those of what is made, and what codes cost, are not defined without a prior."""
        bits = {name: replace(metric, needs="bits") for name, metric in code_metrics().items()}
        return {**super().metrics(domain), **reconstruction_metrics(), **bits}

    def details(self, columns: Mapping[str, Any], train: Rows, domain: Domain) -> dict[str, Json]:
        """As `GeneratesPictures` ("baseline" …) where pictures are made; and "codebook": how many codes there are, how
        many of them the measured rows use, and their perplexity."""
        codes = torch.tensor(np.asarray(columns["codes"]))
        own: dict[str, Json] = {
            "codes": int(columns["codebook"][0]),
            "used": len(codes.unique()),
            "perplexity": float(perplexity(codes)),
        }
        made = super().details(columns, train, domain) if "made" in columns else {}
        return {**made, "codebook": own}

    def samples(self, columns: Mapping[str, Any], rows: Rows, domain: Domain) -> Iterator[tuple[str, Media]]:
        return super().samples(columns, rows, domain) if "made" in columns else iter(())


def _making(model: Module) -> MakesCodes:
    """A model that `companions` looked at when it was trained."""
    assert isinstance(model, MakesCodes)
    return model


def _prior_domain(prior: Any) -> Codebook:
    domain = prior.domain
    if not isinstance(domain, Codebook):
        raise ConfigError(f"members/{PRIOR} is no prior over codes, but learnt of {domain.reads}; train it again")
    return domain
