"""Where is the answer? Contexts longer than the model, read through overlapping windows and joined by `reduce`."""

import numpy as np

from tests.toys.base import ToyTask, share_right, toy, toy_recipe
from tests.toys.networks import Reader
from tests.toys.worlds import TOKENS, Contexts

score, CHANCE, THRESHOLD = share_right, 1 / TOKENS, 0.9


@toy("task", "toy-span")
class Span(ToyTask):
    def outputs(self, domain):
        return {"logits": 1}

    def predictions(self, output, batch, context):
        best = output["logits"].max(1)
        truth = batch["target"] + batch["start"]
        return {"row": batch["row"], "best": best.values, "prediction": best.indices + batch["start"], "target": truth}

    def reduce(self, table, domain):
        keep = {}
        for i in np.argsort(table["best"]):  # the surest window of a row stands last
            keep[int(table["row"][i])] = i
        return {name: values[list(keep.values())] for name, values in table.items()}


def recipe():
    return toy_recipe(Contexts(), Span(), Reader(), lr=0.02, epochs=6)
