"""Embeddings from batches of P people x K pictures, drawn to class centres that are learnt beside the model."""

from torch.nn import functional as F

from pervade.core.contracts.abilities import CouplesRows, HasCompanions
from pervade.data.rows.samplers.people_by_pictures import PeopleByPictures
from pervade.data.rows.sources.dataset import Dataset
from tests.toys.base import ToyTask, nearest_other, toy, toy_recipe
from tests.toys.networks import Centres
from tests.toys.worlds import PEOPLE, People

CHANCE, THRESHOLD = 1 / PEOPLE, 0.6


@toy("task", "toy-contrast")
class Contrast(ToyTask, CouplesRows, HasCompanions):
    def outputs(self, domain):
        return {"embedding": 4}

    def companions(self, model, domain):
        return Centres(4, PEOPLE)

    def forward(self, model, batch, context):
        embedding = F.normalize(model(batch["input"])["embedding"])
        if context.companions is None:
            return {"embedding": embedding}
        return {"embedding": embedding, "logits": context.companions(embedding)}


def recipe():
    return toy_recipe(People(), Contrast(), epochs=40, source=Dataset(sampler=PeopleByPictures()))


def score(columns):  # the nearest other embedding is the same person's
    return (columns["target"][nearest_other(columns["embedding"])] == columns["target"]).mean()
