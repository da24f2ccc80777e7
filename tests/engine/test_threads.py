"""How many threads compute: chosen by what is measured, kept in the recipe, without a trace in the training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import pervade
from pervade.core.errors import ConfigError
from pervade.engine import checkpoint, threads
from pervade.engine.threads import fastest
from pervade.run.stopping import Stopped
from pervade.run.training import Options
from tests.small_run import recipe, same, stop_at, weights

__all__ = ["stop_at"]


class Machine:
    """A clock that steps put on, by a price for each number of threads and some noise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, price: Callable[[int, int], float]) -> None:
        self.now, self.steps, self.price = 0.0, 0, price
        monkeypatch.setattr(threads, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def step(self) -> int:
        self.steps += 1
        self.now += self.price(torch.get_num_threads(), self.steps)
        return 8


def noisy(one: float, two: float) -> Callable[[int, int], float]:
    """Every third step takes twice as long."""
    return lambda number, step: (one if number == 1 else two) * (2.0 if step % 3 == 0 else 1.0)


@pytest.mark.parametrize(("one", "two", "best"), [(0.1, 0.4, 1), (0.1, 0.06, 2), (0.1, 0.12, 1), (1.0, 0.6, 2)])
def test_the_faster_number_is_found_in_noise(
    one: float, two: float, best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(monkeypatch, noisy(one, two))
    found = fastest(machine.step, 2000, 2)
    assert found.number == best
    assert set(found.seconds) == {1, 2}
    # A few percent of the work, and what one pair of blocks takes.
    assert machine.now < 0.05 * 2000 * min(one, two) + 8 * max(one, two)
    assert found.words().startswith(f"threads: {best} (")


def test_little_work_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, noisy(0.01, 0.001))
    found = fastest(machine.step, 150, 2)
    assert (found.number, found.seconds, machine.steps) == (1, {}, 2)
    assert fastest(machine.step, 10**9, 1).number == 1
    assert machine.steps == 2


def test_equal_numbers_are_soon_told_apart_from_unequal_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda number, step: 0.1)
    fastest(machine.step, 10**6, 2)
    assert machine.steps == 3 + 2 * threads.FEWEST


def measured_as(number: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Goes through two steps, and finds this number to be the faster; how many times that was asked."""
    asked: list[int] = []

    def found(step: Callable[[], int], steps: int, most: int, within: float, known: float) -> threads.Measured:
        asked.append(steps)
        step(), step()
        return threads.Measured(number, {1: 1.0, 2: 2.0}, 8)

    monkeypatch.setattr("pervade.run.training.fastest", found)
    return asked


def test_what_was_measured_stands_in_the_recipe_and_leaves_no_trace(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = measured_as(1, monkeypatch)
    run = pervade.fit(shapes, recipe=recipe(workers=1), name="a", runs=tmp_path, options=Options())
    assert asked == [3 * 6]
    assert checkpoint.read_recipe(run.directory.recipe).threads == 1
    fixed = recipe(workers=1, threads=1)
    other = pervade.fit(shapes, recipe=fixed, name="b", runs=tmp_path, options=Options())
    assert len(asked) == 1
    assert same(weights(run.directory), weights(other.directory))
    assert "number of threads (1), the seed" in run.report().read_text()


def test_a_resumed_run_takes_the_number_that_was_found(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at
) -> None:
    asked, computed = measured_as(2, monkeypatch), []
    stop_at(4)
    with pytest.raises(Stopped):
        pervade.fit(shapes, recipe=recipe(), name="a", runs=tmp_path, options=Options())
    take = pervade.run.training.Learner._take_step

    def noted(self, batch):
        computed.append(torch.get_num_threads())
        return take(self, batch)

    monkeypatch.setattr(pervade.run.training.Learner, "_take_step", noted)
    said: list[str] = []
    screen = SimpleNamespace(say=said.append, bar=Options().screen.bar)
    run = pervade.resume(tmp_path / "a", options=Options(screen=screen))
    assert set(computed) == {2}
    assert len(asked) == 1
    assert run.recipe().threads == 2
    assert [each for each in said if each.startswith("threads: 2, as this run began")]  # this process has one


def test_a_run_of_before_has_as_many_as_torch_takes(shapes: Path, tmp_path: Path) -> None:
    run = pervade.fit(shapes, recipe=recipe(threads=None), name="a", runs=tmp_path, options=Options())
    assert run.recipe().threads is None
    assert run.evaluate()["n"] > 0


def test_members_take_the_number_of_the_first(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = measured_as(1, monkeypatch)
    run = pervade.fit(shapes, recipe=recipe(epochs=1), seeds=2, name="a", runs=tmp_path, options=Options())
    assert len(asked) == 1
    assert run.recipe().threads == 1


def test_a_number_that_is_none() -> None:
    with pytest.raises(ConfigError, match="threads: 'many' does not fit"):
        pervade.api.configure(replace(recipe(), threads="auto"), ["threads=many"])
    assert pervade.api.configure(recipe(), [], threads=2).threads == 2


def test_dear_steps_are_not_compared() -> None:
    """Where five steps would take more than a quarter of the time there is, what is known already has to do."""
    steps: list[int] = []
    measured = fastest(lambda: steps.append(1) or 8, 100, 2, within=10.0, known=1.0)
    assert (measured.number, measured.seconds, steps) == (1, {1: 1.0}, [])
