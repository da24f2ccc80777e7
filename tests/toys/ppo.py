"""PPO (Schulman et al. 2017): several epochs of minibatches over one rollout, ended early when the policy has moved."""

import torch
from torch.distributions import Categorical

from tests.toys import corridor, sources, worlds
from tests.toys.base import ToyTask, toy, toy_recipe

score, CHANCE, THRESHOLD = corridor.mean_return, 0.07, 0.95


@toy("task", "toy-ppo")
class PPO(ToyTask):
    def outputs(self, domain):
        return {"logits": 2}

    def loss(self, output, batch):
        policy = Categorical(logits=output["logits"])
        log_ratio = policy.log_prob(batch["action"]) - batch["log_prob"]
        ratio, advantage = log_ratio.exp(), batch["advantage"]
        clipped = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
        return {"loss": -clipped - 0.01 * policy.entropy(), "kl": (ratio - 1 - log_ratio).detach()}

    def infer(self, model, batch, context):
        return corridor.evaluated(batch, lambda seen: int(model(seen[None])["logits"].argmax()))


def recipe():
    return toy_recipe(worlds.Corridor(), PPO(), source=sources.Rollouts(), lr=0.005, epochs=20, batch_size=64)
