"""Private training (Abadi et al. 2016): each row is drawn by a coin of its own, its gradient clipped, noise added."""

from dataclasses import dataclass

import torch

from pervade.core import seed as seeds
from pervade.core.protocols import Gradient, SourceSpec
from pervade.core.registry import register
from pervade.data.loader import Loader
from pervade.tasks.classify import Classify
from tests.toys import classifier
from tests.toys.base import toy_recipe


@dataclass
class Coins:
    rows: int
    seed: int

    def batches(self, epoch, batch_size):
        rng = seeds.generator(self.seed, epoch)
        tosses = rng.random((self.rows // batch_size, self.rows)) < batch_size / self.rows
        return [heads.nonzero()[0].tolist() for heads in tosses]


@register("source", name="toy-poisson")
@dataclass(frozen=True)
class Poisson(SourceSpec):
    def open(self, o):
        coins = Coins(len(o.rows), o.seed)
        return Loader(o.rows, o.context.domain, o.batch_size, o.seed, sampler=coins)


@register("gradient", name="toy-private")
@dataclass(frozen=True)
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
    return toy_recipe(classifier.Xor(), Classify(), source=Poisson(), gradient=Private(), epochs=25, micro_batch=16)


score, CHANCE, THRESHOLD = classifier.score, 0.5, 0.75
