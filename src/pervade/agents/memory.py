"""What an agent remembers: a ring of moments for every environment, in which no observation stands twice.

A moment is what was seen, what was done, and what came of it. What is seen next is the next moment's; the last thing
seen of an episode is a moment of its own, in which nothing was done. Of pictures that are seen several at a time only
the newest is kept, and the others are those of the moments before.

The ring goes to disk as it grows (`pieces`): what was written once never changes, so saving costs what is new.

Axis letters: e environments, m moments of one, f the axes of one observation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pervade.core.errors import ConfigError, OutOfMemoryError

NOTHING = -1  # the action of an episode's last moment
FIELDS = ("seen", "action", "reward", "age", "over")


@dataclass(frozen=True)
class Layout:
    """`capacity` moments in all, shared out among the environments; `frame` is the shape of what one moment keeps."""

    environments: int
    capacity: int
    frame: tuple[int, ...]
    dtype: str
    stack: int = 1

    @property
    def length(self) -> int:
        """Moments of one environment."""
        return max(self.capacity // self.environments, 2)

    @property
    def bytes(self) -> int:
        frame = int(np.prod(self.frame)) * np.dtype(self.dtype).itemsize
        return self.environments * self.length * (frame + 8 + 4 + 4 + 1 + 8)  # and a priority

    def require_moments(self, steps: int) -> None:
        """Raises ConfigError where there could be no moment to be told of with what was seen before and what came of
        it in `steps` steps; of two, since in one of two that follow each other something was done."""
        least = self.stack + steps + 1
        if self.length < least:
            raise ConfigError(
                f"a memory of {self.capacity} moments, shared by {self.environments} environments, is too small for "
                f"lessons that take {least} in a row; set -o source.size={least * self.environments} or more"
            )

    def require_memory(self, available: int) -> None:
        """Raises ResourceError where it is more than there is."""
        if self.bytes > 0.9 * available:
            fits = int(self.capacity * 0.8 * available / self.bytes)
            raise OutOfMemoryError(
                f"a memory of {self.capacity:,} moments takes {size(self.bytes)}, and {size(available)} are free; "
                f"set -o source.size={fits} or less"
            )


def size(number: int) -> str:
    """
    >>> size(7_056_000_000), size(4_500_000)
    ('7.06 GB', '4.5 MB')
    """
    return f"{number / 1e9:.3g} GB" if number >= 1e9 else f"{number / 1e6:.3g} MB"


class Memory:
    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        e, m = layout.environments, layout.length
        # Zeros cost nothing until they are written: the system gives pages as they are touched.
        self.seen = np.zeros((e, m, *layout.frame), layout.dtype)
        self.action = np.full((e, m), NOTHING, np.int64)
        self.reward = np.zeros((e, m), np.float32)
        self.age = np.zeros((e, m), np.int32)  # moments since the episode began
        self.over = np.zeros((e, m), bool)  # what was done here ended the episode for good
        self.written = np.zeros(e, np.int64)  # moments ever, of each environment
        self.stored = np.zeros(e, np.int64)  # of these, how many lie on disk
        self.names: list[tuple[str, list[list[int]]]] = []  # pieces on disk, and from where to where each goes

    def note(self, place: int, seen: np.ndarray, action: int, reward: float, age: int, over: bool) -> int:
        """Writes one moment and returns where it stands in the ring."""
        at = int(self.written[place]) % self.layout.length
        self.seen[place, at] = seen
        self.action[place, at], self.reward[place, at] = action, reward
        self.age[place, at], self.over[place, at] = age, over
        self.written[place] += 1
        return at

    def break_off(self, place: int) -> None:
        """What is noted next of an environment does not follow from what was noted last: that is an episode's last
        moment."""
        at = int((self.written[place] - 1) % self.layout.length)
        self.action[place, at], self.reward[place, at], self.over[place, at] = NOTHING, 0.0, False

    @property
    def moments(self) -> int:
        return int(np.minimum(self.written, self.layout.length).sum())

    def usable(self, steps: int) -> np.ndarray:
        """(e, m): moments from which `steps` steps can be told: something was done, and enough of what came of it, and
        of what was seen before, is still there."""
        m, usable = self.layout.length, self.action != NOTHING
        for place, count in enumerate(self.written):
            if count <= m:
                usable[place, max(count - steps, 0) :] = False
            else:
                head = int(count % m)
                newest = (head - 1 - np.arange(steps)) % m  # whose future is not known yet
                oldest = (head + np.arange(self.layout.stack - 1)) % m  # whose past was overwritten
                usable[place, newest] = False
                usable[place, oldest] = False
        return usable

    def observe(self, place: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Observations (n, …) as they were seen, pictures stacked again: before an episode's first there is itself."""
        stack = self.layout.stack
        if stack == 1:
            return self.seen[place, at]
        back = np.minimum(np.arange(stack - 1, -1, -1)[None], self.age[place, at][:, None])  # (n, stack)
        where = (at[:, None] - back) % self.layout.length
        frames = self.seen[place[:, None], where]  # (n, stack, 1, h, w)
        return frames.reshape(len(place), -1, *frames.shape[3:])

    def recall(self, place: np.ndarray, at: np.ndarray, steps: int, discount: float) -> dict[str, np.ndarray]:
        """What was seen and done at these moments, the discounted reward of at most `steps` steps from there, and what
        was seen then. "discount" is what the value of that is worth: 0 where the episode was over."""
        m = self.layout.length
        if steps == 1:
            after = (at + 1) % m
            return self._told(place, at, self.reward[place, at], np.where(self.over[place, at], 0.0, discount), after)
        reward = np.zeros(len(at), np.float32)
        worth = np.ones(len(at), np.float32)
        going = np.ones(len(at), bool)
        now = at.copy()
        for _ in range(steps):
            reward += np.where(going, worth * self.reward[place, now], 0.0)
            ended = self.over[place, now]
            worth = np.where(going, np.where(ended, 0.0, worth * discount), worth)
            now = np.where(going, (now + 1) % m, now)
            # An episode's last moment, where nothing was done: what would come after is another episode.
            going = going & ~ended & (self.action[place, now] != NOTHING)
        return self._told(place, at, reward, worth, now)

    def _told(
        self, place: np.ndarray, at: np.ndarray, reward: np.ndarray, worth: np.ndarray, after: np.ndarray
    ) -> dict[str, np.ndarray]:
        return {
            "input": self.observe(place, at),
            "action": self.action[place, at][:, None],
            "reward": reward,
            "discount": worth.astype(np.float32),
            "next": self.observe(place, after),
        }

    # on disk

    def pieces(self) -> dict[str, Callable[[], dict[str, np.ndarray]] | None]:
        """What has to be kept: names, and of those that are not on disk yet how to get them. Pieces of which all was
        overwritten are named no more."""
        oldest = np.maximum(self.written - self.layout.length, 0)
        self.names = [
            piece for piece in self.names if any(stop > o for (_, stop), o in zip(piece[1], oldest, strict=True))
        ]
        pieces: dict[str, Callable[[], dict[str, np.ndarray]] | None] = {name: None for name, _ in self.names}
        if (self.written > self.stored).any():
            spans = [[int(max(a, o)), int(b)] for a, b, o in zip(self.stored, self.written, oldest, strict=True)]
            name = f"memory-{int(self.written.sum())}"
            self.names.append((name, spans))
            self.stored = self.written.copy()
            pieces[name] = lambda: self._cut(spans)
        return pieces

    def _cut(self, spans: list[list[int]]) -> dict[str, np.ndarray]:
        cut: dict[str, np.ndarray] = {}
        for name in FIELDS:
            ring = getattr(self, name)
            parts = [ring[e, np.arange(a, b) % self.layout.length] for e, (a, b) in enumerate(spans)]
            cut[name] = np.concatenate(parts)
        return cut

    def state_dict(self) -> dict[str, Any]:
        return {"written": self.written, "names": [[name, spans] for name, spans in self.names]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.written = np.array(state["written"])
        self.stored = self.written.copy()
        self.names = [(name, spans) for name, spans in state["names"]]

    def load_pieces(self, read: Callable[[str], Mapping[str, Any]]) -> None:
        for name, spans in self.names:
            piece, start = read(name), 0
            for place, (a, b) in enumerate(spans):
                at = np.arange(a, b) % self.layout.length
                for column in FIELDS:
                    getattr(self, column)[place, at] = piece[column][start : start + b - a]
                start += b - a


class Priorities:
    """Which moments are drawn, in proportion to a priority: a tree of sums (Schaul et al. 2016, arXiv:1511.05952).

    `values` are the leaves; a parent is the sum of its two children.
    """

    def __init__(self, count: int) -> None:
        self.depth = max(int(np.ceil(np.log2(max(count, 2)))), 1)
        self.leaves = 1 << self.depth
        self.tree = np.zeros(2 * self.leaves)

    @property
    def total(self) -> float:
        return float(self.tree[1])

    def set(self, places: np.ndarray, values: np.ndarray) -> None:
        """Of places that stand there twice the last value counts."""
        at = np.asarray(places) + self.leaves
        self.tree[at] = values
        for _ in range(self.depth):
            at = np.unique(at >> 1)
            self.tree[at] = self.tree[2 * at] + self.tree[2 * at + 1]

    def draw(self, shares: np.ndarray) -> np.ndarray:
        """The leaves at `shares` (n,) of the whole sum, each 0-1."""
        rest, at = shares * self.total, np.ones(len(shares), np.int64)
        for _ in range(self.depth):
            left = self.tree[2 * at]
            right = (rest >= left) & (self.tree[2 * at + 1] > 0)
            rest = np.where(right, rest - left, rest)
            at = 2 * at + right
        return at - self.leaves

    def of(self, places: np.ndarray) -> np.ndarray:
        priorities: np.ndarray = self.tree[np.asarray(places) + self.leaves]
        return priorities
