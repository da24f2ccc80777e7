"""How many optimiser steps there is time for: the plan behind `--time-limit`.

Steps, judging the validation split and what comes after the training (one evaluation, the report) are priced from what
they took so far on this machine; what the limit leaves then buys steps. Asked again and again, the answer follows a
machine that changes its pace, and the learning rate's schedule, which runs to the planned end, follows the answer.
No clock is read in `Pace`: it is told the time, so that it can be tested.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

AIM = 0.98  # of the limit: what is late and what is early cost the same, and 5% is allowed
MEMORY = 0.1  # of the limit: how far back the pace of the steps is remembered, as the time constant of a mean
EVERY = 0.01  # of the limit: how often the plan is made anew, once the pace is known
FIRST = 10  # steps: before these are taken the pace is new, and the plan is made after each of them
CHANGE = 0.02  # of the steps that are left: a smaller correction waits


@dataclass
class Pace:
    """All times are seconds; `now` counts from the start of the run, over all sittings."""

    limit: float
    asked: int  # steps of the whole training, were there no limit
    per_pass: int  # steps of one pass
    every: int = 1  # passes between two judgements
    judging: float = 0.0  # what the end of a pass costs: predicting the validation split, and the checkpoint
    ending: float = 0.0  # what comes when training is over: last checkpoint, evaluation, report
    step_time: float | None = None  # mean, the recent weighing more
    planned_at: float = -math.inf
    last: tuple[int, float] | None = None  # the step before, and when it ended
    seen: int = 0  # steps that were timed in this sitting
    spent: float = 0.0  # seconds of these, and how many, what is long ago fading
    counted: float = 0.0

    @property
    def settled(self) -> bool:
        """Whether the pace is known well enough to be told."""
        return self.seen > FIRST

    def note_step(self, step: int, now: float) -> None:
        """A step ended. The first of a sitting is not timed: it warms caches, and would count for many."""
        if self.last is not None and step == self.last[0] + 1:
            taken = now - self.last[1]
            self.seen += 1
            # Time over steps, both fading alike: a mean of steps weighed by their time would count long ones twice, and
            # in an environment one step in many holds a whole rollout.
            kept = math.exp(-max(taken, 1e-9) / (MEMORY * self.limit))
            self.spent, self.counted = self.spent * kept + taken, self.counted * kept + 1
            self.step_time = self.spent / self.counted
        self.last = step, now

    def note_pause(self, now: float) -> None:
        """What was not a step ended (a validation): the next step begins now."""
        if self.last is not None:
            self.last = self.last[0], now

    def plan(self, step: int, now: float, total: int) -> int | None:
        """The new number of steps in all, or None to leave it at `total`. Equal to `step`: the time is over."""
        left = AIM * self.limit - now - self.ending - self.judging
        if left <= 0:
            return step
        if self.step_time is None:
            return None
        if self.settled and now - self.planned_at < EVERY * self.limit and step + 1 < total:
            return None
        self.planned_at = now
        judged_step = self.step_time + self.judging / (self.per_pass * self.every)
        wanted = min(step + int(left / judged_step), self.asked)
        # When the next step would not end in time, this was the last.
        if left < 0.5 * self.step_time:
            wanted = step
        if wanted != step and abs(wanted - total) <= CHANGE * max(total - step, 1):
            return None
        return wanted if wanted != total else None


def process_start() -> float:
    """When this process began, on the clock of `time.monotonic`: what a command took includes loading torch."""
    import psutil

    age = time.time() - psutil.Process().create_time()
    # A clock that was set meanwhile says nothing.
    return time.monotonic() - (age if 0 <= age < 86_400 else 0.0)
