"""A dict of two modalities: neither alone tells the class."""

from dataclasses import dataclass

import torch
from torch import nn

from pervade.core.protocols import Model
from pervade.core.registry import register
from pervade.tasks.classify import Classify
from tests.toys.base import ToyDomain, toy_recipe


@register("domain", name="toy-sight-and-sound")
@dataclass(frozen=True)
class SightAndSound(ToyDomain):
    labels: tuple[str, ...] = ("0", "1")

    def make(self, rng):
        sight, sound = rng.choice([-1.0, 1.0], 600), rng.choice([-1.0, 1.0], 600)
        return {"sight": sight.tolist(), "sound": sound.tolist(), "target": [str(int(t)) for t in sight * sound > 0]}

    def collate(self, examples):
        columns = super().collate(examples)
        return {"input": {name: columns[name][:, None] for name in ("sight", "sound")}, "target": columns["target"]}


@register("model", name="toy-fusion")
@dataclass(frozen=True)
class Fusion(Model):
    def build(self, inputs, outputs):
        class Network(nn.Module):
            def __init__(self):
                super().__init__()
                self.sight, self.sound = nn.Linear(1, 8), nn.Linear(1, 8)
                self.head = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, outputs["logits"]))

            def forward(self, input, mask=None):
                both = torch.cat([self.sight(input["sight"]), self.sound(input["sound"])], 1)
                return {"logits": self.head(torch.relu(both))}

        return Network()


def recipe():
    return toy_recipe(SightAndSound(), Classify(), Fusion(), micro_batch=10)


def score(columns):
    return (columns["prediction"] == columns["target"]).mean()


CHANCE, THRESHOLD = 0.5, 0.95
