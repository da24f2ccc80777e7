"""Advantages by hand and by a slow loop; what a time limit cuts off is worth what would have followed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pervade.agents.sources import rollouts
from pervade.agents.sources.rollouts import Rollouts
from pervade.models.perceptron import Perceptron
from pervade.models.policy import Policy
from pervade.tasks.ppo import PPO
from tests import own_environments
from tests.acting import Constant, Sum, fitted, source_of


@pytest.fixture(autouse=True)
def _mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    with own_environments.written(tmp_path):
        yield


def test_advantages_by_hand() -> None:
    """One world, three steps, γ = 0.5, λ = 0.5; the episode is over after the second.

    δ = (1 + 0.5 * 2 - 1, 2 - 2, 4 + 0.5 * 6 - 3) = (1, 0, 4); A = (1 + 0.25 * 0, 0, 4).
    """
    rewards = np.array([[1.0], [2.0], [4.0]], np.float32)
    values = np.array([[1.0], [2.0], [3.0], [6.0]], np.float32)
    over = np.array([[False], [True], [False]])
    found = rollouts.advantages(rewards, values, over, 0.5, 0.5)
    np.testing.assert_allclose(found, [[1.0], [0.0], [4.0]])
    # Nothing is over: A = (1 + 0.25 * (1.5 + 0.25 * 4), 1.5 + 0.25 * 4, 4), where δ_1 = 2 + 0.5 * 3 - 2.
    found = rollouts.advantages(rewards, values, np.zeros_like(over), 0.5, 0.5)
    np.testing.assert_allclose(found, [[1.625], [2.5], [4.0]])


def slow_advantages(rewards, values, finals, terminated, truncated, discount, trace):
    """The sum of the definition, term by term: A_t = Σ (γ λ)^k δ_t+k until the episode is over."""
    steps, worlds = rewards.shape
    found = np.zeros((steps, worlds))
    for world in range(worlds):
        for t in range(steps):
            weight = 1.0
            for k in range(t, steps):
                if terminated[k, world]:
                    after = 0.0
                elif truncated[k, world]:
                    after = finals[k, world]
                else:
                    after = values[k + 1, world]
                found[t, world] += weight * (rewards[k, world] + discount * after - values[k, world])
                weight *= discount * trace
                if terminated[k, world] or truncated[k, world]:
                    break
    return found


@pytest.mark.parametrize("name", ["mine:Counter", "mine:Own", "CartPole-v1", "mine:TimeHides"])
def test_a_rollout_against_a_slow_loop(name: str) -> None:
    """Counter ends episodes now and cuts them off then; CartPole is stepped at once, with idle steps in between."""
    domain = fitted(name, environments=3)
    spec = Rollouts(steps=50, epochs=1, discount=0.9, trace=0.8, scale_rewards=False)
    source = source_of(spec, domain, PPO(), Sum(0.01), batch_size=40)
    steps, seen = watched(source)
    batches = list(source)
    assert len(batches) == len(source) == 4

    def worth(observations: np.ndarray) -> np.ndarray:
        return 0.01 * observations.reshape(
            *observations.shape[: observations.ndim - len(domain.inputs().shape)], -1
        ).sum(-1)

    values = worth(np.stack(seen).astype(np.float64))
    finals = np.zeros((50, 3))
    for at, step in enumerate(steps):
        for place, final in step.finals.items():
            finals[at, place] = worth(final.astype(np.float64))
    ended, cut = (np.stack([getattr(step, each) for step in steps]) for each in ("terminated", "truncated"))
    rewards = np.stack([step.rewards for step in steps])
    expected = slow_advantages(rewards, values, finals, ended, cut, 0.9, 0.8)
    valid = np.stack([np.ones(3, bool) if step.idle is None else ~step.idle for step in steps])

    rollout = source_again(batches, int(valid.sum()))
    returns = np.sort((expected + values[:-1])[valid])
    np.testing.assert_allclose(np.sort(rollout["return"]), returns, rtol=1e-4, atol=1e-4)
    standard = (expected[valid] - expected[valid].mean()) / expected[valid].std()
    np.testing.assert_allclose(np.sort(rollout["advantage"]), np.sort(standard), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(rollout["log_prob"], np.log(0.5), rtol=1e-6)
    assert (valid.all() and ended.any() | cut.any()) or name == "CartPole-v1"


def watched(source) -> tuple[list, list]:
    """The steps that a source will take in its worlds, and what was seen before each and after the last."""
    opened, steps, seen = source._open(), [], []
    seen.append(np.array(opened.observations()))
    take = opened.step

    def step(actions):
        steps.append(take(actions))
        seen.append(np.array(steps[-1].observations))
        return steps[-1]

    opened.step = step
    return steps, seen


def source_again(batches: list, rows: int) -> dict[str, np.ndarray]:
    """All rows of one epoch."""
    assert sum(len(each["row"]) for each in batches) == rows
    return {name: torch.cat([each[name] for each in batches]).numpy() for name in batches[0]}


def test_idle_rows_are_never_learnt_from() -> None:
    """Where all worlds are stepped at once, a world that begins anew takes a step that nobody chose."""
    domain = fitted("CartPole-v1", environments=4)
    source = source_of(Rollouts(steps=100, epochs=2, scale_rewards=False), domain, PPO(), Constant(0.0))
    steps, _ = watched(source)
    batches = list(source)
    idle = sum(int(step.idle.sum()) for step in steps if step.idle is not None)
    assert idle >= 8
    assert sum(len(each["row"]) for each in batches) == 2 * (400 - idle)
    assert source.steps_taken == 400 - idle
    rewards = np.concatenate([each["return"] for each in batches])
    assert rewards.min() >= 1  # an idle step gives nothing, and its return would be less


def test_what_is_cut_off_is_worth_what_would_follow() -> None:
    """A reward of 1 for ever is worth 1 / (1 - γ) in every step; where the time limit counted as an end, less.

    With V = 10 and γ = 0.9 every δ = 1 + 0.9 * 10 - 10 = 0, so every return is 10. The same environment that ends for
    good gives the last step a return of 1.
    """
    spec = Rollouts(steps=35, epochs=1, discount=0.9, trace=0.95, scale_rewards=False)
    cut = source_again(list(source_of(spec, fitted("mine:TimeHides", environments=2), PPO(), Constant(10.0))), 70)
    np.testing.assert_allclose(cut["return"], 10.0, rtol=1e-5)
    ended = source_again(list(source_of(spec, fitted("mine:Own", environments=2), PPO(), Constant(10.0))), 70)
    assert ended["return"].min() == pytest.approx(1.0, abs=1e-5)


def test_the_value_of_what_a_time_limit_hides_is_learnt() -> None:
    """SOLVED: r / (1 - γ) = 5, though no episode's return from any step is more than 4.47 (ten steps)."""
    domain = fitted("mine:TimeHides", environments=4)
    task = PPO(value_weight=1.0)
    torch.manual_seed(0)
    network = Policy(Perceptron((8,))).build(domain.inputs(), task.outputs(domain))
    spec = Rollouts(steps=32, epochs=10, discount=0.8, trace=0.9, scale_rewards=False)
    source = source_of(spec, domain, task, network, batch_size=64)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    from pervade.core.contracts import Context

    for _ in range(25):
        for batch in source:
            optimizer.zero_grad()
            task.loss(task.forward(network, batch, Context(domain)), batch)["loss"].mean().backward()
            optimizer.step()
    value = float(network(torch.zeros(1, 1))["value"].detach())
    assert value == pytest.approx(5.0, abs=0.05)
    assert value > (1 - 0.8**10) / (1 - 0.8)


def test_what_double_precision_ends_with_is_valued() -> None:
    domain, task = fitted("mine:CutInDoubles", environments=2), PPO()
    network = Policy(Perceptron((8,))).build(domain.inputs(), task.outputs(domain))
    source = source_of(Rollouts(steps=24, epochs=1), domain, task, network)
    assert {batch["input"].dtype for batch in source} == {torch.float32}
    assert [each.length for each in source.episodes if each.length == 10]


def test_rewards_are_divided_by_the_deviation_of_returns() -> None:
    """γ = 0.5, a reward of 1 in each of ten steps: discounted returns so far are 2 (1 - 0.5^t), t = 1 to 10."""
    domain = fitted("mine:Own", environments=2)
    task = PPO()
    network = Policy(Perceptron((8,)), normalise=False).build(domain.inputs(), task.outputs(domain))
    source = source_of(Rollouts(steps=20, epochs=1, discount=0.5), domain, task, network)
    list(source)
    returns = 2 * (1 - 0.5 ** np.arange(1, 11))
    assert float(network.returns.variance) == pytest.approx(returns.var(), rel=1e-5)
    assert float(network.returns.count) == 40
    np.testing.assert_allclose(network.returns.scaled(np.ones(1)), 1 / returns.std(), rtol=1e-5)


def test_a_pass_ends_where_the_policy_moved_too_far() -> None:
    domain = fitted("mine:Own", environments=2)
    source = source_of(Rollouts(steps=16, epochs=3, stop_at=0.01), domain, PPO(), Constant(0.0), batch_size=8)
    seen = []
    for number, batch in enumerate(source):
        seen.append(batch)
        if source.feedback(batch, {"kl": torch.full((8,), 0.02 if number == 5 else 0.005)}):
            break
    assert len(seen) == 6
    assert len(source) == 12
    assert (source.pass_number, source.epoch, source.position, source.rollout) == (1, 0, 0, {})
    first = next(iter(source))  # of the next rollout, which begins where the last one ended
    assert len(first["row"]) == 8
    assert source.steps_taken == 64
    # Without a limit no pass ends early.
    free = source_of(Rollouts(steps=16, epochs=3), domain, PPO(), Constant(0.0), batch_size=8)
    assert not free.feedback(next(iter(free)), {"kl": torch.full((8,), 99.0)})


def test_a_source_goes_on_where_its_state_was_taken() -> None:
    domain = fitted("mine:Counter", environments=2)
    spec = Rollouts(steps=16, epochs=2)
    one, other = (source_of(spec, domain, PPO(), Sum(0.01), batch_size=8) for _ in range(2))
    going = iter(one)
    for _ in range(5):
        next(going)
    other.load_state_dict(one.state_dict())
    rest, again = [*going, *one], [*other, *other]
    assert len(rest) == len(again) == 3 + 8
    for a, b in zip(rest, again, strict=True):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)
