"""An environment to act in: an example is an episode, and what is seen when it begins.

The rows of a run are its training environments (one a row) and the episodes that measure it: as many by the likeliest
action as drawn from the policy, by seeds that training cannot meet. Evaluate, predict and serve make the environment in
the same way, without what helps training alone (clipped rewards, a life as an episode).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from PIL import Image as Picture
from pydantic import Field
from torch import nn

from pervade.agents import environments, spaces, worlds
from pervade.core.contracts import Domain, InputSpace, Observations, Pixels, PlainFeatures, TensorSpec, asking
from pervade.core.contracts.deployment import ROWS
from pervade.core.errors import DataError
from pervade.core.registry import register
from pervade.core.types import Batch, Example, LeftOut, Media, Rows
from pervade.core.words import DomainWords, counted
from pervade.nn import actions
from pervade.nn.entrances import PlainEntrance

DETERMINISTIC, STOCHASTIC = "likeliest action", "drawn from the policy"
LARGEST_SEED = 2**31 - 1  # that every environment takes, Atari's among them
FIRST_SEED = 10_000_000  # of the episodes that measure; training's lie above 2**30
VALIDATION_SEED = 20_000_000
Episodes = Annotated[int, Field(ge=0, le=100_000)]
Steps = Annotated[int, Field(ge=1, le=10**9)]


@register("domain")
@dataclass(frozen=True)
class Environment(Domain):
    """`name` is what Gymnasium calls it, or module:Class; fields from "observation" on are learnt by trying it."""

    name: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)  # keyword arguments it is made with
    environments: Annotated[int, Field(ge=1, le=1024)] = 8  # copies to train in at once
    processes: Annotated[int, Field(ge=0, le=256)] = 0  # worker processes that step them; 0: this one
    episodes: Annotated[Episodes, Field(ge=1)] = 100  # that measure: so many of each kind
    validation: Episodes = 0  # that judge while it learns, where early_stopping.metric is set
    longest: Steps = 10_000  # after which an episode is cut, where the environment sets none
    scale_actions: bool = True  # a policy's -1 to 1 is the range of a continuous action
    observation: dict[str, Any] = field(default_factory=dict)
    action: dict[str, Any] = field(default_factory=dict)
    limit: Steps | None = None  # after which the environment ends an episode by itself
    stack: Annotated[int, Field(ge=1, le=64)] = 1  # pictures that are seen together
    repeats: bool = True  # the same seed and actions give the same episode

    given: ClassVar[str] = "SEED"
    reads: ClassVar[str] = "environments to act in"
    wording: ClassVar[DomainWords] = DomainWords(
        ("episode", "episodes"),
        pass_noun=("round", "rounds"),
        environment="{name}",
        unseen="by seeds that training cannot meet",
    )

    # rows

    def read(self, source: Any) -> tuple[Rows, list[LeftOut]]:
        """Of an address (gym://NAME): training environments and measured episodes."""
        if not environments.is_address(source):
            raise DataError(f"{source} is no environment; write gym://NAME, such as gym://CartPole-v1")
        name = environments.name_of(source)
        if self.name and name != self.name:
            raise DataError(f"this recipe is for {self.name}, and the environment given is {name}; change one of them")
        environments.look(name, self.arguments)
        train = [f"environment {i + 1}" for i in range(self.environments)]
        seeds = [FIRST_SEED + i for i in range(self.episodes)]
        measured = [(f"episode {i + 1}, {mode}", seed, mode) for mode in MODES for i, seed in enumerate(seeds)]
        judged = [(f"validation {i + 1}", VALIDATION_SEED + i, DETERMINISTIC) for i in range(self.validation)]
        both = [*judged, *measured]
        rows = Rows(
            {
                "id": [*train, *(name for name, _, _ in both)],
                "seed": [*[-1] * len(train), *(seed for _, seed, _ in both)],
                "mode": [*[""] * len(train), *(mode for _, _, mode in both)],
                "split": [*["train"] * len(train), *["validation"] * len(judged), *["test"] * len(measured)],
                # The same seed is the same beginning, so both kinds by it belong together.
                "group": [*train, *(f"seed {seed}" for _, seed, _ in both)],
            }
        )
        return rows, []

    def asked(self, given: str, number: int = 1) -> Iterable[dict[str, Any] | LeftOut]:
        """An episode by this seed, by the likeliest action."""
        if not given.isdecimal() or len(given) > 10 or int(given) > LARGEST_SEED:
            return [LeftOut(given, f"a seed is a whole number from 0 to {LARGEST_SEED}")]
        return [{"id": f"seed {int(given)}", "seed": int(given), "mode": DETERMINISTIC}]

    def fields(self) -> tuple[asking.Field, ...]:
        return (asking.Field("input", "seed", "Seed of an episode"),)

    def sent(self, given: Mapping[str, Any], name: str, number: int = 1) -> dict[str, Any] | LeftOut:
        return next(iter(self.asked(given["input"], number)))

    def prepare(
        self, rows: Rows, progress: Callable[[int, int], None], keep: bool = True
    ) -> tuple[Rows, list[LeftOut]]:
        return rows, []

    def fit(self, train: Rows) -> Self:
        about = environments.look(self.name, self.arguments)
        action = {**about.action, **({"scale": True} if self.scale_actions else {})}
        return replace(
            self,
            observation=about.observation,
            action=action,
            limit=about.longest,
            stack=about.stack,
            repeats=about.repeats,
        )

    def remarks(self, rows: Rows) -> list[str]:
        shape = " x ".join(map(str, self.observation["shape"]))
        kind = "pictures" if self.observation["picture"] else "numbers"
        said = [f"{self.name}: sees {kind} ({shape}), does {actions.describe(self.space)}"]
        if self.limit is None:
            said.append(
                f"{self.name} sets no limit to an episode's length, so one is cut after "
                f"{counted(self.longest, 'step')} (-o domain.longest)"
            )
        if not self.repeats:
            said.append(
                f"{self.name} goes on otherwise by the same seed and actions, so neither its episodes nor a resumed "
                "training repeat exactly; where that is not meant, draw everything random from self.np_random"
            )
        return said

    # examples

    def transform(self, row: dict[str, Any], rng: Any) -> list[Example]:
        """The first observation of the row's episode."""
        env = environments.make(self.name, self.arguments)
        try:
            seed = max(int(row["seed"]), 0)
            first = spaces.reader(env.observation_space)(env.reset(seed=seed)[0])
        except Exception as error:
            raise DataError(f"{self.name} raised an error in reset(seed={seed}): {environments.fault(error)}") from None
        finally:
            env.close()
        seen = np.array(np.repeat(first, self.stack, axis=0) if self.stack > 1 else first)
        drawn = row["mode"] == STOCHASTIC
        return [{"input": torch.from_numpy(seen), "seed": torch.tensor(seed), "drawn": torch.tensor(drawn)}]

    def collate(self, examples: Sequence[Example]) -> Batch:
        return {name: torch.stack([example[name] for example in examples]) for name in examples[0]}

    def inputs(self) -> Pixels | Observations:
        """Pictures come as 0-1, which is taken as it is."""
        shape = tuple(self.observation["shape"])
        if len(shape) == 3:
            return Pixels(shape, (0.0,) * shape[0], (1.0,) * shape[0])
        return Observations(shape)

    @cached_property
    def space(self) -> Mapping[str, Any]:
        """The action space, as nn/actions.py takes it."""
        return spaces.unpacked(self.action)

    @property
    def last_step(self) -> int:
        """Steps after which an episode is cut at the latest."""
        return self.limit or self.longest

    def plan(self, **settings: Any) -> worlds.Plan:
        """What agents/worlds/ opens. `settings` are fields of `Plan`."""
        given = {"count": self.environments, "processes": self.processes, **settings}
        return worlds.Plan(
            self.name,
            observation=self.observation,
            action=self.action,
            longest=self.last_step,
            stack=self.stack,
            arguments=self.arguments,
            **given,
        )

    def plain_features(self, train: Rows, rows: Rows) -> PlainFeatures | None:
        """What need not learn: actions at random, in the same episodes."""
        return PlainFeatures("a random policy", None, rows)

    # where it leaves this project

    def takes(self) -> tuple[TensorSpec, ...]:
        shape = tuple(self.observation["shape"])
        picture = self.observation["picture"]
        said = f"what {self.name} shows, as it shows it" + (f", {self.stack} pictures together" * (self.stack > 1))
        return (TensorSpec("observation", "uint8" if picture else "float32", (ROWS, *shape), said),)

    def entrance(self) -> nn.Module:
        return PlainEntrance()

    def feeds(self, row: dict[str, Any]) -> list[dict[str, np.ndarray]]:
        """How the row's episode begins."""
        return [{"observation": example["input"].numpy()[None]} for example in self.transform(row, None)]

    def specimen(self) -> dict[str, np.ndarray]:
        (spec,) = self.takes()
        return {spec.name: np.zeros((2, *map(int, spec.shape[1:])), spec.type)}

    # looking in

    def input_space(self) -> InputSpace:
        if self.observation["picture"]:
            return InputSpace(0.0, 1.0, "pixel, 0-255", 255.0)
        return InputSpace(-np.inf, np.inf, "as the environment shows it")

    def show(self, row: dict[str, Any], prediction: dict[str, Any] | None) -> list[Media]:
        """The picture that the environment draws of how the episode begins, as a PNG; nothing where it draws none."""
        env = environments.make(self.name, self.arguments, render=True)
        try:
            env.reset(seed=max(int(row["seed"]), 0))
            drawn = env.render()
        finally:
            env.close()
        if not isinstance(drawn, np.ndarray) or drawn.ndim != 3:
            return []
        buffer = io.BytesIO()
        Picture.fromarray(np.asarray(drawn[..., :3], np.uint8)).save(buffer, format="PNG")
        return [Media("png", buffer.getvalue(), str(row["id"]))]


MODES = (DETERMINISTIC, STOCHASTIC)
