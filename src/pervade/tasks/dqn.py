"""Deep Q-learning (Mnih et al. 2015): the value of every action, learnt from memory.

With reward r over n steps, discount γ, and Q' the network of some time ago (a companion), a row's loss is
w h(Q(s, a) - y), h being Huber's, w the weight of a prioritised draw, and

    y = r + γⁿ Q'(s', argmax Q(s', ·))          double (van Hasselt et al. 2016); otherwise the largest Q' itself

`dueling` asks the network for a state's value and for advantages over it (Wang et al. 2016). n-step returns, priorities
and the memory are agents/sources/replay.py's.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Module

from pervade.agents.acting import Agent, space_of
from pervade.core.contracts import Context, Domain
from pervade.core.contracts.abilities import CanTeach, Explores, HasCompanions
from pervade.core.contracts.capabilities import Acting, able
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Batch, Output, Parts
from pervade.core.words import TaskWords
from pervade.nn import actions
from pervade.nn.distillation import divergence
from pervade.nn.policy import PolicyNetwork

EVALUATION_EPSILON = 0.05  # of episodes that are drawn from the policy, as in Mnih et al. 2015


@register("task")
@dataclass(frozen=True)
class DQN(Agent, Explores, HasCompanions, CanTeach):
    double: bool = True
    dueling: bool = False
    target_every: Annotated[int, Field(ge=1, le=10**9)] = 200  # optimiser steps between two copies of the network
    target_rate: Annotated[float, Field(gt=0, le=1)] = 1.0  # how far it goes towards the network each time; 1: a copy

    def outputs(self, domain: Domain) -> dict[str, int]:
        """Raises ConfigError where actions are not one choice of a few."""
        space = space_of(domain)
        if not actions.is_discrete(space) or len(space["sizes"]) > 1:
            raise ConfigError(
                f"dqn makes one choice a step, and {able(domain, Acting).name} takes {actions.describe(space)}; "
                "take --algorithm ppo, which does both"
            )
        count = actions.choices(space)
        return {"advantage": count, "state": 1} if self.dueling else {"value": count}

    def wording(self, domain: Domain) -> TaskWords:
        return replace(
            super().wording(domain),
            best="the action of the highest value",
            drawn="one action in twenty by chance",
            curves="Returns in training are of actions some of which were taken by chance, a share (epsilon) that "
            "shrinks, while the values still changed: they may lie below what was measured afterwards. They are means "
            "over the episodes that ended since the line before.",
        )

    # acting

    def asks(self, space: actions.Space) -> tuple[str, ...]:
        """The outputs that acting takes."""
        return ("advantage",) if self.dueling else ("value",)

    def noise(self, space: actions.Space, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """(*shape, 1 + k) uniform: whether to act by chance, and then which action."""
        return rng.random((*shape, 1 + actions.choices(space)), dtype=np.float32)

    def act(self, output: Mapping[str, np.ndarray], space: actions.Space, noise: np.ndarray | None) -> np.ndarray:
        return self.explore(output, space, noise, EVALUATION_EPSILON)

    def explore(
        self, output: Mapping[str, np.ndarray], space: actions.Space, noise: np.ndarray | None, epsilon: float
    ) -> np.ndarray:
        """Actions (n, 1), the best where there is no noise, else by chance in a share `epsilon` of rows."""
        best = output[self.asks(space)[0]].argmax(-1)
        if noise is not None:
            best = np.where(noise[:, 0] < epsilon, noise[:, 1:].argmax(-1), best)
        chosen: np.ndarray = best[:, None]
        return chosen

    # learning

    def values(self, output: Output) -> Tensor:
        """(n, k)."""
        if not self.dueling:
            return output["value"].float()
        advantage = output["advantage"].float()
        return output["state"].float() + advantage - advantage.mean(1, keepdim=True)

    def companions(self, model: Module, domain: Domain) -> Module | None:
        """The network of some time ago."""
        return copy.deepcopy(model).requires_grad_(False)

    def forward(self, model: Module, batch: Batch, context: Context) -> Output:
        output: Output = model(batch["input"])
        if "action" not in batch or context.companions is None:
            return output
        with torch.no_grad():
            after = self.values(context.companions(batch["next"]))
            if self.double:
                best = self.values(model(batch["next"])).argmax(1, keepdim=True)
                after = after.gather(1, best)[:, 0]
            else:
                after = after.amax(1)
            target = torch.addcmul(batch["reward"], batch["discount"], after)
        return {"values": self.values(output), "target": target}

    def loss(self, output: Output, batch: Batch) -> Parts:
        """Beside it how far a row was off, and the value of what was done. With d = Q(s, a) - y and c = d within ± 1,
        Huber's h(d) is c (d - c / 2), and its slope c: written out, so that `descend` finds the very same numbers."""
        chosen = output["values"].gather(1, batch["action"])[:, 0]
        apart = (chosen - output["target"]).detach()
        within = apart.clamp(-1.0, 1.0)
        slope = within * batch["weight"]
        loss = slope * (apart - 0.5 * within) + slope * (chosen - chosen.detach())
        return {"loss": loss, "surprise": apart.abs(), "value": chosen.detach()}

    def descend(self, model: Module, batch: Batch, context: Context) -> Parts | None:
        """`forward`, `loss` and its gradient without torch, whose calls take several times as long as such layers."""
        old = context.companions
        if self.dueling or not (isinstance(model, PolicyNetwork) and isinstance(old, PolicyNetwork)):
            return None
        learning, target = model.by_numpy, old.by_numpy
        if learning is None or target is None:
            return None
        x, then, action = model.units(batch["input"]).numpy(), batch["next"], batch["action"].numpy()[:, 0]
        rows = np.arange(len(x))
        values, inside = learning.trace(x)
        after = target.trace(old.units(then).numpy())[0]["value"]
        if self.double:
            best = learning.trace(model.units(then).numpy())[0]["value"].argmax(1)
            worth = after[rows, best]
        else:
            worth = after.max(1)
        chosen = values["value"][rows, action]
        apart = chosen - (batch["reward"].numpy() + batch["discount"].numpy() * worth)
        within = np.minimum(np.maximum(apart, -1.0), 1.0)
        slope = within * batch["weight"].numpy()
        back = np.zeros_like(values["value"])
        back[rows, action] = slope * np.float32(1 / len(x))
        learning.descend(x, inside, {"value": back})
        parts = {"loss": slope * (apart - np.float32(0.5) * within), "surprise": np.abs(apart), "value": chosen}
        return {name: torch.from_numpy(part) for name, part in parts.items()}

    def imitation(self, output: Output, teacher: Output, batch: Batch, temperature: float) -> Tensor:
        """Of the values as logits (policy distillation: Rusu et al. 2016, arXiv:1511.06295)."""
        return divergence(output["values"], self.values(teacher), temperature)

    def after_step(self, model: Module, context: Context, step: int) -> None:
        if step % self.target_every or context.companions is None:
            return
        with torch.no_grad():
            old: list[Tensor] = list(context.companions.parameters())
            new: list[Tensor] = list(model.parameters())
            torch._foreach_lerp_(old, new, self.target_rate)
            for before, now in zip(context.companions.buffers(), model.buffers(), strict=True):
                before.copy_(now)

    def score(self, output: Output, batch: Batch, context: Context) -> Tensor:
        """The best action's value."""
        return self.values(output).amax(1)

    # watching

    def inner(self, output: Mapping[str, np.ndarray], space: actions.Space) -> dict[str, np.ndarray]:
        """What is shown beside a film: the values of all actions, and the best one's, (n, …)."""
        known = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in output.items()}
        values = self.values(known).numpy()
        return {"values": values, "value": values.max(1)}

    def shown(self, space: actions.Space) -> Sequence[str]:
        return ("advantage", "state") if self.dueling else ("value",)
