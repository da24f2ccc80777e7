"""Training on attacked examples: a task that wraps a task and uses an attack on what engine/probe.py shows."""

import torch

from pervade.core.contracts import Attack, Context, Wrapping
from pervade.engine.probe import probe
from pervade.tasks.classify import Classify
from tests.toys.base import share_right, toy, toy_recipe
from tests.toys.worlds import Xor

score, CHANCE, THRESHOLD = share_right, 0.5, 0.85


@toy("attack", "toy-sign")
class Sign(Attack):
    """One step along the gradient's sign (Goodfellow et al. 2014)."""

    radius: float = 0.1

    def __call__(self, probe):
        x = probe.x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(probe.score(probe.forward(x)).sum(), x)
        return probe.space.project(probe.x - self.radius * gradient.sign()).detach()


@toy("task", "toy-harden")
class Harden(Wrapping):
    attack: Attack

    def forward(self, model, batch, context):
        if context.companions is not None or model.training:
            batch = {**batch, "input": self.attack(probe(model, context.domain, self.task, batch))}
        return super().forward(model, batch, context)

    def infer(self, model, batch, context):
        return self.task.infer(model, batch, Context(context.domain))


def recipe():
    return toy_recipe(Xor(), Harden(Classify(), Sign()), epochs=20)
