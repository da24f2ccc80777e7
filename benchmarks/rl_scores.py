"""What agents reach unattended: the last checkpoint, in 100 episodes by seeds that training cannot meet.

    python benchmarks/rl_scores.py           CartPole by PPO and DQN, Acrobot, Pendulum; 5 seeds each (10 minutes)
    python benchmarks/rl_scores.py --long    LunarLander, 3 seeds of a million steps (10 minutes)

Each row is one training by `pervade.fit(..., seeds=N)` with the recipes as they are; nothing is chosen by its score.
Beside ours stand the scores that Stable-Baselines3's zoo published (rl-baselines3-zoo, benchmark.md), with what they
were given.

Wanted: CartPole-v1 a mean of 475 on 5 of 5 seeds (PPO, 100,000 steps) and on 4 of 5 (DQN, 50,000); Acrobot-v1 -85,
Pendulum-v1 -200; LunarLander-v3 200 within 1,000,000.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass

from pervade.core import runtime

runtime.prepare(1)

import numpy as np

import pervade
from pervade.core import files
from pervade.metrics import returns
from pervade.run.progress import Silent
from pervade.run.training import Options


@dataclass(frozen=True)
class Wanted:
    environment: str
    algorithm: str
    steps: int
    seeds: int
    mean: float
    on: int  # seeds that must reach it
    zoo: str  # what the zoo's agent reached, and with what


SHORT = (
    Wanted("CartPole-v1", "ppo", 100_000, 5, 475, 5, "500 (100,000 steps)"),
    Wanted("CartPole-v1", "dqn", 50_000, 5, 475, 4, "500 (50,000 steps)"),
    Wanted("Acrobot-v1", "ppo", 200_000, 5, -85, 5, "-73.5 (1,000,000 steps)"),
    Wanted("Pendulum-v1", "ppo", 100_000, 5, -200, 5, "-172 (100,000 steps)"),
)
LONG = (Wanted("LunarLander-v3", "ppo", 1_000_000, 3, 200, 3, "242 (1,000,000 steps, version 2)"),)


def measure(wanted: Wanted, steps: int, seeds: int) -> list[list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        run = pervade.fit(
            f"gym://{wanted.environment}",
            algorithm=wanted.algorithm,
            steps=steps,
            seeds=seeds,
            runs=folder,
            options=Options(Silent()),
        )
        result = run.results()
        rows, reached, means = [], 0, []
        for name in result["members"]:
            own = {metric: each["members"][name] for metric, each in result["metrics"].items()}
            mean = own["mean_return"]
            seconds = max(e.get("elapsed", 0.0) for e in run.directory.member(name).read_log())
            crowd = "none" if mean["low"] is None else f"{mean['low']:.1f} to {mean['high']:.1f}"
            means.append(mean["value"])
            reached += mean["value"] >= wanted.mean
            rows.append(
                [
                    f"{wanted.environment}, {wanted.algorithm}",
                    name,
                    f"{mean['value']:.1f}",
                    crowd,
                    str(mean["n"]),
                    f"{own['mean_return_drawn']['value']:.1f}",
                    f"{own['lowest_tenth_return']['value']:.1f}",
                    f"{seconds:.0f}",
                ]
            )
        together = files.read_json(run.directory.result("evaluate", "members"))["details"]["across_seeds"]
        middle = together["interquartile_mean"]
        ends = "none" if middle["low"] is None else f"{middle['low']:.1f} to {middle['high']:.1f}"
        verdict = "met" if reached >= wanted.on else "**missed**"
        print(
            f"| {wanted.environment}, {wanted.algorithm}, {steps:,} steps | {wanted.mean:g} on {wanted.on} of "
            f"{wanted.seeds} | {reached} of {seeds} | {np.mean(means):.1f} | "
            f"{returns.interquartile_mean(np.array(means)):.1f} ({ends}) | {wanted.zoo} | {verdict} |",
            flush=True,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--long", action="store_true", help="LunarLander")
    parser.add_argument("--only", default="", help="an environment or an algorithm, such as dqn")
    parser.add_argument("--steps", type=int, help="fewer, for a trial")
    parser.add_argument("--seeds", type=int, help="fewer, for a trial")
    given = parser.parse_args()
    print("| environment | asked | seeds that reach it | mean | interquartile mean (95%) | zoo | |")
    print("|---|---|---|---|---|---|---|")
    rows = []
    asked = [each for each in (LONG if given.long else SHORT) if given.only in f"{each.environment} {each.algorithm}"]
    for each in asked:
        rows += measure(each, given.steps or each.steps, given.seeds or each.seeds)
    head = ("", "seed", "mean return", "95% interval", "episodes", "drawn from the policy", "worst tenth", "seconds")
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
