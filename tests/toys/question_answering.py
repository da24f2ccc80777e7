"""Where is the answer? Contexts longer than the model, read through overlapping windows and joined by `reduce`."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from pervade.core.protocols import Model, Task
from pervade.core.registry import register
from tests.toys.base import ToyDomain, toy_recipe

LENGTH, WINDOW, STRIDE, MARK = 30, 12, 6, 9


@register("domain", name="toy-contexts")
@dataclass(frozen=True)
class Contexts(ToyDomain):
    def make(self, rng):
        tokens, places = rng.integers(0, MARK, (400, LENGTH)), rng.integers(0, LENGTH, 400)
        tokens[np.arange(400), places] = MARK
        return {"input": tokens.tolist(), "target": places.tolist()}

    def transform(self, row, rng):
        starts = range(0, LENGTH - WINDOW + 1, STRIDE)
        if rng is not None:  # training reads one window that holds the answer
            starts = [rng.choice([s for s in starts if s <= row["target"] < s + WINDOW])]
        keys = ("input", "target", "start")
        window = [(row["input"][s : s + WINDOW], row["target"] - s, s) for s in starts]
        return [dict(zip(keys, map(torch.tensor, each), strict=True)) for each in window]


@register("model", name="toy-reader")
@dataclass(frozen=True)
class Reader(Model):
    def build(self, inputs, outputs):
        class Network(nn.Module):
            def __init__(self):
                super().__init__()
                self.embed, self.score = nn.Embedding(MARK + 1, 8), nn.Linear(8, 1)

            def forward(self, input, mask=None):
                return {"logits": self.score(torch.relu(self.embed(input)))[..., 0]}

        return Network()


@register("task", name="toy-span")
@dataclass(frozen=True)
class Span(Task):
    def outputs(self, domain):
        return {"logits": 1}

    def loss(self, output, batch):
        return {"loss": F.cross_entropy(output["logits"], batch["target"], reduction="none")}

    def predictions(self, output, batch, context):
        best = output["logits"].max(1)
        truth = batch["target"] + batch["start"]
        return {"row": batch["row"], "best": best.values, "prediction": best.indices + batch["start"], "target": truth}

    def reduce(self, table):
        keep = {}
        for i in np.argsort(table["best"]):  # the surest window of a row stands last
            keep[int(table["row"][i])] = i
        return {name: values[list(keep.values())] for name, values in table.items()}


def recipe():
    return toy_recipe(Contexts(), Span(), Reader(), lr=0.02, epochs=6)


def score(columns):
    return (columns["prediction"] == columns["target"]).mean()


CHANCE, THRESHOLD = 1 / LENGTH, 0.9
