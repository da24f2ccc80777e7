"""Trains one agent in a process of its own: `python -m tests.acting_run NAME FOLDER [KILL_AT_STEP]`.

With KILL_AT_STEP the process kills itself (SIGKILL, nothing is cleaned up) in the middle of that optimiser step. Run it
again without, and it goes on from the last saved state.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pervade import api
from pervade.api import Run
from pervade.core import runtime
from pervade.run.training import Options
from tests.toys.run import kill_at

FEW = ("domain.episodes=6",)
REPLAY = ("source.begin=200", "source.steps=256", "source.every=16", "source.lessons=4", "source.size=1000")
AGENTS: dict[str, dict[str, Any]] = {
    "ppo": {"data": "gym://CartPole-v1", "steps": 4096, "settings": FEW},
    "dqn": {
        "data": "gym://CartPole-v1",
        "algorithm": "dqn",
        "steps": 2000,
        "settings": (
            *FEW,
            *REPLAY,
            "source.priority=0.6",
            "source.ahead=3",
            "task.dueling=true",
            "domain.environments=2",
        ),
    },
    "ppo-in-processes": {
        "data": "gym://CartPole-v1",
        "steps": 2048,
        "settings": (*FEW, "domain.processes=2", "domain.environments=4", "source.steps=128"),
    },
    "continuous": {"data": "gym://Pendulum-v1", "steps": 4096, "settings": FEW},
}


def trained(name: str, folder: Path, save_every: float = 1e9) -> Run:
    """Trains, or goes on training."""
    options = Options(save_every=save_every)
    if (folder / "recipe.yaml").exists():
        return api.resume(folder, options=options)
    return api.fit(**AGENTS[name], name=folder.name, runs=folder.parent, options=options)


if __name__ == "__main__":
    runtime.prepare()
    agent, place, kill = sys.argv[1:]
    if int(kill):
        kill_at(int(kill))
    trained(agent, Path(place), save_every=0.0)  # after every step and pass: a clock would save less on a fast machine
