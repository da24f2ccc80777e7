"""What sources that act have in common: environments that are opened when they are first needed, and their episodes."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import numpy as np

from pervade.agents import spaces, worlds
from pervade.core.contracts import Opening, Source
from pervade.core.contracts.abilities import Acts
from pervade.core.contracts.capabilities import Acting, able


class Playing(Source):
    KEPT: ClassVar[tuple[str, ...]]  # names of what the state holds as it is

    def __init__(self, opening: Opening) -> None:
        self.model, self.seed, self.batch_size = opening.model, opening.seed, opening.batch_size
        self.domain = able(opening.context.domain, Acting)
        self.numbers = np.array([int(number) for number in opening.rows.number], np.int64)
        self.count = len(self.numbers)
        self.space = spaces.unpacked(self.domain.action)
        self.names = cast(Acts, opening.task).asks(self.space)
        self.worlds: worlds.Worlds | None = None
        self.steps_taken = 0
        self.episodes: list[worlds.Episode] = []
        self.put_back: dict[str, Any] = {}
        self.begun_anew = 0  # environments that could not be put back

    def _open(self) -> worlds.Worlds:
        if self.worlds is None:
            self.worlds = worlds.open_worlds(self.domain.plan(count=self.count, seed=self.seed))
            if self.put_back:
                self.begun_anew = self.worlds.load_state_dict(self.put_back)
                self.put_back = {}
            else:
                self.worlds.reset()
                self._warm_up(self.worlds)
        return self.worlds

    def _warm_up(self, opened: worlds.Worlds) -> None:
        """What is done first in environments that were not put back."""

    def news(self) -> dict[str, float]:
        episodes, self.episodes = self.episodes, []
        news = worlds.news(episodes, self.steps_taken, 0 if self.worlds is None else self.worlds.crashes)
        anew, self.begun_anew = self.begun_anew, 0  # told once
        return news | ({"begun_anew": anew} if anew else {})

    def state_dict(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in self.KEPT},
            "episodes": [[e.world, e.seed, e.total, e.length, e.cut] for e in self.episodes],
            "worlds": self.put_back if self.worlds is None else self.worlds.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in self.KEPT:
            setattr(self, name, state[name])
        self.episodes = [worlds.Episode(*episode) for episode in state["episodes"]]
        self.put_back = state["worlds"]
