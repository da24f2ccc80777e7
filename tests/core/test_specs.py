"""Specs go to JSON and back, and every fault of a recipe is told at once with its path."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from pervade.core import registry, spec
from pervade.core.contracts import EarlyStopping, Model, Optimizer, Recipe
from pervade.core.errors import ConfigError
from pervade.recipes import image

EVERY = [(kind, name) for kind in registry.PACKAGES for name in registry.names(kind)]


@pytest.mark.parametrize(("kind", "name"), EVERY, ids=[f"{kind}-{name}" for kind, name in EVERY])
def test_every_registered_spec_comes_back(kind: str, name: str) -> None:
    cls, fields = registry.find(kind, name)
    try:
        original = cls(**fields)
    except TypeError:
        pytest.skip(f"{name} has fields without a default")
    data = json.loads(json.dumps(spec.encode(original)))
    assert data["use"] == registry.name_of(cls)
    assert spec.decode(data, _protocol(kind)) == original
    assert spec.decode(name, _protocol(kind)) == original


def _protocol(kind: str) -> Any:
    from pervade.core import contracts

    found = [each for each in vars(contracts).values() if getattr(each, "kind", None) == kind]
    return found[0]


@pytest.mark.parametrize("make", [image.default, image.small, image.reference, image.mlp])
def test_every_recipe_comes_back(make) -> None:
    recipe = make()
    assert spec.decode(json.loads(json.dumps(spec.encode(recipe))), Recipe) == recipe


def test_every_fault_at_once() -> None:
    data = spec.encode(image.default())
    data["model"] = "resnet81"
    data["optimizer"]["momentun"] = 0.9
    data["epochs"] = "many"
    data["domain"]["size"] = -1
    data["early_stopping"]["patience"] = "long"
    data["sede"] = 1
    with pytest.raises(ConfigError) as caught:
        spec.decode(data, Recipe)
    told = sorted(caught.value.problems)
    assert len(told) == 6
    for words in (
        "model: unknown model 'resnet81'; did you mean 'resnet18'?",
        "unknown setting 'optimizer.momentun'; did you mean 'optimizer.momentum'?",
        "epochs: 'many' does not fit",
        "domain.size: -1 does not fit; it must be a whole number from 4 up to 4,096",
        "early_stopping.patience: 'long' does not fit",
        "unknown setting 'sede'; did you mean 'seed'?",
    ):
        assert any(words in each for each in told), words


@pytest.mark.parametrize("data", [None, 3, "recipe", [], {"use": 3}, {"model": 3}, {"model": {"use": []}}])
def test_anything_else_is_refused(data: Any) -> None:
    with pytest.raises(ConfigError):
        spec.decode(data, Recipe)


def test_unregistered_is_named_but_does_not_load() -> None:
    @dataclass(frozen=True)
    class Mine(Model):
        units: int = 3

    data = spec.encode(Mine())
    assert data["unregistered"].endswith("Mine")
    with pytest.raises(ConfigError, match="is not registered, so it cannot be loaded from a file; register it"):
        spec.decode(data, Model)


def test_change() -> None:
    data = {"optimizer": {"use": "adam", "lr": 0.1}, "epochs": 3}
    changed = spec.change(data, ["optimizer.lr=0.5", "epochs=4", "name=a=b", "filters=[1, 2]", "odd={"])
    assert changed == {
        "optimizer": {"use": "adam", "lr": 0.5},
        "epochs": 4,
        "name": "a=b",
        "filters": [1, 2],
        "odd": "{",
    }
    assert data["epochs"] == 3
    with pytest.raises(ConfigError) as caught:
        spec.change(data, ["epochs", "=3", "epochs.x=1", "optimizer.lr.y=2"])
    assert len(caught.value.problems) == 4


def test_nested_dataclasses_are_checked() -> None:
    @dataclass(frozen=True)
    class Outer:
        stopping: EarlyStopping = field(default_factory=EarlyStopping)
        optimizer: Optimizer | None = None
        several: tuple[Optimizer, ...] = ()

    # Type hints of a class made in a function cannot be found by name, so they are given.
    spec._hints.cache_clear()
    Outer.__annotations__ = {
        "stopping": EarlyStopping,
        "optimizer": Optimizer | None,
        "several": tuple[Optimizer, ...],
    }
    made = spec.decode({"several": ["adam", {"use": "sgd", "lr": 0.3}]}, Outer)
    assert [type(each).__name__ for each in made.several] == ["Adam", "SGD"]
    with pytest.raises(ConfigError, match=r"several\[0\]: unknown optimizer 'adan'; did you mean 'adam"):
        spec.decode({"several": ["adan"]}, Outer)
    with pytest.raises(ConfigError, match=r"unknown setting 'stopping\.patienc'; did you mean 'stopping\.patience'"):
        spec.decode({"stopping": {"patienc": 1}}, Outer)


@pytest.mark.parametrize(
    ("task", "source", "suits"),
    [
        ("ppo", "rollouts", True),
        ("dqn", "replay", True),
        ("ppo", "replay", False),
        ("dqn", "rollouts", False),
        ("ppo", "dataset", False),
        ("classify", "dataset", True),
        ("classify", "replay", False),
        ("classify", "rollouts", False),
    ],
)
def test_a_source_that_gives_something_else_is_refused(task: str, source: str, suits: bool) -> None:
    data = spec.encode(image.default()) | {"task": task, "source": source, "augment": []}
    if suits:
        assert spec.decode(data, Recipe).task is not None
    else:
        with pytest.raises(ConfigError, match=r"^source: \w+ does not give what \w+ learns from; leave source as"):
            spec.decode(data, Recipe)
