"""PPO: its loss by hand, its distributions against torch's, and toys that must be solved."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Independent, Normal

from pervade import api
from pervade.core.contracts import Context
from pervade.models.nature_cnn import NatureCNN
from pervade.models.perceptron import Perceptron
from pervade.models.policy import Policy
from pervade.nn import actions
from pervade.run.training import Options
from pervade.tasks.ppo import PPO
from pervade.testing import check_task
from tests import own_environments
from tests.acting import fitted


@pytest.fixture(autouse=True)
def _mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)  # such networks are too small for more
    with own_environments.written(tmp_path):
        yield


# the loss


def loss_of(task: PPO, ratio: float, advantage: float, now: float = 0.0, **batch: float) -> dict[str, float]:
    """Of one row, whose action was taken with probability 1/2; and the gradients for log-probability and value."""
    log_prob = torch.tensor([math.log(0.5 * ratio)], requires_grad=True)
    values = torch.tensor([now], requires_grad=True)
    given = {"log_prob": math.log(0.5), "advantage": advantage, "return": 0.0, "value": 0.0, **batch}
    output = {"log_prob": log_prob, "entropy": torch.tensor([0.7]), "value": values}
    parts = task.loss(output, {name: torch.tensor([each]) for name, each in given.items()})
    parts["loss"].sum().backward()
    found = {name: float(each.detach()) for name, each in parts.items()}
    return {**found, "policy gradient": float(log_prob.grad or 0.0), "value gradient": float(values.grad or 0.0)}


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.0, 2.0, -2.0, -2.0),  # d(r A)/d(log p) = r A
        (1.1, 2.0, -2.2, -2.2),
        (1.5, 2.0, -2.4, 0.0),  # beyond 1.2 there is nothing more to gain
        (0.5, 2.0, -1.0, -1.0),  # a mistake is made good from anywhere
        (0.5, -2.0, 1.6, 0.0),  # below 0.8 neither
        (1.5, -2.0, 3.0, 3.0),
        (0.9, -2.0, 1.8, 1.8),
    ],
)
def test_the_clipped_loss_by_hand(ratio: float, advantage: float, loss: float, gradient: float) -> None:
    found = loss_of(PPO(clip=0.2), ratio, advantage)
    assert found["loss"] == pytest.approx(loss)
    assert found["policy gradient"] == pytest.approx(gradient)
    assert found["kl"] == pytest.approx(ratio - 1 - math.log(ratio), abs=1e-6)


def test_values_and_entropy_by_hand() -> None:
    found = loss_of(PPO(value_weight=0.5, entropy_weight=0.1), 1.0, 0.0, now=3.0, **{"return": 1.0})
    assert found["value_error"] == 4
    assert found["loss"] == pytest.approx(0.5 * 4 - 0.1 * 0.7)
    assert found["value gradient"] == pytest.approx(0.5 * 2 * 2)
    # A value that may move by 1 from 0.5: the error of 1.5 as well as of 3, the larger of which counts.
    found = loss_of(PPO(value_clip=1.0), 1.0, 0.0, now=3.0, **{"return": 1.0, "value": 0.5})
    assert found["value_error"] == 4
    found = loss_of(PPO(value_clip=1.0), 1.0, 0.0, now=1.0, **{"return": 1.0, "value": 3.0})
    assert found["value_error"] == 1  # it moved from 3 to 1, and only 2 was allowed
    assert found["value gradient"] == 0


@pytest.mark.parametrize("name", ["CartPole-v1", "mine:TwoAtOnce", "Pendulum-v1", "mine:Pictures"])
@pytest.mark.parametrize("task", [PPO(), PPO(value_clip=0.2, entropy_weight=0.01)])
def test_cutting_a_batch_changes_nothing(name: str, task: PPO) -> None:
    domain = fitted(name)
    torch.manual_seed(0)
    inner = NatureCNN((4, 4, 4), 16) if domain.observation["picture"] else Perceptron((16,))
    network = Policy(inner).build(domain.inputs(), task.outputs(domain))
    rng = np.random.default_rng(0)
    output = {key: each.detach().numpy() for key, each in network(torch.rand(7, *domain.inputs().shape)).items()}
    taken = actions.choose(output, domain.space, actions.noise(domain.space, (7,), rng))
    batch = {
        "row": torch.arange(7),
        "input": torch.rand(7, *domain.inputs().shape),
        "action": torch.from_numpy(taken),
        **{each: torch.from_numpy(rng.normal(0, 1, 7).astype(np.float32)) for each in ("advantage", "return", "value")},
        "log_prob": torch.from_numpy(rng.uniform(-2, 0, 7).astype(np.float32)),
    }
    check_task(task, network, batch, Context(domain))
    # A student that says what its teacher says has nothing to learn.
    said = task.forward(network, batch, Context(domain))
    assert torch.allclose(task.imitation(said, said, batch, 2.0), torch.zeros(7), atol=1e-6)


# distributions


def test_one_choice_against_torch() -> None:
    logits, action = torch.randn(9, 4), torch.randint(0, 4, (9, 1))
    space = {"kind": "discrete", "sizes": [4]}
    log_prob, entropy = actions.log_prob_and_entropy({"logits": logits}, action, space)
    torch.testing.assert_close(log_prob, Categorical(logits=logits).log_prob(action[:, 0]))
    torch.testing.assert_close(entropy, Categorical(logits=logits).entropy())


def test_several_choices_against_torch() -> None:
    logits, action = torch.randn(9, 6), torch.stack([torch.randint(0, n, (9,)) for n in (3, 2, 1)], 1)
    space = {"kind": "discrete", "sizes": [3, 2, 1]}
    log_prob, entropy = actions.log_prob_and_entropy({"logits": logits}, action, space)
    each = [Categorical(logits=part) for part in logits.split([3, 2, 1], 1)]
    torch.testing.assert_close(log_prob, sum(one.log_prob(action[:, i]) for i, one in enumerate(each)))
    torch.testing.assert_close(entropy, sum(one.entropy() for one in each))


def test_continuous_actions_against_torch() -> None:
    mean, log_deviation, action = torch.randn(9, 3), torch.randn(3).expand(9, 3), torch.randn(9, 3)
    space = {"kind": "continuous", "low": [-1.0] * 3, "high": [1.0] * 3}
    output = {"mean": mean, "log_deviation": log_deviation}
    log_prob, entropy = actions.log_prob_and_entropy(output, action, space)
    expected = Independent(Normal(mean, log_deviation.exp()), 1)
    torch.testing.assert_close(log_prob, expected.log_prob(action))
    torch.testing.assert_close(entropy, expected.entropy())


def test_draws_are_of_the_distribution_that_is_learnt() -> None:
    """20,000 draws of two choices and of two numbers: shares, means and deviations within four standard errors."""
    rng, n = np.random.default_rng(0), 20_000
    space = {"kind": "discrete", "sizes": [3, 2]}
    logits = np.array([0.0, 1.0, -1.0, 2.0, 0.0], np.float32)
    output = {"logits": np.broadcast_to(logits, (n, 5))}
    drawn = actions.choose(output, space, actions.noise(space, (n,), rng))
    chances = actions.probabilities(output, space)[0]
    np.testing.assert_allclose(chances[:3], np.exp(logits[:3]) / np.exp(logits[:3]).sum(), rtol=1e-6)
    shares = np.concatenate([np.bincount(drawn[:, 0], minlength=3), np.bincount(drawn[:, 1], minlength=2)]) / n
    assert (np.abs(shares - chances) < 4 * np.sqrt(chances * (1 - chances) / n)).all()
    assert (np.abs(np.corrcoef(drawn.T)[0, 1]) < 4 / np.sqrt(n)).all()
    np.testing.assert_array_equal(actions.choose(output, space, None)[0], [1, 0])

    space = {"kind": "continuous", "low": [-1.0, -1.0], "high": [1.0, 1.0]}
    said = {"mean": np.array([[1.0, -2.0]]), "log_deviation": np.log([0.5, 3.0])}
    drawn = actions.choose(said, space, actions.noise(space, (n,), rng))
    np.testing.assert_allclose(drawn.mean(0), [1, -2], atol=4 * 3 / np.sqrt(n))
    np.testing.assert_allclose(drawn.std(0), [0.5, 3], rtol=4 / np.sqrt(2 * n))
    np.testing.assert_array_equal(actions.choose(said, space, None), [[1, -2]])


@pytest.mark.parametrize(
    ("low", "high", "scale", "given", "expected"),
    [
        ([-2.0], [4.0], True, [[-1.0], [0.0], [1.0], [7.0]], [[-2.0], [1.0], [4.0], [4.0]]),
        ([-2.0], [4.0], False, [[-1.0], [0.0], [9.0]], [[-1.0], [0.0], [4.0]]),
        ([-math.inf], [math.inf], True, [[-9.0], [9.0]], [[-9.0], [9.0]]),
        ([0.0], [math.inf], True, [[-9.0], [9.0]], [[0.0], [9.0]]),
    ],
)
def test_actions_stay_within_the_environment(low, high, scale, given, expected) -> None:
    space = {"kind": "continuous", "low": low, "high": high, "scale": scale}
    np.testing.assert_allclose(actions.outward(np.array(given, np.float32), space), expected)


# solved


@pytest.mark.parametrize(
    ("name", "best", "steps"),
    [
        ("Identity", 20, 6_000),
        ("IdentityOfTwo", 20, 8_000),
        ("IdentityOfSwitches", 20, 8_000),
        ("IdentityOfNumbers", 20, 20_000),
    ],
)
def test_what_is_wanted_stands_there(name: str, best: float, steps: int, tmp_path: Path) -> None:
    """SOLVED: 95% of what can be had by the likeliest action, where chance has a third, a half, a half, or less."""
    settings = ("domain.episodes=10", "source.discount=0.0", "source.steps=64", "batch_size=64")
    run = api.fit(f"gym://mine:{name}", steps=steps, runs=tmp_path, settings=settings, options=Options(), lr=3e-3)
    result = run.evaluate()
    assert result["metrics"]["mean_return"]["value"] >= 0.95 * best
    assert result["details"]["baseline"]["metrics"]["mean_return"]["value"] < 0.7 * best


def test_a_beacon_in_a_picture_is_followed(tmp_path: Path) -> None:
    settings = ("domain.episodes=4", "domain.processes=0", "source.discount=0.0", "source.steps=32", "batch_size=64")
    settings += ("model.network.channels=[4,8,8]", "model.network.units=32", "precision=fp32", "threads=1")
    run = api.fit("gym://mine:Beacon", steps=4096, runs=tmp_path, settings=settings, options=Options(), lr=2e-3)
    assert run.evaluate()["metrics"]["mean_return"]["value"] >= 19
