"""How long it takes until CartPole is solved: Pervade against PPO of Stable-Baselines3, both by their defaults.

    python benchmarks/rl_time_to_solve.py [--seeds 5]

After every rollout and its lessons the clock stops, the same 20 episodes are played by the likeliest actions, and the
clock goes on. Solved is it when their mean first reaches 475. The clock starts where learning starts, so imports and
start-up are left out on both sides; on Pervade's it covers what `pervade train` does meanwhile, log and saves included,
and opening the environments. Sides take turns, seed by seed. One thread each; Stable-Baselines3 also has one thread
where a trial shows that to be faster than as many as torch takes by itself, and those otherwise.

Asked: at most a third of Stable-Baselines3's time.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import stable_baselines
from stable_baselines import Peer

NAME, SCORE, MOST = "CartPole-v1", 475.0, 200_000  # steps after which a side is given up
EPISODES = list(range(1000, 1020))  # seeds
ASKED = 1 / 3


@contextmanager
def watched(curve: list[list[float]]) -> Iterator[None]:
    """Inside, the training loop is stopped between passes to measure, and ended once solved. `curve` gets steps,
    seconds and mean return of every pass."""
    from pervade.agents import episodes
    from pervade.engine.fit import Learner

    fit = Learner.fit

    def again(learner: Any, source: Any, passes: int) -> Iterator[Any]:
        clock, start = 0.0, time.perf_counter()
        for moment in fit(learner, source, passes):
            yield moment  # logged and saved while the clock runs
            if moment.kind != "pass":
                continue
            clock += time.perf_counter() - start
            domain = learner.context.domain
            played = episodes.by_policy(learner.judged, learner.task, domain, EPISODES, False)
            curve.append([source.steps_taken, round(clock, 3), float(played.total.mean())])
            if curve[-1][2] >= SCORE:
                return
            start = time.perf_counter()

    Learner.fit = again  # type: ignore[method-assign]
    try:
        yield
    finally:
        Learner.fit = fit  # type: ignore[method-assign]


def ours(seed: int, folder: Path) -> dict[str, Any]:
    import pervade
    from pervade.run.progress import Silent
    from pervade.run.training import Options

    curve: list[list[float]] = []
    with watched(curve):
        pervade.fit(f"gym://{NAME}", seed=seed, runs=folder, options=Options(screen=Silent()))
    return stable_baselines.told(curve, SCORE)


def theirs(peer: Peer, seed: int, threads: int | None) -> dict[str, Any]:
    agent = {"algorithm": "ppo", "environment": NAME, "count": 1, "threads": threads, "seed": seed, "settings": {}}
    found: dict[str, Any] = peer.ask("solve", agent=agent, steps=MOST, seeds=EPISODES, score=SCORE)
    return found


def best_threads(peer: Peer, steps: int = 6144) -> int | None:
    agent = {"algorithm": "ppo", "environment": NAME, "count": 1, "seed": 0, "settings": {}}
    rates = {n: peer.ask("rate", agent={**agent, "threads": n}, steps=steps, warm=2048) for n in (1, None)}
    return max(rates, key=lambda n: rates[n])


def shown(found: list[dict[str, Any]]) -> str:
    each = [f"{e['seconds']:.1f}" if e["seconds"] is not None else f"not in {MOST:,} steps" for e in found]
    return ", ".join(each)


def middle(found: list[dict[str, Any]], what: str) -> float:
    """The median, one that never got there counting as longer than all others."""
    return statistics.median([float("inf") if each[what] is None else each[what] for each in found])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    stable_baselines.environment()
    from pervade.core import runtime

    runtime.prepare(threads=1)
    mine: list[dict[str, Any]] = []
    other: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, Peer() as peer:
        threads = best_threads(peer)
        ours(1000, Path(folder))  # warms up: imports that happen late, files that are read for the first time
        for seed in range(options.seeds):
            sides = [
                lambda s=seed: mine.append(ours(s, Path(folder))),
                lambda s=seed: other.append(theirs(peer, s, threads)),
            ]
            for side in sides if seed % 2 == 0 else sides[::-1]:
                side()
            print(f"seed {seed}: {mine[-1]}; {other[-1]}", file=sys.stderr)
        print(f"{peer.about['versions']}, {threads or peer.about['threads']} thread(s).\n")
    print("| side | seconds, by seed | median seconds | median steps |\n|---|---|---|---|")
    for name, found in (("Pervade", mine), ("Stable-Baselines3", other)):
        print(f"| {name} | {shown(found)} | {middle(found, 'seconds'):.2f} | {middle(found, 'steps'):,.0f} |")
    share = middle(mine, "seconds") / middle(other, "seconds")
    each = [a["seconds"] / b["seconds"] for a, b in zip(mine, other, strict=True) if a["seconds"] and b["seconds"]]
    spread = f" ({min(each):.2f} to {max(each):.2f} by seed)" if each else ""
    print(f"\nPervade takes {share:.2f} of the time{spread}. Asked: at most {ASKED:.2f}.", end=" ")
    print("Met." if share <= ASKED else "MISSED.")


if __name__ == "__main__":
    main()
