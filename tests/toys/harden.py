"""Training on attacked examples: a task that wraps a task and uses an attack on the domain's probe."""

from dataclasses import dataclass

import torch

from pervade.core.protocols import Attack, Context, Task
from pervade.core.registry import register
from pervade.tasks.classify import Classify
from tests.toys import classifier
from tests.toys.base import toy_recipe


@register("attack", name="toy-sign")
@dataclass(frozen=True)
class Sign(Attack):
    """One step along the gradient's sign (Goodfellow et al. 2014)."""

    radius: float = 0.1

    def __call__(self, probe):
        x = probe.x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(probe.score(probe.forward(x)).sum(), x)
        return probe.space.project(probe.x - self.radius * gradient.sign()).detach()


@register("task", name="toy-harden")
@dataclass(frozen=True)
class Harden(Task):
    task: Task
    attack: Attack

    def outputs(self, domain):
        return self.task.outputs(domain)

    def forward(self, model, batch, context):
        if context.companions is None and not model.training:
            return self.task.forward(model, batch, context)
        probe = context.domain.probe(model, self.task, batch)
        return self.task.forward(model, {**batch, "input": self.attack(probe)}, context)

    def loss(self, output, batch):
        return self.task.loss(output, batch)

    def infer(self, model, batch, context):
        return self.task.infer(model, batch, Context(context.domain))

    def predictions(self, output, batch, context):
        return self.task.predictions(output, batch, context)


def recipe():
    return toy_recipe(classifier.Xor(), Harden(Classify(), Sign()), epochs=20)


score, CHANCE, THRESHOLD = classifier.score, 0.5, 0.85
