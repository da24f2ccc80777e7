"""Counting in steps: the next number from all before; evaluation lets the model go on by itself (`infer`)."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from pervade.core.protocols import Model, Task
from pervade.core.registry import register
from tests.toys.base import ToyDomain, toy_recipe

SIZE, LENGTH = 7, 8


@register("domain", name="toy-counting")
@dataclass(frozen=True)
class Counting(ToyDomain):
    def make(self, rng):
        pairs = [(a, b) for a in range(SIZE) for b in range(SIZE)] * 8
        return {"input": [[(a + (b - a) * i) % SIZE for i in range(LENGTH)] for a, b in pairs]}


@register("model", name="toy-recurrent")
@dataclass(frozen=True)
class Recurrent(Model):
    def build(self, inputs, outputs):
        class Network(nn.Module):
            def __init__(self):
                super().__init__()
                self.embed, self.cell = nn.Embedding(SIZE, 16), nn.GRU(16, 64, batch_first=True)
                self.head = nn.Linear(64, outputs["logits"])

            def forward(self, input, mask=None):
                return {"logits": self.head(self.cell(self.embed(input))[0])}

        return Network()


@register("task", name="toy-continue")
@dataclass(frozen=True)
class Continue(Task):
    def outputs(self, domain):
        return {"logits": SIZE}

    def loss(self, output, batch):
        logits, target = output["logits"][:, 1:-1], batch["input"][:, 2:]
        loss = F.cross_entropy(logits.transpose(1, 2), target, reduction="none")
        return {"loss": loss.sum(1), "count": torch.full((len(loss),), float(loss.shape[1]))}

    def infer(self, model, batch, context):
        text = batch["input"][:, :2]
        while text.shape[1] < LENGTH:
            text = torch.cat([text, model(text)["logits"][:, -1:].argmax(-1)], 1)
        return {"text": text}

    def predictions(self, output, batch, context):
        return {"row": batch["row"], "prediction": output["text"], "target": batch["input"]}


def recipe():
    return toy_recipe(Counting(), Continue(), Recurrent(), epochs=15)


def score(columns):
    return (columns["prediction"][:, 2:] == columns["target"][:, 2:]).mean()


CHANCE, THRESHOLD = 1 / SIZE, 0.9
