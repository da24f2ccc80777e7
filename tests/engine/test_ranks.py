"""Two ranks against one: batch normalisation over shares of 5 and 2 rows is torch's over all 7."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pervade.engine import ranks
from pervade.nn.batch_norm import over_ranks
from tests.engine.share_of_a_batch import Fused, gradual, layers, work


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any]]:
    """By layer: what torch does with whole batches, and what the two ranks did with their shares."""
    folder = tmp_path_factory.mktemp("ranks")
    torch.manual_seed(0)
    cases, whole = {}, {}
    for name, (layer, shape) in layers().items():
        state = {
            key: torch.rand_like(value) + 0.5 if value.is_floating_point() else value
            for key, value in layer.state_dict().items()
        }
        layer.load_state_dict(state)
        kind = torch.bfloat16 if name == "bf16" else torch.float32
        inputs = [(torch.randn(shape) * 2 + 3).to(kind) for _ in range(2)]
        if name == "channels last":
            inputs = [each.to(memory_format=torch.channels_last) for each in inputs]
        weights = [torch.randn(shape).to(kind) for _ in range(2)]
        cases[name] = {"state": copy.deepcopy(state), "inputs": inputs, "weights": weights}
        whole[name] = work(layer, inputs, weights)
    torch.save(cases, folder / "cases.pt")
    script = Path(__file__).with_name("share_of_a_batch.py")
    processes = [
        subprocess.Popen([sys.executable, "-m", f"tests.engine.{script.stem}", str(folder), str(rank)])
        for rank in range(2)
    ]
    for process in processes:
        assert process.wait(timeout=120) == 0
    shares = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]
    whole["trained"], whole["gradual"] = None, gradual(0, 1)
    return {name: (whole[name], [share[name] for share in shares]) for name in whole}


@pytest.mark.parametrize("name", list(layers()))
def test_shares_are_normalised_as_the_whole(found: dict[str, tuple[Any, Any]], name: str) -> None:
    whole, shares = found[name]
    tolerance = {"rtol": 2e-2, "atol": 4e-2} if name == "bf16" else {"rtol": 1e-5, "atol": 1e-5}
    for key in ("outputs", "gradients"):
        for batch in range(2):
            torch.testing.assert_close(
                torch.cat([share[key][batch] for share in shares]), whole[key][batch], **tolerance
            )
    for key, value in whole["parameters"].items():  # which engine/ranks.py sums
        torch.testing.assert_close(shares[0]["parameters"][key] + shares[1]["parameters"][key], value, **tolerance)


@pytest.mark.parametrize("name", list(layers()))
def test_ranks_remember_the_same_and_as_one_would(found: dict[str, tuple[Any, Any]], name: str) -> None:
    whole, shares = found[name]
    assert list(shares[0]["state"]) == list(whole["state"])
    for key, value in whole["state"].items():
        assert torch.equal(shares[0]["state"][key], shares[1]["state"][key])
        torch.testing.assert_close(shares[0]["state"][key], value, rtol=1e-6, atol=1e-6)
    if name == "no statistics kept":  # then evaluation looks at what it is given, each rank by itself
        assert not torch.allclose(shares[0]["evaluated"], whole["evaluated"][:5])
    else:
        evaluated = torch.cat([share["evaluated"] for share in shares])
        torch.testing.assert_close(evaluated, whole["evaluated"], rtol=1e-2 if name == "bf16" else 1e-5, atol=1e-5)


def test_shares_of_unequal_size_take_equally_many_micro_batches(found: dict[str, tuple[Any, Any]]) -> None:
    """Else one rank would wait for ever in a layer of batch normalisation; all ranks end with the same weights."""
    one, other = found["trained"][1]
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_has_not_begun_to_learn_stays_as_it_is(found: dict[str, tuple[Any, Any]]) -> None:
    """Weight decay, penalties and Adam's count of steps pass it by; two ranks learn what one learns."""
    one, (first, second) = found["gradual"]
    for weights in (one, first, second):
        moved = [{name for name in weights[0] if not torch.equal(weights[0][name], after[name])} for after in weights]
        head, upper = ({f"{layer}.{kind}" for kind in ("weight", "bias")} for layer in ("head.logits", "body.2"))
        assert moved == [set(), head, head, head | upper, head | upper]
    for after, mine, other in zip(one, first, second, strict=True):
        for name, value in after.items():
            assert torch.equal(mine[name], other[name])
            torch.testing.assert_close(mine[name], value, rtol=1e-4, atol=1e-6)


def test_layers_stay_what_they_are() -> None:
    """Names of weights, copies, and the kind of layer; a second call changes nothing."""
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), Fused(4))
    names = list(network.state_dict())
    assert over_ranks(over_ranks(network)) is network
    assert list(network.state_dict()) == names
    assert isinstance(network[1], nn.BatchNorm2d)
    assert isinstance(network[3], Fused)
    copied = copy.deepcopy(network).eval()
    assert type(copied[1]) is type(network[1])
    assert torch.isfinite(copied(torch.zeros(2, 3, 4, 4))).all()


def test_one_process_is_free() -> None:
    assert (ranks.world(), ranks.rank()) == (1, 0)
    assert ranks.sum_numbers(1, 2.5) == [1, 2.5]
    assert ranks.largest(1, -2) == [1, -2]
    assert ranks.any_true(True)
    assert ranks.same_text("näme") == "näme"
