"""Networks of two players: their sizes, how they are told a class, and what bounds a discriminator."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pervade.core.contracts import Canvas, Pixels
from pervade.core.errors import ConfigError, SizeError
from pervade.models.dcgan import DCGAN
from pervade.models.sngan import SNGAN
from pervade.nn.adversaries import Adversaries, ClassBatchNorm, Projection

SMALL = [DCGAN(width=4, noise=6), SNGAN(width=4, noise=6)]


def built(model: DCGAN | SNGAN, side: int = 8, channels: int = 1, classes: int = 0) -> Adversaries:
    torch.manual_seed(0)
    network = model.build(Canvas((channels, side, side), classes), {"picture": side})
    assert isinstance(network, Adversaries)
    return network


@pytest.mark.parametrize("model", SMALL)
@pytest.mark.parametrize(("side", "channels", "classes"), [(8, 3, 0), (28, 1, 4), (16, 3, 2), (128, 1, 0)])
def test_a_step_gives_every_weight_a_finite_gradient(model, side: int, channels: int, classes: int) -> None:
    network = built(model, side, channels, classes)
    number = torch.arange(3) % (classes + 1)
    picture = network({"noise": torch.randn(3, 6), "class": number})["picture"]
    assert picture.shape == (3, channels, side, side)
    assert 0 <= picture.min() < picture.max() <= 1
    score = network.discriminator(2 * picture - 1, number)
    assert score.shape == (3,)
    (score * torch.arange(1.0, 4.0)).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0 or "bias" in name, name


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 30, 30), "14, 16, 28, 32, 56, 64, 112 or 128 pixels a side, not 30 x 30; set -o domain.size=28"),
        ((3, 32, 48), "not 32 x 48; set -o domain.size=56"),
        ((3, 256, 256), "not 256 x 256; set -o domain.size=128"),
    ],
)
def test_other_sizes_are_refused(shape, message: str) -> None:
    for model in SMALL:
        with pytest.raises(SizeError, match=message):
            model.build(Canvas(shape), {"picture": shape[2]})


def test_pictures_to_be_read_are_refused() -> None:
    with pytest.raises(ConfigError, match="dcgan reads pictures to be made, not pictures"):
        DCGAN().build(Pixels((1, 8, 8), (0.5,), (0.5,)), {"logits": 2})


def test_as_many_weights_as_the_papers_network() -> None:
    """DCGAN's generator of 64 pixels, of an eighth of the width: its figure 1, and batch normalisation as in the
    authors' code."""
    network = built(DCGAN(width=16, noise=100, bound="batch"), 64, 3)
    filters = 100 * 16 * 128 + 16 * (128 * 64 + 64 * 32 + 32 * 16 + 16 * 3) + 3
    assert sum(p.numel() for p in network.generator.parameters()) == filters + 2 * (128 + 64 + 32 + 16)


def test_batch_normalisation_by_class() -> None:
    """Gain and bias are the class's; without classes it is torch's own."""
    torch.manual_seed(0)
    x = torch.randn(3, 2, 4, 4)
    plain = nn.BatchNorm2d(2)(x)
    torch.testing.assert_close(ClassBatchNorm(2, 0)(x, torch.zeros(3, dtype=torch.int64)), plain)
    layer = ClassBatchNorm(2, 2)
    nn.init.constant_(layer.gain.weight[1], 3.0)
    nn.init.constant_(layer.bias.weight[2], 5.0)
    normed = layer(x, torch.tensor([0, 1, 2]))
    torch.testing.assert_close(normed, torch.stack([plain[0], 3 * plain[1], plain[2] + 5]))


def test_projection_by_hand() -> None:
    """2 h0 - h1 + 0.5 + the class's own direction times h."""
    head = Projection(2, 2, "none")
    with torch.no_grad():
        head.linear.weight.copy_(torch.tensor([[2.0, -1.0]]))
        head.linear.bias.fill_(0.5)
        head.direction.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [10.0, 1.0]]))
    h = torch.tensor([[1.0, 3.0]] * 3)
    torch.testing.assert_close(head(h, torch.tensor([0, 1, 2])), torch.tensor([-0.5, 0.5, 12.5]))


@pytest.mark.parametrize("model", SMALL)
def test_layers_of_a_discriminator_stretch_nothing(model) -> None:
    """After some steps of the power method the largest singular value of each is 1; a copy keeps it, and its state goes
    into another."""
    network = built(model, 8, 1, 2)
    for _ in range(60):
        network.discriminator(torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 1]))
    network.eval()
    other = built(model, 8, 1, 2).eval()
    other.load_state_dict(network.state_dict())
    layers = [layer for layer in network.discriminator.modules() if hasattr(layer, "parametrizations")]
    assert len(layers) >= 3
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)
    x, number = torch.randn(2, 1, 8, 8), torch.tensor([1, 2])
    for same in (other, copy.deepcopy(network)):
        assert torch.equal(same.discriminator(x, number), network.discriminator(x, number))


def test_a_bound_is_followed_in_single_precision() -> None:
    """In bfloat16 the power method, and the value it comes to, would be rounded to two or three digits."""
    whole, half = built(SNGAN(width=4, noise=6)), built(SNGAN(width=4, noise=6))
    layers = [
        [layer for layer in n.discriminator.modules() if hasattr(layer, "parametrizations")] for n in (whole, half)
    ]
    for one, other in zip(*layers, strict=True):
        expected = one.weight
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(other.weight, expected)


def test_bounds() -> None:
    kinds = {bound: built(DCGAN(width=4, noise=6, bound=bound), 16) for bound in ("spectral", "batch", "none")}
    normed = {
        bound: sum(isinstance(layer, nn.BatchNorm2d) for layer in network.discriminator.modules())
        for bound, network in kinds.items()
    }
    assert normed == {"spectral": 0, "batch": 1, "none": 0}  # not of the stage that sees the picture
    assert not any("parametrizations" in name for name in kinds["none"].state_dict())
