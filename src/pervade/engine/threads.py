"""How many threads compute a step soonest, on this machine as busy as it is now.

On busy cores several threads wait for one another at the end of every operation, and one alone can be four times as
fast as two (resnet18 at 96 pixels, 2 cores of an AMD Zen 4, five other processes beside); on quiet ones it is half as
fast. So the two are measured, in short blocks by turns, since what else the machine does changes from second to second.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pervade.core import runtime
from pervade.engine import ranks

TINY = 2.0  # seconds of work by one thread, up to which nothing is measured: one thread is never far off
SHARE = 0.03  # of the work's expected time that measuring it may take,
MOST = 20.0  # and no more seconds than that
BLOCK = 0.1  # seconds of steps before the other number has its turn: several time slices of a busy machine
FEWEST = 3  # pairs of blocks before an early verdict
SURE = 3.0  # standard errors of their mean ratio that are one
DEAR = (
    0.25  # of the time there is, for the five steps that comparing takes at least; of dearer ones one thread computes
)
ALIKE = 0.05  # a difference that is not worth more measuring


@dataclass
class Measured:
    """`number` computes soonest; `seconds` of a step by each number that was tried, empty where none was."""

    number: int
    seconds: dict[int, float] = field(default_factory=dict)
    rows: float = 0.0  # of a step

    def words(self) -> str:
        if len(self.seconds) < 2:
            return f"threads: {self.number}"
        rates = {number: self.rows / seconds for number, seconds in self.seconds.items()}
        other = next(number for number in rates if number != self.number)
        return f"threads: {self.number} ({rates[self.number]:.3g} examples/s; with {other} {rates[other]:.3g})"


def fastest(step: Callable[[], int], steps: int, most: int, within: float = math.inf, known: float = 0.0) -> Measured:
    """One thread or `most` of them, by whether `steps` of such steps, each of which returns its rows, are done sooner;
    there are `within` seconds for them. `known`: what a step by one thread took before.

    All ranks measure at once, and take what the first one finds. Raises whatever `step` does.
    """
    if most == 1:
        return Measured(1)
    rows, alone = 0, known
    for _ in range(2):  # the first makes the kernels, of which each number has its own
        if ranks.first(5 * alone > DEAR * within):
            return Measured(1, {1: alone}, rows)
        rows, alone = _timed(step, 1, 1)
    if not ranks.first(min(alone * steps, within) > TINY):
        return Measured(1)
    _timed(step, most, 1)
    count = int(ranks.largest(max(round(BLOCK / alone), 1))[0])
    taken: dict[int, list[float]] = {1: [], most: []}
    spent = 0.0
    while True:
        order = (1, most) if len(taken[1]) % 2 else (most, 1)
        for number in order:
            rows, seconds = _timed(step, number, count)
            taken[number].append(seconds / count)
            spent += seconds
        expected = min(steps * min(_mean(seconds) for seconds in taken.values()), within)
        allowed = min(SHARE * expected, MOST)
        if not ranks.first(spent < allowed and not _told(taken[1], taken[most])):
            break
    means = {number: _mean(seconds) for number, seconds in taken.items()}
    chosen = 1 if means[1] <= means[most] else most
    return Measured(int(ranks.first(chosen)), means, rows)


def _timed(step: Callable[[], int], number: int, count: int) -> tuple[int, float]:
    """Rows of a step and seconds of `count` of them."""
    with runtime.threads(number):
        start = time.perf_counter()
        rows = [step() for _ in range(count)]
        return rows[-1], time.perf_counter() - start


def _told(one: list[float], other: list[float]) -> bool:
    """Whether more pairs would hardly change the answer."""
    if len(one) < FEWEST:
        return False
    ratios = [math.log(a / b) for a, b in zip(one, other, strict=True)]
    mean = _mean(ratios)
    error = math.sqrt(sum((ratio - mean) ** 2 for ratio in ratios) / (len(ratios) - 1) / len(ratios))
    return abs(mean) > SURE * error or abs(mean) + 2 * error < ALIKE


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
