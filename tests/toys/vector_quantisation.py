"""Points named by codes, then a prior over the codes, learnt from the first one's predictions (`then`)."""

import math
from dataclasses import dataclass

import pyarrow.parquet as pq
import torch
from torch import nn
from torch.nn import functional as F

from pervade.core.protocols import Model, Task
from pervade.core.registry import register
from pervade.core.types import Rows
from tests.toys.base import Perceptron, ToyDomain, toy_recipe

CODES = 8


@register("domain", name="toy-clusters")
@dataclass(frozen=True)
class Clusters(ToyDomain):
    def make(self, rng):
        corners = rng.choice([[-1, -1], [-1, 1], [1, -1], [1, 1]], 500, p=[0.7, 0.1, 0.1, 0.1])
        return {"input": (corners + rng.normal(0, 0.1, (500, 2))).astype("float32").tolist()}


@register("model", name="toy-quantiser")
@dataclass(frozen=True)
class Quantiser(Model):
    def build(self, inputs, outputs):
        class Network(nn.Module):
            def __init__(self):
                super().__init__()
                self.codes = nn.Parameter(torch.randn(CODES, 2))

            def forward(self, input, mask=None):
                code = torch.cdist(input, self.codes).argmin(1)
                return {"code": code, "output": self.codes[code]}

        return Network()


@register("task", name="toy-quantise")
@dataclass(frozen=True)
class Quantise(Task):
    def outputs(self, domain):
        return {"output": 2}

    def loss(self, output, batch):
        return {"loss": (output["output"] - batch["input"]).square().sum(1)}

    def predictions(self, output, batch, context):
        return {"row": batch["row"], "code": output["code"], "error": self.loss(output, batch)["loss"]}


@register("domain", name="toy-codes")
@dataclass(frozen=True)
class Codes(ToyDomain):
    size = 1

    def read(self, source):
        table = pq.read_table(source)
        return Rows({"id": table["id"].to_pylist(), "target": table["code"].to_pylist()}), []

    def transform(self, row, rng):
        return [{"input": torch.zeros(1), "target": torch.tensor(row["target"])}]


@register("task", name="toy-prior")
@dataclass(frozen=True)
class Prior(Task):
    def outputs(self, domain):
        return {"logits": CODES}

    def loss(self, output, batch):
        return {"loss": F.cross_entropy(output["logits"], batch["target"], reduction="none")}

    def predictions(self, output, batch, context):
        return {"row": batch["row"], "surprise": self.loss(output, batch)["loss"]}


def recipe():
    return toy_recipe(Clusters(), Quantise(), Quantiser(), epochs=20, then=toy_recipe(Codes(), Prior(), Perceptron(8)))


def score(columns):
    return 1 - columns["error"].mean()


def score_then(columns):  # nats a code, as a share of what an even guess costs
    return 1 - columns["surprise"].mean() / math.log(CODES)


CHANCE, THRESHOLD = 0.0, 0.8
THRESHOLD_THEN = 0.2
