"""The least that makes pictures: what training shows of each class in the middle, and as much noise as it was off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from pervade.core.contracts import Canvas, Inputs, Model, Recipe, require
from pervade.engine.generation import GeneratesPictures, noise, noise_between
from pervade.metrics.estimate import Metric, weighted_mean
from pervade.recipes import image
from tests.toys.base import toy


@toy("model", "toy-painter")
class Painter(Model):
    task = "toy-painting"

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        return _Painter(require(inputs, Canvas, "toy-painter"))


class _Painter(nn.Module):
    def __init__(self, canvas: Canvas) -> None:
        super().__init__()
        self.middle = nn.Parameter(torch.full((canvas.classes + 1, *canvas.shape), 0.5))

    def forward(self, input, mask=None):
        return {"picture": self.middle[input["class"]]}


@toy("task", "toy-painting")
class Painting(GeneratesPictures):
    def outputs(self, domain):
        return {"picture": domain.inputs().shape[2]}

    def loss(self, output, batch):
        off = (output["picture"] - batch["input"]["pixels"]).square().flatten(1).mean(1)
        return {"loss": off, "count": torch.ones_like(off)}

    def before(self, rows, domain):
        return {}

    def judged(self, table, rows, train, context):
        return table

    def details(self, columns, train, domain):
        return {}

    def metrics(self, domain):
        return {"brightness": Metric(lambda columns, weight: weighted_mean(columns["picture"].mean(1), weight))}

    def sample(self, model, seeds, classes, context):
        drawn = noise(seeds, context.domain.inputs().shape)
        return (model({"class": classes})["picture"] + 0.1 * drawn.to(seeds.device)).clamp(0, 1)

    def between(self, model, seeds, others, shares, classes, context):
        drawn = noise_between(seeds, others, shares, context.domain.inputs().shape)
        return (model({"class": classes})["picture"] + 0.1 * drawn.to(seeds.device)).clamp(0, 1)


@toy("task", "toy-judged-painting")
class JudgedPainting(Painting):
    """A small classifier judges, which learns first."""

    def before(self, rows, domain):
        return {"judge": classifier()}


def classifier() -> Recipe:
    made = image.recipe("reference-mlp")
    return replace(made, domain=replace(made.domain, size=8), model=replace(made.model, units=(4,)), epochs=1)
