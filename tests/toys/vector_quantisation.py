"""Points named by codes, then a prior over the codes, learnt from the first one's predictions (`then`)."""

from tests.toys.base import Perceptron, ToyTask, toy, toy_recipe
from tests.toys.networks import Quantiser
from tests.toys.worlds import CODES, EVEN_GUESS, Clusters, Codes

CHANCE, THRESHOLD, THRESHOLD_THEN = 0.0, 0.8, 0.2


@toy("task", "toy-quantise")
class Quantise(ToyTask):
    def outputs(self, domain):
        return {"output": 2}

    def loss(self, output, batch):
        return {"loss": (output["output"] - batch["input"]).square().sum(1)}

    def predictions(self, output, batch, context):
        return {"row": batch["row"], "code": output["code"], "error": self.loss(output, batch)["loss"]}


@toy("task", "toy-prior")
class Prior(ToyTask):
    def outputs(self, domain):
        return {"logits": CODES}

    def predictions(self, output, batch, context):
        return {"row": batch["row"], "surprise": self.loss(output, batch)["loss"]}


def recipe():
    return toy_recipe(Clusters(), Quantise(), Quantiser(), epochs=20, then=toy_recipe(Codes(), Prior(), Perceptron(8)))


def score(columns):
    return 1 - columns["error"].mean()


def score_then(columns):  # nats a code, as a share of what an even guess costs
    return 1 - columns["surprise"].mean() / EVEN_GUESS
