"""A task around a task is the inner one in all that it does not say itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from pervade.core.contracts import Task, Wrapping, abilities, members
from pervade.core.contracts.abilities import ABILITIES, CouplesRows, FindsGradient, HasCompanions, MakesSamples
from pervade.tasks.classify import Classify
from pervade.tasks.dqn import DQN
from pervade.tasks.ppo import PPO


def own(*contracts: type) -> Task:
    """A task that has every member of these contracts for itself."""
    methods: dict[str, Callable[..., Any]] = {}
    for contract in contracts:
        methods |= {name: lambda self, *given, name=name: (name, given) for name in members(contract)}
    made: Task = type("Own", (Task,), methods)()
    return made


def test_a_task_asks_little_of_whoever_writes_one() -> None:
    """What only some kinds of learning need is an ability."""
    assert len(members(Task)) <= 14


def test_every_ability_is_known_to_what_wraps() -> None:
    """One that is added to the file and not to the tuple would not be the inner task's any more."""
    there = [value for value in vars(abilities).values() if getattr(value, "__module__", "") == abilities.__name__]
    assert set(ABILITIES) == {value for value in there if isinstance(value, type)}


@pytest.mark.parametrize("contract", [Task, *ABILITIES])
def test_all_is_the_inner_tasks(contract: type) -> None:
    inner = own(Task, contract)
    outer = Wrapping(inner)
    assert members(contract)
    for name in members(contract):
        assert getattr(outer, name)(1, 2) == (name, (1, 2))
    if contract is not Task:
        assert isinstance(outer, contract)


@pytest.mark.parametrize("ability", ABILITIES)
def test_what_the_inner_task_cannot_do_it_cannot(ability: type) -> None:
    assert not isinstance(Wrapping(own(Task)), ability)


@dataclass(frozen=True)
class Twice(Wrapping, HasCompanions):
    """Says some of it itself."""

    def loss(self, output: Any, batch: Any) -> Any:
        return "twice", super().loss(output, batch)

    def companions(self, model: Any, domain: Any) -> Any:
        return "own"


def test_what_differs_is_its_own() -> None:
    outer: Any = Twice(own(Task, HasCompanions, CouplesRows))
    assert outer.loss(1, 2) == ("twice", ("loss", (1, 2)))
    assert outer.forward(1) == ("forward", (1,))
    assert outer.companions(1, 2) == "own"
    assert outer.after_step(1) == ("after_step", (1,))
    assert isinstance(outer, CouplesRows)
    alone: Any = Twice(Classify())
    assert alone.finished("model", None) == "model"
    assert not isinstance(alone, MakesSamples)


def test_a_gradient_is_that_of_one_loss() -> None:
    """A gradient that is known without autograd leaves out what a wrapping task adds."""
    assert isinstance(Wrapping(DQN()), FindsGradient)
    assert not isinstance(Twice(DQN()), FindsGradient)
    assert not isinstance(Twice(Twice(PPO())), FindsGradient)


def test_it_wraps_what_wraps() -> None:
    outer: Any = Wrapping(Wrapping(PPO()))
    assert outer.asks({"sizes": [2], "kind": "discrete"}) == PPO().asks({"sizes": [2], "kind": "discrete"})
    assert outer.task.task == PPO()
