"""DQN (Mnih et al. 2015): a target network, and a replay that remembers what surprised (`feedback`)."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from pervade.core.protocols import SourceSpec, Task
from pervade.core.registry import register
from tests.toys.base import toy_recipe
from tests.toys.corridor import STEPS, Corridor, evaluated, observe, step


class ReplayMemory:
    def __init__(self, model, batch_size, seed):
        self.model, self.batch_size, self.rng = model, batch_size, np.random.default_rng(seed)
        self.memory = {name: [] for name in ("cell", "action", "reward", "next", "over", "priority")}
        self.cell = self.age = self.position = 0

    def __len__(self):
        return 50

    def act(self):
        with torch.no_grad():
            best = int(self.model(observe(self.cell)[None])["value"].argmax())
        action = int(self.rng.integers(2)) if self.rng.random() < 0.3 else best
        after, reward, over = step(self.cell, action)
        for name, value in zip(self.memory, (self.cell, action, reward, after, over, 1.0), strict=True):
            self.memory[name].append(value)
        self.age = 0 if over else self.age + 1
        self.cell = 0 if over or self.age == STEPS else after
        self.age %= STEPS

    def __iter__(self):
        while self.position < len(self):
            for _ in range(4):
                self.act()
            share = np.array(self.memory["priority"]) / sum(self.memory["priority"])
            rows = self.rng.choice(len(share), self.batch_size, p=share)
            batch = {name: torch.tensor([values[i] for i in rows]) for name, values in self.memory.items()}
            weight = torch.tensor((len(share) * share[rows]) ** -0.5, dtype=torch.float32)
            self.position += 1
            yield {**batch, "row": torch.tensor(rows), "input": observe(batch["cell"]), "weight": weight / weight.max()}
        self.position = 0

    def rehearsal(self):
        return None

    def feedback(self, batch, parts):
        for row, surprise in zip(batch["row"].tolist(), parts["surprise"].tolist(), strict=True):
            self.memory["priority"][row] = surprise + 0.01
        return False

    def state_dict(self):
        state = {name: value for name, value in vars(self).items() if name not in ("model", "rng")}
        return copy.deepcopy({**state, "rng": self.rng.bit_generator.state})

    def load_state_dict(self, state):
        self.rng.bit_generator.state = state.pop("rng")
        vars(self).update(state)


@register("source", name="toy-replay")
@dataclass(frozen=True)
class Replay(SourceSpec):
    def open(self, opening):
        return ReplayMemory(opening.model, opening.batch_size, opening.seed)


@register("task", name="toy-dqn")
@dataclass(frozen=True)
class DQN(Task):
    def outputs(self, domain):
        return {"value": 2}

    def companions(self, model, domain):
        return copy.deepcopy(model).requires_grad_(False)

    def forward(self, model, batch, context):
        with torch.no_grad():
            after = context.companions(observe(batch["next"].clamp(max=7)))["value"].amax(1)
        return {**model(batch["input"]), "target": batch["reward"] + 0.9 * after * ~batch["over"]}

    def loss(self, output, batch):
        value = output["value"].gather(1, batch["action"][:, None])[:, 0]
        surprise = (value - output["target"]).abs().detach()
        loss = batch["weight"] * F.smooth_l1_loss(value, output["target"], reduction="none")
        return {"loss": loss, "surprise": surprise}

    def after_step(self, model, context, step):
        if step % 20 == 0:
            context.companions.load_state_dict(model.state_dict())

    def infer(self, model, batch, context):
        return evaluated(batch, lambda seen: int(model(seen[None])["value"].argmax()))

    def predictions(self, output, batch, context):
        return {"row": batch["row"], "return": output["return"]}


def recipe():
    return toy_recipe(Corridor(), DQN(), source=Replay(), lr=0.005, epochs=12)


def score(columns):
    return columns["return"].mean()


CHANCE, THRESHOLD = 0.07, 0.95
