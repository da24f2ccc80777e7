"""Two ranks against one: batch normalisation over shares of 5 and 2 rows is torch's over all 7; sharded weights learn,
are judged, saved and loaded as whole ones are."""

from __future__ import annotations

import contextlib
import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from pervade.core.errors import OutOfMemoryError, SizeError
from pervade.core.run import RunDirectory
from pervade.data.text.texts import Undecided
from pervade.engine import checkpoint, ranks
from pervade.engine.predictor import Predictor
from pervade.nn.batch_norm import over_ranks
from pervade.run import workflow
from tests import small_run
from tests.data.drawing import class_folders
from tests.engine.share_of_a_batch import PICTURES, Fused, counted, gradual, layers, quantised, watched, work


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the ranks write."""
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def done(folder: Path) -> dict[str, tuple[Any, Any]]:
    """By layer: what torch does with whole batches, and what the two ranks did with their shares."""
    class_folders(folder / PICTURES, count=16)
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
            inputs = [input.to(memory_format=torch.channels_last) for input in inputs]
        weights = [torch.randn(shape).to(kind) for _ in range(2)]
        cases[name] = {"state": copy.deepcopy(state), "inputs": inputs, "weights": weights}
        whole[name] = work(layer, inputs, weights)
    torch.save(cases, folder / "cases.pt")
    script = Path(__file__).with_name("share_of_a_batch.py")
    # One start of two processes, which takes most of the time, for all tests.
    processes = [
        subprocess.Popen([sys.executable, "-m", f"tests.engine.{script.stem}", str(folder), str(rank)])
        for rank in range(2)
    ]
    try:  # ranks that wait for each other for ever are a failure
        for process in processes:
            assert process.wait(timeout=120) == 0
    finally:
        for process in processes:
            process.kill()
            process.wait()
    shares = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]
    whole |= {"counted": counted(0), "trained": None, "in shards": None, "together": None, "gradual": gradual(0, 1)}
    whole |= {"quantised": quantised(0, 1, 0.0), "watched": watched(0, 1)}
    return {name: (whole[name], [share[name] for share in shares]) for name in whole}


@pytest.mark.parametrize("name", list(layers()))
def test_shares_are_normalised_as_the_whole(done: dict[str, tuple[Any, Any]], name: str) -> None:
    whole, shares = done[name]
    tolerance = {"rtol": 2e-2, "atol": 4e-2} if name == "bf16" else {"rtol": 1e-5, "atol": 1e-5}
    for key in ("outputs", "gradients"):
        for batch in range(2):
            torch.testing.assert_close(
                torch.cat([share[key][batch] for share in shares]), whole[key][batch], **tolerance
            )
    for key, value in whole["parameters"].items():  # which engine/ranks.py sums
        torch.testing.assert_close(shares[0]["parameters"][key] + shares[1]["parameters"][key], value, **tolerance)


@pytest.mark.parametrize("name", list(layers()))
def test_ranks_remember_the_same_and_as_one_would(done: dict[str, tuple[Any, Any]], name: str) -> None:
    whole, shares = done[name]
    assert list(shares[0]["state"]) == list(whole["state"])
    for key, value in whole["state"].items():
        assert torch.equal(shares[0]["state"][key], shares[1]["state"][key])
        torch.testing.assert_close(shares[0]["state"][key], value, rtol=1e-6, atol=1e-6)
    if name == "no statistics kept":  # then evaluation looks at what it is given, each rank by itself
        assert not torch.allclose(shares[0]["evaluated"], whole["evaluated"][:5])
    else:
        evaluated = torch.cat([share["evaluated"] for share in shares])
        torch.testing.assert_close(evaluated, whole["evaluated"], rtol=1e-2 if name == "bf16" else 1e-5, atol=1e-5)


def test_shares_of_unequal_size_take_equally_many_micro_batches(done: dict[str, tuple[Any, Any]]) -> None:
    """Else one rank would wait for ever in a layer of batch normalisation; all ranks end with the same weights."""
    one, other = done["trained"][1]
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_has_not_begun_to_learn_stays_as_it_is(done: dict[str, tuple[Any, Any]]) -> None:
    """Weight decay, penalties and Adam's count of steps pass it by; two ranks learn what one learns."""
    one, (first, second) = done["gradual"]
    for weights in (one, first, second):
        moved = [{name for name in weights[0] if not torch.equal(weights[0][name], after[name])} for after in weights]
        head, upper = ({f"{layer}.{kind}" for kind in ("weight", "bias")} for layer in ("head.logits", "body.2"))
        assert moved == [set(), head, head, head | upper, head | upper]
    for after, mine, other in zip(one, first, second, strict=True):
        for name, value in after.items():
            assert torch.equal(mine[name], other[name])
            torch.testing.assert_close(mine[name], value, rtol=1e-4, atol=1e-6)


def test_a_codebook_is_moved_by_all_ranks(done: dict[str, tuple[Any, Any]]) -> None:
    """As by one that has all vectors; what is drawn, for first codes and those put elsewhere, the first draws."""
    one, (first, second) = done["quantised"]
    for mine, other in zip(first, second, strict=True):
        assert all(torch.equal(mine[name], other[name]) for name in mine)
    for name, value in one.items():
        torch.testing.assert_close(first[0][name], value, rtol=1e-5, atol=1e-6)
    assert not torch.equal(first[1]["codebook"], first[0]["codebook"])
    assert first[2]["uses"].sum() == 40


def test_players_are_watched_by_all_ranks(done: dict[str, tuple[Any, Any]]) -> None:
    """They remember the same, and what one rank would that has all rows."""
    one, (first, second) = done["watched"]
    assert all(torch.equal(first[name], second[name]) for name in one)
    for name, value in one.items():
        torch.testing.assert_close(first[name], value, rtol=1e-6, atol=1e-6)


def test_sharded_weights_say_the_same_in_one_process(done: dict[str, tuple[Any, Any]], folder: Path) -> None:
    """Bit for bit, and both ranks said so."""
    run = RunDirectory(folder / "sharded")
    loaded = checkpoint.load_checkpoint(run, "last")
    with contextlib.chdir(folder):
        rows = workflow.load_rows(run, loaded.domain).where("split", "validation")
    table = Predictor.of(loaded).table(rows)
    for said in done["in shards"][1]:
        assert said["row"].tolist() == list(rows.number)
        assert torch.equal(said["probabilities"], torch.as_tensor(table["probabilities"]))


def test_sharded_weights_learn_what_whole_ones_do(done: dict[str, tuple[Any, Any]], folder: Path) -> None:
    """Of two ranks as well; only the norm that bounds the gradient is summed in another order."""
    whole, sharded = (small_run.weights(RunDirectory(folder / name)) for name in ("whole", "sharded"))
    assert whole.keys() == sharded.keys()
    for name, value in whole.items():
        torch.testing.assert_close(sharded[name], value, rtol=1e-5, atol=1e-7)


def test_sharded_weights_go_on_from_where_one_rank_was_stopped(done: dict[str, tuple[Any, Any]], folder: Path) -> None:
    """In the middle of a validation; weights and optimiser are those of a training without a stop, bit for bit."""
    stopped, straight = RunDirectory(folder / "stopped"), RunDirectory(folder / "sharded")
    assert all(said["stopped"].tolist() == [True, False] for said in done["in shards"][1])
    for file in ("checkpoints/last/model.safetensors", "state/state.safetensors"):
        one, other = (safetensors.torch.load_file(run.path / file) for run in (stopped, straight))
        assert small_run.same(one, other)
    assert any("momentum_buffer" in name and value.numel() > 1 for name, value in one.items())


def test_what_fails_in_one_rank_fails_in_all(done: dict[str, tuple[Any, Any]]) -> None:
    told = [f"rank {failed} has no rows" for failed in range(2)]
    assert done["together"][1] == [[*told, "0"], [*told, "1"]]


def test_what_the_first_rank_counted_all_have(done: dict[str, tuple[Any, Any]]) -> None:
    whole, shares = done["counted"]
    assert len(whole["keys_3"]) == 5
    for share in shares:
        assert whole.keys() == share.keys()
        assert all(torch.equal(whole[name], share[name]) for name in whole)


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
    assert ranks.first(2) == 2
    assert ranks.any_true(True)
    assert ranks.same_text("näme") == "näme"
    assert ranks.together(lambda: 5) == 5


def test_another_rank_is_told_a_kind_of_error_that_it_can_make() -> None:
    assert ranks._kind(OutOfMemoryError("full")) == "OutOfMemoryError"
    assert ranks._kind(SizeError("too small", "give more")) == "ConfigError"  # which is made of two texts
    assert ranks._kind(Undecided("two columns")) == "DataError"  # which is a reader's own
