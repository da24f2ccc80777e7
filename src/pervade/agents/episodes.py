"""Whole episodes by a policy, which is how one is measured and watched.

Episodes are played eight at a time, and a batch always has eight rows, empty ones too: a processor rounds otherwise
when a batch is of another size, and what an episode comes to would hang on what was played beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.nn import Module

from pervade.agents import spaces, worlds
from pervade.core import seed as random
from pervade.core.contracts.abilities import Acts
from pervade.core.contracts.capabilities import Acting
from pervade.nn import actions
from pervade.nn.policy import responder

SLOTS = 8

# Actions (n, width) for observations (n, …); `places` are the episodes' numbers, -1 where there is none.
Act = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class EpisodeResults:
    """By episode, in the order of the seeds: sums of rewards, steps, and whether it was cut for its length."""

    total: np.ndarray
    length: np.ndarray
    cut: np.ndarray


def by_policy(network: Module, task: Acts, domain: Acting, seeds: Sequence[int], drawn: bool) -> EpisodeResults:
    """Episodes by these seeds, by the likeliest action or `drawn` from the policy, each by a generator of its own."""
    respond, space = responder(network), spaces.unpacked(domain.action)
    names = task.asks(space)
    generators = [random.generator(seed, 11) for seed in seeds] if drawn else []

    def act(observations: np.ndarray, places: np.ndarray) -> np.ndarray:
        rows = len(observations)
        if rows < SLOTS:
            empty = np.zeros((SLOTS - rows, *observations.shape[1:]), observations.dtype)
            observations = np.concatenate([observations, empty])
        output = {name: part[:rows] if part.ndim > 1 else part for name, part in respond(observations, names).items()}
        noise = None
        if drawn:
            noise = np.stack([task.noise(space, (), generators[max(place, 0)]) for place in places])
        actions: np.ndarray = task.act(output, space, noise)
        return actions

    return play(domain, seeds, act)


def at_random(domain: Acting, seeds: Sequence[int]) -> EpisodeResults:
    """The same episodes by actions that nobody chose: each as likely as any, continuous ones within their bounds."""
    generators = [random.generator(seed, 13) for seed in seeds]
    space = spaces.unpacked(domain.action)

    def act(observations: np.ndarray, places: np.ndarray) -> np.ndarray:
        return np.stack([_any(space, generators[max(place, 0)]) for place in places])

    return play(domain, seeds, act)


def _any(space: Any, rng: np.random.Generator) -> np.ndarray:
    if actions.is_discrete(space):
        return np.array([rng.integers(size) for size in space["sizes"]], np.int64)
    if space.get("scale"):
        return rng.uniform(-1, 1, len(space["low"])).astype(np.float32)
    low, high = np.maximum(space["low"], -1e3), np.minimum(space["high"], 1e3)
    return rng.uniform(low, high).astype(np.float32)


def play(domain: Acting, seeds: Sequence[int], act: Act) -> EpisodeResults:
    slots, space = min(SLOTS, len(seeds)), spaces.unpacked(domain.action)
    places = [list(range(slot, len(seeds), slots)) for slot in range(slots)]
    total, length, cut = np.zeros(len(seeds)), np.zeros(len(seeds), np.int64), np.zeros(len(seeds), bool)
    plan = domain.plan(
        count=slots, training=False, episodes=tuple(tuple(int(seeds[p]) for p in share) for share in places)
    )
    current = np.zeros(slots, np.int64)  # which of its episodes each slot is in
    opened = worlds.open_worlds(plan)
    try:
        observations = opened.reset()
        while True:
            now = np.array([share[i] if i < len(share) else -1 for share, i in zip(places, current, strict=True)])
            step = opened.step(actions.outward(act(observations, now), space))
            observations = step.observations
            for slot in step.finals:
                current[slot] += 1
            for episode in opened.finished():
                # Several episodes of a slot end in order, so the seed tells which.
                place = next(p for p in places[episode.world] if seeds[p] == episode.seed and not length[p])
                total[place], length[place], cut[place] = episode.total, episode.length, episode.cut
            if all(i >= len(share) for share, i in zip(places, current, strict=True)):
                return EpisodeResults(total, length, cut)
    finally:
        opened.close()
