"""The networks of the toys that need more than base.py's perceptron, and the companions that stand beside them."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from pervade.core.contracts import Model
from tests.toys.base import toy
from tests.toys.worlds import CODES, MARK, NUMBERS


@toy("model", "toy-reader")
class Reader(Model):
    """Scores every token by itself."""

    def build(self, inputs, outputs):
        return _Reader()


class _Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.score = nn.Embedding(MARK + 1, 8), nn.Linear(8, 1)

    def forward(self, input, mask=None):
        return {"logits": self.score(torch.relu(self.embed(input)))[..., 0]}


@toy("model", "toy-recurrent")
class Recurrent(Model):
    """Reads numbers from left to right."""

    def build(self, inputs, outputs):
        return _Recurrent(outputs["logits"])


class _Recurrent(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.embed, self.cell = nn.Embedding(NUMBERS, 16), nn.GRU(16, 64, batch_first=True)
        self.head = nn.Linear(64, size)

    def forward(self, input, mask=None):
        return {"logits": self.head(self.cell(self.embed(input))[0])}


@toy("model", "toy-players")
class Players(Model):
    """A generator, which is what is called, and its critic."""

    def build(self, inputs, outputs):
        return _Players()


class _Players(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))
        self.critic = nn.Sequential(nn.Linear(1, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))

    def forward(self, input, mask=None):
        return {"sample": self.generator(input)}


@toy("model", "toy-quantiser")
class Quantiser(Model):
    """Names a point by the nearest of its codes."""

    def build(self, inputs, outputs):
        return _Quantiser()


class _Quantiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.codes = nn.Parameter(torch.randn(CODES, 2))

    def forward(self, input, mask=None):
        code = torch.cdist(input, self.codes).argmin(1)
        return {"code": code, "output": self.codes[code]}


@toy("model", "toy-fusion")
class Fusion(Model):
    """Joins two modalities after a layer for each."""

    def build(self, inputs, outputs):
        return _Fusion(outputs["logits"])


class _Fusion(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.sight, self.sound = nn.Linear(1, 8), nn.Linear(1, 8)
        self.head = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, size))

    def forward(self, input, mask=None):
        both = torch.cat([self.sight(input["sight"]), self.sound(input["sound"])], 1)
        return {"logits": self.head(torch.relu(both))}


class Centres(nn.Linear):
    """A companion: one learnt direction for each class; logits are 10 times the cosine of the angle to it."""

    def __init__(self, size, classes):
        super().__init__(size, classes, bias=False)

    def forward(self, embedding):  # of length 1
        return 10 * embedding @ F.normalize(self.weight).T


def frozen_copy(network):
    """A companion: the network as it is now, which does not learn."""
    return copy.deepcopy(network).requires_grad_(False)
