"""Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347), for choices and for continuous actions.

With r the probability of an action now over that when it was taken, A its advantage, R its return and V its value, a
row's loss is

    -min(r A, clip(r, 1 - ε, 1 + ε) A) + c_v (V - R)² - c_e H

Rollouts (agents/sources/rollouts.py) hold what was lived through; they end a pass early where the policy moved too far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Module

from pervade.agents.acting import Agent, space_of
from pervade.core.bounds import Positive, Weight
from pervade.core.contracts import Context, Domain
from pervade.core.contracts.abilities import CanTeach
from pervade.core.registry import register
from pervade.core.types import Batch, Output, Parts
from pervade.nn import actions
from pervade.nn.distillation import divergence, divergence_of_normals


@register("task")
@dataclass(frozen=True)
class PPO(Agent, CanTeach):
    clip: Positive = 0.2  # ε
    value_clip: Positive | None = None  # how far a value may move from what it was; None: any
    value_weight: Weight = 0.5  # c_v
    entropy_weight: Weight = 0.0  # c_e: more explores longer

    def outputs(self, domain: Domain) -> dict[str, int]:
        space = space_of(domain)
        if actions.is_discrete(space):
            return {"logits": actions.choices(space), "value": 1}
        return {"mean": actions.choices(space), "log_deviation": actions.choices(space), "value": 1}

    # acting

    def asks(self, space: actions.Space) -> tuple[str, ...]:
        """The outputs that acting takes."""
        return ("logits",) if actions.is_discrete(space) else ("mean", "log_deviation")

    def noise(self, space: actions.Space, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return actions.noise(space, shape, rng)

    def act(self, output: Mapping[str, np.ndarray], space: actions.Space, noise: np.ndarray | None) -> np.ndarray:
        """Actions (n, width), the likeliest where there is no noise to draw by."""
        return actions.choose(output, space, noise)

    # learning

    def forward(self, model: Module, batch: Batch, context: Context) -> Output:
        output: Output = model(batch["input"])
        if "action" not in batch:
            return output
        space = space_of(context.domain)
        log_prob, entropy = actions.log_prob_and_entropy(output, batch["action"], space)
        learnt = {"log_prob": log_prob, "entropy": entropy, "value": output["value"][:, 0].float()}
        policy = {name: output[name] for name in self.asks(space)}
        if actions.is_discrete(space):
            return {**learnt, **policy, "sizes": torch.tensor(space["sizes"])}
        return {**learnt, **policy}

    def loss(self, output: Output, batch: Batch) -> Parts:
        loss, value_error, kl = _Objective.apply(output["log_prob"], output["value"], output["entropy"], batch, self)
        return {"loss": loss, "value_error": value_error, "entropy": output["entropy"].detach(), "kl": kl}

    def imitation(self, output: Output, teacher: Output, batch: Batch, temperature: float) -> Tensor:
        """How far the policy is from its teacher's where the student itself went, which is where it has to know what to
        do (Czarnecki et al. 2019, arXiv:1902.02186); summed over the choices or numbers of an action. The temperature
        is of choices."""
        if "mean" in output:
            said = (one[name] for one in (output, teacher) for name in ("mean", "log_deviation"))
            return divergence_of_normals(*said).sum(1)
        sizes = output["sizes"].tolist()
        parts = zip(output["logits"].split(sizes, 1), teacher["logits"].split(sizes, 1), strict=True)
        return torch.stack([divergence(own, said, temperature) for own, said in parts]).sum(0)

    def score(self, output: Output, batch: Batch, context: Context) -> Tensor:
        """The logarithm of the likeliest action's probability; of continuous actions, the value."""
        if "logits" in output:
            return output["logits"].log_softmax(-1).amax(-1)
        return output["value"][:, 0] if output["value"].ndim > 1 else output["value"]

    # watching

    def inner(self, output: Mapping[str, np.ndarray], space: actions.Space) -> dict[str, np.ndarray]:
        """What is shown beside a film: chances of the actions (or their means), and the value, (n, …)."""
        chances = actions.probabilities(output, space) if actions.is_discrete(space) else output["mean"]
        return {"chances": chances, "value": output["value"][:, 0]}

    def shown(self, space: actions.Space) -> Sequence[str]:
        return (*self.asks(space), "value")


class _Objective(torch.autograd.Function):
    """The loss above with its gradient written out, which for 64 rows costs a fifth less of a whole step."""

    @staticmethod
    def forward(
        ctx: Any, log_prob: Tensor, value: Tensor, entropy: Tensor, batch: Batch, task: PPO
    ) -> tuple[Tensor, Tensor, Tensor]:
        log_ratio = log_prob - batch["log_prob"]
        ratio, advantage = log_ratio.exp(), batch["advantage"]
        free = ratio * advantage
        clipped = ratio.clamp(1 - task.clip, 1 + task.clip) * advantage
        apart = value - batch["return"]
        error = apart.square()
        if task.value_clip is not None:
            moved = value - batch["value"]
            near = batch["value"] + moved.clamp(-task.value_clip, task.value_clip) - batch["return"]
            # Where the clipped value is further off it counts, and moving on changes nothing while it is clipped.
            apart = torch.where(near.square() > error, near * (moved.abs() <= task.value_clip), apart)
            error = torch.maximum(error, near.square())
        loss = task.value_weight * error - torch.minimum(free, clipped) - task.entropy_weight * entropy
        # Where the clipped term is the smaller, the policy may move on without gain.
        ctx.save_for_backward(torch.where(free <= clipped, -free, 0.0), apart)
        ctx.task = task
        # Schulman's estimate of the KL divergence: never negative, and of small variance.
        kl = ratio - 1 - log_ratio
        ctx.mark_non_differentiable(error, kl)
        return loss, error, kl

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_loss: Tensor, *others: Any) -> tuple[Tensor | None, ...]:
        of_log_prob, apart = ctx.saved_tensors
        task = ctx.task
        of_entropy = of_loss * -task.entropy_weight if task.entropy_weight else None
        return of_log_prob * of_loss, apart * of_loss * (2 * task.value_weight), of_entropy, None, None
