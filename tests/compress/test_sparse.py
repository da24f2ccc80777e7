"""Weights that are zero, and stay so while the others learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import pervade
from pervade.compress.int8 import Quantised
from pervade.compress.low_rank import LowRank
from pervade.compress.prune import Prune
from pervade.compress.sparse import Sparse, ZerosKept
from pervade.core.contracts import Compressor
from pervade.core.errors import ConfigError
from pervade.engine import checkpoint
from pervade.init.pretrained import Pretrained
from pervade.models.reference_mlp import ReferenceMLP
from pervade.models.small_cnn import SmallCNN
from pervade.nn.backbone import Backbone
from pervade.run.training import Options
from pervade.testing import check_spec
from tests.small_run import recipe, weights
from tests.subjects import OUTPUTS, again, answers, pixels, subject

PICTURES = pixels(16)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Sparse(share=0.5), [[9, 0, 8, 0, 7, 0], [0, 0, 0, 5, 6, -4]]),
        (Sparse("2:4"), [[9, 0, 8, 0, 7, 1], [0, -2, 0, 5, 6, -4]]),
    ],
)
def test_the_smallest_go(step: Sparse, expected: list) -> None:
    weight = torch.tensor([[9.0, 3, 8, -3, 7, 1], [1, -2, 0.5, 5, 6, -4]])
    weight[step._gone(weight)] = 0
    assert weight.tolist() == expected


@pytest.mark.parametrize("step", [Sparse(), Sparse("2:4")])
def test_it_is_the_same_network_when_it_is_loaded(step: Sparse) -> None:
    made = step(subject(SmallCNN(), PICTURES))
    loaded = again(made, SmallCNN(), PICTURES)
    assert torch.equal(answers(loaded, PICTURES), answers(made.network, PICTURES))
    assert "nothing faster" in made.summary
    check_spec(made.changes[0])
    zero = [name for name, value in loaded.named_parameters() if (value == 0).float().mean() > 0.4 and value.ndim > 1]
    assert len(zero) == 7
    assert not any("head" in name for name in zero)


def test_zeros_stay_while_the_others_learn() -> None:
    """By AdamW and its weight decay, of a copy that was saved and loaded."""
    made = Sparse(epochs=0)(subject(ReferenceMLP(), PICTURES))
    network = again(made, ReferenceMLP(), PICTURES).train()
    before = {name: network.get_submodule(name).weight.clone() for name in made.changes[0].layers}
    optimizer = torch.optim.AdamW(network.parameters(), 0.01)
    for _ in range(3):
        optimizer.zero_grad()
        network(torch.rand(8, 3, 16, 16))["logits"].square().sum().backward()
        optimizer.step()
    for name, weight in before.items():
        after = network.get_submodule(name).weight
        assert torch.equal(after == 0, weight == 0)
        assert (after != weight).float().mean() == 0.5


@pytest.mark.slow  # two trainings, each with its evaluation and report
def test_zeros_stay_through_a_training(shapes: Path, tmp_path: Path) -> None:
    """A run, half of its weights taken, and what `learns` says trained from them: the zeros are the same, the rest has
    learnt, and the checkpoint says what was done."""
    run = pervade.fit(shapes, recipe=recipe(), name="whole", runs=tmp_path, options=Options())
    asked = replace(
        subject(ReferenceMLP(), PICTURES),
        loaded=run.load("last"),
        recipe=run.recipe(),
        place=run.directory.checkpoint("last"),
    )
    made = Sparse(epochs=2, lr=1e-2)(asked)
    checkpoint.save_checkpoint(
        run.directory, "sparse", made.network, run.recipe(), run.load("last").domain, {}, changes=made.changes
    )
    assert made.learns is not None
    assert made.begins_there
    init = Pretrained(str(run.directory.checkpoint("sparse")))
    on = pervade.fit(shapes, recipe=replace(made.learns, init=init), name="on", runs=tmp_path, options=Options())
    before, after = weights(run.directory, "sparse"), weights(on.directory)
    layers = made.changes[0].layers
    assert layers
    for name in [f"{layer}.weight" for layer in layers]:
        assert (before[name] == 0).float().mean() == 0.5
        assert torch.equal(before[name] == 0, after[name] == 0)
        assert not torch.equal(before[name], after[name])


@pytest.mark.parametrize(
    ("pattern", "share", "said"), [("2:4", 0.3, "sparse.share is 0.3, and of the pattern 2:4 it is 0.5")]
)
def test_another_share_of_a_fixed_pattern(pattern: str, share: float, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Sparse(pattern, share)


def test_what_it_cannot_do() -> None:
    network = Backbone(PICTURES, OUTPUTS, nn.Flatten(), 768)
    with pytest.raises(ConfigError, match="no dense layer or convolution but for its outputs"):
        Sparse()(subject(ReferenceMLP(), PICTURES, network=network))
    with pytest.raises(ConfigError, match=r"no layer 'body.3' with a weight"):
        ZerosKept(("body.3",)).apply(network)


@pytest.mark.parametrize("step", [Sparse(), Prune(), LowRank()])
def test_what_computes_in_whole_numbers_stays_as_it_is(step: Compressor) -> None:
    asked = subject(SmallCNN(), PICTURES)
    rounded = replace(asked, loaded=replace(asked.loaded, changes=(Quantised(),)))
    with pytest.raises(ConfigError, match="computes in whole numbers already; give --checkpoint one that does not"):
        step(rounded)
