"""What a policy lives through, learnt from a few times and then forgotten: the data of PPO.

A pass is one rollout: `steps` in every environment, then `epochs` times all of it in batches drawn anew. Advantages are
generalised (Schulman et al. 2016, arXiv:1506.02438): with value V, discount γ and λ,

    δ_t = r_t + γ V(s_t+1) - V(s_t)        A_t = δ_t + γ λ A_t+1        return_t = A_t + V(s_t)

An episode that terminated has no value after it. One that was cut off (a time limit) does: it could have gone on, so
the value of what was seen last stands for the rest (Pardo et al. 2018, "Time limits in reinforcement learning").

Axis letters: t steps, n environments.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from pervade.agents import worlds
from pervade.agents.playing import Playing
from pervade.core import seed as seeds
from pervade.core.bounds import Positive
from pervade.core.contracts import Opening, Source, SourceSpec, Task
from pervade.core.contracts.abilities import Acts, Explores
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Batch, Parts
from pervade.nn import actions
from pervade.nn.modes import evaluating
from pervade.nn.policy import PolicyNetwork, answer, responder

AT_ONCE = 512  # observations that are valued at once, so that pictures need little memory
WARM_UP = 256  # steps by chance, whose observations normalisation begins with


@register("source")
@dataclass(frozen=True)
class Rollouts(SourceSpec):
    """Task and domain are those of an agent (tasks/ppo.py, domains/environment.py)."""

    steps: Annotated[int, Field(ge=2, le=10**6)] = 128  # in each environment between two lessons
    epochs: Annotated[int, Field(ge=1, le=1000)] = 10  # how often what was collected is learnt from
    discount: Annotated[float, Field(ge=0, le=1)] = 0.99  # γ: what a reward is worth a step later
    trace: Annotated[float, Field(ge=0, le=1)] = 0.95  # λ: 1 trusts what happened, 0 the value function
    scale_rewards: bool = True  # divided by the deviation of discounted returns so far (Engstrom et al. 2020)
    stop_at: Positive | None = None  # KL from the policy that acted, at which a pass ends early

    def suits(self, task: Task) -> bool:
        return isinstance(task, Acts) and not isinstance(task, Explores)

    def open(self, opening: Opening) -> Source:
        if opening.world > 1:
            raise ConfigError("reinforcement learning runs in one process; start it without torchrun")
        return RolloutSource(self, opening)

    def steps_per_pass(self, environments: int) -> int:
        return self.steps * environments


@dataclass
class _Rollout:
    """A rollout as it came. `finals` are what episodes ended with, by step and environment; `valid` is False where an
    environment was beginning anew; `outputs` (t n, …) are the network's, where acting computed them all."""

    observations: np.ndarray  # (t + 1, n, …)
    actions: np.ndarray  # (t, n, width)
    rewards: np.ndarray  # (t, n), as all that follow
    terminated: np.ndarray
    truncated: np.ndarray
    valid: np.ndarray
    finals: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    outputs: dict[str, np.ndarray] | None = None


class RolloutSource(Playing):
    KEPT = ("pass_number", "epoch", "position", "steps_taken", "stopped_early", "rollout", "running")

    def __init__(self, spec: Rollouts, opening: Opening) -> None:
        self.spec, self.task = spec, cast(Acts, opening.task)
        super().__init__(opening)
        self.pass_number = self.epoch = self.position = 0
        self.rollout: dict[str, Tensor] = {}
        self.running = np.zeros(self.count)  # discounted returns so far, which rewards are scaled by
        self.stopped_early = 0

    def __len__(self) -> int:
        return self.spec.epochs * self._batches()

    def _batches(self) -> int:
        return math.ceil(self.spec.steps * self.count / self.batch_size)

    # what was collected

    def _warm_up(self, opened: worlds.Worlds) -> None:
        """A few steps by chance, so that the first lesson is not learnt from numbers of any size."""
        if not (isinstance(self.model, PolicyNetwork) and self.model.observations is not None):
            return
        rng, seen = seeds.generator(self.seed, 17), [opened.observations()]
        for _ in range(math.ceil(WARM_UP / self.count)):
            drawn = np.stack([_by_chance(self.space, rng) for _ in range(self.count)])
            seen.append(opened.step(actions.outward(drawn, self.space)).observations)
            self.steps_taken += self.count
        self.episodes += opened.finished()
        self.model.observe(np.concatenate(seen))

    def _roll_out(self) -> _Rollout:
        """`steps` in every environment, by actions drawn from the policy."""
        opened, spec, model = self._open(), self.spec, self.model
        t, n = spec.steps, self.count
        respond = responder(model)
        # Where acting computes the value anyway it is kept, else all are computed together afterwards.
        apart = isinstance(model, PolicyNetwork) and model.quick
        names = self.names if apart else (*self.names, "value")
        outputs: dict[str, list[np.ndarray]] = {name: [] for name in names}
        noise = self.task.noise(self.space, (t, n), seeds.generator(self.seed, 19, self.pass_number))
        shape, dtype = self.domain.observation["shape"], self.domain.observation["dtype"]
        rollout = _Rollout(
            np.empty((t + 1, n, *shape), dtype),
            np.empty((t, n, actions.width(self.space)), np.int64 if actions.is_discrete(self.space) else np.float32),
            np.empty((t, n), np.float32),
            np.zeros((t, n), bool),
            np.zeros((t, n), bool),
            np.ones((t, n), bool),
        )
        rollout.observations[0] = opened.observations()
        for at in range(t):
            output = respond(rollout.observations[at], names)
            action = self.task.act(output, self.space, noise[at])
            if not apart:
                for name, values in output.items():
                    outputs[name].append(np.broadcast_to(values, (n, values.shape[-1])))
            rollout.actions[at] = action
            step = opened.step(actions.outward(action, self.space))
            rollout.observations[at + 1], rollout.rewards[at] = step.observations, step.rewards
            if step.finals:
                rollout.terminated[at], rollout.truncated[at] = step.terminated, step.truncated
                rollout.finals |= {(at, place): final for place, final in step.finals.items()}
            if step.idle is not None:
                rollout.valid[at] = ~step.idle
        self.steps_taken += int(rollout.valid.sum())
        self.episodes += opened.finished()
        if not apart:
            rollout.outputs = {name: np.concatenate(parts) for name, parts in outputs.items()}
        return rollout

    def _collect(self) -> None:
        """A rollout, and what is to be learnt from it."""
        with evaluating(self.model):
            rollout = self._roll_out()
            t, n = rollout.rewards.shape
            inputs = torch.from_numpy(rollout.observations[:-1].reshape(t * n, *rollout.observations.shape[2:]))
            taken = torch.from_numpy(rollout.actions.reshape(t * n, -1))
            log_probs, values = self._judged(inputs, taken, rollout.outputs)
            value = np.concatenate([values.reshape(t, n), self._values(rollout.observations[-1])[None]])
            rest = np.zeros((t, n), np.float32)  # the value of what could have followed where an episode was cut
            places = [place for place in rollout.finals if rollout.truncated[place]]
            if places:
                rest[tuple(np.array(places).T)] = self._values(np.stack([rollout.finals[place] for place in places]))
        over, spec = rollout.terminated | rollout.truncated, self.spec
        rewards = self._scaled(rollout.rewards, over, rollout.valid) + spec.discount * rest
        advantage = advantages(rewards, value, over, spec.discount, spec.trace)
        kept = np.flatnonzero(rollout.valid.reshape(-1))
        rows = torch.from_numpy(kept)

        def column(figures: np.ndarray) -> Tensor:
            return torch.from_numpy(figures.reshape(-1)[kept].astype(np.float32))

        self.rollout = {
            "row": torch.from_numpy(np.broadcast_to(self.numbers, (t, n)).reshape(-1)[kept]),
            "input": inputs if len(kept) == t * n else inputs[rows],
            "action": taken[rows],
            "log_prob": log_probs[rows],
            "advantage": _standardised(column(advantage)),
            "return": column(advantage + value[:-1]),
            "value": column(value[:-1]),
        }
        if isinstance(self.model, PolicyNetwork) and self.model.observations is not None:
            # From the next rollout on: what is learnt from now was seen with the statistics of before.
            self.rollout["seen"] = self.rollout["input"]

    def _judged(
        self, inputs: Tensor, taken: Tensor, known: Mapping[str, np.ndarray] | None
    ) -> tuple[Tensor, np.ndarray]:
        """The logarithm of each action's probability, and the value of each observation: from the outputs that are
        `known` from acting, or computed as learning computes them."""
        if known is not None:
            output = {name: torch.from_numpy(values) for name, values in known.items()}
            return actions.log_prob_and_entropy(output, taken, self.space)[0], known["value"][:, 0]
        device = next(self.model.parameters()).device
        log_probs, values = [], []
        with torch.no_grad():
            for start in range(0, len(inputs), AT_ONCE):
                piece = slice(start, start + AT_ONCE)
                output = self.model(inputs[piece].to(device))
                log_prob, _ = actions.log_prob_and_entropy(output, taken[piece].to(device), self.space)
                log_probs.append(log_prob.cpu())
                values.append(output["value"][:, 0].float().cpu().numpy())
        return torch.cat(log_probs), np.concatenate(values)

    def _values(self, observations: np.ndarray) -> np.ndarray:
        parts = [
            answer(self.model, observations[start : start + AT_ONCE], ("value",))["value"][:, 0]
            for start in range(0, len(observations), AT_ONCE)
        ]
        return np.concatenate(parts)

    def _scaled(self, rewards: np.ndarray, over: np.ndarray, valid: np.ndarray) -> np.ndarray:
        if not (self.spec.scale_rewards and isinstance(self.model, PolicyNetwork)):
            return rewards
        returns, running = np.empty_like(rewards), self.running
        for at, reward in enumerate(rewards):
            running = running * self.spec.discount + reward
            returns[at] = running
            running = np.where(over[at], 0.0, running)
        self.running = running
        self.model.returns.update(returns[valid])
        return self.model.returns.scaled(rewards)

    # lessons

    def __iter__(self) -> Iterator[Batch]:
        if not self.rollout:
            self._collect()
        batches = self._batches()
        while self.epoch < self.spec.epochs:
            rng = seeds.generator(self.seed, 23, self.pass_number, self.epoch)
            order = torch.from_numpy(rng.permutation(len(self.rollout["row"])))
            mixed = {name: values[order] for name, values in self.rollout.items() if name != "seen"}
            cuts = np.linspace(0, len(order), batches + 1).round().astype(int)
            while self.position < batches:
                start, stop = cuts[self.position], cuts[self.position + 1]
                self.position += 1
                yield {name: values[start:stop] for name, values in mixed.items()}
            self.epoch, self.position = self.epoch + 1, 0
        self._next()

    def _next(self) -> None:
        """To the start of the next pass."""
        if "seen" in self.rollout and isinstance(self.model, PolicyNetwork):
            self.model.observe(self.rollout["seen"].numpy())
        self.rollout = {}
        self.pass_number += 1
        self.epoch = self.position = 0

    def rehearsal(self) -> Batch | None:
        shape = (self.batch_size, *self.domain.observation["shape"])
        nothing = torch.zeros(self.batch_size)
        kind = torch.int64 if actions.is_discrete(self.space) else torch.float32
        return {
            "row": torch.zeros(self.batch_size, dtype=torch.int64),
            "input": torch.zeros(shape, dtype=torch.uint8 if self.domain.observation["picture"] else torch.float32),
            "action": torch.zeros((self.batch_size, actions.width(self.space)), dtype=kind),
            **dict.fromkeys(("log_prob", "advantage", "return", "value"), nothing),
        }

    def feedback(self, batch: Batch, parts: Parts) -> bool:
        if self.spec.stop_at is None or float(parts["kl"].mean()) <= self.spec.stop_at:
            return False
        self.stopped_early += 1
        self._next()
        return True


def _standardised(advantage: Tensor) -> Tensor:
    return (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)


def _by_chance(space: Any, rng: np.random.Generator) -> np.ndarray:
    if actions.is_discrete(space):
        return np.array([rng.integers(size) for size in space["sizes"]], np.int64)
    return rng.uniform(-1, 1, len(space["low"])).astype(np.float32)


def advantages(rewards: np.ndarray, values: np.ndarray, over: np.ndarray, discount: float, trace: float) -> np.ndarray:
    """(t, n) from rewards (t, n), values (t + 1, n) and where an episode was over (t, n).

    By environment in plain Python: a step costs 60 ns so, and 6 calls of numpy otherwise.
    """
    estimates = np.empty_like(rewards)
    alive = 1.0 - over
    delta = rewards + discount * values[1:] * alive - values[:-1]
    for place in range(rewards.shape[1]):
        after, column = 0.0, []
        for error, going in zip(
            delta[::-1, place].tolist(), (discount * trace * alive)[::-1, place].tolist(), strict=True
        ):
            after = error + going * after
            column.append(after)
        estimates[:, place] = column[::-1]
    return estimates
