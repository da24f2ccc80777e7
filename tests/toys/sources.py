"""Where the batches of the toys come from, where a pass over the rows will not do.

A source of rows drawn by coins, and two sources that act: replay and rollouts.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch.distributions import Categorical

from pervade.core import seed as seeds
from pervade.core.contracts import Source, SourceSpec
from pervade.data.rows.loader import Loader
from tests.toys.base import toy
from tests.toys.corridor import STEPS, observe, step


@dataclass
class Coins:
    """Each row is in each batch with a chance of its own, so that batches differ in size."""

    rows: int
    seed: int

    def batches(self, epoch, batch_size):
        rng = seeds.generator(self.seed, epoch)
        tosses = rng.random((self.rows // batch_size, self.rows)) < batch_size / self.rows
        return [heads.nonzero()[0].tolist() for heads in tosses]


@toy("source", "toy-poisson")
class Poisson(SourceSpec):
    """Poisson sampling, which the accounting of private training assumes (Abadi et al. 2016)."""

    def open(self, o):
        coins = Coins(len(o.rows), o.seed)
        return Loader(o.rows, o.context.domain, o.batch_size, o.seed, sampler=coins)


@toy("source", "toy-replay")
class Replay(SourceSpec):
    def open(self, opening):
        return ReplayMemory(opening.model, opening.batch_size, opening.seed)


class ReplayMemory(Source):
    """Acts 4 times a batch, and replays most often what surprised most (Schaul et al. 2016)."""

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


ROLLOUT, EPOCHS, TARGET_KL = 256, 4, 0.05


@toy("source", "toy-rollouts")
class Rollouts(SourceSpec):
    def open(self, opening):
        return RolloutSource(opening.model, opening.batch_size)


class RolloutSource(Source):
    """A pass is EPOCHS times the ROLLOUT steps just made, or fewer once the policy has moved by TARGET_KL."""

    def __init__(self, model, batch_size):
        self.model, self.batch_size, self.rollout, self.position = model, batch_size, {}, 0
        self.order = torch.empty(0, dtype=torch.int64)
        self.stopped = 0

    def __len__(self):
        return EPOCHS * ROLLOUT // self.batch_size

    @torch.no_grad()
    def collect(self):
        seen, actions, log_probs, returns = [], [], [], []
        while len(seen) < ROLLOUT:
            cell, start, rewards, over = 0, len(seen), [], False
            while not over and len(seen) - start < STEPS:
                policy = Categorical(logits=self.model(observe(cell)[None])["logits"][0])
                action = policy.sample()
                seen.append(observe(cell)), actions.append(action), log_probs.append(policy.log_prob(action))
                cell, reward, over = step(cell, int(action))
                rewards.append(reward)
            returns += [sum(r * 0.9**k for k, r in enumerate(rewards[i:])) for i in range(len(rewards))]
        back = torch.tensor(returns[:ROLLOUT])
        advantage = (back - back.mean()) / (back.std() + 1e-6)
        names, values = ("input", "action", "log_prob"), (seen, actions, log_probs)
        self.rollout = {name: torch.stack(v[:ROLLOUT]) for name, v in zip(names, values, strict=True)}
        self.rollout |= {"advantage": advantage, "row": torch.arange(ROLLOUT)}
        self.order, self.position = torch.cat([torch.randperm(ROLLOUT) for _ in range(EPOCHS)]), 0

    def __iter__(self):
        if not self.rollout:
            self.collect()
        while self.position < len(self):
            rows = self.order[self.position * self.batch_size : (self.position + 1) * self.batch_size]
            self.position += 1
            yield {name: values[rows] for name, values in self.rollout.items()}
        self.rollout = {}

    def rehearsal(self):
        return None

    def feedback(self, batch, parts):
        if parts["kl"].mean() <= TARGET_KL:
            return False
        self.rollout, self.stopped = {}, self.stopped + 1  # the next pass starts with new experience
        return True

    def state_dict(self):
        return {name: value for name, value in vars(self).items() if name != "model"}

    def load_state_dict(self, state):
        vars(self).update(state)
