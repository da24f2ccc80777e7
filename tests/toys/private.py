"""Private training (Abadi et al. 2016): each row is drawn by a coin of its own, its gradient clipped, noise added."""

import torch

from pervade.core.protocols import Gradient
from pervade.tasks.classify import Classify
from tests.toys.base import share_right, toy, toy_recipe
from tests.toys.sources import Poisson
from tests.toys.worlds import Xor

score, CHANCE, THRESHOLD = share_right, 0.5, 0.75


@toy("gradient", "toy-private")
class Private(Gradient):
    largest: float = 1.0
    noise: float = 0.5
    expected: int = 32

    def accumulate(self, loss, parameters):
        for each in loss:
            gradients = torch.autograd.grad(each, parameters, retain_graph=True)
            norm = torch.stack([g.norm() for g in gradients]).norm()
            for parameter, g in zip(parameters, gradients, strict=True):
                clipped = g * (self.largest / norm.clamp(min=self.largest))
                parameter.grad = clipped if parameter.grad is None else parameter.grad + clipped

    def divisor(self, parameters, count):
        for parameter in parameters:
            noise = torch.randn_like(parameter) * self.noise * self.largest
            parameter.grad = noise if parameter.grad is None else parameter.grad + noise
        return float(self.expected)


def recipe():
    return toy_recipe(Xor(), Classify(), source=Poisson(), gradient=Private(), epochs=25, micro_batch=16)
