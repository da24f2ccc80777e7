"""The environment of the reinforcement toys: a corridor of 8 cells, a reward at its far end, 16 steps to get there."""

from dataclasses import dataclass

import torch

from pervade.core.registry import register
from tests.toys.base import ToyDomain

CELLS, STEPS = 8, 16


def observe(cell):
    return torch.nn.functional.one_hot(torch.as_tensor(cell), CELLS).float()


def step(cell, action):
    """The next cell, the reward, and whether the episode is over. Action 1 goes right, 0 back to the start."""
    cell = cell + 1 if action == 1 else 0
    return cell, float(cell == CELLS - 1), cell == CELLS - 1


@register("domain", name="toy-corridor")
@dataclass(frozen=True)
class Corridor(ToyDomain):
    """A row is an episode of the evaluation."""

    size = CELLS

    def make(self, rng):
        return {"input": [0] * 20}


def episode(act):
    """The return of one episode, `act` choosing by the observation."""
    cell, total = 0, 0.0
    for _ in range(STEPS):
        cell, reward, over = step(cell, act(observe(cell)))
        total += reward
        if over:
            break
    return total


def evaluated(batch, act):
    return {"return": torch.tensor([episode(act) for _ in batch["row"]])}
