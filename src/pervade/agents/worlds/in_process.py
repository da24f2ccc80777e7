"""Environments in this process, one after another: what every other way of stepping them is measured by."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pervade.agents import environments, spaces
from pervade.agents.worlds.plan import TRAINING_SEEDS, Episode, Plan, Step
from pervade.core import seed as seeds
from pervade.core.errors import DataError

PATIENCE = 5  # crashes in a row, without 10 steps between two, after which an environment is given up
STEPS_BETWEEN = 10


class World:
    """One environment, which begins again by itself. `now` is the observation to act on."""

    def __init__(self, plan: Plan, number: int) -> None:
        self.plan, self.number = plan, number
        self.shape, self.longest = plan.shape, plan.longest
        self.write = spaces.writer(plan.action)
        self.floating = plan.dtype.kind == "f"
        self.crashes = self.row = 0
        self.since_crash = STEPS_BETWEEN
        self.began = 0  # episodes begun
        self.over = False  # no episodes left
        self.repeating: int | None = None  # the seed of an episode that is gone through again
        self.done: list[Episode] = []
        self.make()

    def make(self) -> None:
        plan = self.plan
        self.env = environments.make(plan.name, plan.arguments, plan.training, plan.render)
        self.read = spaces.reader(self.env.observation_space)

    def begin(self) -> np.ndarray | None:
        """The first observation of the next episode; None where there is none left."""
        while True:
            seed = self._next_seed()
            if seed is None:
                self.over = True
                return None
            self.began += 1
            try:
                seen, info = self.env.reset(seed=seed)
                frame = self.read(seen)
            except Exception as error:
                self.seed = seed
                self._note_crash(error, f"reset(seed={seed})")
                continue
            break
        self._note_game(info)
        if not isinstance(self.env, environments.HasLives) or self.env.anew:
            self.seed, self.log = seed, list[np.ndarray]()
        self.total, self.age = 0.0, 0
        if self.plan.stack == 1:
            self._take(frame)
        else:
            self.now = np.repeat(frame, self.plan.stack, axis=0)
        return self.now

    def _next_seed(self) -> int | None:
        own = self.plan.episodes
        if self.repeating is not None:
            return self.repeating
        if own is None:
            return int(seeds.generator(self.plan.seed, 7, self.number, self.began).integers(TRAINING_SEEDS, 2**31))
        return own[self.number][self.began] if self.began < len(own[self.number]) else None

    def step(self, action: np.ndarray) -> tuple[float, bool, bool, np.ndarray | None]:
        """Reward, terminated, truncated, and the observation an episode ended with."""
        try:
            seen, reward, terminated, truncated, info = self.env.step(self.write(action))
            frame = self.read(seen)
            self._take(frame)
        except DataError:
            raise
        except Exception as error:
            return self._crashed(error)
        try:
            reward = float(reward)
        except (TypeError, ValueError):
            reward = environments.number(self.plan.name, reward, self._when(1))
        if not -np.inf < reward < np.inf:
            raise DataError(environments.not_finite(self.plan.name, "reward", reward, self._when(1)))
        self.log.append(action)
        self.total += reward
        self.age += 1
        self.since_crash += 1
        cut = self.age >= self.longest and not (terminated or truncated)
        if not (terminated or truncated or cut):
            return reward, False, False, None
        final = np.array(self.now)  # a copy, for an environment that gives the same array again
        if self.floating and not np.isfinite(final).all():
            raise DataError(environments.not_finite(self.plan.name, "observation", final, self._when()))
        if not self._note_game(info, cut) and (cut or not isinstance(self.env, environments.HasLives)):
            self.done.append(Episode(self.number, self.seed, self.total, self.age, cut))
        if self.plan.episodes is not None:
            self.row = 0
        self.begin()
        return reward, bool(terminated), not terminated, final

    def _note_game(self, info: Any, cut: bool = False) -> bool:
        """Takes note of a whole game, where a life is an episode (agents/atari.py)."""
        whole = info.get("episode") if isinstance(info, dict) else None
        if not isinstance(whole, dict):
            return False
        self.done.append(Episode(self.number, self.seed, float(whole["return"]), int(whole["length"]), cut))
        return True

    def _when(self, further: int = 0) -> str:
        return f"step {self.age + further} of an episode (seed {self.seed})"

    def _take(self, frame: np.ndarray) -> None:
        if self.plan.stack > 1:
            self.now = np.concatenate([self.now[1:], frame])
            return
        if frame.shape != self.shape:
            raise DataError(
                f"{self.plan.name}: {self._when(1)} gave an observation of shape {frame.shape}, where "
                f"observation_space says {self.shape}; mend one of the two"
            )
        self.now = frame

    def _crashed(self, error: Exception) -> tuple[float, bool, bool, np.ndarray | None]:
        """The episode is cut off where it was; one that is measured begins again."""
        final = np.array(self.now)
        self._note_crash(error, self._when(1))
        self.begin()
        if self.plan.episodes is not None:
            return 0.0, False, False, None
        return 0.0, False, True, final

    def _note_crash(self, error: Exception, when: str) -> None:
        """Counts and makes the environment anew. Raises DataError where it crashed too often."""
        self.crashes += 1
        measured = self.plan.episodes is not None
        if measured:
            self.began -= 1
        self.row = self.row + 1 if self.since_crash < STEPS_BETWEEN or measured else 1
        self.since_crash = 0
        if self.row >= PATIENCE:
            raise DataError(
                f"{self.plan.name} raised an error {self.row} times in a row, in {when}: {environments.fault(error)}; "
                "mend the environment"
            ) from error
        with contextlib.suppress(Exception):  # of an environment that is broken anyway
            self.env.close()
        self.make()

    # what a resumed run needs

    def state_dict(self) -> dict[str, Any]:
        return {
            "began": self.began,
            "seed": self.seed,
            "age": self.age,
            "total": self.total,
            "crashes": self.crashes,
            "log": np.stack(self.log) if self.log else np.zeros((0, 1), np.int64),
            "now": np.array(self.now),
        }

    def load_state_dict(self, state: dict[str, Any]) -> bool:
        """Goes through the episode again. False where it came out otherwise, and a new one was begun."""
        try:
            repeated = self._repeat(state)
        except Exception:
            repeated = False
        self.crashes, self.began = state["crashes"], state["began"]
        self.row, self.since_crash = 0, STEPS_BETWEEN
        if not repeated:
            self.env.close()
            self.make()
            self.done = []
            self.begin()
        return repeated

    def _repeat(self, state: dict[str, Any]) -> bool:
        self.env.close()
        self.make()
        self.repeating = state["seed"]
        try:
            self.begin()
            for action in np.asarray(state["log"]):
                self.step(action)
        finally:
            self.repeating = None
        self.age, self.total, self.done = state["age"], state["total"], []
        return bool(np.array_equal(self.now, state["now"]))


class InProcess:
    """Worlds in this process."""

    def __init__(self, plan: Plan, numbers: Sequence[int] | None = None) -> None:
        self.plan = plan
        self.worlds = [World(plan, number) for number in (range(plan.count) if numbers is None else numbers)]
        self.count = len(self.worlds)
        self.now = np.zeros((self.count, *plan.shape), plan.dtype)
        self.floating = plan.dtype.kind == "f"
        self.broken: list[int] = []

    @property
    def crashes(self) -> int:
        return sum(world.crashes for world in self.worlds)

    def reset(self) -> np.ndarray:
        for place, world in enumerate(self.worlds):
            first = world.begin()
            if first is not None:
                self.now[place] = first
        if self.floating and not math.isfinite(self.now.sum()):
            self._blame(self.now)
        return self.now.copy()

    def step(self, actions: np.ndarray) -> Step:
        count = self.count
        rewards = np.zeros(count, np.float32)
        terminated, truncated = np.zeros(count, bool), np.zeros(count, bool)
        finals: dict[int, np.ndarray] = {}
        idle = None
        now = np.empty_like(self.now)
        for place, world in enumerate(self.worlds):
            if world.over:
                idle = np.zeros(count, bool) if idle is None else idle
                idle[place] = True
                now[place] = self.now[place]
                continue
            rewards[place], over, cut, final = world.step(actions[place])
            now[place] = world.now
            if final is not None:
                terminated[place], truncated[place] = over, cut
                finals[place] = final
        if self.floating and not math.isfinite(now.sum()):
            self._blame(now)
        self.now = now
        return Step(now, rewards, terminated, truncated, finals, idle)

    def _blame(self, now: np.ndarray) -> None:
        for world, seen in zip(self.worlds, now, strict=True):
            if not np.isfinite(seen).all():
                raise DataError(environments.not_finite(self.plan.name, "observation", seen, world._when()))

    def finished(self) -> list[Episode]:
        episodes = []
        for world in self.worlds:
            if world.done:
                episodes += world.done
                world.done = []
        return episodes

    def observations(self) -> np.ndarray:
        return self.now

    def state_dict(self) -> dict[str, Any]:
        return {"worlds": [world.state_dict() for world in self.worlds]}

    def load_state_dict(self, state: dict[str, Any]) -> int:
        repeated = [world.load_state_dict(stored) for world, stored in zip(self.worlds, state["worlds"], strict=True)]
        for place, world in enumerate(self.worlds):
            self.now[place] = world.now
        self.broken = [place for place, again in enumerate(repeated) if not again]
        return len(self.broken)

    def broken_off(self) -> list[int]:
        broken, self.broken = self.broken, []
        return broken

    def render(self) -> Any:
        """A picture of the first; None where it cannot draw, which keeps nobody from acting in it."""
        with contextlib.suppress(Exception):
            return self.worlds[0].env.render()
        return None

    def close(self) -> None:
        for world in self.worlds:
            world.env.close()
