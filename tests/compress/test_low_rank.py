"""Layers in two factors: exact where the layer has no more to it, the best there are where it has."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from pervade.compress.low_rank import Factorised, LowRank
from pervade.core.errors import ConfigError
from pervade.engine.multiply_adds import multiply_adds
from pervade.models.reference_mlp import ReferenceMLP
from pervade.models.resnet import ResNet
from pervade.models.text_cnn import TextCNN
from pervade.models.transformer import Transformer
from pervade.models.vit import ViT
from pervade.nn.backbone import Backbone
from pervade.testing import check_spec
from tests.subjects import OUTPUTS, TOKENS, again, answers, batch_of, pixels, subject

PICTURES = pixels(16)


def narrow(layer: Any, rank: int) -> None:
    with torch.no_grad():
        weight = layer.weight.flatten(1)
        rows = torch.randn(len(weight), rank) @ torch.randn(rank, weight.shape[1]) / weight.shape[1]
        layer.weight.copy_(rows.view_as(layer.weight))


def test_what_is_of_a_low_rank_stays_what_it_was() -> None:
    """A layer of 64 x 768 whose matrix has rank 8 is two of 8: (64 + 768) x 8 multiply-adds, the outputs the same."""
    model = ReferenceMLP(units=(64,))
    asked = subject(model, PICTURES)
    network = asked.loaded.network
    layers = [name for name, module in network.named_modules() if isinstance(module, nn.Linear) and "head" not in name]
    assert len(layers) == 1
    narrow(network.get_submodule(layers[0]), 8)
    before, count = answers(network, PICTURES), multiply_adds(network, batch_of(PICTURES))
    assert count == 768 * 64 + 64 * 3
    made = LowRank(energy=0.9999, epochs=0)(asked)
    assert made.changes == (Factorised({layers[0]: 8}),)
    assert made.learns is None
    assert multiply_adds(made.network, batch_of(PICTURES)) == 8 * (768 + 64) + 64 * 3
    assert torch.allclose(answers(made.network, PICTURES), before, atol=1e-4)
    check_spec(made.changes[0])
    assert made.summary == "1 of 1 layers in two factors, multiply-adds a row 0.04934 to 0.006848 million (14%)"


def test_the_directions_are_those_of_the_outputs() -> None:
    """Numbers that are large in the rows count, whatever their weights: of x = (100 a, b, b, …) the first column of W
    holds the energy, though its weights are the smallest."""
    torch.manual_seed(0)
    layer = nn.Linear(64, 64, bias=False)
    with torch.no_grad():
        layer.weight[:, 0] *= 0.1
    x = torch.randn(4000, 64)
    x[:, 0] *= 100
    thin, wide = LowRank(energy=0.5)._factors(layer, (x.T @ x).double())
    assert len(thin) == 8
    kept = x @ (wide @ thin).T
    lost = (x @ layer.weight.T - kept).square().sum() / (x @ layer.weight.T).square().sum()
    u, s, v = torch.linalg.svd(layer.weight.detach())
    plain = x @ (u[:, :8] * s[:8] @ v[:8]).T
    lost_by_plain = (x @ layer.weight.T - plain).square().sum() / (x @ layer.weight.T).square().sum()
    assert lost < 0.5
    assert lost < lost_by_plain


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (ResNet(depth=50, width=16), pixels(32)),
        (ViT("tiny", blocks=2), pixels(32)),
        (Transformer(), TOKENS),
        (TextCNN(), TOKENS),
    ],
)
def test_it_is_the_same_network_when_it_is_loaded(model: Any, inputs: Any) -> None:
    asked = subject(model, inputs)
    heads = {name: value.clone() for name, value in asked.loaded.network.head.state_dict().items()}
    before = multiply_adds(asked.loaded.network, batch_of(inputs))
    made = LowRank(energy=0.6, epochs=2)(asked)
    assert multiply_adds(made.network, batch_of(inputs)) < before
    loaded = again(made, model, inputs)
    assert torch.equal(answers(loaded, inputs), answers(made.network, inputs))
    assert all(torch.equal(value, heads[name]) for name, value in loaded.head.state_dict().items())
    assert made.learns is not None
    assert made.learns.changes == made.changes
    assert made.learns.epochs == 2
    if inputs is TOKENS:
        batch = batch_of(inputs)
        embedded = loaded.embed(batch["input"])
        seen = loaded.forward_embedded(embedded, batch["input"], batch["mask"])["logits"]
        assert torch.equal(seen, loaded(batch["input"], batch["mask"])["logits"])


def test_layers_that_nobody_calls_stay() -> None:
    """torch's attention reads the weights of its last layer, and calls none of its own."""
    made = LowRank(energy=0.6, epochs=0)(subject(ViT("tiny", blocks=2), pixels(32)))
    ranks = made.changes[0].ranks
    assert ranks
    assert not any("self_attention" in name for name in ranks)


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.mark.parametrize(
    ("body", "step", "said"),
    [
        (Convolutions(), LowRank(), "no dense layer or 1x1 convolution"),
        (nn.Sequential(nn.Flatten(), nn.Linear(768, 8)), LowRank(energy=1.0), "with 1 of its energy, two factors"),
    ],
)
def test_what_it_cannot_do(body: nn.Module, step: LowRank, said: str) -> None:
    network = Backbone(PICTURES, OUTPUTS, body, 8)
    with pytest.raises(ConfigError, match=said) as caught:
        step(subject(ReferenceMLP(), PICTURES, network=network))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "said"), [("body.0", "is of the kind Flatten"), ("body.9", "is not in the network")])
def test_a_list_that_is_not_the_networks(name: str, said: str) -> None:
    network = Backbone(PICTURES, OUTPUTS, nn.Sequential(nn.Flatten(), nn.Linear(768, 8)), 8)
    with pytest.raises(ConfigError, match=f"'{name}' {said}"):
        Factorised({name: 8}).apply(network)
