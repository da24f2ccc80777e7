"""Private training (Abadi et al. 2016): each row is drawn by a coin of its own, its gradient clipped, noise added."""

import torch

from pervade.core.contracts import Gradient
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
        # (rows, *shape) of each parameter: the gradients of all rows by one call.
        by_row = torch.autograd.grad(loss, parameters, torch.eye(len(loss)), is_grads_batched=True)
        norm = torch.stack([g.flatten(1).norm(dim=1) for g in by_row]).norm(dim=0)
        kept = self.largest / norm.clamp(min=self.largest)
        for parameter, g in zip(parameters, by_row, strict=True):
            clipped = torch.tensordot(kept, g, 1)
            parameter.grad = clipped if parameter.grad is None else parameter.grad + clipped

    def divisor(self, parameters, count):
        for parameter in parameters:
            noise = torch.randn_like(parameter) * self.noise * self.largest
            parameter.grad = noise if parameter.grad is None else parameter.grad + noise
        return float(self.expected)


def recipe():
    return toy_recipe(Xor(), Classify(), source=Poisson(), gradient=Private(), epochs=25, micro_batch=16)
