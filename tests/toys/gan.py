"""Two players: a generator learns to make numbers like the real ones, a critic to tell them apart."""

from torch.nn import functional as F

from pervade.core.contracts import Phase
from pervade.core.contracts.abilities import CouplesRows, HasPlayers
from tests.toys.base import ToyTask, toy, toy_recipe
from tests.toys.networks import Players
from tests.toys.worlds import Numbers

CHANCE, THRESHOLD = 0.1, 0.8


@toy("task", "toy-adversarial")
class Adversarial(ToyTask, CouplesRows, HasPlayers):
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


def recipe():
    return toy_recipe(Numbers(), Adversarial(), Players(), lr=0.005, epochs=40)


def score(columns):  # how near the mean of what is made comes to the real mean of 3; untrained it is near 0
    return float(1 - abs(columns["sample"].mean() - 3) / 3)
