"""Environments of one's own, sound and faulty ones: small classes that tests write into a folder of their own as
`mine.py` and name as gym://mine:Class.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from pervade.core import trust


@contextmanager
def written(folder: Path) -> Iterator[Path]:
    """Inside, `mine` is this module's copy in `folder`, which is the current one, and may run without being named to
    this process; afterwards nothing knows of it."""
    shutil.copy(__file__, folder / "mine.py")
    path = list(sys.path)
    trust.allow()
    try:
        yield folder
    finally:
        trust.allow(False)
        sys.path[:] = path
        sys.modules.pop("mine", None)


class Own(gymnasium.Env):
    """Ten steps; each shows three numbers and gives 1."""

    observation_space = spaces.Box(-1, 1, (3,), np.float32)
    action_space = spaces.Discrete(2)
    length: ClassVar[int | None] = 10

    def __init__(self, length: int | None = None) -> None:
        self.lives_for = length or self.length
        self.ever = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.age = 0
        return self.see(), {}

    def step(self, action):
        self.age += 1
        self.ever += 1
        return self.see(), self.reward(action), self.age == self.lives_for, False, {}

    def see(self):
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)

    def reward(self, action):
        return 1.0


class NeedsLength(Own):
    """Cannot be made without an argument."""

    def __init__(self, length: int) -> None:
        super().__init__(length)


# faulty ones


class WrongShape(Own):
    def see(self):
        return np.zeros(4, np.float32)


class WrongDtype(Own):
    def see(self):
        return np.zeros(3)


class ALittleList(Own):
    def see(self):
        return [0.0, 0.0, 0.0]


class ShapeChangesLater(Own):
    """Five numbers instead of three, but only in the hundredth step."""

    def see(self):
        return np.zeros(5 if self.ever >= 100 else 3, np.float32)


class NaNReward(Own):
    def reward(self, action):
        return math.nan


class RewardIsNone(Own):
    def reward(self, action):
        return None


class NaNRewardLater(Own):
    def reward(self, action):
        return math.nan if self.ever >= 300 else 1.0


class NaNObservation(Own):
    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)

    def see(self):
        return np.array([0.0, np.nan, 0.0], np.float32)


class NaNObservationLater(NaNObservation):
    """The five hundredth step of an environment sees what is no number."""

    length = 10**9

    def see(self):
        return np.array([0.0, np.nan if self.ever >= 500 else 0.5, 0.0], np.float32)


class NaNAtTheEnd(NaNObservation):
    """Only what an episode ends with, where it is cut off, is no number."""

    def see(self):
        return np.array([0.0, np.nan if self.ever >= 100 and self.age == self.lives_for else 0.5, 0.0], np.float32)

    def step(self, action):
        seen, reward, over, _, info = super().step(action)
        return seen, reward, False, over, info


class NeverEnds(Own):
    length = 10**9


class RaisesAtOnce(Own):
    def step(self, action):
        raise RuntimeError("the motor does not answer")


class RaisesLater(Own):
    """Works for two hundred steps, then in none."""

    broken: ClassVar[int] = 0

    def step(self, action):
        type(self).broken += 1
        if self.broken > 200:
            raise RuntimeError("the motor does not answer")
        return super().step(action)


class RaisesNowAndThen(Own):
    """Every fiftieth step of one environment."""

    def step(self, action):
        if self.ever == 50:
            raise ValueError("lost the connection")
        return super().step(action)


class RaisesInReset(Own):
    def reset(self, *, seed=None, options=None):
        raise RuntimeError("the door is shut")


class RaisesInResetNowAndThen(Own):
    """The seventh reset of one environment."""

    resets = 0

    def reset(self, *, seed=None, options=None):
        self.resets += 1
        if self.resets == 20:
            raise RuntimeError("the door is shut")
        return super().reset(seed=seed, options=options)


class ResetsForTheLastTime(Own):
    """After a hundred resets of all there is none that works."""

    resets: ClassVar[int] = 0

    def reset(self, *, seed=None, options=None):
        type(self).resets += 1
        if self.resets > 100:
            raise RuntimeError("the door is shut")
        return super().reset(seed=seed, options=options)


class NeedsAPackage(Own):
    def __init__(self) -> None:
        import a_package_that_nobody_has  # noqa: F401


class NeedsAnExtra(Own):
    def __init__(self) -> None:
        raise gymnasium.error.DependencyNotInstalled('needs mujoco, run `pip install "gymnasium[mujoco]"`')


class ResetGivesNoTuple(Own):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed, options=options)[0]


class StepGivesFour(Own):
    def step(self, action):
        seen, reward, over, _, info = super().step(action)
        return seen, reward, over, info


class NoObservationSpace:
    """Not even derived from gymnasium.Env."""

    action_space = spaces.Discrete(2)

    def close(self) -> None:
        pass


class SpaceForgotten(gymnasium.Env):
    action_space = spaces.Discrete(2)


class SeesASequence(Own):
    observation_space = spaces.Sequence(spaces.Discrete(3))

    def see(self):
        return tuple(int(each) for each in self.np_random.integers(0, 3, self.np_random.integers(1, 4)))


class SeesAText(Own):
    observation_space = spaces.Text(5)

    def see(self):
        return "left"


class SeesATextInside(Own):
    observation_space = spaces.Dict(sign=spaces.Text(5), speed=spaces.Discrete(2))

    def see(self):
        return {"sign": "left", "speed": 1}


class SeesAGraph(Own):
    observation_space = spaces.Graph(spaces.Discrete(3), None)

    def see(self):
        return spaces.GraphInstance(np.array([0, 1]), None, None)


class DoesTwoThings(Own):
    action_space = spaces.Tuple((spaces.Discrete(2), spaces.Discrete(3)))


class DoesWholeNumbers(Own):
    action_space = spaces.Box(0, 5, (1,), np.int64)


class DrawsBadly(Own):
    """Nothing is wrong but the picture."""

    metadata: ClassVar[dict] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()
        self.render_mode = render_mode

    def render(self):
        raise RuntimeError("no screen")


# sound ones


class Draws(DrawsBadly):
    def render(self):
        return np.full((20, 30, 3), 10 * self.age, np.uint8)


class TwoAtOnce(Own):
    action_space = spaces.MultiDiscrete([2, 3])

    def reward(self, action):
        assert action.shape == (2,)
        return 1.0


class Grid(Own):
    """Choices laid out in two rows, each from its own start."""

    action_space = spaces.MultiDiscrete(np.array([[2, 3], [4, 2]]), start=np.array([[0, 5], [1, -1]]))

    def reward(self, action):
        assert self.action_space.contains(action), action
        return 1.0


class Switches(Own):
    action_space = spaces.MultiBinary(3)

    def reward(self, action):
        assert action.shape == (3,)
        assert set(np.unique(action)) <= {0, 1}
        return float(action.sum())


class FromFive(Own):
    """Actions 5 and 6."""

    action_space = spaces.Discrete(2, start=5)

    def reward(self, action):
        assert action in (5, 6)
        return float(action == 6)


class Plane(Own):
    """Numbers of one action in two rows."""

    action_space = spaces.Box(-2, 3, (2, 2), np.float32)

    def reward(self, action):
        assert action.shape == (2, 2)
        assert action.dtype == np.float32
        assert self.action_space.contains(action), action
        return 1.0


class Unbounded(Own):
    action_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def reward(self, action):
        return -float(np.square(action - 3).sum())


class HalfBounded(Own):
    action_space = spaces.Box(0, np.inf, (1,), np.float32)

    def reward(self, action):
        assert action[0] >= 0
        return 1.0


class Pictures(Own):
    """Small colour pictures, brighter with every step."""

    observation_space = spaces.Box(0, 255, (40, 44, 3), np.uint8)

    def see(self):
        return np.full((40, 44, 3), self.age, np.uint8)


class Steered(Pictures):
    """Pictures, and an action that is a number."""

    action_space = spaces.Box(-1, 1, (2,), np.float32)


class TinyPictures(Own):
    observation_space = spaces.Box(0, 255, (8, 8, 1), np.uint8)

    def see(self):
        return np.full((8, 8, 1), self.age, np.uint8)


class Halves(Own):
    observation_space = spaces.Box(-1, 1, (3,), np.float16)

    def see(self):
        return self.np_random.uniform(-1, 1, 3).astype(np.float16)


class Doubles(Own):
    observation_space = spaces.Box(-1, 1, (3,), np.float64)

    def see(self):
        return self.np_random.uniform(-1, 1, 3)


class CutInDoubles(Doubles):
    """As MuJoCo's: numbers of double precision, and a time limit."""

    def step(self, action):
        seen, reward, over, _, info = super().step(action)
        return seen, reward, False, over, info


class Whole(Own):
    observation_space = spaces.Box(-5, 5, (2, 2), np.int32)

    def see(self):
        return self.np_random.integers(-5, 6, (2, 2)).astype(np.int32)


class Named(Own):
    observation_space = spaces.Dict(place=spaces.Discrete(3, start=2), speed=spaces.Box(-1, 1, (2,), np.float32))

    def see(self):
        return {"place": 3, "speed": np.array([0.5, -0.5], np.float32)}


class InTurn(Own):
    observation_space = spaces.Tuple((spaces.Discrete(3), spaces.MultiBinary(2)))

    def see(self):
        return 1, np.array([1, 0], np.int8)


class RewardInNumpy(Own):
    def reward(self, action):
        return np.float32(0.5)


class RewardInAnArray(Own):
    def reward(self, action):
        return np.array([0.5])


class SameBuffer(Own):
    """Gives the same array in every step, as much as Gymnasium advises against it."""

    def reset(self, *, seed=None, options=None):
        self.buffer = getattr(self, "buffer", np.zeros(3, np.float32))
        return super().reset(seed=seed, options=options)

    def see(self):
        self.buffer[:] = self.age / 20
        return self.buffer


class Unrepeatable(Own):
    """Random numbers that no seed governs."""

    moods: ClassVar[np.random.Generator] = np.random.default_rng()

    def see(self):
        return self.moods.uniform(-1, 1, 3).astype(np.float32)


class UnrepeatableLater(Own):
    """As others until somebody looks away: what it shows from the tenth step on depends on when it was made."""

    made: ClassVar[int] = 0
    length = 50

    def __init__(self) -> None:
        super().__init__()
        type(self).made += 1
        self.number = self.made

    def see(self):
        shown = super().see()
        return shown if self.age < 10 else np.full(3, 1 / self.number, np.float32)


class TimeHides(Own):
    """A reward of 1 for ever; a time limit of ten steps says only that nobody looks any longer. What is seen tells
    nothing of the time."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)

    def see(self):
        return np.zeros(1, np.float32)

    def step(self, action):
        seen, reward, over, _, info = super().step(action)
        return seen, reward, False, over, info


class Counter(Own):
    """Pictures whose every pixel is the number of the step; episodes of a length drawn by the seed, now cut off, now
    ended."""

    observation_space = spaces.Box(0, 255, (6, 6), np.uint8)

    def reset(self, *, seed=None, options=None):
        seen = super().reset(seed=seed, options=options)
        self.lives_for = int(self.np_random.integers(3, 9))
        return seen

    def see(self):
        return np.full((6, 6), self.age, np.uint8)

    def step(self, action):
        seen, reward, over, _, info = super().step(action)
        return seen, reward, over and self.lives_for % 2 == 0, over and self.lives_for % 2 == 1, info


# that must be solved


class Identity(gymnasium.Env):
    """What is seen is the action that is rewarded, drawn anew in every step (as in Stable-Baselines3's tests)."""

    action_space: spaces.Space = spaces.Discrete(3)
    observation_space: spaces.Space = spaces.Discrete(3)
    length = 20

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.action_space.seed(seed)
        self.age = 0
        return self.see(), {}

    def step(self, action):
        reward = self.reward(action)
        self.age += 1
        return self.see(), reward, False, self.age == self.length, {}

    def see(self):
        self.wanted = self.action_space.sample()
        return self.wanted

    def reward(self, action):
        return float(np.array_equal(action, self.wanted))


class IdentityOfTwo(Identity):
    action_space = spaces.MultiDiscrete([2, 3])
    observation_space = spaces.MultiDiscrete([2, 3])

    def reward(self, action):
        return float((action == self.wanted).mean())


class IdentityOfSwitches(IdentityOfTwo):
    action_space = spaces.MultiBinary(3)
    observation_space = spaces.MultiBinary(3)


class IdentityOfNumbers(Identity):
    """1 less the distance, so that nothing is right but the very number."""

    action_space = spaces.Box(-1, 1, (1,), np.float32)
    observation_space = spaces.Box(-1, 1, (1,), np.float32)

    def reward(self, action):
        return 1.0 - float(np.abs(action - self.wanted).mean())


class Beacon(Identity):
    """A bright spot on the left or on the right of a picture: that is where to go."""

    action_space = spaces.Discrete(2)
    observation_space = spaces.Box(0, 255, (36, 36, 1), np.uint8)

    def see(self):
        self.wanted = self.action_space.sample()
        picture = self.np_random.integers(0, 100, (36, 36, 1), dtype=np.uint8)
        start = int(self.np_random.integers(0, 10)) + 18 * int(self.wanted)
        picture[int(self.np_random.integers(0, 28)) :][:8, start : start + 8] = 255
        return picture
