"""Rows of rare classes are made by a model that learnt from the rows that train alone, and train beside these
(run/synthetic.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from pervade.core.bounds import Part
from pervade.core.contracts import MakesRows, Recipe
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.terminal import visible
from pervade.domains.image import Image
from pervade.tasks.classify import Classify
from pervade.train.rare_classes import RARE, Cure, told


@register("imbalance")
@dataclass(frozen=True)
class Generate(Cure):
    """Of pictures. A class is rare below a fifth of its fair share, 1 / k of the rows. What is made counts in training
    alone, and is taken out of the probabilities again (`Classify.synthetic`)."""

    # What makes them, by class: a generator learns in less time than a network that takes noise away, and makes a
    # picture at once
    model: str = "dcgan"
    size: Annotated[int, Field(ge=4, le=512)] | None = None  # of what is made, pixels; None: see run/synthetic.py
    share: Annotated[float, Field(gt=0, le=1)] = 1.0  # of its fair share that a rare class is brought to,
    most: Annotated[float, Field(gt=0, le=100)] = 3.0  # by at most so many times its real rows
    fewest: Annotated[int, Field(ge=2, le=10**6)] = 20  # real rows of a class that it takes
    time: Part = 0.3  # of a time limit, for the model that makes them to learn in; half as long may making them take

    def check(self, recipe: Recipe) -> None:
        self.require(recipe, Classify)
        task = recipe.task
        if not (isinstance(recipe.domain, Image) or (isinstance(task, Classify) and task.synthetic)):
            raise ConfigError(
                f"--imbalance generate makes pictures, and this task reads {recipe.domain.reads}; take --imbalance "
                "weights, oversample or focal"
            )
        if isinstance(recipe.domain, Image) and recipe.domain.framing == "tiles":
            raise ConfigError(
                "--imbalance generate makes square pictures, and fit=tiles reads long ones piece by piece; take "
                "-o domain.fit=pad, or --imbalance weights or oversample"
            )

    def treat(self, recipe: Recipe, counts: Mapping[str, int], held: Mapping[str, int]) -> tuple[Recipe, list[str]]:
        wanted = self.wanted(counts)
        if not wanted:
            raise ConfigError(
                f"--imbalance generate: no class is rare ({told(counts).removeprefix('classes: ')}); leave it out"
            )
        few = next((label for label in wanted if counts[label] < self.fewest), None)
        if few is not None:
            raise ConfigError(
                f"--imbalance generate: of {visible(few)!r} {counts[few]:,} rows train, and to make others like them "
                f"takes {self.fewest} (imbalance.fewest); give more of them, or take --imbalance weights or oversample"
            )
        done = "others like them are made from the rows that train, and train beside them (--imbalance generate)"
        return self.cured(recipe), [f"{told(counts)}; {done}"]

    def making(self) -> MakesRows:
        return self

    def wanted(self, counts: Mapping[str, int]) -> dict[str, int]:
        """How many rows of each rare class are to be made."""
        fair = sum(counts.values()) / len(counts)
        return {
            label: min(round(self.share * fair) - number, int(self.most * number))
            for label, number in counts.items()
            if number < RARE * fair and number < round(self.share * fair)
        }
