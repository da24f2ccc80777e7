"""A policy answers the same however it is asked, and normalises by what it saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pervade.core.contracts import Observations, Pixels
from pervade.models.nature_cnn import NatureCNN
from pervade.models.perceptron import Perceptron
from pervade.models.policy import Policy
from pervade.nn.policy import PolicyNetwork, responder
from pervade.nn.running import Running

ACTOR = {"logits": 3, "value": 1}
STEERING = {"mean": 2, "log_deviation": 2, "value": 1}


def built(
    network: Any, outputs: dict[str, int], shape: tuple[int, ...] = (5,), normalise: bool = True
) -> PolicyNetwork:
    torch.manual_seed(0)
    found = Policy(network, normalise, deviation=0.5).build(inputs(shape), outputs)
    for parameter in found.parameters():  # heads begin near zero, where everything is equal
        torch.nn.init.normal_(parameter, std=0.3)
    return found.eval()  # type: ignore[return-value]


def inputs(shape: tuple[int, ...]) -> Pixels | Observations:
    return Pixels(shape, (0.0,) * shape[0], (1.0,) * shape[0]) if len(shape) == 3 else Observations(shape)


@pytest.mark.parametrize("separate", [True, False])
@pytest.mark.parametrize("activation", ["tanh", "relu", "elu"])
@pytest.mark.parametrize("outputs", [ACTOR, STEERING, {"value": 4}, {"advantage": 3, "state": 1}])
@pytest.mark.parametrize("units", [(16,), (16, 8), (8, 8, 8)])
def test_asked_fast_it_answers_what_it_learns(outputs, units, activation, separate) -> None:
    network = built(Perceptron(units, activation, separate), outputs)
    rng = np.random.default_rng(0)
    network.observe(rng.normal(3, 5, (100, 5)))
    seen = rng.normal(3, 5, (40, 5)).astype(np.float32)
    seen[0, 0] = 1e6  # far beyond the limit of ten deviations
    respond = responder(network)
    with torch.no_grad():
        expected = network(torch.from_numpy(seen))
    found = respond(seen, list(outputs))
    assert found.keys() == expected.keys()
    for name, each in expected.items():
        np.testing.assert_allclose(
            np.broadcast_to(found[name], each.shape), each.detach().numpy(), rtol=1e-5, atol=1e-6
        )
    some = list(outputs)[:1]
    np.testing.assert_array_equal(respond(seen, some)[some[0]], found[some[0]])


def test_asked_fast_it_knows_the_weights_of_now() -> None:
    """A step of an optimiser, a loaded state, what was observed since: nothing is remembered of before."""
    network = built(Perceptron((16,)), ACTOR)
    seen = np.random.default_rng(0).normal(0, 1, (8, 5)).astype(np.float32)
    respond = responder(network)

    def check() -> np.ndarray:
        with torch.no_grad():
            expected = network(torch.from_numpy(seen))["logits"].numpy()
        np.testing.assert_allclose(respond(seen, ("logits",))["logits"], expected, rtol=1e-5, atol=1e-6)
        return expected

    first = check()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(torch.from_numpy(seen))["logits"].square().sum().backward()
    optimizer.step()
    assert not np.allclose(check(), first)
    network.observe(seen + 2)
    check()
    network.load_state_dict(built(Perceptron((16,)), ACTOR).state_dict())
    respond = responder(network)
    np.testing.assert_allclose(check(), first, rtol=1e-5, atol=1e-6)


def test_pictures_are_bytes_or_numbers_of_0_to_1() -> None:
    network = built(NatureCNN((4, 4, 4), 16), STEERING, (3, 40, 36), normalise=True)
    assert network.observations is None  # pictures are 0-1 as ever
    pixels = torch.randint(0, 256, (2, 3, 40, 36), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    kept = pixels.clone()
    with torch.no_grad():
        from_bytes, from_numbers = network(pixels), network(pixels.float() / 255)
    for name in STEERING:
        torch.testing.assert_close(from_bytes[name], from_numbers[name], rtol=1e-5, atol=1e-6)
    assert torch.equal(pixels, kept)
    found = responder(network)(pixels.numpy(), list(STEERING))
    for name in STEERING:
        np.testing.assert_allclose(found[name], from_bytes[name].detach().numpy(), rtol=1e-5, atol=1e-6)


def test_a_perceptron_reads_pictures_as_numbers() -> None:
    network = built(Perceptron((16,)), ACTOR, (1, 4, 4))
    pixels = torch.arange(32, dtype=torch.uint8).reshape(2, 1, 4, 4)
    with torch.no_grad():
        expected = network(pixels.float() / 255)["logits"].numpy()
    np.testing.assert_allclose(responder(network)(pixels.numpy(), ("logits",))["logits"], expected, atol=1e-6)


def test_a_policy_of_numbers_begins_with_the_deviation_it_was_given() -> None:
    network = Policy(deviation=0.5).build(Observations((5,)), STEERING)
    output = network(torch.randn(7, 5))
    torch.testing.assert_close(output["log_deviation"], torch.full((7, 2), np.log(0.5)))
    output["log_deviation"].sum().backward()
    assert float(network.log_deviation.grad.sum()) == 14  # the same weight for all observations


# what was seen so far


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=8), st.floats(-100, 100), st.floats(0.01, 100), st.integers(0, 99)
)
def test_running_statistics_are_those_of_all_that_was_seen(sizes, centre, spread, seed) -> None:
    rng = np.random.default_rng(seed)
    parts = [rng.normal(centre, spread, (size, 2, 3)) for size in sizes]
    running = Running((2, 3))
    for part in parts:
        running.update(part)
    whole = np.concatenate(parts)
    assert float(running.count) == len(whole)
    # Sums are of doubles, and what is kept between them of floats: 24 bits of the larger of mean and spread.
    size = abs(centre) + 3 * spread
    np.testing.assert_allclose(running.mean.numpy(), whole.mean(0), atol=2e-6 * size)
    np.testing.assert_allclose(running.variance.numpy(), whole.var(0), rtol=1e-4, atol=1e-5 * size**2)


def test_until_something_was_seen_nothing_is_changed() -> None:
    x = torch.linspace(-3, 3, 8).reshape(2, 4)
    running = Running((4,))
    torch.testing.assert_close(running(x), x)
    assert not list(running.parameters())
    assert set(running.state_dict()) == {"mean", "variance", "count"}


def test_normalised_is_what_is_seen_less_its_mean_over_its_deviation() -> None:
    running = Running((1,))
    running.update(np.array([[1.0], [3.0]]))  # mean 2, deviation 1
    torch.testing.assert_close(
        running(torch.tensor([[2.0], [5.0], [99.0], [-99.0]])), torch.tensor([[0.0], [3], [10], [-10]])
    )
    rewards = Running(())
    rewards.update(np.array([0.0, 4.0]))  # deviation 2, and the sign stays
    np.testing.assert_allclose(rewards.scaled(np.array([4.0, -1.0, 100.0])), [2, -0.5, 10])
