"""Stable-Baselines3 as a process of its own, which the rl_*.py comparisons ask: one line of JSON each way.

It gets an environment under .bench/sb3, made on the first run (two minutes, 6 GB with what torch brings). While it
works the asking side waits, and while the asking side works it waits: the two never run at the same time.

This file is also what runs inside that environment (`--worker`), where there is no Pervade.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

PLACE = Path(__file__).resolve().parent.parent / ".bench" / "sb3"
PACKAGES = ("stable-baselines3", "gymnasium[classic-control,box2d]", "ale-py", "opencv-python-headless")
OURS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "THP_MEM_ALLOC_ENABLE", "PYTHONPATH")


def environment() -> Path:
    """Python of .bench/sb3."""
    python, done = PLACE / ("Scripts/python.exe" if os.name == "nt" else "bin/python"), PLACE / "installed"
    if not (done.exists() and python.exists()):
        print("making .bench/sb3 with Stable-Baselines3, once", file=sys.stderr)
        venv.create(PLACE, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        done.touch()
    return python


class Peer:
    """The other side. What may be asked are the functions of ANSWERS."""

    def __init__(self) -> None:
        # What Pervade sets for its own process is not for Stable-Baselines3, which runs as its users run it.
        settings = {name: value for name, value in os.environ.items() if name not in OURS}
        self.process = subprocess.Popen(
            [environment(), __file__, "--worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(PLACE / "worker.log").open("w"),
            text=True,
            env=settings,
        )
        self.about: dict[str, Any] = self._read()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the process of Stable-Baselines3 ended; see {PLACE / 'worker.log'}")
        return json.loads(line)

    def ask(self, what: str, **given: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([what, given]) + "\n")
        self.process.stdin.flush()
        return self._read()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *error: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


# inside the other environment


def make(agent: dict[str, Any]) -> Any:
    """A new agent in new environments. `agent`: "algorithm", "environment", "count", "processes" (whether each is one
    of its own), "threads" of torch (None: as many as it takes by itself), "seed", and "settings" of the algorithm."""
    import torch
    from stable_baselines3 import DQN, PPO
    from stable_baselines3.common.env_util import make_atari_env, make_vec_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack

    torch.set_num_threads(agent["threads"] or THREADS)
    kind = SubprocVecEnv if agent.get("processes") else DummyVecEnv
    seed, count, name = agent["seed"], agent["count"], agent["environment"]
    pictures = name.startswith("ALE/")
    if pictures:
        worlds: Any = VecFrameStack(make_atari_env(partial(game, name), count, seed=seed, vec_env_cls=kind), 4)
    else:
        worlds = make_vec_env(name, count, seed=seed, vec_env_cls=kind)
    algorithm = {"ppo": PPO, "dqn": DQN}[agent["algorithm"]]
    policy = "CnnPolicy" if pictures else "MlpPolicy"
    return algorithm(policy, worlds, seed=seed, device="cpu", **agent["settings"])


def game(name: str, **settings: Any) -> Any:
    """As Pervade sets it up (Machado et al. 2018); Stable-Baselines3's own wrappers come around it. Its processes know
    of no Atari until it is registered there."""
    import ale_py
    import gymnasium

    gymnasium.register_envs(ale_py)
    return gymnasium.make(name, frameskip=1, repeat_action_probability=0.25, **settings)


def learn(model: Any, steps: int, after: Callable[[Any], bool]) -> None:
    """`learn` as it is; `after` sees the model whenever it begins to act, that is at first and after every lesson, and
    ends it by True."""
    from stable_baselines3.common.callbacks import BaseCallback

    class Watch(BaseCallback):
        over = False

        def _on_rollout_start(self) -> None:
            self.over = self.over or after(self.model)

        def _on_step(self) -> bool:
            return not self.over

    model.learn(steps, callback=Watch())


def rate(agent: dict[str, Any], steps: int, warm: int) -> float:
    """Steps of the environment a second, from the first lesson after `warm` steps on to the end."""
    model = make(agent)
    began: list[tuple[int, float]] = []

    def after(model: Any) -> bool:
        if not began and model.num_timesteps >= warm:
            began.append((model.num_timesteps, time.perf_counter()))
        return False

    learn(model, steps + warm, after)
    taken, start = began[0]
    found: float = (model.num_timesteps - taken) / (time.perf_counter() - start)
    model.env.close()
    return found


def solve(agent: dict[str, Any], steps: int, seeds: Sequence[int], score: float) -> dict[str, Any]:
    """Learns until episodes by these seeds come to `score` on average: seconds without those of measuring, steps."""
    model, curve = make(agent), []
    clock, start = 0.0, time.perf_counter()

    def after(model: Any) -> bool:
        nonlocal clock, start
        clock += time.perf_counter() - start
        if model.num_timesteps:
            returns = play(model, agent["environment"], seeds)
            curve.append([model.num_timesteps, round(clock, 3), sum(returns) / len(returns)])
        start = time.perf_counter()
        return bool(curve) and curve[-1][2] >= score

    learn(model, steps, after)
    model.env.close()
    return told(curve, score)


def told(curve: list[list[float]], score: float) -> dict[str, Any]:
    """Of [steps, seconds, mean return] a pass."""
    first = next(([steps, seconds] for steps, seconds, mean in curve if mean >= score), [None, None])
    return {"steps": first[0], "seconds": first[1], "best": max((mean for _, _, mean in curve), default=None)}


def agent(agent: dict[str, Any], steps: int, seeds: Sequence[int], path: str) -> list[float]:
    """Trains, saves, and tells the returns of episodes by these seeds."""
    model = make(agent)
    model.learn(steps)
    model.save(path)
    found = play(model, agent["environment"], seeds)
    model.env.close()
    return found


def play(model: Any, name: str, seeds: Sequence[int]) -> list[float]:
    """Returns of whole episodes by the likeliest actions, all at once, since a prediction costs as much as 20."""
    import gymnasium
    import numpy as np

    worlds = [gymnasium.make(name) for _ in seeds]
    seen = [world.reset(seed=seed)[0] for world, seed in zip(worlds, seeds, strict=True)]
    totals, going = [0.0] * len(worlds), list(range(len(worlds)))
    while going:
        actions, _ = model.predict(np.stack([seen[i] for i in going]), deterministic=True)
        for i, action in zip(list(going), actions, strict=True):
            seen[i], reward, terminated, truncated, _ = worlds[i].step(action)
            totals[i] += float(reward)
            if terminated or truncated:
                going.remove(i)
    return totals


ANSWERS = {each.__name__: each for each in (rate, solve, agent)}
THREADS = 1  # that torch takes by itself, known once it is loaded


def worker() -> None:
    """Answers on what was stdout; whatever is printed goes to the log."""
    global THREADS
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import stable_baselines3
    import torch

    THREADS = torch.get_num_threads()
    versions = f"Stable-Baselines3 {stable_baselines3.__version__}, torch {torch.__version__}"
    print(json.dumps({"versions": versions, "threads": THREADS}), file=answers, flush=True)
    for line in sys.stdin:
        what, given = json.loads(line)
        print(json.dumps(ANSWERS[what](**given)), file=answers, flush=True)


if __name__ == "__main__":
    worker()
