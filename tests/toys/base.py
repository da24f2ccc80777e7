"""What the toys share: a domain made of arrays, a small perceptron, a plain task, the recipe around them.

A toy is a file of at most 40 lines: one kind of learning, `recipe()`, `score(columns)` of the predictions on the test
split, what `CHANCE` reaches and the `THRESHOLD` to pass. Data is in worlds.py, networks are in networks.py, samplers
and sources in sources.py, the environment of the reinforcement toys in corridor.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from pervade.core.contracts import Domain, InputSpace, Model, Observations, Recipe, Task
from pervade.core.registry import register
from pervade.core.types import Rows
from pervade.data.rows.sources.dataset import Dataset
from pervade.init.random import Random
from pervade.train.optim.adam import Adam
from pervade.train.schedule.constant import Constant

FRAME = ("id", "row", "split", "group", "hash")


def toy(kind: str, name: str) -> Callable[[type], type]:
    """`@register(kind, name=name)` and `@dataclass(frozen=True)`, which every toy needs, in one."""
    return lambda cls: register(kind, name=name)(dataclass(frozen=True)(cls))


class ToyDomain(Domain):
    """Rows made from a seed: `make` gives the columns, every one of which becomes a tensor of the batch."""

    size = 2  # features of the input

    def make(self, rng: np.random.Generator) -> dict[str, list]:
        raise NotImplementedError

    def read(self, source: Any):
        columns = self.make(np.random.default_rng(0))
        count = len(next(iter(columns.values())))
        return Rows({"id": [str(i) for i in range(count)], **columns}), []

    def fit(self, train: Rows):
        return self

    def transform(self, row: dict[str, Any], rng) -> list[dict[str, Any]]:
        return [{k: torch.tensor(int(v) if isinstance(v, str) else v) for k, v in row.items() if k not in FRAME}]

    def collate(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {name: torch.stack([each[name] for each in examples]) for name in examples[0]}

    def inputs(self) -> Observations:
        return Observations((self.size,))

    def input_space(self) -> InputSpace:
        return InputSpace(-2.0, 2.0, "coordinate")

    def show(self, row, prediction):
        return []


class ToyTask(Task):
    """Unless a toy says otherwise: the loss is the cross-entropy of "logits", and all output is predicted as it is."""

    def loss(self, output, batch):
        return {"loss": F.cross_entropy(output["logits"], batch["target"], reduction="none")}

    def predictions(self, output, batch, context):
        known = {name: batch[name] for name in ("row", "target") if name in batch}
        return {**known, **output}


@toy("model", "toy-perceptron")
class Perceptron(Model):
    units: int = 32

    def build(self, inputs: Observations, outputs: Mapping[str, int]) -> nn.Module:
        return _Perceptron(inputs.shape[0], self.units, dict(outputs))


class _Perceptron(nn.Module):
    def __init__(self, size: int, units: int, outputs: dict[str, int]) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(size, units), nn.ReLU(), nn.Dropout(0.05), nn.Linear(units, units), nn.ReLU()
        )
        self.heads = nn.ModuleDict({name: nn.Linear(units, size) for name, size in outputs.items()})

    def forward(self, input, mask=None):
        hidden = self.body(input)
        return {name: head(hidden) for name, head in self.heads.items()}


def toy_recipe(domain: Domain, task: Task, model: Model | None = None, lr: float = 0.01, **settings: Any) -> Recipe:
    defaults = {"source": Dataset(), "epochs": 12, "batch_size": 32, "workers": 0, "device": "cpu", "precision": "fp32"}
    return Recipe(domain, task, model or Perceptron(), Adam(lr=lr), Constant(), Random(), **{**defaults, **settings})


def share_right(columns: Mapping[str, Any]) -> float:
    """The score of most toys: the share of rows where "prediction" is "target"."""
    return (columns["prediction"] == columns["target"]).mean()


def nearest_other(points: np.ndarray) -> np.ndarray:
    """(n, d) to (n,): the position of the point nearest to each, itself left out."""
    distance = torch.cdist(torch.tensor(points), torch.tensor(points)).fill_diagonal_(torch.inf)
    return distance.argmin(1).numpy()
