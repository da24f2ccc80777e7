"""Steps of the environment a second while learning: Pervade against Stable-Baselines3, taking turns in one run.

    python benchmarks/rl_speed.py [--rounds 5] [--share 1.0] [--only NAME]

Both sides get the same network, batch size, steps between lessons, and epochs, in full precision; where Pervade chooses
another for pictures that has a row of its own. A round is a whole training on either side, on Pervade's by
`pervade.fit`, with its log, its saves and its normalisation of observations and rewards, as `pervade train` does it.
The clock runs from the end of the first pass (of the first 1,024 steps, DQN) to the end of the last, so that imports,
start-up and opening environments are left out on both sides. A ratio is taken within a round, and the median over
rounds reported, so that what else the machine does weighs on both alike.

For numbers both have one thread of torch. For pictures each takes what suits it: Pervade its recipe's two worker
processes, Stable-Baselines3 threads and processes that a trial shows to be fastest. The trial also tells whether more
threads help Stable-Baselines3 with numbers; where they do it has them.

Asked: 3 times as fast in one CartPole, 2 times in eight, 1.5 times in eight of Pong, 2 times by DQN.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import stable_baselines
from stable_baselines import Peer

WARM = 1024  # steps that DQN does not count


@dataclass
class Case:
    """One comparison. `per_pass` steps of all environments make a pass; both sides go through `passes` that count."""

    name: str
    called: str
    asked: float
    per_pass: int
    passes: int
    theirs: dict[str, Any]
    pictures: bool = False
    rates: dict[str, list[float]] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        return self.per_pass * self.passes


CASES = (
    Case(
        "ppo-1",
        "PPO, CartPole, 1 environment",
        3.0,
        2048,
        20,
        {"algorithm": "ppo", "environment": "CartPole-v1", "count": 1, "settings": {}},
    ),
    Case(
        "ppo-8",
        "PPO, CartPole, 8 environments",
        2.0,
        2048,
        20,
        {"algorithm": "ppo", "environment": "CartPole-v1", "count": 8, "settings": {"n_steps": 256}},
    ),
    Case(
        "dqn",
        "DQN, CartPole",
        2.0,
        WARM,
        40,
        {"algorithm": "dqn", "environment": "CartPole-v1", "count": 1, "settings": {}},
    ),
    Case(
        "pong",
        "PPO, Pong, 8 environments",
        1.5,
        1024,
        12,
        {
            "algorithm": "ppo",
            "environment": "ALE/Pong-v5",
            "count": 8,
            "settings": {"n_steps": 128, "batch_size": 256, "n_epochs": 4},
        },
        pictures=True,
    ),
)


# Pervade


def recipe(case: Case, precision: str) -> tuple[str, Any]:
    """The address, and the shipped recipe with Stable-Baselines3's sizes."""
    from pervade.agents.sources.replay import Replay
    from pervade.models.nature_cnn import NatureCNN
    from pervade.models.perceptron import Perceptron
    from pervade.models.policy import Policy
    from pervade.recipes import rl

    address = "gym://ALE/Pong-v5" if case.pictures else "gym://CartPole-v1"
    found = rl.recipe(source=address, algorithm="dqn" if case.name == "dqn" else "ppo")
    domain: Any = replace(found.domain, environments=case.theirs["count"])  # type: ignore[type-var]
    source: Any = found.source
    fields: dict[str, Any] = {"domain": domain, "epochs": case.passes + 1, "precision": precision}
    if case.pictures:
        fields |= {"model": Policy(NatureCNN((32, 64, 64), 512)), "batch_size": 256}
        fields["source"] = replace(source, steps=128, epochs=4)
    elif case.name == "dqn":
        fields |= {"model": Policy(Perceptron((64, 64), "relu"), normalise=False), "batch_size": 32, "average": None}
        fields["source"] = Replay(size=1_000_000, begin=100, steps=case.per_pass, every=4, lessons=1, ahead=1)
        fields["task"] = replace(found.task, double=False, target_every=2500, target_rate=1.0)  # type: ignore[type-var]
    else:
        fields |= {"model": Policy(Perceptron((64, 64), "tanh")), "batch_size": 64}
        steps = case.per_pass // case.theirs["count"]
        fields["source"] = replace(source, steps=steps, epochs=10)
    return address, replace(found, **fields)


def ours(case: Case, precision: str, seed: int, folder: Path) -> float:
    """Steps a second of one training."""
    import pervade
    from pervade.run.progress import Silent
    from pervade.run.training import Options

    address, made = recipe(case, precision)
    run = pervade.fit(address, recipe=replace(made, seed=seed), runs=folder, options=Options(screen=Silent()))
    entries = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    ends = [entry for entry in entries if entry["event"] == "pass"]
    taken = (ends[-1]["pass"] - ends[0]["pass"]) * case.per_pass
    return float(taken / (ends[-1]["elapsed"] - ends[0]["elapsed"]))


# Stable-Baselines3


def suited(peer: Peer, case: Case) -> dict[str, Any]:
    """Its agent with the threads, and for pictures the processes, that a trial shows to be fastest."""
    kinds = (False, True) if case.pictures else (False,)
    choices = [{"threads": n, "processes": p} for n, p in itertools.product((1, None), kinds)]
    rates = []
    for choice in choices:
        agent = {**case.theirs, **choice, "seed": 0}
        rates.append(peer.ask("rate", agent=agent, steps=case.per_pass, warm=case.per_pass))
    best = choices[max(range(len(choices)), key=lambda i: rates[i])]
    told = ", ".join(f"{c}: {r:.0f}" for c, r in zip(choices, rates, strict=True))
    print(f"{case.called}, trial of Stable-Baselines3, steps/s: {told}", file=sys.stderr)
    return {**case.theirs, **best}


def in_words(agent: dict[str, Any], default: int) -> str:
    threads = agent["threads"] or default
    where = ", environments in processes of their own" if agent["processes"] else ""
    return f"Stable-Baselines3, {threads} thread{'s' if threads > 1 else ''}{where}"


# the comparison


def measure(case: Case, peer: Peer, rounds: int, folder: Path) -> None:
    """Round 0 warms up and does not count."""
    from pervade.core import runtime

    automatic = runtime.training_precision("cpu")
    agent = suited(peer, case)
    sides = {"Pervade, fp32": lambda seed: ours(case, "fp32", seed, folder)}
    if case.pictures and automatic != "fp32":
        sides[f"Pervade, {automatic} (its own choice here)"] = lambda seed: ours(case, automatic, seed, folder)
    sides[in_words(agent, peer.about["threads"])] = lambda seed: peer.ask(
        "rate", agent={**agent, "seed": seed}, steps=case.steps, warm=case.per_pass
    )
    for number in range(rounds + 1):
        order = list(sides) if number % 2 == 0 else list(sides)[::-1]  # no side always follows the same other
        for name in order:
            rate = sides[name](number)
            if number:
                case.rates.setdefault(name, []).append(rate)
        print(f"{case.called}, round {number} of {rounds}", file=sys.stderr)


def report(case: Case) -> bool:
    *mine, theirs = sorted(case.rates, key=lambda name: not name.startswith("Pervade"))
    print(f"\n### {case.called}: {case.steps:,} steps a round\n")
    print("| side | steps/s, median (least to most) | times as fast, median (least to most) | asked | |")
    print("|---|---|---|---|---|")
    met = []
    for name in mine:
        ratios = [a / b for a, b in zip(case.rates[name], case.rates[theirs], strict=True)]
        met.append(statistics.median(ratios) >= case.asked)
        print(f"| {name} | {spread(case.rates[name], 0)} | {spread(ratios, 2)} | {case.asked:g} |", end="")
        print(f" {'met' if met[-1] else '**missed**'} |")
    print(f"| {theirs} | {spread(case.rates[theirs], 0)} | | | |", flush=True)
    return met[-1]  # the one that users get


def spread(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--share", type=float, default=1.0, help="of the passes of a round")
    parser.add_argument("--only", default="", help=f"one of {', '.join(case.name for case in CASES)}")
    options = parser.parse_args()
    stable_baselines.environment()
    from pervade.core import runtime

    set_up = runtime.prepare()
    chosen = [case for case in CASES if options.only in ("", case.name)]
    with tempfile.TemporaryDirectory() as folder, Peer() as peer:
        print(f"{peer.about['versions']}. Pervade set up: {json.dumps(set_up)}.", flush=True)
        met = []
        for case in chosen:
            case.passes = max(1, round(case.passes * options.share))
            measure(case, peer, options.rounds, Path(folder))
            met.append(report(case))
    print(f"\n{sum(met)} of {len(met)} met.")


if __name__ == "__main__":
    main()
