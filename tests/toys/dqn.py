"""DQN (Mnih et al. 2015): a target network, and a replay that remembers what surprised (`feedback`)."""

import torch
from torch.nn import functional as F

from pervade.core.contracts.abilities import HasCompanions
from tests.toys import corridor, networks, sources, worlds
from tests.toys.base import ToyTask, toy, toy_recipe

score, CHANCE, THRESHOLD = corridor.mean_return, 0.07, 0.95


@toy("task", "toy-dqn")
class DQN(ToyTask, HasCompanions):
    def outputs(self, domain):
        return {"value": 2}

    def companions(self, model, domain):
        return networks.frozen_copy(model)

    def forward(self, model, batch, context):
        with torch.no_grad():
            after = context.companions(corridor.observe(batch["next"].clamp(max=7)))["value"].amax(1)
        return {**model(batch["input"]), "target": batch["reward"] + 0.9 * after * ~batch["over"]}

    def loss(self, output, batch):
        value = output["value"].gather(1, batch["action"][:, None])[:, 0]
        loss = batch["weight"] * F.smooth_l1_loss(value, output["target"], reduction="none")
        return {"loss": loss, "surprise": (value - output["target"]).abs().detach()}

    def after_step(self, model, context, step):
        if step % 20 == 0:
            context.companions.load_state_dict(model.state_dict())

    def infer(self, model, batch, context):
        return corridor.evaluated(batch, lambda seen: int(model(seen[None])["value"].argmax()))


def recipe():
    return toy_recipe(worlds.Corridor(), DQN(), source=sources.Replay(), lr=0.005, epochs=12)
