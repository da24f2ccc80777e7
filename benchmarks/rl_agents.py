"""Agents that Stable-Baselines3 trained and saved, in Pervade by --init: the same episodes on both sides.

    python benchmarks/rl_agents.py [--episodes 20] [--share 1.0]

PPO in CartPole (30,000 steps) and Pendulum (20,000) by Stable-Baselines3's defaults, and DQN in CartPole (20,000) by
settings with which it learns in that time. Then 20 episodes by given seeds and the likeliest actions, on each side by
its own code. Nothing is learnt in Pervade (`--steps 0`). A return is the same where it differs by less than a millionth
of itself: continuous actions are computed in another order, and their last digit differs.

Asked: every episode the same.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import stable_baselines
from stable_baselines import Peer

LEARNS = {
    "learning_rate": 2.3e-3,
    "batch_size": 64,
    "buffer_size": 100_000,
    "learning_starts": 1000,
    "target_update_interval": 10,
    "train_freq": 256,
    "gradient_steps": 128,
    "exploration_fraction": 0.16,
    "exploration_final_eps": 0.04,
    "policy_kwargs": {"net_arch": [256, 256]},
}
AGENTS: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
    ("ppo", "CartPole-v1", 30_000, {}),
    ("ppo", "Pendulum-v1", 20_000, {}),
    ("dqn", "CartPole-v1", 20_000, LEARNS),
)
SAME = 1e-6


def ours(path: Path, name: str, seeds: list[int], folder: Path) -> list[float]:
    import pervade
    from pervade.agents import episodes
    from pervade.run.progress import Silent
    from pervade.run.training import Options

    run = pervade.fit(f"gym://{name}", init=path, steps=0, runs=folder, options=Options(screen=Silent()))
    loaded = run.load()
    found: list[float] = episodes.by_policy(loaded.network, loaded.task, loaded.domain, seeds, False).total.tolist()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--share", type=float, default=1.0, help="of the steps to train")
    options = parser.parse_args()
    seeds = list(range(options.episodes))
    stable_baselines.environment()
    from pervade.core import runtime

    runtime.prepare(threads=1)
    rows, met = [], True
    with tempfile.TemporaryDirectory() as folder, Peer() as peer:
        for algorithm, name, steps, settings in AGENTS:
            path = Path(folder) / f"{algorithm}-{name}.zip"
            about = {"algorithm": algorithm, "environment": name, "settings": settings}
            agent = {**about, "count": 1, "threads": 1, "seed": 0}
            theirs = peer.ask("agent", agent=agent, steps=int(steps * options.share), seeds=seeds, path=str(path))
            mine = ours(path, name, seeds, Path(folder) / "runs")
            apart = [abs(a - b) for a, b in zip(theirs, mine, strict=True)]
            same = sum(each <= SAME * max(abs(a), 1.0) for each, a in zip(apart, theirs, strict=True))
            met &= same == len(seeds)
            means = [sum(each) / len(seeds) for each in (theirs, mine)]
            rows.append(
                f"| {algorithm.upper()} | {name} | {int(steps * options.share):,} | {means[0]:.4f} | {means[1]:.4f} | "
                f"{same} of {len(seeds)} | {max(apart):.1e} |"
            )
        print(f"{peer.about['versions']}.\n")
    print("| agent | environment | steps | mean under Stable-Baselines3 | mean under Pervade | same return |", end="")
    print(" largest difference |\n|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    print(f"\nAsked: every episode the same. {'Met' if met else 'MISSED'}.")


if __name__ == "__main__":
    main()
