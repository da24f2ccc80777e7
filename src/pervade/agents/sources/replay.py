"""What an agent did, remembered and learnt from again and again: the data of DQN.

It acts `every` steps, then learns `lessons` times from what it draws out of its memory: each moment as likely as any,
or in proportion to how much it surprised (Schaul et al. 2016, arXiv:1511.05952), which importance weights make good.
Rewards are summed over `ahead` steps before a value is asked (Sutton & Barto 2018, section 7.1).

Axis letters: n rows of a batch, e environments.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

import numpy as np
import torch
from pydantic import Field

from pervade.agents import memory, worlds
from pervade.agents.playing import Playing
from pervade.core import memory as free
from pervade.core import seed as seeds
from pervade.core.contracts import Opening, Source, SourceSpec, Task
from pervade.core.contracts.abilities import Explores
from pervade.core.contracts.capabilities import Acting, able
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Batch, Parts
from pervade.nn.modes import evaluating
from pervade.nn.policy import PolicyNetwork, responder

_NONE = np.empty(0, np.int64)
SMALLEST = 1e-6  # priority, so that nothing is forgotten for good


@register("source")
@dataclass(frozen=True)
class Replay(SourceSpec):
    """Task and domain are those of an agent (tasks/dqn.py, domains/environment.py)."""

    size: Annotated[int, Field(ge=10, le=10**9)] = 100_000  # moments that are remembered
    begin: Annotated[int, Field(ge=1, le=10**9)] = 1_000  # steps by chance before the first lesson
    steps: Annotated[int, Field(ge=1, le=10**9)] = 1_000  # of all environments together, in one pass
    every: Annotated[int, Field(ge=1, le=10**6)] = 4  # steps, of all environments together, between two lessons
    lessons: Annotated[int, Field(ge=1, le=10**6)] = 1  # optimiser steps that follow one another
    ahead: Annotated[int, Field(ge=1, le=1000)] = 1  # steps whose rewards are summed before a value is asked
    discount: Annotated[float, Field(ge=0, le=1)] = 0.99  # what a reward is worth a step later
    first_epsilon: Annotated[float, Field(ge=0, le=1)] = 1.0  # share of actions by chance, at first
    last_epsilon: Annotated[float, Field(ge=0, le=1)] = 0.04  # and in the end
    explore: Annotated[float, Field(gt=0, le=1)] = 0.16  # share of the training in which it falls from one to the other
    priority: Annotated[float, Field(ge=0, le=10)] = 0.0  # power of the surprise; 0: each moment as likely as any
    weight: Annotated[float, Field(ge=0, le=1)] = 0.4  # power of importance weights at first; it rises to 1

    def __post_init__(self) -> None:
        if self.steps < self.every:
            raise ConfigError(
                f"source.steps {self.steps} is less than source.every {self.every}: a pass holds one lesson at least; "
                "raise the one or lower the other"
            )

    def suits(self, task: Task) -> bool:
        return isinstance(task, Explores)

    def open(self, opening: Opening) -> Source:
        if opening.world > 1:
            raise ConfigError("reinforcement learning runs in one process; start it without torchrun")
        return ReplaySource(self, opening)

    def layout(self, domain: Acting, environments: int) -> memory.Layout:
        shape, stack = domain.observation["shape"], domain.stack
        frame = tuple([shape[0] // stack, *shape[1:]] if stack > 1 else shape)
        layout = memory.Layout(environments, self.size, frame, domain.observation["dtype"], stack)
        layout.require_moments(self.ahead)
        return layout

    def remarks(self, opening: Opening) -> list[str]:
        """The size of the memory. Raises ResourceError where it does not fit, ConfigError where it is too small."""
        layout = self.layout(able(opening.context.domain, Acting), len(opening.rows))
        layout.require_memory(free.available())
        return [f"memory: {self.size:,} moments, {memory.size(layout.bytes)} when full (-o source.size)"]

    def steps_per_pass(self, environments: int) -> int:
        """As many as are acted: all environments take as many steps between two lessons."""
        return max(self.steps // self.every, 1) * math.ceil(self.every / environments) * environments


class ReplaySource(Playing):
    KEPT = ("position", "lesson", "steps_taken", "lessons_taken", "highest", "age")

    def __init__(self, spec: Replay, opening: Opening) -> None:
        self.spec, self.task = spec, cast(Explores, opening.task)
        super().__init__(opening)
        self.even = torch.ones(self.batch_size)  # the weights of moments that are all as likely
        self.total = spec.begin + opening.passes * spec.steps
        self.memory = memory.Memory(spec.layout(self.domain, self.count))
        leaves = self.memory.layout.environments * self.memory.layout.length
        self.priorities = memory.Priorities(leaves) if spec.priority else None
        self.highest = 1.0  # the largest surprise so far: what is new is drawn soon
        self.age = np.zeros(self.count, np.int64)
        self.position = self.lesson = self.lessons_taken = 0
        self.drawn: tuple[np.ndarray, np.ndarray] | None = None
        self.rng = seeds.generator(opening.seed, 29)
        self.respond = responder(self.model)

    def __len__(self) -> int:
        return max(self.spec.steps // self.spec.every, 1) * self.spec.lessons

    @property
    def epsilon(self) -> float:
        spec = self.spec
        share = min(max(self.steps_taken - spec.begin, 0) / (spec.explore * self.total), 1.0)
        return spec.first_epsilon + (spec.last_epsilon - spec.first_epsilon) * share

    # acting

    def _act(self, steps: int) -> None:
        """`steps` of all environments together, and what came of them into the memory."""
        opened = self._open()
        quick = isinstance(self.model, PolicyNetwork) and self.model.quick
        with contextlib.nullcontext() if quick else evaluating(self.model):  # whose modes cost more than its answer
            self._steps(opened, math.ceil(steps / self.count))

    def _steps(self, opened: worlds.Worlds, rounds: int) -> None:
        task, spec, respond, stack = self.task, self.spec, self.respond, self.domain.stack
        noise = task.noise(self.space, (rounds, self.count), self.rng)
        newest = self.domain.observation["shape"][0] // stack
        for place in opened.broken_off():
            self.memory.break_off(place)
            self.age[place] = 0
        for at in range(rounds):
            seen = opened.observations()
            epsilon = 1.0 if self.steps_taken < spec.begin else self.epsilon
            output = respond(seen, self.names)
            action = task.explore(output, self.space, noise[at], epsilon)
            step = opened.step(action)
            self.steps_taken += self.count
            frames = seen[:, -newest:] if stack > 1 else seen
            terminated = step.terminated
            for place in range(self.count):
                if step.idle is not None and step.idle[place]:
                    self.age[place] = 0
                    continue
                over = bool(terminated[place])
                self._note(place, frames[place], int(action[place, 0]), float(step.rewards[place]), over)
                self.age[place] += 1
                if place in step.finals:
                    if not over:
                        final = step.finals[place][-newest:] if stack > 1 else step.finals[place]
                        self._note(place, final, memory.NOTHING, 0.0, False)
                    self.age[place] = 0
        self.episodes += opened.finished()

    def _note(self, place: int, frame: np.ndarray, action: int, reward: float, over: bool) -> None:
        at = self.memory.note(place, frame, action, reward, self.age[place], over)
        if self.priorities is None:
            return
        length, base = self.memory.layout.length, place * self.memory.layout.length
        # What can be told of by now is new and drawn soon; what was just overwritten, or lost its past, never.
        ready = (at - self.spec.ahead) % length
        fresh = self.memory.written[place] > self.spec.ahead and self.memory.action[place, ready] != memory.NOTHING
        lost = (at + np.arange(self.memory.layout.stack)) % length
        self.priorities.set(base + lost, np.zeros(len(lost)))
        if fresh:
            self.priorities.set(np.array([base + ready]), np.array([self.highest**self.spec.priority]))

    # lessons

    def __iter__(self) -> Iterator[Batch]:
        self.respond = responder(self.model)
        if self.steps_taken < self.spec.begin:
            self._act(self.spec.begin - self.steps_taken)
            while not self.memory.usable(self.spec.ahead).any():  # a beginning that is too short to tell of
                self._act(self.count)
            if isinstance(self.model, PolicyNetwork):  # from what was seen by chance, once and for all
                self.model.observe(self.memory.observe(*self._uniform(min(self.memory.moments, 1000), self.rng)))
        while self.position < len(self):
            if self.lesson == 0:
                self._act(self.spec.every)
            batch = self._batch()
            self.lesson = (self.lesson + 1) % self.spec.lessons
            self.lessons_taken += 1
            self.position += 1
            yield batch
        self.position = 0

    def _uniform(self, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Usable moments, each as likely as any: what is drawn in vain is drawn again."""
        ring, length, ahead = self.memory, self.memory.layout.length, self.spec.ahead
        # Moments of each environment of which enough of what came before, and after, is still there.
        choice = np.where(ring.written > length, length - ring.layout.stack + 1, ring.written) - ahead
        places, ats = _NONE, _NONE
        while len(places) < number:
            wanted = number - len(places)
            place = rng.integers(0, self.count, wanted + 8) if self.count > 1 else np.zeros(wanted + 8, np.int64)
            back = (rng.random(wanted + 8) * choice[place]).astype(np.int64) + ahead  # moments before the newest
            at = (ring.written[place] - 1 - back) % length
            right = (ring.action[place, at] != memory.NOTHING) & (choice[place] > 0)
            places, ats = np.concatenate([places, place[right]]), np.concatenate([ats, at[right]])
        return places[:number], ats[:number]

    def _batch(self) -> Batch:
        rng, ring, spec = self.rng, self.memory, self.spec
        weight = self.even
        if self.priorities is None or self.priorities.total <= 0:
            place, at = self._uniform(self.batch_size, rng)
        else:
            shares = (np.arange(self.batch_size) + rng.random(self.batch_size)) / self.batch_size
            leaf = self.priorities.draw(shares)
            place, at = np.divmod(leaf, ring.layout.length)
            power = spec.weight + (1 - spec.weight) * min(self.steps_taken / self.total, 1.0)
            chance = self.priorities.of(leaf) / self.priorities.total
            rare = (ring.moments * chance) ** -power
            weight = torch.from_numpy((rare / rare.max()).astype(np.float32))
        self.drawn = place, at
        told = ring.recall(place, at, spec.ahead, spec.discount)
        batch = {name: torch.from_numpy(column) for name, column in told.items()}
        return {**batch, "row": torch.from_numpy(self.numbers[place]), "weight": weight}

    def rehearsal(self) -> Batch | None:
        n = self.batch_size
        kind = torch.uint8 if self.domain.observation["picture"] else torch.float32
        seen = torch.zeros((n, *self.domain.observation["shape"]), dtype=kind)
        zeros = torch.zeros(n)
        action = torch.zeros((n, 1), dtype=torch.int64)
        return {
            "row": torch.zeros(n, dtype=torch.int64),
            "input": seen,
            "next": seen,
            "action": action,
            **dict.fromkeys(("reward", "discount", "weight"), zeros),
        }

    def feedback(self, batch: Batch, parts: Parts) -> bool:
        if self.priorities is not None and self.drawn is not None:
            place, at = self.drawn
            surprise = parts["surprise"].cpu().numpy().astype(np.float64)
            self.highest = max(self.highest, float(surprise.max()))
            leaf = place * self.memory.layout.length + at
            self.priorities.set(leaf, (surprise + SMALLEST) ** self.spec.priority)
        if self.position >= len(self):
            self.position = 0
            return True
        return False

    def news(self) -> dict[str, float]:
        return {**super().news(), "epsilon": self.epsilon}

    # the state

    def state_dict(self) -> dict[str, Any]:
        priorities = {} if self.priorities is None else {"tree": self.priorities.tree}
        return {
            **super().state_dict(),
            "memory": self.memory.state_dict(),
            "random": copy.deepcopy(self.rng.bit_generator.state),
            **priorities,
        }

    def pieces(self) -> Mapping[str, Callable[[], dict[str, np.ndarray]] | None]:
        return self.memory.pieces()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.rng.bit_generator.state = state["random"]
        self.memory.load_state_dict(state["memory"])
        if self.priorities is not None:
            self.priorities.tree[:] = state["tree"]

    def load_pieces(self, read: Callable[[str], Mapping[str, Any]]) -> None:
        self.memory.load_pieces(read)
