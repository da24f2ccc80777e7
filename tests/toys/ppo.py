"""PPO (Schulman et al. 2017): several epochs of minibatches over one rollout, ended early when the policy has moved."""

from dataclasses import dataclass

import torch
from torch.distributions import Categorical

from pervade.core.protocols import SourceSpec, Task
from pervade.core.registry import register
from tests.toys.base import toy_recipe
from tests.toys.corridor import STEPS, Corridor, evaluated, observe, step

ROLLOUT, EPOCHS, TARGET_KL = 256, 4, 0.05


class RolloutSource:
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


@register("source", name="toy-rollouts")
@dataclass(frozen=True)
class Rollouts(SourceSpec):
    def open(self, opening):
        return RolloutSource(opening.model, opening.batch_size)


@register("task", name="toy-ppo")
@dataclass(frozen=True)
class PPO(Task):
    def outputs(self, domain):
        return {"logits": 2}

    def loss(self, output, batch):
        policy = Categorical(logits=output["logits"])
        log_ratio = policy.log_prob(batch["action"]) - batch["log_prob"]
        ratio, advantage = log_ratio.exp(), batch["advantage"]
        clipped = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
        return {"loss": -clipped - 0.01 * policy.entropy(), "kl": (ratio - 1 - log_ratio).detach()}

    def infer(self, model, batch, context):
        return evaluated(batch, lambda seen: int(model(seen[None])["logits"].argmax()))

    def predictions(self, output, batch, context):
        return {"row": batch["row"], "return": output["return"]}


def recipe():
    return toy_recipe(Corridor(), PPO(), source=Rollouts(), lr=0.005, epochs=20, batch_size=64)


def score(columns):
    return columns["return"].mean()


CHANCE, THRESHOLD = 0.07, 0.95
