"""Films of episodes: which pictures are kept, and how they are shown one by one."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pervade.agents import film
from pervade.tasks.ppo import PPO
from tests.acting import Constant, fitted


def test_pictures_that_would_be_dropped_are_not_drawn() -> None:
    reel, drawn = film.Reel(most=4, side=8), []

    def draw() -> Any:
        drawn.append(reel.seen)
        return np.full((16, 12, 3), len(drawn), np.uint8)

    for _ in range(40):
        reel.take(draw)
    added = film.Reel(most=4, side=8)
    for number in range(40):
        added.add(np.full((16, 12, 3), number, np.uint8))
    assert (reel.every, reel.seen, len(reel.frames)) == (added.every, added.seen, len(added.frames)) == (16, 40, 3)
    assert drawn == [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32]
    assert reel.frames[0].shape == (8, 6, 3)


def test_still_by_still_it_is_the_episode_that_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    domain, task, model = fitted("CartPole-v1"), PPO(), Constant().eval()
    whole = film.watch(task, model, domain, 3)
    shown = film.still_by_still(task, model, domain, 3)
    assert (shown["length"], shown["return"], shown["cut"]) == (len(whole.rewards), whole.rewards.sum(), False)
    assert shown["chances"] == [[0.5, 0.5]] * len(whole.rewards)
    assert (len(shown["frames"]), shown["frames_every"], shown["rate"]) == (len(whole.rewards), 1, 50.0)
    with Image.open(io.BytesIO(base64.b64decode(shown["frames"][0]))) as picture:
        assert (picture.format, picture.size) == ("PNG", (240, 160))
    monkeypatch.setattr(film, "MOST_STEPS", 4)
    short = film.still_by_still(task, model, domain, 3)
    assert (short["length"], short["cut"], len(short["frames"])) == (4, True, 4)
    monkeypatch.setattr(film, "MOST_STEPS", len(whole.rewards))
    assert not film.still_by_still(task, model, domain, 3)["cut"]  # over just then


def test_an_environment_that_draws_nothing_has_no_stills() -> None:
    assert film.Reel().stills() == []
