"""What is to be stepped, and what comes of it: the shapes that all ways of stepping environments share.

Axis letters: n worlds; the axes after it are those of one observation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

# Seeds of training lie above, those of evaluation below: so that no episode is met in both.
TRAINING_SEEDS = 2**30


@dataclass(frozen=True)
class Plan:
    """What is to be stepped. `seeds`: for every world the seeds of its episodes, None: without end, from `seed`."""

    name: str
    count: int
    observation: dict[str, Any]
    action: dict[str, Any]
    longest: int
    stack: int = 1
    arguments: dict[str, Any] = field(default_factory=dict)
    training: bool = True
    seed: int = 0
    episodes: tuple[tuple[int, ...], ...] | None = None
    processes: int = 0
    render: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.observation["shape"])

    @property
    def dtype(self) -> Any:
        return np.dtype(self.observation["dtype"])


@dataclass(frozen=True)
class Episode:
    """One that is over. `cut`: it was ended for its length, and not by the environment."""

    world: int
    seed: int
    total: float
    length: int
    cut: bool = False


@dataclass
class Step:
    """What all worlds gave. `finals`: by world whose episode ended, the observation it ended with. `idle` worlds gave
    nothing that counts: they were beginning anew, or have no episodes left."""

    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    finals: dict[int, np.ndarray]
    idle: np.ndarray | None = None


class Worlds(Protocol):
    count: int

    @property
    def crashes(self) -> int: ...

    def reset(self) -> np.ndarray: ...

    def step(self, actions: np.ndarray) -> Step: ...

    def finished(self) -> list[Episode]:
        """The episodes that ended since the last call, in order."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> int:
        """Puts the environments back; returns how many could not be, and began a new episode."""
        ...

    def broken_off(self) -> list[int]:
        """Worlds that began a new episode between two steps, so that no `Step` told of it, since the last call."""
        ...

    def observations(self) -> np.ndarray: ...

    def render(self) -> Any: ...

    def close(self) -> None: ...


def news(episodes: Sequence[Episode], steps: int, crashes: int) -> dict[str, float]:
    """What is to be logged of episodes that ended: means, and counts so far."""
    values: dict[str, float] = {"environment_steps": steps, "episodes": len(episodes)}
    if episodes:
        values["return"] = float(np.mean([episode.total for episode in episodes]))
        values["episode_length"] = float(np.mean([episode.length for episode in episodes]))
    if crashes:
        values["crashes"] = crashes
    return values
