"""Counting in steps: the next number from all before; evaluation lets the model go on by itself (`infer`)."""

import torch
from torch.nn import functional as F

from tests.toys.base import ToyTask, toy, toy_recipe
from tests.toys.networks import Recurrent
from tests.toys.worlds import LENGTH, NUMBERS, Counting

CHANCE, THRESHOLD = 1 / NUMBERS, 0.9


@toy("task", "toy-continue")
class Continue(ToyTask):
    def outputs(self, domain):
        return {"logits": NUMBERS}

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
