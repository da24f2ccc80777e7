"""Embeddings from batches of P people x K pictures, drawn to class centres that are learnt beside the model."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from pervade.core.protocols import Task
from pervade.core.registry import register
from tests.toys.base import ToyDomain, toy_recipe

PEOPLE, EACH = 12, 30


@register("domain", name="toy-people")
@dataclass(frozen=True)
class People(ToyDomain):
    size = 6

    def make(self, rng):
        # What tells people apart lies in two directions; four louder ones are noise.
        faces = rng.normal(0, 1, (PEOPLE, 2)).repeat(EACH, 0) + rng.normal(0, 0.1, (PEOPLE * EACH, 2))
        noise = rng.normal(0, 3, (PEOPLE * EACH, 4))
        target = [str(i) for i in np.repeat(np.arange(PEOPLE), EACH)]
        return {"input": np.concatenate([faces, noise], 1).astype("float32").tolist(), "target": target}


@dataclass
class PeopleByPictures:
    target: list
    seed: int

    def batches(self, epoch, batch_size):
        rng = np.random.default_rng((self.seed, epoch))
        rows = {person: [i for i, t in enumerate(self.target) if t == person] for person in dict.fromkeys(self.target)}
        people = [rng.permutation(list(rows))[: batch_size // 4] for _ in range(len(self.target) // batch_size)]
        return [[int(i) for person in batch for i in rng.choice(rows[person], 4)] for batch in people]


@register("task", name="toy-contrast")
@dataclass(frozen=True)
class Contrast(Task):
    couples_rows = True

    def outputs(self, domain):
        return {"embedding": 4}

    def companions(self, model, domain):
        return nn.Linear(4, PEOPLE, bias=False)

    def forward(self, model, batch, context):
        embedding = F.normalize(model(batch["input"])["embedding"])
        if context.companions is None:
            return {"embedding": embedding}
        centres = F.normalize(context.companions.weight)
        return {"embedding": embedding, "logits": 10 * embedding @ centres.T}

    def loss(self, output, batch):
        return {"loss": F.cross_entropy(output["logits"], batch["target"], reduction="none")}

    def predictions(self, output, batch, context):
        return {"row": batch["row"], "embedding": output["embedding"], "target": batch["target"]}

    def sampler(self, rows, seed):
        return PeopleByPictures(list(rows.column("target")), seed)


def recipe():
    return toy_recipe(People(), Contrast(), epochs=40)


def score(columns):  # the nearest other embedding is the same person's
    distance = torch.cdist(torch.tensor(columns["embedding"]), torch.tensor(columns["embedding"])).fill_diagonal_(9)
    return (columns["target"][distance.argmin(1).numpy()] == columns["target"]).mean()


CHANCE, THRESHOLD = 1 / PEOPLE, 0.6
