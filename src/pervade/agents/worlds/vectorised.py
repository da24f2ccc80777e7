"""Gymnasium's own arithmetic for many copies of an environment at once, where it has some (CartPole has)."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np

from pervade.agents import environments
from pervade.agents.worlds.plan import TRAINING_SEEDS, Episode, Plan, Step
from pervade.core import seed as seeds


class Vectorised:
    """Gymnasium's own environments that step all worlds in one go (CartPole has such). One random generator serves all,
    and a world whose episode is over takes one idle step to begin the next."""

    def __init__(self, plan: Plan) -> None:
        library = environments.gymnasium()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.env = library.make_vec(
                plan.name, num_envs=plan.count, vectorization_mode="vector_entry_point", **plan.arguments
            )
        self.plan, self.count, self.crashes = plan, plan.count, 0
        self.inner: Any = self.env.unwrapped
        self.start = plan.action["start"][0]
        self.total, self.age = np.zeros(plan.count), np.zeros(plan.count, np.int64)
        self.resting = np.zeros(plan.count, bool)  # the episode ended in the last step
        self.done: list[Episode] = []
        self.now = np.zeros((plan.count, *plan.shape), plan.dtype)

    def reset(self) -> np.ndarray:
        seed = int(seeds.generator(self.plan.seed, 7).integers(TRAINING_SEEDS, 2**31))
        self.now = self.env.reset(seed=seed)[0]
        return self.now

    def step(self, actions: np.ndarray) -> Step:
        seen, rewards, terminated, truncated, _ = self.env.step(actions[:, 0] + self.start)
        self.total += rewards
        self.age += 1
        idle = None
        if self.resting.any():
            idle = self.resting
            self.total[idle] = 0.0
            self.age[idle] = 0
        over = terminated | truncated
        finals: dict[int, np.ndarray] = {}
        if over.any():
            for place in np.flatnonzero(over):
                finals[int(place)] = seen[place]
                self.done.append(Episode(int(place), -1, float(self.total[place]), int(self.age[place])))
        self.resting, self.now = over, seen
        return Step(seen, rewards, terminated, truncated & ~terminated, finals, idle)

    def finished(self) -> list[Episode]:
        episodes, self.done = self.done, []
        return episodes

    def observations(self) -> np.ndarray:
        return self.now

    def state_dict(self) -> dict[str, Any]:
        """Whatever of the environment is numbers: it has no other state."""
        own = {k: v for k, v in vars(self.inner).items() if isinstance(v, (np.ndarray, int, float)) and k != "num_envs"}
        return {
            "own": {name: copy.copy(value) for name, value in own.items()},
            "random": copy.deepcopy(self.inner.np_random.bit_generator.state),
            "total": self.total.copy(),
            "age": self.age.copy(),
            "resting": self.resting.copy(),
            "now": np.array(self.now),
        }

    def load_state_dict(self, state: dict[str, Any]) -> int:
        self.env.reset(seed=0)
        for name, value in state["own"].items():
            setattr(self.inner, name, copy.copy(value))
        self.inner.np_random.bit_generator.state = state["random"]
        self.total, self.age, self.resting, self.now = (
            np.array(state[name]) for name in ("total", "age", "resting", "now")
        )
        return 0

    def broken_off(self) -> list[int]:
        return []

    def render(self) -> Any:
        return None

    def close(self) -> None:
        self.env.close()


def has_one_for_all(plan: Plan) -> bool:
    if environments.own(plan.name) or plan.count < 2 or plan.episodes is not None or plan.name.startswith("ALE/"):
        return False
    spec = environments.gymnasium().registry.get(plan.name)
    entry = getattr(spec, "vector_entry_point", None)
    # Those of phys2d need jax, and are for those who ask for it.
    return bool(entry) and not plan.name.startswith("phys2d/") and plan.longest >= (spec.max_episode_steps or 0)
