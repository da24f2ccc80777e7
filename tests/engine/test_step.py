"""How a step is taken: by which strategy, and with which optimiser for which player."""

from __future__ import annotations

import json

import pytest
import torch

from pervade.core import spec
from pervade.core.contracts import Context, Observations, Recipe, Tuning
from pervade.core.errors import ConfigError
from pervade.engine.fit import Learner
from pervade.engine.step import FusedStep, Step
from pervade.report.sections.recipe import _name
from pervade.run.workflow import with_rate
from pervade.tasks.ppo import PPO
from pervade.train.optim.adam import Adam
from pervade.train.optim.sgd import SGD
from pervade.train.schedule.constant import Constant
from tests.acting import fitted
from tests.toys import gan
from tests.toys.networks import Players

SLOW, FAST = SGD(lr=0.001), SGD(lr=0.1)
TWO_RATES = {"critic": FAST, "generator": SLOW}


def players(optimizer) -> Learner:
    torch.manual_seed(0)
    network = Players().build(Observations((2,)), {"sample": 1})
    return Learner(gan.Adversarial(), network, Context(None), optimizer, Constant(), 10)  # type: ignore[arg-type]


def batch(seed: int = 1) -> dict:
    torch.manual_seed(seed)
    return {"row": torch.arange(8), "input": torch.randn(8, 2), "real": torch.randn(8, 1) + 3}


def moved(learner: Learner, player: str) -> torch.Tensor:
    """How far one step takes the player's weights."""
    weights = list(getattr(learner.network, player).parameters())
    before = torch.cat([weight.detach().flatten().clone() for weight in weights])
    learner._take_step(batch())
    return torch.cat([weight.detach().flatten() for weight in weights]) - before


def test_two_players_learn_at_two_rates() -> None:
    """The critic as with its own rate for both; the generator, whose gradient follows that critic, a hundredth as far
    as with the critic's rate."""
    assert torch.equal(moved(players(TWO_RATES), "critic"), moved(players(FAST), "critic"))
    slow, fast = (moved(players(optimizer), "generator") for optimizer in (TWO_RATES, FAST))
    assert fast.abs().max() > 0
    torch.testing.assert_close(slow * 100, fast, rtol=1e-3, atol=1e-5)  # of differences of float32


def test_state_goes_on_bit_for_bit() -> None:
    rates = {"critic": Adam(lr=0.01), "generator": SGD(lr=0.1, momentum=0.9)}
    whole, first, rest = players(rates), players(rates), players(rates)
    for number in range(4):
        whole._take_step(batch(number))
    for number in range(2):
        first._take_step(batch(number))
    rest.load_state_dict(first.state_dict())
    for number in range(2, 4):
        rest._take_step(batch(number))
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, rest.network.state_dict()[name])


def test_optimisers_are_named_after_the_players() -> None:
    with pytest.raises(ConfigError, match="names critic, genrator, and the players of Adversarial are critic, gener"):
        players({"critic": SLOW, "genrator": FAST})


def test_they_are_written_and_read_by_name() -> None:
    whole = gan.recipe()
    recipe = Recipe(**{**vars(whole), "optimizer": TWO_RATES})
    data = json.loads(json.dumps(spec.encode(recipe)))
    assert spec.decode(data, Recipe) == recipe
    assert spec.decode({**data, "optimizer": "sgd"}, Recipe).optimizer == SGD()
    changed = spec.decode(spec.change(data, ["optimizer.critic.lr=0.5"]), Recipe)
    assert changed.optimizer == {"critic": SGD(lr=0.5), "generator": SLOW}
    assert spec.decode({**data, "optimizer": {"critic": "adam", "generator": "sgd"}}, Recipe).optimizer == {
        "critic": Adam(),
        "generator": SGD(),
    }
    assert _name(data["optimizer"]) == "sgd (critic) and sgd (generator)"
    with pytest.raises(ConfigError, match=r"unknown setting 'optimizer\.critic\.rate'"):
        spec.decode({**data, "optimizer": {"critic": {"use": "sgd", "rate": 1}}}, Recipe)
    for bad in ({}, {"lr": 0.1}, {"use": "sdg"}):
        with pytest.raises(ConfigError, match="optimizer: "):
            spec.decode({**data, "optimizer": bad}, Recipe)
    with pytest.raises(ConfigError, match=r"no one rate to look for; set -o optimizer\.critic\.lr, -o optimizer\.gen"):
        with_rate(recipe, 0.1)
    assert with_rate(whole, 0.1).one_optimizer == Adam(lr=0.1)


def agent(optimizer, **settings) -> Step:
    domain, task = fitted("CartPole-v1"), PPO()
    network = torch.nn.Linear(4, 3)
    (step,) = Learner(task, network, Context(domain), optimizer, Constant(), 10, **settings).steps
    return step


class Everything(Tuning):
    """All weights, as without a tuning."""


def test_small_networks_of_agents_are_one_vector() -> None:
    """Only where each weight is moved for itself, and all of them learn."""
    assert isinstance(agent(Adam()), FusedStep)
    assert type(agent(Adam(), tuning=Everything())) is Step
    assert all(type(step) is Step for step in players(Adam()).steps)
