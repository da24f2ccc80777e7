"""Two players: a generator learns to make numbers like the real ones, a critic to tell them apart."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from pervade.core.protocols import Model, Phase, Task
from pervade.core.registry import register
from tests.toys.base import ToyDomain, toy_recipe


@register("domain", name="toy-numbers")
@dataclass(frozen=True)
class Numbers(ToyDomain):
    def make(self, rng):
        return {"input": rng.normal(0, 1, (512, 2)).tolist(), "real": rng.normal(3, 0.5, (512, 1)).tolist()}


@register("model", name="toy-players")
@dataclass(frozen=True)
class Players(Model):
    def build(self, inputs, outputs):
        class Network(nn.Module):
            def __init__(self):
                super().__init__()
                self.generator = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))
                self.critic = nn.Sequential(nn.Linear(1, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))

            def forward(self, input, mask=None):
                return {"sample": self.generator(input)}

        return Network()


@register("task", name="toy-adversarial")
@dataclass(frozen=True)
class Adversarial(Task):
    couples_rows = True

    def outputs(self, domain):
        return {"sample": 1}

    def phases(self, model, context):
        def critic(batch):
            fake = model(batch["input"])["sample"].detach()
            return {"loss": (F.softplus(-model.critic(batch["real"])) + F.softplus(model.critic(fake)))[:, 0]}

        def generator(batch):
            return {"loss": F.softplus(-model.critic(model(batch["input"])["sample"]))[:, 0]}

        players = (("critic", critic, 1), ("generator", generator, 2))
        return [Phase(n, list(getattr(model, n).parameters()), loss, every) for n, loss, every in players]

    def predictions(self, output, batch, context):
        return {"row": batch["row"], "sample": output["sample"][:, 0]}


def recipe():
    return toy_recipe(Numbers(), Adversarial(), Players(), lr=0.005, epochs=40)


def score(columns):  # how near the mean of what is made comes to the real mean of 3; untrained it is near 0
    return float(1 - abs(torch.tensor(columns["sample"]).mean() - 3) / 3)


CHANCE, THRESHOLD = 0.1, 0.8
