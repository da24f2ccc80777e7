"""A learning rate from a range test (Smith 2017, "Cyclical Learning Rates", arXiv:1506.01186).

A few steps are taken on a network that is thrown away, while the rate grows by the same factor each step:

    rate_i = low (high / low)^(i / (steps - 1))

While it is too small the loss stays, then it falls, then it rises: the rate chosen is the one where the smoothed loss
falls most steeply over log(rate), and at most a tenth of where the loss ran away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pervade.core.contracts import Schedule, Source
from pervade.core.errors import TrainingError
from pervade.engine.fit import Learner

LOW, HIGH = 1e-6, 10.0  # from where no network moves to where hardly any holds
STEPS = 100
FALLEN = 0.9  # of the whole fall: where the smoothed loss has come so far it is at the foot of the slope
REACH = 2.0  # decades above the foot in which the slope is looked for: further up there is only noise
WINDOW = 0.5  # decades to both sides over which the slope is fitted
RUNAWAY = 1.5  # times the lowest smoothed loss: the test ends, though not within the first steps
FEWEST = 10  # steps
SMOOTHING = 0.9  # of the exponential mean over steps
FALL = 0.02  # of the first smoothed loss: it must have fallen by so much to have a slope worth reading,
NOISE = 4.0  # and by so many deviations of the smoothed mean


@dataclass(frozen=True)
class Ramp(Schedule):
    """Exponential growth to the peak. Not registered: no training is meant to run by it."""

    start: float = LOW / HIGH  # factor at the first step

    def factor(self, progress: float) -> float:
        return self.start ** (1 - progress)


@dataclass(frozen=True)
class Suggestion:
    lr: float
    reason: str
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]

    def as_json(self) -> dict[str, object]:
        curve = {"rates": list(self.rates), "losses": list(self.losses), "smoothed": list(self.smoothed)}
        return {"lr": self.lr, "reason": self.reason, **curve}


def range_test(learner: Learner, source: Source, steps: int = STEPS) -> Suggestion:
    """Runs the test and chooses. `learner` must have the schedule `Ramp` and the optimiser's rate `HIGH`; it is spent.

    Raises TrainingError where no rate lowers the loss.
    """
    learner.total_steps = steps - 1
    for step in learner.steps:
        step.starts = [0.0] * len(step.starts)  # whatever is to learn some day learns now
    rates: list[float] = []
    losses: list[float] = []
    ran_away = False
    loop = learner.fit(source, passes=steps)
    try:
        for moment in loop:
            if moment.kind == "pass":
                continue
            rate = HIGH * learner.schedule.factor((moment.step - 1) / max(steps - 1, 1))
            means = learner.averages()
            rates.append(rate)
            losses.append(next(value for name, value in means.items() if name.endswith("loss")))
            smooth = smoothed(losses)
            if len(smooth) > FEWEST and smooth[-1] > RUNAWAY * min(smooth):
                ran_away = True
            if ran_away or moment.step >= steps:
                break
    except TrainingError:  # the loss is not finite any more
        ran_away = True
    finally:
        loop.close()  # type: ignore[attr-defined]
    return choose(rates, losses, ran_away)


def smoothed(losses: list[float]) -> list[float]:
    """The exponential mean, freed of its start at zero (Kingma & Ba 2015, section 3)."""
    mean, values = 0.0, []
    for number, loss in enumerate(losses, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        values.append(mean / (1 - SMOOTHING**number))
    return values


def choose(rates: list[float], losses: list[float], ran_away: bool) -> Suggestion:
    """Raises TrainingError where the loss neither falls nor runs away."""
    smooth = smoothed(losses)
    cap = rates[-1] / 10 if ran_away and rates else math.inf
    steepest = _steepest(rates, losses, smooth) if len(rates) >= FEWEST else None
    if steepest is None and not ran_away:
        raise TrainingError(
            f"no learning rate between {LOW:g} and {HIGH:g} changes the loss within {len(rates)} steps; "
            "give one with --lr 0.01, say"
        )
    if steepest is not None and steepest <= cap:
        lr, reason = steepest, "where the smoothed loss falls most steeply"
    else:
        lr, reason = cap, f"a tenth of {rates[-1] if rates else 0:.2g}, where the loss ran away"
    return Suggestion(float(f"{lr:.2g}"), reason, tuple(rates), tuple(losses), tuple(smooth))


def _steepest(rates: list[float], losses: list[float], smooth: list[float]) -> float | None:
    """The rate around which a straight line through loss over log10(rate) falls most steeply; None where the loss does
    not fall by more than its noise."""
    fall = smooth[0] - min(smooth)
    flat = max(len(losses) // 4, 3)  # the first steps, where the rate is too small to matter
    noise = float(np.std(losses[:flat])) * math.sqrt((1 - SMOOTHING) / (1 + SMOOTHING))  # of an exponential mean
    if fall < max(FALL * smooth[0], NOISE * noise):
        return None
    foot = next(i for i, value in enumerate(smooth) if value <= smooth[0] - FALLEN * fall)
    at, loss = np.log10(rates[: foot + 1]), np.asarray(losses[: foot + 1])
    slopes = np.full(len(at), np.inf)
    for i in range(len(at)):
        window = np.abs(at - at[i]) <= WINDOW
        if window.sum() >= 3 and at[i] >= at[-1] - REACH:
            slopes[i] = np.polyfit(at[window], loss[window], 1)[0]
    return rates[int(np.argmin(slopes))]
