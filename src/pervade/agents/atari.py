"""Atari games as Mnih et al. 2015 and Machado et al. 2018 ("Revisiting the Arcade Learning Environment") set them up.

Each action holds for four frames; what is seen is the brighter of the last two, grey, 84 x 84, and the network sees the
last four such pictures (agents/worlds/ stacks them). Actions stick with probability 0.25. In training alone a lost life
ends the episode and rewards count by their sign; what is measured is whole games and their true score.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from PIL import Image

SKIP, SIDE, STACK = 4, 84, 4
STICKY = 0.25  # the probability that the last action is taken once more
LONGEST = 108_000 // SKIP  # steps of one game: 30 minutes at 60 frames a second


def make(name: str, training: bool, render: bool, arguments: dict[str, Any]) -> Any:
    settings = {"frameskip": 1, "repeat_action_probability": STICKY, "obs_type": "grayscale", **arguments}
    mode = "rgb_array" if render else None
    return Atari(gymnasium.make(name, disable_env_checker=True, render_mode=mode, **settings), training)


class Atari(gymnasium.Wrapper):
    """One picture (84, 84) a step. `info["episode"]` holds score and length where a whole game is over; that of `reset`
    those of the game before, where it ended while its next life began.

    `anew` tells whether the last reset began a new game, and not just the next life of the same.
    """

    def __init__(self, env: Any, training: bool) -> None:
        super().__init__(env)
        self.training = training
        # A step holds for several frames, of which one is drawn.
        self.metadata = {**env.metadata, "render_fps": (env.metadata.get("render_fps") or 60) / SKIP}
        self.observation_space = gymnasium.spaces.Box(0, 255, (SIDE, SIDE), np.uint8)
        self.anew, self.over = True, True
        self.lives, self.score, self.age = 0, 0.0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.anew = self.over or not self.training
        before: dict[str, Any] = {}
        if not self.anew:
            frame, reward, terminated, truncated, info = self.env.step(0)  # the next life
            self.score += float(reward)
            if not (terminated or truncated):
                self.lives = info.get("lives", 0)
                return _small(frame), info
            self.anew = True
            before = {"episode": {"return": self.score, "length": self.age}}
        frame, info = self.env.reset(seed=seed, options=options)
        info |= before
        self.over, self.lives, self.score, self.age = False, info.get("lives", 0), 0.0, 0
        return _small(frame), info

    def step(self, action: Any) -> Any:
        total, seen = 0.0, []
        terminated = truncated = False
        info: dict[str, Any] = {}
        for number in range(SKIP):
            frame, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if number >= SKIP - 2:
                seen.append(frame)
            if terminated or truncated:
                seen = seen or [frame]
                break
        self.score, self.age = self.score + total, self.age + 1
        self.over = terminated or truncated
        lives = info.get("lives", 0)
        lost, self.lives = lives < self.lives, lives
        if self.over:
            info["episode"] = {"return": self.score, "length": self.age}
        picture = _small(seen[0] if len(seen) == 1 else np.maximum(seen[0], seen[1]))
        if not self.training:
            return picture, total, terminated, truncated, info
        return picture, float(np.sign(total)), terminated or lost, truncated, info


def _small(frame: np.ndarray) -> np.ndarray:
    """(210, 160) to (84, 84), each pixel the mean of those it covers."""
    return np.asarray(Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.BOX))
