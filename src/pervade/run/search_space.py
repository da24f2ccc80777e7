"""What a search may vary: fields of a recipe, each with a range or a list.

optimizer.lr=1e-4..1e-1:log     a number in a range, drawn evenly over its logarithm
batch_size=16..128              whole numbers where both ends are
task.smoothing=[0, 0.1]         one of a list
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from numpy.random import Generator

from pervade.core import plain_yaml, spec
from pervade.core.contracts import Recipe
from pervade.core.errors import ConfigError
from pervade.core.types import Json

RANGE = re.compile(r"\s*([^\s:\[\]]+?)\s*\.\.\s*([^\s:\[\]]+?)\s*(?::\s*(\w+)\s*)?")


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both included; whole numbers where both are int. `log`: evenly over the logarithm."""

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[Json, ...]:
        return (self.low, self.high)

    def as_json(self) -> dict[str, Json]:
        return {"low": self.low, "high": self.high, "log": self.log}

    def distribution(self) -> Any:
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def draw(self, rng: Generator) -> Json:
        if not self.log:
            return (
                int(rng.integers(int(self.low), int(self.high), endpoint=True))
                if self.whole
                else rng.uniform(self.low, self.high)
            )
        drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return min(max(round(drawn), int(self.low)), int(self.high)) if self.whole else drawn


@dataclass(frozen=True)
class Choice:
    """One of `values`: numbers, texts, true, false or null."""

    values: tuple[Json, ...]

    @property
    def ends(self) -> tuple[Json, ...]:
        return self.values

    def as_json(self) -> dict[str, Json]:
        return {"values": list(self.values)}

    def distribution(self) -> Any:
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)  # type: ignore[arg-type]

    def draw(self, rng: Generator) -> Json:
        return self.values[int(rng.integers(len(self.values)))]


Space = Mapping[str, Range | Choice]


def of_json(stored: Mapping[str, Mapping[str, Any]]) -> dict[str, Range | Choice]:
    return {
        path: Choice(tuple(entry["values"])) if "values" in entry else Range(entry["low"], entry["high"], entry["log"])
        for path, entry in stored.items()
    }


def parse(texts: Iterable[str]) -> dict[str, Range | Choice]:
    """Raises ConfigError naming every text that is no range and no list."""
    space: dict[str, Range | Choice] = {}
    problems = []
    for text in texts:
        path, equals, what = text.partition("=")
        try:
            if not equals or not path.strip():
                raise ValueError("it is not of the form path=low..high, path=low..high:log or path=[a, b, c]")
            space[path.strip()] = _list(what) if what.strip().startswith("[") else _range(what)
        except ValueError as error:
            problems.append(f"--search {text!r}: {error}")
    if problems:
        raise ConfigError(*problems)
    return space


def _range(text: str) -> Range:
    match = RANGE.fullmatch(text)
    if match is None:
        raise ValueError("it is not of the form path=low..high, path=low..high:log or path=[a, b, c]")
    low, high = _number(match[1]), _number(match[2])
    if match[3] not in (None, "log"):
        raise ValueError(f"after the colon only 'log' is allowed, not {match[3]!r}")
    if not low < high:
        raise ValueError(f"{low:g} is not below {high:g}")
    if match[3] and low <= 0:
        raise ValueError(f"the logarithm of {low:g} is not defined; start above 0, or leave out ':log'")
    return Range(low, high, match[3] == "log")


def _number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a number") from None


def _list(text: str) -> Choice:
    try:
        values = plain_yaml.parse(text)
    except yaml.YAMLError:
        raise ValueError("the list is not closed, or not separated by commas") from None
    except ConfigError as error:
        raise ValueError(str(error)) from None
    if not isinstance(values, list) or len(values) < 2:
        raise ValueError("a list takes two values or more")
    # YAML reads 1e-3 as a text; a number is meant.
    values = [_number_if_any(value) for value in values]
    if not all(value is None or isinstance(value, (bool, int, float, str)) for value in values):
        raise ValueError("a list holds numbers, texts, true, false or null")
    return Choice(tuple(values))


def _number_if_any(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def with_values(recipe: Recipe, values: Mapping[str, Json]) -> Recipe:
    """The recipe with these fields changed. Raises ConfigError with every fault at once."""
    import json

    settings = [f"{path}={json.dumps(value)}" for path, value in values.items()]
    return spec.decode(spec.change(spec.encode(recipe), settings), Recipe)


def own_values(space: Space, recipe: Recipe) -> dict[str, Json]:
    """The recipe's own, where the space holds them."""
    values: dict[str, Json] = {}
    for path, wanted in space.items():
        place: Any = spec.encode(recipe)
        for part in path.split("."):
            place = place.get(part) if isinstance(place, dict) else None
        if isinstance(wanted, Choice):
            if place in wanted.values:
                values[path] = place
        elif isinstance(place, (int, float)) and wanted.low <= place <= wanted.high:
            values[path] = place
    return values


def check(space: Space, recipe: Recipe) -> None:
    """Raises ConfigError where a path is no field of the recipe, or an end of its range is not allowed there."""
    problems: dict[str, None] = {}
    for path, values in space.items():
        for value in values.ends:
            try:
                with_values(recipe, {path: value})
            except ConfigError as error:
                problems |= dict.fromkeys(error.problems)
    if problems:
        raise ConfigError(*problems)
